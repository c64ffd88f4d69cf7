package datapath

import (
	"net/netip"
	"sync/atomic"

	"drover/internal/lvs"
)

// Bits of a destination's flags: DEST_* in bpf/types.h.
const (
	destUsed      = 0x1
	destAvailable = 0x2
	destLocal     = 0x4
	destTimeouts  = 0x8
	destDrain     = 0x10
	destLoopback  = 0x20

	destAlways = destUsed | destAvailable // whatever the server is like
)

// Parts of dest_conns' word: CONNS_* in bpf/types.h.
const connsOverload = 1 << 63

func activeConns(word uint64) uint32   { return uint32(word) }
func inactiveConns(word uint64) uint32 { return uint32(word &^ connsOverload >> 32) }

// judge sets or clears a server's overload after an edit of its thresholds, as ip_vs does: bpf/limits.h has the
// same for a change of its connections.
func (t *Table) judge(slot, upper, lower uint32) {
	word := &t.destConns.at(slot).Word
	n := atomic.LoadUint64(word)
	total := uint64(activeConns(n)) + uint64(inactiveConns(n))
	switch {
	case upper != 0 && total >= uint64(upper):
		atomic.OrUint64(word, connsOverload)
	case upper == 0, lower != 0 && total < uint64(lower), lower == 0 && total*4 < uint64(upper)*3:
		atomic.AndUint64(word, ^uint64(connsOverload))
	}
}

// destination gives one server of a list, with its counters as just summed up.
func (t *Table) destination(slot, block uint32, counted directorStats) lvs.Destination {
	d, zeroed := rowIn(t.dests.at(slot), block)
	conns := atomic.LoadUint64(&t.destConns.at(slot).Word)
	stats := counted.minus(*t.destZero.at(slot)).public()
	if zeroed {
		stats = lvs.Stats{}
	}
	stats.Rate = t.destRates.at(slot).Average.rate()
	kind, flags, port := tunnelOf(d.Tunnel)
	return lvs.Destination{
		Addr:        addrPort(d.Addr, d.Port, d.RipFamily),
		Forwarding:  lvs.Forwarding(d.Forwarding),
		Weight:      int32(d.Weight),
		Drain:       d.Flags&destDrain != 0,
		TunnelType:  kind,
		TunnelPort:  port,
		TunnelFlags: flags,
		Upper:       d.Upper, Lower: d.Lower,
		ActiveConns:  activeConns(conns),
		InactConns:   inactiveConns(conns),
		PersistConns: uint32(atomic.LoadUint64(t.destPersistent.at(slot))),
		Stats:        stats,
	}
}

// checkDestination refuses what ip_vs would refuse of a server that is already there or not. Only a tunnel
// leads from one address family to the other.
func checkDestination(key directorServiceKey, d lvs.Destination) error {
	if uint8(lvs.FamilyOf(d.Addr.Addr())) != key.Family && d.Forwarding != lvs.Tunnel {
		return lvs.ErrInvalidDestination
	}
	if d.Weight < 0 || d.Lower > d.Upper {
		return lvs.ErrRange
	}
	return nil
}

// checkAddress refuses an address that is not a single host's: ip_vs takes none but unicast.
func checkAddress(a netip.Addr) error {
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if a.IsUnspecified() || a.IsMulticast() || a == broadcast || a.Is6() && a.IsLinkLocalUnicast() {
		return lvs.ErrInvalidDestination
	}
	return nil
}

// newDest gives the row of a service's server.
func newDest(key directorServiceKey, s directorService, d lvs.Destination) directorDest {
	row := directorDest{
		Addr: mapped(d.Addr.Addr()), Port: bigEndian(d.Addr.Port()),
		Vaddr: key.Addr, Vport: key.Port, Protocol: key.Protocol, Family: key.Family,
		RipFamily: uint8(lvs.FamilyOf(d.Addr.Addr())),
		Flags:     destUsed | destAvailable, Service: s.Id,
	}
	configure(&row, d)
	row.LastWeight = row.Weight // 0, too
	return row
}

// configure sets what an edit changes. Connections keep the way that they began with; those in a tunnel
// follow its options.
func configure(row *directorDest, d lvs.Destination) {
	row.Forwarding, row.Weight, row.Tunnel = uint8(d.Forwarding), uint32(d.Weight), tunnelWord(d)
	row.Upper, row.Lower = d.Upper, d.Lower
	row.Flags &^= destDrain
	if d.Drain {
		row.Flags |= destDrain
	}
	if row.Weight != 0 {
		row.LastWeight = row.Weight
	}
}

// rowIn gives a server's row as a list has it; zeroed when its counters begin anew with that list. The
// row may not have been brought up to it yet.
func rowIn(d *directorDest, block uint32) (row directorDest, zeroed bool) {
	row = *d
	if atomic.LoadUint32(&d.Next.Block) != block {
		return row, false
	}
	takeNext(&row)
	return row, d.Next.Zero != 0
}

// takeNext gives a row what was to come.
func takeNext(d *directorDest) {
	d.Forwarding, d.Weight, d.Service = d.Next.Forwarding, d.Next.Weight, d.Next.Service
	d.LastWeight = d.Next.LastWeight
	d.Flags = d.Flags&destAlways | d.Next.Flags
	d.Upper, d.Lower = d.Next.Upper, d.Next.Lower
	atomic.StoreUint32(&d.Tunnel, d.Next.Tunnel)
}

// setNext writes what a row becomes with a list, which is to be put in force.
func setNext(d *directorDest, to *directorDest, block uint32, zero bool) {
	d.Next.Forwarding, d.Next.Weight, d.Next.Service = to.Forwarding, to.Weight, to.Service
	d.Next.LastWeight = to.LastWeight
	d.Next.Flags = to.Flags &^ destAlways
	d.Next.Upper, d.Next.Lower, d.Next.Tunnel = to.Upper, to.Lower, to.Tunnel
	d.Next.Zero = 0
	if zero {
		d.Next.Zero = 1
	}
	atomic.StoreUint32(&d.Next.Block, block)
}

// clearNext: the row is what it was to become, or does not become it.
func clearNext(d *directorDest) { atomic.StoreUint32(&d.Next.Block, 0) }
