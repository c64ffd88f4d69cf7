package datapath

import (
	"net/netip"

	"drover/internal/lvs"
)

// localFlags are those of a server whose address is this host's own.
func (t *Table) localFlags(d *directorDest) uint8 {
	addr := d.address()
	switch {
	case !t.hosts.isLocal(addr):
		return 0
	case addr.IsLoopback():
		return destLocal | destLoopback
	}
	return destLocal
}

// refreshLocal looks again which servers are on this host: the first change of a command finds the addresses
// that came and went since the last one.
func (t *Table) refreshLocal() {
	known := map[netip.Addr]uint8{}
	for i := range t.dests.elements[:t.control.at(0).LastDest+1] {
		d := &t.dests.elements[i]
		if d.Flags&destAvailable == 0 {
			continue
		}
		addr := d.address()
		flags, looked := known[addr]
		if !looked {
			flags = t.localFlags(d)
			known[addr] = flags
		}
		if d.Flags&(destLocal|destLoopback) != flags {
			d.Flags = d.Flags&^(destLocal|destLoopback) | flags
		}
	}
	t.settleLocal()
}

// settleLocal has replies looked at on their way out while a server here is reached by NAT.
func (t *Table) settleLocal() {
	var on uint32
	for i := range t.dests.elements[:t.control.at(0).LastDest+1] {
		d := &t.dests.elements[i]
		if d.Flags&destLocal != 0 && lvs.Forwarding(d.Forwarding) == lvs.Masquerade {
			on = usesLocal
			break
		}
	}
	t.setUses(usesLocal, on)
}
