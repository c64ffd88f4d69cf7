package datapath

import (
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
	return directorServiceKey{
		Addr:     mapped(k.Addr.Addr()),
		Port:     bigEndian(k.Addr.Port()),
		Protocol: uint8(k.Protocol),
		Family:   uint8(lvs.FamilyOf(k.Addr.Addr())),
	}
}

// keyFrom undoes keyOf.
func keyFrom(k directorServiceKey) lvs.ServiceKey {
	return lvs.ServiceKey{
		Protocol: lvs.Protocol(k.Protocol),
		Addr:     addrPort(k.Addr, k.Port, k.Family),
		Family:   lvs.Family(k.Family),
	}
}
