package datapath

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"drover/internal/lvs"
)

// A passing is a frame that the host must get as it came, and under which name it is counted.
type passing struct {
	name, outcome string
	frame         []byte
}

// rest is a frame to the VIP with that protocol behind the IP header.
func (f family) rest(t testing.TB, protocol layers.IPProtocol, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	s := f.request(lvs.TCP, routePort)
	parts = append([]gopacket.SerializableLayer{s.ip(protocol)}, parts...)
	return append(ethernet(s.source, s.destination, f.vip), serialized(t, parts...)...)
}

// tagged puts a VLAN tag into a frame.
func tagged(frame []byte, kind uint16) []byte {
	return slices.Concat(frame[:12], binary.BigEndian.AppendUint16(nil, kind), []byte{0x00, 0x2a}, frame[12:])
}

// changed is a frame with other bytes at an offset.
func changed(frame []byte, offset int, bytes ...byte) []byte {
	out := slices.Clone(frame)
	copy(out[offset:], bytes)
	return out
}

// otherFrames are not TCP or UDP over plain IP, whatever VIP is inside.
func (f family) otherFrames(t testing.TB) []passing {
	syn := f.request(lvs.TCP, routePort).frame(t)
	some := gopacket.Payload(pattern(48))
	return []passing{
		{"VLAN, the VIP inside", "other", tagged(syn, 0x8100)},
		{"service VLAN, the VIP inside", "other", tagged(tagged(syn, 0x8100), 0x88a8)},
		{"unknown type, the VIP inside", "other", changed(syn, 12, 0x88, 0xb5)},
		{"IEEE 802.3 length", "other", changed(syn, 12, 0x00, 0x26)},
		{"LLDP", "other", changed(syn, 12, 0x88, 0xcc)},
		{"nothing behind the Ethernet header", "malformed", syn[:14]},
		{"VRRP", "protocol", f.rest(t, layers.IPProtocolVRRP, some)},
		{"ESP", "protocol", f.rest(t, layers.IPProtocolESP, some)},
		{"AH", "protocol", f.rest(t, layers.IPProtocolAH, some)},
		{"GRE", "protocol", f.rest(t, layers.IPProtocolGRE, some)},
		{"IPv4 in a tunnel", "protocol", f.rest(t, layers.IPProtocolIPv4, some)},
		{"IPv6 in a tunnel", "protocol", f.rest(t, layers.IPProtocolIPv6, some)},
		{"SCTP", "protocol", f.rest(t, layers.IPProtocolSCTP, some)},
		{"SSH to the VIP", "not_ours", f.request(lvs.TCP, sshPort).frame(t)},
		{"UDP to a port without service", "not_ours", f.request(lvs.UDP, sshPort).frame(t)},
		{"TCP to a server itself", "not_ours", f.request(lvs.TCP, routePort).dnat(netip.AddrPortFrom(f.server, routePort)).frame(t)},
	}
}

func arpFrame(t testing.TB) []byte {
	t.Helper()
	arp := &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPRequest, SourceHwAddress: routerMAC, SourceProtAddress: []byte{192, 0, 2, 254},
		DstHwAddress: make([]byte, 6), DstProtAddress: []byte{192, 0, 2, 100},
	}
	broadcast := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	return slices.Concat(broadcast, routerMAC, []byte{0x08, 0x06}, serialized(t, arp))
}

// familyFrames are those that only one family has.
func (f family) familyFrames(t testing.TB) []passing {
	syn := f.request(lvs.TCP, routePort)
	tcp := gopacket.Payload(syn.transport(t))
	if f.name == "IPv6" {
		options := []*layers.IPv6HopByHopOption{{OptionType: 1, OptionData: make([]byte, 4)}}
		hop := &layers.IPv6HopByHop{Options: options}
		hop.NextHeader = layers.IPProtocolTCP
		to := &layers.IPv6Destination{Options: []*layers.IPv6DestinationOption{{OptionType: 1, OptionData: make([]byte, 4)}}}
		to.NextHeader = layers.IPProtocolTCP
		return []passing{
			{"hop-by-hop options", "protocol", f.rest(t, layers.IPProtocolIPv6HopByHop, hop, tcp)},
			{"destination options", "protocol", f.rest(t, layers.IPProtocolIPv6Destination, to, tcp)},
			{"routing header", "protocol", f.rest(t, layers.IPProtocolIPv6Routing, gopacket.Payload(make([]byte, 8)), tcp)},
			{"echo to the VIP", "protocol", f.rest(t, layers.IPProtocolICMPv6, gopacket.Payload([]byte{128, 0, 0, 0, 1, 2, 3, 4}))},
			{"neighbour solicitation", "protocol", f.rest(t, layers.IPProtocolICMPv6, gopacket.Payload(append([]byte{135}, make([]byte, 31)...)))},
		}
	}
	ip := syn.ip(layers.IPProtocolTCP).(*layers.IPv4)
	ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	withOptions := append(ethernet(syn.source, syn.destination, f.vip), serialized(t, ip, tcp)...)
	return []passing{
		{"ARP for the VIP", "other", arpFrame(t)},
		{"ARP cut off", "other", arpFrame(t)[:30]},
		{"IP options", "protocol", withOptions},
		{"echo to the VIP", "protocol", f.rest(t, layers.IPProtocolICMPv4, gopacket.Payload([]byte{8, 0, 0, 0, 1, 2, 3, 4}))},
		{"header of 16 bytes", "malformed", changed(syn.frame(t), 14, 0x44)},
		{"total length of 19", "malformed", changed(syn.frame(t), 16, 0, 19)},
	}
}

// malformedFrames have lengths that do not fit: the host refuses and counts them.
func (f family) malformedFrames(t testing.TB) []passing {
	syn, udp := f.request(lvs.TCP, routePort).frame(t), f.request(lvs.UDP, routePort)
	udp.payload = nil
	length := map[string]int{"IPv4": 16, "IPv6": 18}[f.name]
	l4 := 14 + f.header
	short := func(frame []byte, n int) []byte { // what is left, with a length that says so
		total := n - 14
		if f.name == "IPv6" {
			total -= f.header
		}
		return changed(frame[:n], length, byte(total>>8), byte(total))
	}
	return []passing{
		{"the other family's version", "malformed", changed(syn, 14, syn[14]^0x20)},
		{"IP header cut off", "malformed", syn[:14+f.header-1]},
		{"longer than the frame", "malformed", syn[:len(syn)-1]},
		{"much longer than the frame", "malformed", changed(syn, length, 0xff, 0xff)},
		{"TCP header cut off", "malformed", short(syn, l4+19)},
		{"UDP header cut off", "malformed", short(udp.frame(t), l4+7)},
		{"no transport header", "malformed", short(syn, l4)},
	}
}

func TestPassesUntouched(t *testing.T) {
	r := newScene(t)
	for _, f := range families {
		r.subtest(t, f.name, func(t *testing.T) {
			for _, row := range slices.Concat(f.otherFrames(t), f.familyFrames(t), f.malformedFrames(t)) {
				r.counted(map[string]uint64{"pass " + row.outcome: 1}, func() {
					r.passes(row.name, r.front, row.frame)
				})
			}
		})
	}
}

// TestTCPWithoutConnection: only a SYN begins one. What else comes is reset by the host, as with ip_vs.
func TestTCPWithoutConnection(t *testing.T) {
	r := newScene(t)
	for _, f := range families {
		r.subtest(t, f.name, func(t *testing.T) {
			for _, port := range []uint16{routePort, masqPort, emptyPort} {
				for _, flags := range []string{"A", "F", "FA", "R", "RA", "SR", ""} {
					in := f.request(lvs.TCP, port)
					in.flags = flags
					r.counted(map[string]uint64{"pass no_connection": 1}, func() {
						r.passes("flags "+flags, r.front, in.frame(t))
					})
				}
			}
		})
	}
}

// TestFrameForAnother: on a segment that floods, frames of another director arrive too.
func TestFrameForAnother(t *testing.T) {
	r := newScene(t)
	others := map[string]net.HardwareAddr{
		"another host": serverMAC(9), "broadcast": {255, 255, 255, 255, 255, 255}, "multicast": {0x33, 0x33, 0, 0, 0, 1},
	}
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for _, port := range forwardings {
			known, fresh := f.request(p, port), f.otherClient(p, port)
			r.receive(r.front, known.frame(t))
			for name, mac := range others {
				known.destination, fresh.destination = mac, mac
				r.counted(map[string]uint64{"pass other_host": 2}, func() {
					r.passes(name+", known", r.front, known.frame(t))
					r.passes(name+", fresh", r.front, fresh.frame(t))
				})
			}
		}
		reply := f.reply(p)
		reply.destination = serverMAC(9)
		r.passes("reply", r.back, reply.frame(t))
	})
}
