//go:build bench

package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// TCP flags (RFC 9293, Section 3.1).
const (
	flagSYN = 0x02
	flagACK = 0x10
)

// flowsTo are frames of so many flows from one client to port 80 of a VIP. They differ in the source port.
func flowsTo(director net.HardwareAddr, vip netip.Addr, count int, flags byte) framesFlows {
	f := framesFlows{Count: uint32(count), Stride: stride(uint32(count))}
	h := f.Headers[:]
	copy(h, director)
	copy(h[6:], routerMAC)
	binary.BigEndian.PutUint16(h[12:], 0x0800)
	ip, tcp := h[14:34], h[34:]
	ip[0], ip[8], ip[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(ip[2:], 40)
	copy(ip[12:], client.AsSlice())
	copy(ip[16:], vip.AsSlice())
	check := sum(ip)
	for check>>16 != 0 {
		check = check&0xffff + check>>16
	}
	binary.LittleEndian.PutUint16(ip[10:], ^uint16(check))
	binary.BigEndian.PutUint16(tcp[2:], 80)
	tcp[12], tcp[13] = 0x50, flags
	pseudo := []byte{0, 6, 0, 20}
	f.TcpSum = sum(ip[12:20]) + sum(pseudo) + sum(tcp)
	return f
}

// sum adds 16-bit words as the BPF program does, in this machine's order: the Internet checksum does not
// mind (RFC 1071, Section 2).
func sum(b []byte) uint32 {
	var total uint32
	for ; len(b) > 0; b = b[2:] {
		total += uint32(binary.LittleEndian.Uint16(b))
	}
	return total
}

// stride makes flows take turns in an order that is not that in which they began.
func stride(n uint32) uint32 {
	s := uint32(uint64(n) * 618 / 1000)
	for gcd(s, n) != 1 {
		s++
	}
	return s % n
}

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
