package datapath

import (
	"errors"
	"net/netip"
	"slices"

	"drover/internal/lvs"
)

// AddDestination adds a server at the head of its service's list. One from the trash comes back with
// its connections.
func (t *Table) AddDestination(k lvs.ServiceKey, d lvs.Destination) error {
	return t.change(func(tx *transaction) error { return tx.addServer(k, d) })
}

func (tx *transaction) addServer(k lvs.ServiceKey, d lvs.Destination) error {
	s, list, err := tx.findList(k)
	if err != nil {
		return err
	}
	if err := checkDestination(s.key, d); err != nil {
		return err
	}
	row := newDest(s.key, s.now, d)
	if _, there := position(list, row.Addr, row.Port); there {
		return lvs.ErrDestinationExists
	}
	if err := checkAddress(d.Addr.Addr()); err != nil {
		return err
	}
	if len(list) >= maxServers {
		return lvs.ErrMemory
	}
	row.Source = tx.table.sourceFor(&row)
	row.Flags |= tx.table.localFlags(&row)
	server, err := tx.place(row)
	if err != nil {
		return err
	}
	s.now.Carried = s.now.Carried.minus(server.base)
	s.list = slices.Insert(list, 0, server)
	s.walk.inserted()
	s.relisted()
	return nil
}

// findList looks up a service and its list; lvs.ErrServiceNotDefined if it is not there.
func (tx *transaction) findList(k lvs.ServiceKey) (*stagedService, []*stagedServer, error) {
	s, err := tx.find(k)
	if errors.Is(err, lvs.ErrNoService) {
		return nil, nil, lvs.ErrServiceNotDefined
	}
	if err != nil {
		return nil, nil, err
	}
	list, err := tx.servers(s)
	return s, list, err
}

// place gives a new server its slot: that which it had when it was deleted, or a free one. base is what the
// slot had counted; the server's own counters go on if it comes back to the service that it left.
func (tx *transaction) place(row directorDest) (*stagedServer, error) {
	t, key := tx.table, trashKeyOf(&row)
	server, again := tx.gone[key]
	if !again {
		var err error
		if server, err = tx.takeSlot(key); err != nil {
			return nil, err
		}
	}
	base, err := t.sumDest(server.slot)
	if err != nil {
		return nil, err
	}
	if server.dest.Service != row.Service {
		server.zero = true
	}
	server.base, server.changed, server.added = base, true, true
	server.dest = row
	delete(tx.gone, key)
	return server, nil
}

// takeSlot finds a server in the trash, or gives it a free slot.
func (tx *transaction) takeSlot(key trashKey) (*stagedServer, error) {
	t := tx.table
	if len(tx.fresh) == 0 {
		t.emptyTrash()
	}
	if slot, found := t.trash.slots[key]; found {
		delete(t.trash.slots, key)
		server := &stagedServer{slot: slot, dest: *t.dests.at(slot), trashed: true}
		tx.fresh = append(tx.fresh, server)
		return server, nil
	}
	slot, ok := t.slots.take(1)
	if !ok {
		t.hurryTrash()
		if slot, ok = t.slots.take(1); !ok {
			return nil, lvs.ErrMemory
		}
	}
	server := &stagedServer{slot: slot, zero: true}
	tx.fresh = append(tx.fresh, server)
	return server, nil
}

// EditDestination changes forwarding and weight. Connections keep the way that they began with.
func (t *Table) EditDestination(k lvs.ServiceKey, to lvs.Destination) error {
	return t.change(func(tx *transaction) error { return tx.editServer(k, to) })
}

func (tx *transaction) editServer(k lvs.ServiceKey, to lvs.Destination) error {
	s, list, err := tx.findList(k)
	if err != nil {
		return err
	}
	if err := checkDestination(s.key, to); err != nil {
		return err
	}
	i, ok := position(list, mapped(to.Addr.Addr()), bigEndian(to.Addr.Port()))
	if !ok {
		return lvs.ErrNoDestination
	}
	configure(&list[i].dest, to)
	list[i].dest.setSource(tx.table.sourceFor(&list[i].dest))
	list[i].changed = true
	s.relisted()
	return nil
}

// DeleteDestination takes a server out of its service's list, into the trash.
func (t *Table) DeleteDestination(k lvs.ServiceKey, addr netip.AddrPort) error {
	return t.change(func(tx *transaction) error { return tx.deleteServer(k, addr) })
}

func (tx *transaction) deleteServer(k lvs.ServiceKey, addr netip.AddrPort) error {
	s, list, err := tx.findList(k)
	if err != nil {
		return err
	}
	i, ok := position(list, mapped(addr.Addr()), bigEndian(addr.Port()))
	if !ok {
		return lvs.ErrNoDestination
	}
	server := list[i]
	counted, err := tx.table.sumDest(server.slot)
	if err != nil {
		return err
	}
	s.now.Carried = s.now.Carried.plus(counted)
	tx.gone[trashKeyOf(&server.dest)] = server
	s.list = slices.Delete(list, i, i+1)
	s.walk.deleted(i)
	s.relisted()
	return nil
}

// Zero sets the counters of a service and its servers to zero, or with nil those of all.
func (t *Table) Zero(k *lvs.ServiceKey) error {
	return t.change(func(tx *transaction) error {
		if k != nil {
			s, err := tx.find(*k)
			if err != nil {
				return err
			}
			return tx.zero(s)
		}
		if err := tx.addAll(); err != nil {
			return err
		}
		for _, s := range tx.touched {
			if err := tx.zero(s); err != nil {
				return err
			}
		}
		return nil
	})
}

func (tx *transaction) zero(s *stagedService) error {
	list, err := tx.servers(s)
	if err != nil || !s.there {
		return err
	}
	var carried directorStats
	for _, server := range list {
		base, err := tx.table.sumDest(server.slot)
		if err != nil {
			return err
		}
		server.zero, server.base = true, base
		carried = carried.minus(base)
	}
	s.now.Carried, s.changed = carried, true
	return nil
}
