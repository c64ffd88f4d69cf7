package datapath

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"drover/internal/lvs"
)

// mapped gives an address as the programs keep it: 16 bytes, IPv4 as ::ffff:a.b.c.d.
func mapped(a netip.Addr) directorAddr { return directorAddr{Byte: a.As16()} }

// unmapped undoes mapped for an address of that family.
func unmapped(a directorAddr, family uint8) netip.Addr {
	addr := netip.AddrFrom16(a.Byte)
	if lvs.Family(family) == lvs.IPv4 {
		return addr.Unmap()
	}
	return addr
}

// bigEndian gives a port as it lies in a packet; it is its own inverse. The objects are little-endian.
func bigEndian(port uint16) uint16 { return bits.ReverseBytes16(port) }

func addrPort(a directorAddr, port uint16, family uint8) netip.AddrPort {
	return netip.AddrPortFrom(unmapped(a, family), bigEndian(port))
}

// keyOf gives the programs' key of a service.
func keyOf(k lvs.ServiceKey) directorServiceKey {
	if k.Mark != 0 {
		return directorServiceKey{Addr: markAddr(k.Mark, k.Family), Family: uint8(k.Family)}
	}
	return directorServiceKey{
		Addr:     mapped(k.Addr.Addr()),
		Port:     bigEndian(k.Addr.Port()),
		Protocol: uint8(k.Protocol),
		Family:   uint8(lvs.FamilyOf(k.Addr.Addr())),
	}
}

// isMark tells the keys of firewall marks: they have no protocol.
func (k directorServiceKey) isMark() bool { return k.Protocol == 0 }

// markAddr has a mark in the place of an address, as ip_vs has it: in network byte order, at the beginning of
// an IPv6 address.
func markAddr(mark uint32, family lvs.Family) directorAddr {
	var b [16]byte
	if family == lvs.IPv4 {
		return mapped(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, mark))))
	}
	binary.BigEndian.PutUint32(b[:], mark)
	return directorAddr{Byte: b}
}

// markOf undoes markAddr.
func markOf(a directorAddr, family lvs.Family) uint32 {
	if family == lvs.IPv4 {
		return binary.BigEndian.Uint32(a.Byte[12:])
	}
	return binary.BigEndian.Uint32(a.Byte[:])
}

// keyFrom undoes keyOf.
func keyFrom(k directorServiceKey) lvs.ServiceKey {
	if k.isMark() {
		family := lvs.Family(k.Family)
		return lvs.ServiceKey{Mark: markOf(k.Addr, family), Family: family}
	}
	return lvs.ServiceKey{
		Protocol: lvs.Protocol(k.Protocol),
		Addr:     addrPort(k.Addr, k.Port, k.Family),
		Family:   lvs.Family(k.Family),
	}
}
