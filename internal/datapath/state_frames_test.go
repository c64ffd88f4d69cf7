package datapath

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// Flags of a TCP header (RFC 9293, Section 3.1).
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagPSH = 0x08
	flagACK = 0x10
	flagURG = 0x20
)

// flow is one direction of a connection as it is on the wire.
type flow struct {
	protocol lvs.Protocol
	from, to netip.AddrPort
}

// transportOffset is where the TCP or UDP header begins.
func transportOffset(f lvs.Family) int {
	if f == lvs.IPv4 {
		return 14 + 20
	}
	return 14 + 40
}

// frame makes the shortest frame of the flow, for the interface of that MAC. Checksums are left zero: the
// programs only mend them, and nothing here reads them. UDP takes no flags.
func (f flow) frame(mac net.HardwareAddr, flags byte) []byte {
	family := lvs.FamilyOf(f.from.Addr())
	size := 8
	if f.protocol == lvs.TCP {
		size = 20
	}
	at := transportOffset(family)
	frame := make([]byte, at+size)
	copy(frame, mac)
	copy(frame[6:], routerMAC)
	if family == lvs.IPv4 {
		binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IP)
		putIPv4(frame[14:], f, size)
	} else {
		binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IPV6)
		putIPv6(frame[14:], f, size)
	}
	transport := frame[at:]
	binary.BigEndian.PutUint16(transport, f.from.Port())
	binary.BigEndian.PutUint16(transport[2:], f.to.Port())
	if f.protocol == lvs.TCP {
		transport[12] = 5 << 4
		transport[13] = flags
	} else {
		binary.BigEndian.PutUint16(transport[4:], uint16(size))
	}
	return frame
}

func putIPv4(header []byte, f flow, size int) {
	header[0] = 0x45
	binary.BigEndian.PutUint16(header[2:], uint16(20+size))
	header[8] = 64
	header[9] = byte(f.protocol)
	copy(header[12:], f.from.Addr().AsSlice())
	copy(header[16:], f.to.Addr().AsSlice())
}

func putIPv6(header []byte, f flow, size int) {
	header[0] = 0x60
	binary.BigEndian.PutUint16(header[4:], uint16(size))
	header[6] = byte(f.protocol)
	header[7] = 64
	copy(header[8:], f.from.Addr().AsSlice())
	copy(header[24:], f.to.Addr().AsSlice())
}

// flowOf reads the flow of a TCP or UDP frame; ok is false for others, such as an ICMP error.
func flowOf(frame []byte) (f flow, ok bool) {
	family, length := lvs.IPv4, 4
	addresses, protocol := frame[14+12:], frame[14+9]
	if frame[12] == 0x86 {
		family, length = lvs.IPv6, 16
		addresses, protocol = frame[14+8:], frame[14+6]
	}
	f.protocol = lvs.Protocol(protocol)
	if f.protocol != lvs.TCP && f.protocol != lvs.UDP {
		return f, false
	}
	transport := frame[transportOffset(family):]
	from, _ := netip.AddrFromSlice(addresses[:length])
	to, _ := netip.AddrFromSlice(addresses[length : 2*length])
	f.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(transport))
	f.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(transport[2:]))
	return f, true
}

// TestFrames keeps the frames true: what a flow is made into is read back as the same flow.
func TestFrames(t *testing.T) {
	for _, f := range []flow{
		{lvs.TCP, netip.MustParseAddrPort("203.0.113.1:1024"), netip.MustParseAddrPort("192.0.2.9:80")},
		{lvs.UDP, netip.MustParseAddrPort("203.0.113.1:1024"), netip.MustParseAddrPort("192.0.2.9:53")},
		{lvs.TCP, netip.MustParseAddrPort("[2001:db8:1::1]:1024"), netip.MustParseAddrPort("[2001:db8:9::9]:80")},
		{lvs.UDP, netip.MustParseAddrPort("[2001:db8:1::1]:1024"), netip.MustParseAddrPort("[2001:db8:9::9]:53")},
	} {
		if got, ok := flowOf(f.frame(frontMAC, flagSYN)); !ok || got != f {
			t.Errorf("flow %v is read back as %v, %t", f, got, ok)
		}
	}
}
