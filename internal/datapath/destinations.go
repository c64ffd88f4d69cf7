package datapath

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"drover/internal/lvs"
)

// Bits of a destination's flags: DEST_* in bpf/types.h.
const (
	destUsed      = 1
	destAvailable = 2
)

// destination gives one server, with its counters as just summed up.
func (t *Table) destination(slot uint32, counted directorStats) lvs.Destination {
	d := t.dests.at(slot)
	conns := atomic.LoadUint64(&t.destConns.at(slot).Word)
	stats := counted.minus(*t.destZero.at(slot)).public()
	stats.Rate = t.destRates.at(slot).Average.rate()
	kind, flags, port := tunnelOf(d.Tunnel)
	return lvs.Destination{
		Addr:        addrPort(d.Addr, d.Port, d.RipFamily),
		Forwarding:  lvs.Forwarding(d.Forwarding),
		Weight:      int32(d.Weight),
		TunnelType:  kind,
		TunnelPort:  port,
		TunnelFlags: flags,
		ActiveConns: uint32(conns),
		InactConns:  uint32(conns >> 32),
		Stats:       stats,
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

// checkSupported refuses what the programs cannot do yet.
func checkSupported(d lvs.Destination) error {
	if d.Upper != 0 || d.Lower != 0 {
		return &lvs.UnsupportedError{What: "connection thresholds (-x, -y)"}
	}
	return nil
}

// slotOf finds a server in a service's list.
func (t *Table) slotOf(s directorService, addr netip.AddrPort) (slot uint32, ok bool) {
	wanted, port := mapped(addr.Addr()), bigEndian(addr.Port())
	for _, e := range t.list(s.Block) {
		if d := t.dests.at(e.slot()); d.Addr == wanted && d.Port == port {
			return e.slot(), true
		}
	}
	return 0, false
}

// findBoth looks up a service and one of its servers. What is missing is lvs.ErrServiceNotDefined or
// lvs.ErrNoDestination.
func (t *Table) findBoth(k lvs.ServiceKey, addr netip.AddrPort) (directorServiceKey, directorService, uint32, error) {
	key, s, err := t.findForServer(k)
	if err != nil {
		return key, s, 0, err
	}
	slot, ok := t.slotOf(s, addr)
	if !ok {
		return key, s, 0, lvs.ErrNoDestination
	}
	return key, s, slot, nil
}

// findForServer is find with the answer that commands on servers give.
func (t *Table) findForServer(k lvs.ServiceKey) (directorServiceKey, directorService, error) {
	key, s, err := t.find(k)
	if err == lvs.ErrNoService { //nolint:errorlint // find returns it bare
		err = lvs.ErrServiceNotDefined
	}
	return key, s, err
}

// AddDestination adds a server at the head of its service's list. One from the trash comes back with
// its connections.
func (t *Table) AddDestination(k lvs.ServiceKey, d lvs.Destination) error {
	key, s, err := t.findForServer(k)
	if err != nil {
		return err
	}
	if err := checkDestination(key, d); err != nil {
		return err
	}
	if _, there := t.slotOf(s, d.Addr); there {
		return lvs.ErrDestinationExists
	}
	if err := checkAddress(d.Addr.Addr()); err != nil {
		return err
	}
	if err := checkSupported(d); err != nil {
		return err
	}
	row := newDest(key, s, d)
	if t.hosts.isLocal(row) {
		return &lvs.UnsupportedError{What: "a real server on the director's own address"}
	}
	list := slotsOf(t.list(s.Block))
	if len(list) >= maxServers {
		return lvs.ErrMemory
	}
	row.Source = t.sourceFor(row)
	slot, err := t.place(row)
	if err != nil {
		return err
	}
	before, err := t.sumDest(slot)
	if err != nil {
		return err
	}
	if err := t.swapList(key, s, slices.Insert(list, 0, slot), false); err != nil {
		t.discard(slot)
		return err
	}
	t.carry(s.Id, directorStats{}.minus(before))
	return t.hosts.keep(row)
}

func newDest(key directorServiceKey, s directorService, d lvs.Destination) directorDest {
	return directorDest{
		Addr: mapped(d.Addr.Addr()), Port: bigEndian(d.Addr.Port()),
		Vaddr: key.Addr, Vport: key.Port, Protocol: key.Protocol, Family: key.Family,
		Forwarding: uint8(d.Forwarding), Flags: destUsed | destAvailable,
		Service: s.Id, Weight: uint32(d.Weight),
		Tunnel: tunnelWord(d), RipFamily: uint8(lvs.FamilyOf(d.Addr.Addr())),
	}
}

// place writes a server to its slot: that in the trash, or a free one.
func (t *Table) place(d directorDest) (uint32, error) {
	if err := t.takeStock(); err != nil {
		return 0, err
	}
	t.emptyTrash()
	if slot, found := t.trash.slots[trashKeyOf(&d)]; found {
		before := t.dests.at(slot).Service
		delete(t.trash.slots, trashKeyOf(&d))
		t.write(slot, d)
		if before == d.Service {
			return slot, nil
		}
		return slot, t.zeroDest(slot)
	}
	slot, ok := t.slots.take(1)
	if !ok {
		return 0, lvs.ErrMemory
	}
	*t.dests.at(slot) = d
	if c := t.control.at(0); slot > c.LastDest {
		atomic.StoreUint32(&c.LastDest, slot)
	}
	return slot, t.zeroDest(slot)
}

// write changes a slot's server, and keeps the hop, which is the programs'.
func (t *Table) write(slot uint32, d directorDest) {
	row := t.dests.at(slot)
	row.Forwarding, row.Weight, row.Service, row.Flags = d.Forwarding, d.Weight, d.Service, d.Flags
	row.setTunnel(d.Tunnel, d.Source)
}

// EditDestination changes forwarding, tunnel and weight. Connections keep the way that they began with; those
// in a tunnel follow its options.
func (t *Table) EditDestination(k lvs.ServiceKey, to lvs.Destination) error {
	key, s, err := t.findForServer(k)
	if err != nil {
		return err
	}
	if err := checkDestination(key, to); err != nil {
		return err
	}
	slot, ok := t.slotOf(s, to.Addr)
	if !ok {
		return lvs.ErrNoDestination
	}
	if err := checkSupported(to); err != nil {
		return err
	}
	d := t.dests.at(slot)
	forwarding, weight, tunnel, source := d.Forwarding, d.Weight, d.Tunnel, d.Source
	d.Forwarding, d.Weight = uint8(to.Forwarding), uint32(to.Weight)
	d.setTunnel(tunnelWord(to), t.sourceFor(*d))
	if err := t.swapList(key, s, slotsOf(t.list(s.Block)), false); err != nil {
		d.Forwarding, d.Weight = forwarding, weight
		d.setTunnel(tunnel, source)
		return err
	}
	return nil
}

// DeleteDestination takes a server out of its service's list, into the trash.
func (t *Table) DeleteDestination(k lvs.ServiceKey, addr netip.AddrPort) error {
	key, s, slot, err := t.findBoth(k, addr)
	if err != nil {
		return err
	}
	slots := slices.DeleteFunc(slotsOf(t.list(s.Block)), func(i uint32) bool { return i == slot })
	if err := t.swapList(key, s, slots, false); err != nil {
		return err
	}
	t.discard(slot)
	counted, err := t.sumDest(slot)
	if err != nil {
		return err
	}
	t.carry(s.Id, counted)
	return t.hosts.forget(*t.dests.at(slot), t.available)
}

// available gives the servers of all services.
func (t *Table) available() []directorDest {
	var all []directorDest
	for i := range t.dests.elements {
		if d := t.dests.elements[i]; d.Flags&destAvailable != 0 {
			all = append(all, d)
		}
	}
	return all
}
