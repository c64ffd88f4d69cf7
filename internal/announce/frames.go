package announce

import (
	"encoding/binary"
	"net"
	"net/netip"
)

var (
	broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes6 = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1} // of ff02::1 (RFC 2464, Section 7)
)

// The types of Ethernet frames.
const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

const (
	neighbourAdvertisement = 136 // RFC 4861, Section 4.4
	flagOverride           = 0x20
	flagRouter             = 0x80
	targetLinkLayer        = 2 // the option (Section 4.6.1)
	icmpv6                 = 58
)

// garp gives the frame of a gratuitous ARP request (RFC 826; RFC 5227, Section 3): each neighbour that knows the address
// learns the MAC.
func garp(mac net.HardwareAddr, addr netip.Addr) []byte {
	b := ethernet(broadcast, mac, etherARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, lengths, request
	b = append(b, mac...)
	b = append(b, addr.AsSlice()...)
	b = append(b, broadcast...)
	return append(b, addr.AsSlice()...)
}

// advertisement gives the frame of an unsolicited neighbour advertisement to all nodes.
func advertisement(mac net.HardwareAddr, addr netip.Addr, router bool) []byte {
	const size = 32
	to := netip.MustParseAddr("ff02::1")
	b := ethernet(allNodes6, mac, etherIPv6)
	b = append(b, 0x60, 0, 0, 0, 0, size, icmpv6, 255)
	b = append(append(b, addr.AsSlice()...), to.AsSlice()...)
	flags := byte(flagOverride)
	if router {
		flags |= flagRouter
	}
	message := append([]byte{neighbourAdvertisement, 0, 0, 0, flags, 0, 0, 0}, addr.AsSlice()...)
	message = append(append(message, targetLinkLayer, 1), mac...)
	sum := uint32(size + icmpv6)
	for _, part := range [][]byte{addr.AsSlice(), to.AsSlice(), message} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(message[2:], ^uint16(sum))
	return append(b, message...)
}

func ethernet(to, from net.HardwareAddr, kind uint16) []byte {
	b := append(append(make([]byte, 0, 96), to...), from...)
	return binary.BigEndian.AppendUint16(b, kind)
}
