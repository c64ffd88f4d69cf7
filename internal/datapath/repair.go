package datapath

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// takeStock finds out what is given out, once, and finishes or takes back what a killed command left half
// done: the services in force and their lists are what holds, the rest follows from them.
func (t *Table) takeStock() error {
	if t.chunks != nil {
		return nil
	}
	chunks := newRuns(t.maps.Blocks.MaxEntries())
	slots := newRuns(t.maps.Dests.MaxEntries())
	ids := newRuns(t.maps.DirtyGroups.MaxEntries())
	for _, r := range []*runs{chunks, slots, ids} {
		r.mark(0, 1) // 0 is nobody's
	}
	if err := t.readStored(); err != nil {
		return err
	}
	listed := make([]bool, len(t.dests.elements))
	for _, s := range t.stored {
		ids.mark(s.Id, 1)
		chunks.mark(s.Block, t.head(s.Block).Chunks)
		t.created = max(t.created, s.Created)
		if err := t.repairServers(s, listed); err != nil {
			return err
		}
	}
	t.repairTrash(listed, slots, ids)
	if err := t.repairVirtuals(); err != nil {
		return err
	}
	t.refreshSources()
	t.refreshLocal()
	t.settleUses()
	chunks.next = t.control.at(0).NextChunk
	t.chunks, t.slots, t.ids = chunks, slots, ids
	return nil
}

// readStored reads the services in force. What is under another epoch is a killed command's.
func (t *Table) readStored() error {
	epoch := t.epoch()
	var stale []directorServiceKey
	t.stored, t.vips = map[directorServiceKey]directorService{}, map[directorAddr]uint32{}
	err := t.eachService(func(key directorServiceKey, s *directorService) {
		if key.Epoch != epoch {
			stale = append(stale, key)
			return
		}
		t.stored[storedKey(key, 0)] = *s
		if !key.isMark() {
			t.vips[key.Addr]++
		}
	})
	if err != nil {
		return err
	}
	return t.deleteServices(stale)
}

// storedService gives a service in force.
func (t *Table) storedService(key directorServiceKey) (s directorService, found bool, err error) {
	if t.chunks == nil {
		return t.lookUp(key)
	}
	s, found = t.stored[key]
	return s, found, nil
}

// repairServers brings the rows of a list up to it: the list may have been put in force without that.
func (t *Table) repairServers(s directorService, listed []bool) error {
	for i, e := range t.list(s.Block) {
		row := t.dests.at(e.slot())
		listed[e.slot()] = true
		if row.Next.Block == s.Block {
			if row.Next.Zero != 0 {
				base, err := t.sumDest(e.slot())
				if err != nil {
					return err
				}
				t.zeroDest(&stagedServer{slot: e.slot(), base: base})
			}
			t.judge(e.slot(), row.Next.Upper, row.Next.Lower)
			takeNext(row)
		}
		clearNext(row)
		row.follow(s)
		row.Group = uint32(i / groupServers)
	}
	t.lookAnew(s.Id)
	return nil
}

// repairTrash finds the deleted servers, and those that became such only now: their service was deleted, or
// they were not yet in its list.
func (t *Table) repairTrash(listed []bool, slots, ids *runs) {
	t.trash = newTrash()
	for i := range t.dests.elements {
		d := &t.dests.elements[i]
		if d.Flags&destUsed == 0 {
			continue
		}
		slots.mark(uint32(i), 1)
		if listed[i] {
			continue
		}
		clearNext(d)
		if !ids.taken[d.Service] {
			d.Service = 0
		}
		if d.Flags&destAvailable == 0 {
			t.trash.add(uint32(i), d)
		} else {
			t.discard(uint32(i))
		}
	}
	slices.SortFunc(t.trash.order, func(a, b uint32) int {
		return cmp.Compare(t.dests.at(a).Removed, t.dests.at(b).Removed)
	})
}

// lookAnew has a service's scheduler look at all of its servers.
func (t *Table) lookAnew(service uint32) { atomic.StoreUint64(t.dirty.at(service), ^uint64(0)) }
