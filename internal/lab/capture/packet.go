package capture

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// A Packet is one TCP packet as it crossed a port of a switch.
type Packet struct {
	Node, Network string // whose port it was, on which network

	Data        []byte // from the Ethernet header on
	From, To    net.HardwareAddr
	Source      netip.AddrPort
	Destination netip.AddrPort
	TTL         uint8 // IPv6: hop limit
	Seq, Ack    uint32
	Flags       string // as tcpdump writes them: "S", "S.", "P.", "F.", "R"
	Payload     []byte
	Damage      string // what is wrong with its checksums; empty if nothing is
	Fields      []Field
	Tunnel      *Tunnel // what it is wrapped in; nil if it is not
}

// A Field is a piece of the headers, as a person reads it. Fields lie in Data in no order.
type Field struct {
	Name, Text string
	start, end int
}

// Names of the fields.
const (
	SourceMAC       = "source MAC"
	DestinationMAC  = "destination MAC"
	SourceAddr      = "source address"
	DestinationAddr = "destination address"
	SourcePort      = "source port"
	DestinationPort = "destination port"
	TTL             = "TTL"
	HopLimit        = "hop limit"
	IPChecksum      = "IP checksum"
	TCPChecksum     = "TCP checksum"
)

// Decode reads a frame; ok is false unless it is TCP on IPv4 or IPv6, perhaps in a tunnel: then all but Data
// and Tunnel is about the inner packet. It keeps nothing of the frame's memory.
func Decode(frame []byte) (p Packet, ok bool) {
	tunnel, plain, wrapped := unwrap(frame)
	if !wrapped {
		return decode(frame)
	}
	if p, ok = decode(plain); ok {
		p = p.wrapped(tunnel, frame)
	}
	return p, ok
}

func decode(frame []byte) (p Packet, ok bool) {
	p.Data = slices.Clone(frame)
	decoded := gopacket.NewPacket(p.Data, layers.LayerTypeEthernet, gopacket.NoCopy)
	ethernet, _ := decoded.LinkLayer().(*layers.Ethernet)
	tcp, _ := decoded.TransportLayer().(*layers.TCP)
	if ethernet == nil || tcp == nil || decoded.ErrorLayer() != nil {
		return Packet{}, false
	}
	if err := tcp.SetNetworkLayerForChecksum(decoded.NetworkLayer()); err != nil {
		return Packet{}, false
	}
	p.From, p.To = ethernet.SrcMAC, ethernet.DstMAC
	p.Seq, p.Ack, p.Flags, p.Payload = tcp.Seq, tcp.Ack, flags(tcp), tcp.Payload
	p.Fields = []Field{
		{DestinationMAC, p.To.String(), 0, 6},
		{SourceMAC, p.From.String(), 6, 12},
	}
	at := len(ethernet.Contents)
	var from, to netip.Addr
	switch ip := decoded.NetworkLayer().(type) {
	case *layers.IPv4:
		from, _ = netip.AddrFromSlice(ip.SrcIP)
		to, _ = netip.AddrFromSlice(ip.DstIP)
		p.TTL = ip.TTL
		p.Fields = append(p.Fields,
			Field{TTL, fmt.Sprint(ip.TTL), at + 8, at + 9},
			Field{IPChecksum, fmt.Sprintf("%#04x", ip.Checksum), at + 10, at + 12},
			Field{SourceAddr, from.String(), at + 12, at + 16},
			Field{DestinationAddr, to.String(), at + 16, at + 20},
		)
		at += len(ip.Contents)
	case *layers.IPv6:
		from, _ = netip.AddrFromSlice(ip.SrcIP)
		to, _ = netip.AddrFromSlice(ip.DstIP)
		p.TTL = ip.HopLimit
		p.Fields = append(p.Fields,
			Field{HopLimit, fmt.Sprint(ip.HopLimit), at + 7, at + 8},
			Field{SourceAddr, from.String(), at + 8, at + 24},
			Field{DestinationAddr, to.String(), at + 24, at + 40},
		)
		at += len(ip.Contents)
	default:
		return Packet{}, false
	}
	p.Source = netip.AddrPortFrom(from, uint16(tcp.SrcPort))
	p.Destination = netip.AddrPortFrom(to, uint16(tcp.DstPort))
	p.Fields = append(p.Fields,
		Field{SourcePort, fmt.Sprint(uint16(tcp.SrcPort)), at, at + 2},
		Field{DestinationPort, fmt.Sprint(uint16(tcp.DstPort)), at + 2, at + 4},
		Field{TCPChecksum, fmt.Sprintf("%#04x", tcp.Checksum), at + 16, at + 18},
	)
	p.Damage = damage(decoded)
	return p, true
}

func flags(tcp *layers.TCP) string {
	var text string
	for _, flag := range []struct {
		set  bool
		name string
	}{{tcp.SYN, "S"}, {tcp.FIN, "F"}, {tcp.RST, "R"}, {tcp.PSH, "P"}, {tcp.ACK, "."}} {
		if flag.set {
			text += flag.name
		}
	}
	return text
}

// damage computes the checksums again.
func damage(decoded gopacket.Packet) string {
	err, wrong := decoded.VerifyChecksums()
	if err != nil {
		return err.Error()
	}
	if len(wrong) > 0 {
		return fmt.Sprintf("%v checksum %#04x, computed %#04x", wrong[0].Layer.LayerType(), wrong[0].Actual, wrong[0].Correct)
	}
	return ""
}

// Field finds one by its name.
func (p Packet) Field(name string) (Field, bool) {
	i := slices.IndexFunc(p.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return p.Fields[i], true
}

// rest is the packet with all Fields blanked out, and without its tunnel.
func (p Packet) rest() []byte {
	data := slices.Clone(p.Data)
	for _, f := range p.Fields {
		clear(data[f.start:f.end])
	}
	if p.Tunnel != nil {
		const ethernet, kind = 14, 2 // the EtherType is that of the outer header
		data = slices.Delete(data, ethernet, ethernet+p.Tunnel.Length)
		copy(data[ethernet-kind:], etherType(data[ethernet]>>4))
	}
	return data
}

// etherType is that of an IP version.
func etherType(version byte) []byte {
	if version == 6 {
		return []byte{0x86, 0xdd}
	}
	return []byte{0x08, 0x00}
}

// Rest is the number of bytes that are in none of the Fields, nor in the tunnel.
func (p Packet) Rest() int {
	n := len(p.Data)
	if p.Tunnel != nil {
		n -= p.Tunnel.Length
	}
	for _, f := range p.Fields {
		n -= f.end - f.start
	}
	return n
}

// Other stands for all bytes that have no Field of their own.
const Other = "other bytes"

// Differences names the fields in which two packets differ, byte for byte, in the order of Fields, and
// Other last.
func Differences(a, b Packet) []string {
	var names []string
	for _, f := range a.Fields {
		if g, ok := b.Field(f.Name); !ok || !slices.Equal(a.Data[f.start:f.end], b.Data[g.start:g.end]) {
			names = append(names, f.Name)
		}
	}
	if !slices.Equal(a.rest(), b.rest()) {
		names = append(names, Other)
	}
	return names
}
