package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// A side is one of the director's two networks.
type side string

const (
	front side = "front"
	back  side = "back"
)

// A seen frame is what a director sent.
type seen struct {
	side  side
	frame []byte
}

// isOurs tells whether a frame is for the router or a server: the rest is the hosts' own, such as
// neighbour discovery.
func isOurs(frame []byte) bool {
	if len(frame) < 14 {
		return false
	}
	to := net.HardwareAddr(frame[:6])
	if slices.Equal(to, routerMAC) {
		return !isDiscovery(frame)
	}
	return slices.Equal(to[:5], serverMAC(0)[:5]) && to[5] > 0x80 && !isDiscovery(frame)
}

// isDiscovery tells ARP and ICMPv6's neighbour messages (RFC 4861, types 133 to 137).
func isDiscovery(frame []byte) bool {
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if packet.Layer(layers.LayerTypeARP) != nil {
		return true
	}
	icmp, ok := packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	return ok && icmp.TypeCode.Type() >= 133
}

// String gives what is compared: of a packet that was forwarded all its bytes; of one that the director or
// its host made, what it means.
func (s seen) String() string {
	packet := gopacket.NewPacket(s.frame, layers.LayerTypeEthernet, gopacket.Default)
	text := fmt.Sprintf("%s to %s: ", s.side, net.HardwareAddr(s.frame[:6]))
	network := packet.NetworkLayer()
	if network == nil {
		return text + fmt.Sprintf("%x", s.frame)
	}
	from, to := network.NetworkFlow().Endpoints()
	if packet.Layer(layers.LayerTypeICMPv6) != nil {
		// Linux answers in the VIP's name if an interface has that address; here a route makes it local.
		return text + fmt.Sprintf("to %s %s", to, meaning(packet))
	}
	if isDirectorsText(from.String()) { // a tunnel's outer packet
		return text + fmt.Sprintf("%s > %s %x", from, to, masked(s.frame))
	}
	text += fmt.Sprintf("%s > %s %s", from, to, meaning(packet))
	if forwarded(packet) {
		return text + fmt.Sprintf(" %x", s.frame)
	}
	return text
}

func meaning(packet gopacket.Packet) string {
	for _, layer := range packet.Layers() {
		switch l := layer.(type) {
		case *layers.TCP:
			return fmt.Sprintf("TCP %d > %d %s", l.SrcPort, l.DstPort, flagsOf(l))
		case *layers.UDP:
			return fmt.Sprintf("UDP %d > %d", l.SrcPort, l.DstPort)
		case *layers.ICMPv4:
			return fmt.Sprintf("ICMP %s quoting %x", l.TypeCode, l.Payload[:min(len(l.Payload), 28)])
		case *layers.ICMPv6:
			return fmt.Sprintf("ICMPv6 %s quoting %x", l.TypeCode, l.Payload[:min(len(l.Payload), 52)])
		}
	}
	return "IP"
}

func flagsOf(l *layers.TCP) string {
	var text strings.Builder
	for _, f := range []struct {
		set    bool
		letter byte
	}{{l.SYN, 'S'}, {l.FIN, 'F'}, {l.RST, 'R'}, {l.ACK, 'A'}, {l.PSH, 'P'}, {l.URG, 'U'}} {
		if f.set {
			text.WriteByte(f.letter)
		}
	}
	return text.String()
}

func forwarded(packet gopacket.Packet) bool {
	switch l := packet.NetworkLayer().(type) {
	case *layers.IPv4:
		return l.Id == ownID
	case *layers.IPv6:
		return l.FlowLabel == ownFlowLabel
	}
	return false
}

func isDirectorsText(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && isDirectors(a) && !slices.ContainsFunc(virtualNetworks, func(p netip.Prefix) bool {
		return p.Contains(a)
	})
}

// masked is the frame without what a tunnel's outer header has at random: IPv4's identification, IPv6's
// flow label, GUE's source port, and their checksums.
func masked(frame []byte) []byte {
	frame = slices.Clone(frame)
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	transport := 14 + 20
	udp := false
	switch l := packet.NetworkLayer().(type) {
	case *layers.IPv4:
		clear(frame[18:20])
		clear(frame[24:26])
		udp = l.Protocol == layers.IPProtocolUDP
	case *layers.IPv6:
		clear(frame[15:18])
		transport = 14 + 40
		udp = l.NextHeader == layers.IPProtocolUDP
	}
	if udp && len(frame) >= transport+8 {
		clear(frame[transport : transport+2])
		clear(frame[transport+6 : transport+8])
	}
	return frame
}
