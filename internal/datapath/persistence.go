package datapath

import (
	"math/bits"
	"net/netip"
	"time"

	"drover/internal/lvs"
)

// configureService sets what an edit changes.
func configureService(row *directorService, s lvs.Service) {
	row.Flags, row.Scheduler = uint32(s.Flags), schedulerNumber(s.Scheduler)
	row.Persistence, row.Mask = 0, directorAddr{}
	if s.Flags&lvs.Persistent != 0 {
		row.Persistence, row.Mask = uint32(s.Timeout/time.Second), clientMask(s)
	}
}

// serviceFrom gives a service as it was configured, without its counters.
func serviceFrom(key directorServiceKey, row directorService) lvs.Service {
	s := lvs.Service{
		ServiceKey: keyFrom(key),
		Scheduler:  schedulerName(row.Scheduler),
		Flags:      lvs.ServiceFlags(row.Flags),
	}
	if s.Flags&lvs.Persistent == 0 {
		return s
	}
	s.Timeout = time.Duration(row.Persistence) * time.Second
	if s.Family == lvs.IPv4 {
		s.Netmask = netip.AddrFrom4([4]byte(row.Mask.Byte[12:]))
	} else {
		s.PrefixLen = prefixLength(row.Mask)
	}
	return s
}

// clientMask gives the bits of a client's address that persistence tells clients apart by. Those before an
// IPv4 address are the same for all.
func clientMask(s lvs.Service) directorAddr {
	var mask directorAddr
	for i := range mask.Byte {
		mask.Byte[i] = 0xff
	}
	switch {
	case s.Family == lvs.IPv4 && s.Netmask.Is4():
		own := s.Netmask.As4()
		copy(mask.Byte[12:], own[:])
	case s.Family == lvs.IPv6 && s.PrefixLen != 0:
		for i := range mask.Byte {
			mask.Byte[i] = 0xff << (8 - min(max(s.PrefixLen-8*i, 0), 8))
		}
	}
	return mask
}

func prefixLength(mask directorAddr) int {
	n := 0
	for _, b := range mask.Byte {
		n += bits.OnesCount8(b)
	}
	return n
}
