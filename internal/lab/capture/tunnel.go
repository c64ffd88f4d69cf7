package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"drover/internal/lab"
)

// A Tunnel is what a packet is wrapped in. Its headers lie in Data between the Ethernet header and the
// packet's own.
type Tunnel struct {
	Kind                string // "IPIP", "GUE" or "GRE"
	Source, Destination netip.Addr
	Length              int // bytes
}

// unwrap finds the tunnel of a frame, and gives the frame that is without it; ok is false if there is none.
func unwrap(frame []byte) (t Tunnel, plain []byte, ok bool) {
	decoded := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	network := decoded.NetworkLayer()
	ethernet, _ := decoded.LinkLayer().(*layers.Ethernet)
	if ethernet == nil || network == nil {
		return Tunnel{}, nil, false
	}
	var protocol layers.IPProtocol
	switch ip := network.(type) {
	case *layers.IPv4:
		protocol = ip.Protocol
		t.Source, _ = netip.AddrFromSlice(ip.SrcIP)
		t.Destination, _ = netip.AddrFromSlice(ip.DstIP)
	case *layers.IPv6:
		protocol = ip.NextHeader
		t.Source, _ = netip.AddrFromSlice(ip.SrcIP)
		t.Destination, _ = netip.AddrFromSlice(ip.DstIP)
	}
	inner := t.open(protocol, network.LayerPayload())
	kind := layers.EthernetTypeIPv4
	switch {
	case len(inner) == 0:
		return Tunnel{}, nil, false
	case inner[0]>>4 == 6:
		kind = layers.EthernetTypeIPv6
	}
	t.Length = len(frame) - len(ethernet.Contents) - len(inner)
	plain = binary.BigEndian.AppendUint16(slices.Clone(frame[:12]), uint16(kind))
	return t, append(plain, inner...), true
}

// open notes the kind of a tunnel and gives what is in it, from the inner IP header on.
func (t *Tunnel) open(protocol layers.IPProtocol, payload []byte) []byte {
	const udp, gue, gre = 8, 4, 4 // bytes of headers
	header := 0
	switch protocol {
	case layers.IPProtocolIPv4, layers.IPProtocolIPv6:
		t.Kind = "IPIP"
	case layers.IPProtocolUDP:
		if len(payload) < udp+gue || binary.BigEndian.Uint16(payload[2:]) != lab.TunnelPort {
			return nil
		}
		t.Kind, header = "GUE", udp+gue+int(payload[udp]&0x1f)*4
	case layers.IPProtocolGRE:
		t.Kind, header = "GRE", gre
		if len(payload) > 0 && payload[0]&0x80 != 0 { // with a checksum
			header += 4
		}
	default:
		return nil
	}
	return payload[min(header, len(payload)):]
}

// wrapped is a packet as read without its tunnel, put back into it: its fields lie that much further on.
func (p Packet) wrapped(t Tunnel, frame []byte) Packet {
	const ethernet = 14
	p.Data, p.Tunnel = slices.Clone(frame), &t
	for i := range p.Fields {
		if p.Fields[i].start >= ethernet {
			p.Fields[i].start += t.Length
			p.Fields[i].end += t.Length
		}
	}
	if p.Damage == "" {
		p.Damage = outerDamage(p.Data)
	}
	return p
}

// outerDamage looks at the checksums of an outer IPv4 header and of GUE's UDP.
func outerDamage(frame []byte) string {
	decoded := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	network := decoded.NetworkLayer()
	if ip, ok := network.(*layers.IPv4); ok {
		if err, result := ip.VerifyChecksum(); err != nil || !result.Valid {
			return fmt.Sprintf("outer IPv4 checksum %#04x, computed %#04x", result.Actual, result.Correct)
		}
	}
	if udp, ok := decoded.TransportLayer().(*layers.UDP); ok && udp.SetNetworkLayerForChecksum(network) == nil {
		if err, result := udp.VerifyChecksum(); err != nil || !result.Valid {
			return fmt.Sprintf("outer UDP checksum %#04x, computed %#04x", result.Actual, result.Correct)
		}
	}
	return ""
}

// Headers describes the tunnel to a person, a row for each thing.
func (t Tunnel) Headers() [][2]string {
	return [][2]string{
		{"tunnel", fmt.Sprintf("%s, %d bytes", t.Kind, t.Length)},
		{"outer source address", t.Source.String()},
		{"outer destination address", t.Destination.String()},
	}
}
