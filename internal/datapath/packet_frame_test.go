package datapath

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"drover/internal/lvs"
)

// The packet tests describe what comes in and what must go out in the same words, and make the bytes of
// both from them with gopacket. So every test compares whole frames: what is not said to change must
// stay, and every checksum must be the one that is computed anew.

// ipPacket is a TCP segment or a UDP datagram in an Ethernet frame.
type ipPacket struct {
	source, destination net.HardwareAddr
	from, to            netip.AddrPort
	protocol            lvs.Protocol
	hops                uint8
	flags               string // of TCP, a letter each: S F R A
	payload             []byte
	noChecksum          bool   // of UDP
	mayFragment         bool   // IPv4 without DF
	trailer             []byte // Ethernet's padding
}

// sent gives the packet as it leaves: with new MACs and one hop less.
func (s ipPacket) sent(source, destination net.HardwareAddr) ipPacket {
	s.source, s.destination = source, destination
	s.hops--
	return s
}

func (s ipPacket) dnat(to netip.AddrPort) ipPacket   { s.to = to; return s }
func (s ipPacket) snat(from netip.AddrPort) ipPacket { s.from = from; return s }

// packet gives the IP packet without the Ethernet header.
func (s ipPacket) packet(t testing.TB) []byte {
	t.Helper()
	return serialized(t, s.ip(layers.IPProtocol(s.protocol)), gopacket.Payload(s.transport(t)))
}

func (s ipPacket) frame(t testing.TB) []byte {
	t.Helper()
	return slices.Concat(ethernet(s.source, s.destination, s.from.Addr()), s.packet(t), s.trailer)
}

// fragments gives the frames of the packet cut after so many bytes each, multiples of 8.
func (s ipPacket) fragments(t testing.TB, sizes ...int) [][]byte {
	t.Helper()
	data := s.transport(t)
	var frames [][]byte
	for offset := 0; len(data) > 0; sizes = sizes[1:] {
		if len(sizes) == 0 {
			sizes = []int{len(data)}
		}
		n := sizes[0]
		frames = append(frames, s.fragment(t, data[:n], offset, len(data) > n))
		data, offset = data[n:], offset+n
	}
	return frames
}

func (s ipPacket) fragment(t testing.TB, data []byte, offset int, more bool) []byte {
	t.Helper()
	if s.from.Addr().Is4() {
		ip := s.ip(layers.IPProtocol(s.protocol)).(*layers.IPv4)
		ip.Flags, ip.FragOffset = 0, uint16(offset/8)
		if more {
			ip.Flags = layers.IPv4MoreFragments
		}
		return append(ethernet(s.source, s.destination, s.from.Addr()), serialized(t, ip, gopacket.Payload(data))...)
	}
	header := &layers.IPv6Fragment{
		NextHeader: layers.IPProtocol(s.protocol), FragmentOffset: uint16(offset / 8), MoreFragments: more,
		Identification: 0xdeadbeef,
	}
	packet := serialized(t, s.ip(layers.IPProtocolIPv6Fragment), header, gopacket.Payload(data))
	return append(ethernet(s.source, s.destination, s.from.Addr()), packet...)
}

// ethernet gives the header of a frame, of the type that an address of its packet tells. By hand, as
// gopacket pads what is short.
func ethernet(source, destination net.HardwareAddr, a netip.Addr) []byte {
	if a.Is4() {
		return slices.Concat(destination, source, []byte{0x08, 0x00})
	}
	return slices.Concat(destination, source, []byte{0x86, 0xdd})
}

// ip gives a header whose every field has a value that would be missed.
func (s ipPacket) ip(next layers.IPProtocol) gopacket.SerializableLayer {
	if s.from.Addr().Is6() {
		return &layers.IPv6{
			Version: 6, TrafficClass: 0x28, FlowLabel: 0xabcde, NextHeader: next, HopLimit: s.hops,
			SrcIP: s.from.Addr().AsSlice(), DstIP: s.to.Addr().AsSlice(),
		}
	}
	ip := &layers.IPv4{
		Version: 4, TOS: 0x28, Id: 0xbeef, Flags: layers.IPv4DontFragment, TTL: s.hops, Protocol: next,
		SrcIP: s.from.Addr().AsSlice(), DstIP: s.to.Addr().AsSlice(),
	}
	if s.mayFragment {
		ip.Flags = 0
	}
	return ip
}

// transport gives header and payload of TCP or UDP, with the checksum over the pseudo-header.
func (s ipPacket) transport(t testing.TB) []byte {
	t.Helper()
	ip := s.ip(layers.IPProtocol(s.protocol)).(gopacket.NetworkLayer)
	if s.protocol == lvs.UDP {
		udp := &layers.UDP{SrcPort: layers.UDPPort(s.from.Port()), DstPort: layers.UDPPort(s.to.Port())}
		check(t, udp.SetNetworkLayerForChecksum(ip))
		data := serialized(t, udp, gopacket.Payload(s.payload))
		if s.noChecksum {
			binary.BigEndian.PutUint16(data[6:], 0)
		}
		return data
	}
	has := func(flag string) bool { return strings.Contains(s.flags, flag) }
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(s.from.Port()), DstPort: layers.TCPPort(s.to.Port()),
		Seq: 0x12345678, Ack: 0x9abcdef0, Window: 0x1234, Urgent: 0x4321,
		SYN: has("S"), FIN: has("F"), RST: has("R"), ACK: has("A"),
	}
	check(t, tcp.SetNetworkLayerForChecksum(ip))
	return serialized(t, tcp, gopacket.Payload(s.payload))
}

// icmpError is an ICMP or ICMPv6 error in an Ethernet frame (RFC 792, RFC 4443).
type icmpError struct {
	source, destination net.HardwareAddr
	from, to            netip.Addr
	hops                uint8
	kind, code          uint8
	mtu                 uint16
	quote               []byte
}

func (e icmpError) sent(source, destination net.HardwareAddr) icmpError {
	e.source, e.destination = source, destination
	e.hops--
	return e
}

func (e icmpError) frame(t testing.TB) []byte {
	t.Helper()
	header := ethernet(e.source, e.destination, e.from)
	if e.from.Is4() {
		ip := &layers.IPv4{
			Version: 4, TTL: e.hops, Protocol: layers.IPProtocolICMPv4,
			SrcIP: e.from.AsSlice(), DstIP: e.to.AsSlice(),
		}
		icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(e.kind, e.code), Seq: e.mtu}
		return append(header, serialized(t, ip, icmp, gopacket.Payload(e.quote))...)
	}
	ip := &layers.IPv6{
		Version: 6, HopLimit: e.hops, NextHeader: layers.IPProtocolICMPv6,
		SrcIP: e.from.AsSlice(), DstIP: e.to.AsSlice(),
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(e.kind, e.code)}
	check(t, icmp.SetNetworkLayerForChecksum(ip))
	rest := []byte{0, 0, byte(e.mtu >> 8), byte(e.mtu)}
	return append(header, serialized(t, ip, icmp, gopacket.Payload(rest), gopacket.Payload(e.quote))...)
}

func serialized(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	check(t, gopacket.SerializeLayers(buffer, options, parts...))
	return buffer.Bytes()
}

// check is must for whoever has no *testing.T.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pattern gives n bytes that are not alike.
func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7 + i>>8)
	}
	return data
}
