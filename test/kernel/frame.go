package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"drover/internal/lvs"
)

// Marks of the packets that the test makes. What carries them was forwarded; what does not was made by the
// director or its host.
const (
	ownID        = 0xbeef  // IPv4's identification
	ownFlowLabel = 0xabcde // IPv6's
	ownHops      = 64
)

// A flow is the two ends of a frame to be sent.
type flow struct {
	source, destination net.HardwareAddr
	from, to            netip.AddrPort
}

// frame makes the Ethernet frame of a packet, its checksums right.
func (p *packet) frame(f flow) ([]byte, error) {
	ip := f.header(p.transport())
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	payload := gopacket.Payload(strings.Repeat("x", p.payload))
	var transport gopacket.SerializableLayer
	if p.protocol == "udp" {
		udp := &layers.UDP{SrcPort: layers.UDPPort(f.from.Port()), DstPort: layers.UDPPort(f.to.Port())}
		if err := udp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)); err != nil {
			return nil, err
		}
		transport = udp
	} else {
		tcp := p.segment(f)
		if err := tcp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)); err != nil {
			return nil, err
		}
		transport = tcp
	}
	if err := gopacket.SerializeLayers(buffer, options, ip, transport, payload); err != nil {
		return nil, fmt.Errorf("make a frame: %w", err)
	}
	return append(f.ethernet(), buffer.Bytes()...), nil
}

func (p *packet) transport() lvs.Protocol {
	if p.protocol == "udp" {
		return lvs.UDP
	}
	return lvs.TCP
}

func (p *packet) segment(f flow) *layers.TCP {
	has := func(flag string) bool { return strings.Contains(p.flags, flag) }
	return &layers.TCP{
		SrcPort: layers.TCPPort(f.from.Port()), DstPort: layers.TCPPort(f.to.Port()),
		Seq: 0x12345678, Ack: 0x9abcdef0, Window: 0x1234,
		SYN: has("S"), FIN: has("F"), RST: has("R"), ACK: has("A"), PSH: has("P"), URG: has("U"),
	}
}

// ethernet is the frame's header. By hand, as gopacket pads what is short, and ip_vs cuts that off again.
func (f flow) ethernet() []byte {
	kind := []byte{0x08, 0x00}
	if f.from.Addr().Is6() {
		kind = []byte{0x86, 0xdd}
	}
	return slices.Concat(f.destination, f.source, kind)
}

func (f flow) header(protocol lvs.Protocol) gopacket.SerializableLayer {
	next := layers.IPProtocol(protocol)
	if f.from.Addr().Is4() {
		return &layers.IPv4{
			Version: 4, TOS: 0x28, Id: ownID, Flags: layers.IPv4DontFragment, TTL: ownHops, Protocol: next,
			SrcIP: f.from.Addr().AsSlice(), DstIP: f.to.Addr().AsSlice(),
		}
	}
	return &layers.IPv6{
		Version: 6, TrafficClass: 0x28, FlowLabel: ownFlowLabel, NextHeader: next, HopLimit: ownHops,
		SrcIP: f.from.Addr().AsSlice(), DstIP: f.to.Addr().AsSlice(),
	}
}
