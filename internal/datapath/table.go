package datapath

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/ipvsadm"
)

// Table is the state of a loaded data path: services, servers and connections, in maps that the
// programs use at the same time. It keeps ip_vs's rules, and its methods return the errors of package
// lvs. One opened for a change holds the lock of the network namespace until Close.
type Table struct {
	noDaemons
	maps   *directorMaps
	unlock func() // nil when opened to read

	blocks    *array[directorChunk]
	dests     *array[directorDest]
	destConns *array[directorDestConns]
	destZero  *array[directorStats]
	destRates *array[directorRates]
	carried   *array[directorStats] // by service
	dirty     *array[uint64]        // by service
	control   *array[directorControl]

	// What is given out, found by looking through the maps when the first change is made.
	chunks, slots, ids *runs
	trash              trash
	created            uint32 // the last service's order of creation

	// hosts keeps the kernel's neighbour entries of real servers; tests without a network have none.
	hosts hostNetwork
}

var _ ipvsadm.Table = (*Table)(nil)

// hostNetwork is what of the machine's network the table has to do with.
type hostNetwork interface {
	isLocal(server directorDest) bool
	source(server directorDest) netip.Addr
	keep(server directorDest) error
	forget(server directorDest, others func() []directorDest) error
}

// newTable maps the arrays of loaded or pinned maps.
func newTable(maps *directorMaps) (_ *Table, err error) {
	t := &Table{maps: maps, hosts: noNetwork{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.unmap())
		}
	}()
	if t.blocks, err = mapArray[directorChunk](maps.Blocks); err != nil {
		return nil, err
	}
	if t.dests, err = mapArray[directorDest](maps.Dests); err != nil {
		return nil, err
	}
	if t.destConns, err = mapArray[directorDestConns](maps.DestConns); err != nil {
		return nil, err
	}
	if t.destZero, err = mapArray[directorStats](maps.DestZero); err != nil {
		return nil, err
	}
	if t.destRates, err = mapArray[directorRates](maps.DestRates); err != nil {
		return nil, err
	}
	if t.carried, err = mapArray[directorStats](maps.ServiceCarried); err != nil {
		return nil, err
	}
	if t.dirty, err = mapArray[uint64](maps.DirtyGroups); err != nil {
		return nil, err
	}
	t.control, err = mapArray[directorControl](maps.Controls)
	return t, err
}

func (t *Table) unmap() error {
	return errors.Join(t.blocks.close(), t.dests.close(), t.destConns.close(),
		t.destZero.close(), t.destRates.close(), t.carried.close(), t.dirty.close(),
		t.control.close())
}

// Close ends the use of the table and gives its lock back. The data path goes on.
func (t *Table) Close() error {
	err := errors.Join(t.unmap(), t.maps.Close())
	if t.unlock != nil {
		t.unlock()
	}
	return err
}

// Size is the number of buckets of the connection table.
func (t *Table) Size() (int, error) { return int(t.maps.Buckets.MaxEntries()), nil }

// takeStock finds out what is given out, once, and repairs what a killed command left.
func (t *Table) takeStock() error {
	if t.chunks != nil {
		return nil
	}
	chunks := newRuns(t.maps.Blocks.MaxEntries())
	slots := newRuns(t.maps.Dests.MaxEntries())
	ids := newRuns(t.maps.ServiceCarried.MaxEntries())
	for _, r := range []*runs{chunks, slots, ids} {
		r.mark(0, 1) // 0 is nobody's
	}
	listed, vips := map[uint32]bool{}, map[directorAddr]uint32{}
	var key directorServiceKey
	var s directorService
	all := t.maps.Services.Iterate()
	for all.Next(&key, &s) {
		ids.mark(s.Id, 1)
		chunks.mark(s.Block, t.head(s.Block).Chunks)
		t.created = max(t.created, s.Created)
		t.lookAnew(s.Id) // the list may have been swapped in without it
		vips[key.Addr]++
		for _, e := range t.list(s.Block) {
			listed[e.slot()] = true
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read the services: %w", err)
	}
	t.trash = newTrash()
	for i := range t.dests.elements {
		d := &t.dests.elements[i]
		if d.Flags&destUsed == 0 {
			continue
		}
		slots.mark(uint32(i), 1)
		if d.Flags&destAvailable == 0 {
			t.trash.add(uint32(i), d)
		}
	}
	slices.SortFunc(t.trash.order, func(a, b uint32) int {
		return cmp.Compare(t.dests.at(a).Removed, t.dests.at(b).Removed)
	})
	t.ids = ids
	if err := t.repair(listed, vips); err != nil {
		return err
	}
	t.refreshSources()
	chunks.next = t.control.at(0).NextChunk
	t.chunks, t.slots = chunks, slots
	return nil
}

// monotonicSeconds is the time that the trash is stamped with.
func monotonicSeconds() uint32 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return uint32(time.Duration(now.Nano()) / time.Second)
}

// noNetwork is the host of a table without one: nothing is local, nothing is kept.
type noNetwork struct{}

func (noNetwork) isLocal(directorDest) bool                        { return false }
func (noNetwork) source(directorDest) netip.Addr                   { return netip.Addr{} }
func (noNetwork) keep(directorDest) error                          { return nil }
func (noNetwork) forget(directorDest, func() []directorDest) error { return nil }
