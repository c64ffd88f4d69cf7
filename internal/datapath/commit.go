package datapath

import (
	"net/netip"

	"drover/internal/lvs"
	"drover/internal/schedule"
)

// commit puts a transaction in force: it writes aside what is new, makes one write that all of it depends
// on, and then clears away what is old. If that fails before the one write, nothing has changed.
func (t *Table) commit(tx *transaction) error {
	var changed []*stagedService
	for _, s := range tx.touched {
		if s.changed && (s.there || s.stored != nil) {
			changed = append(changed, s)
		}
	}
	if len(changed) > 0 {
		old := t.epoch()
		if err := t.prepare(changed); err != nil {
			t.chunks = nil // the next change takes stock again
			return err
		}
		if err := t.publish(changed); err != nil {
			t.chunks = nil
			return err
		}
		t.reached("in force")
		if err := t.settle(tx, changed, old); err != nil {
			t.chunks = nil
			return err
		}
	}
	t.release(tx)
	t.setTimeouts(tx.timeouts)
	t.setTunes(tx.tunes)
	t.tellHosts(tx, changed)
	return nil
}

// reached is where tests stop a commit.
func (t *Table) reached(step string) {
	if t.stop != nil {
		t.stop(step)
	}
}

// prepare writes aside what the new lists need.
func (t *Table) prepare(changed []*stagedService) error {
	for _, s := range changed {
		if !s.there || !s.relist {
			continue
		}
		var err error
		if s.now.Block, err = t.writeBlock(t.versionOf(s).words()); err != nil {
			return err
		}
		t.reached("block written")
		for i, server := range s.list {
			t.prepareServer(s, server, i)
		}
		t.reached("rows written")
		t.lookAnew(s.now.Id)
	}
	t.addUses(changed)
	return t.addVirtuals(changed)
}

func (t *Table) versionOf(s *stagedService) version {
	v := version{scheduler: schedulerName(s.now.Scheduler), weights: s.weights(), fresh: s.walk.fresh}
	for _, server := range s.list {
		v.slots = append(v.slots, server.slot)
		v.limits = v.limits || server.dest.Upper != 0
	}
	var stored uint64
	if s.stored != nil {
		stored = t.cursor(s.stored.Block)
	}
	v.cursor = s.walk.cursor(v.scheduler, stored)
	if v.scheduler == "mh" {
		v.maglev = s.maglev()
	}
	return v
}

// maglev fills the table of mh.
func (s *stagedService) maglev() *schedule.MaglevTable {
	servers := make([]schedule.Server, 0, len(s.list))
	for _, server := range s.list {
		d := &server.dest
		addr := addrPort(d.Addr, d.Port, d.RipFamily)
		servers = append(servers, schedule.Server{
			Addr:       addr,
			LastWeight: int32(d.LastWeight),
		})
	}
	return schedule.NewMaglevTable(servers, lvs.Family(s.key.Family))
}

// prepareServer writes the row of a server that no stored list has, and beside the others' rows what they
// become.
func (t *Table) prepareServer(s *stagedService, server *stagedServer, position int) {
	row := t.dests.at(server.slot)
	switch {
	case !server.stored:
		server.dest.Group = uint32(position / groupServers)
		server.dest.follow(s.now)
		t.writeRow(server)
		if server.zero {
			t.zeroDest(server)
		}
	case server.changed:
		row.setSource(server.dest.Source) // before the tunnel itself
		setNext(row, &server.dest, s.now.Block, server.zero)
	}
}

// writeRow keeps the hop of a server that comes back, which is the programs'.
func (t *Table) writeRow(server *stagedServer) {
	row, to := t.dests.at(server.slot), server.dest
	if server.trashed {
		to.Hop = row.Hop
	}
	t.judge(server.slot, to.Upper, to.Lower)
	to.Next.Block = 0
	*row = to
	if c := t.control.at(0); server.slot > c.LastDest {
		c.LastDest = server.slot
	}
}

// publish is the one write. A single service is written in place; of several all services are written
// under the next epoch, which the last store puts in force.
func (t *Table) publish(changed []*stagedService) error {
	epoch := t.epoch()
	if len(changed) == 1 {
		s := changed[0]
		if !s.there {
			return t.deleteServices([]directorServiceKey{storedKey(s.key, epoch)})
		}
		if err := t.maps.Services.Put(storedKey(s.key, epoch), s.now); err != nil {
			return serviceError(err)
		}
		return nil
	}
	next := make(map[directorServiceKey]directorService, len(t.stored)+len(changed))
	for key, s := range t.stored {
		next[key] = s
	}
	for _, s := range changed {
		delete(next, s.key)
		if s.there {
			next[s.key] = s.now
		}
	}
	if err := t.putServices(next, epoch+1); err != nil {
		return err
	}
	t.storeEpoch(epoch + 1)
	return nil
}

// settle brings the rows up to the lists that are in force, and clears away what is old.
func (t *Table) settle(tx *transaction, changed []*stagedService, old uint32) error {
	for _, s := range changed {
		if s.there {
			t.settleServers(s)
		}
	}
	t.reached("rows settled")
	for _, server := range tx.gone {
		if !server.stored && !server.trashed {
			continue
		}
		t.dests.at(server.slot).Service = server.dest.Service
		if server.zero {
			t.zeroDest(server)
		}
		t.discard(server.slot)
	}
	for _, id := range tx.ids {
		t.disown(id)
	}
	t.reached("servers discarded")
	if t.epoch() != old {
		keys := make([]directorServiceKey, 0, len(t.stored))
		for key := range t.stored {
			keys = append(keys, storedKey(key, old))
		}
		if err := t.deleteServices(keys); err != nil {
			return err
		}
		t.reached("old services deleted")
	}
	if err := t.removeVirtuals(changed); err != nil {
		return err
	}
	for _, s := range changed {
		if s.stored != nil && (!s.there || s.relist) {
			t.chunks.free(s.stored.Block, t.head(s.stored.Block).Chunks)
		}
		delete(t.stored, s.key)
		if s.there {
			t.stored[s.key] = s.now
		}
	}
	t.settleUses()
	t.settleLocal()
	return nil
}

func (t *Table) settleServers(s *stagedService) {
	for i, server := range s.list {
		if !server.stored {
			continue
		}
		row := t.dests.at(server.slot)
		row.follow(s.now)
		if server.zero {
			t.zeroDest(server)
		}
		if s.relist {
			row.Group = uint32(i / groupServers)
		}
		if row.Next.Block != 0 {
			t.judge(server.slot, row.Next.Upper, row.Next.Lower)
			takeNext(row)
			clearNext(row)
		}
	}
	if s.relist {
		t.lookAnew(s.now.Id) // a program may have looked at the old list since
	}
}

// release gives back what the transaction took and does not need, to the trash what came from it.
func (t *Table) release(tx *transaction) {
	for _, id := range tx.ids {
		t.ids.free(id, 1)
	}
	for key, server := range tx.gone {
		_, found := t.trash.slots[key]
		switch {
		case server.trashed && !found: // no service changed: it never left the trash
			t.trash.add(server.slot, t.dests.at(server.slot))
		case !server.stored && !server.trashed:
			t.slots.free(server.slot, 1)
		}
	}
}

// tellHosts has the kernel keep the next hops of new servers, and no longer those of the deleted.
func (t *Table) tellHosts(tx *transaction, changed []*stagedService) {
	added, gone := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, s := range changed {
		for _, server := range s.list {
			if server.added {
				added[server.dest.address()] = true
			}
		}
	}
	for _, server := range tx.gone {
		if server.stored {
			gone[server.dest.address()] = true
		}
	}
	if len(added)+len(gone) > 0 {
		t.hosts.serversChanged(added, gone, t.addresses)
	}
}

// setTimeouts changes those that are not zero, as Table.SetTimeouts has checked them.
func (t *Table) setTimeouts(to lvs.Timeouts) {
	for _, change := range timeoutChanges(t.control.at(0), to) {
		change.apply()
	}
}
