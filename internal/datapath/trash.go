package datapath

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// trashTime is how long a deleted server without connections stays in the trash, in seconds, as in
// ip_vs (IP_VS_DEST_TRASH_PERIOD).
const trashTime = 120

// trashKey names a deleted server: it is found again only for the same service, address and port.
type trashKey struct {
	service directorServiceKey
	addr    directorAddr
	port    uint16
}

func trashKeyOf(d *directorDest) trashKey {
	return trashKey{
		service: directorServiceKey{Addr: d.Vaddr, Port: d.Vport, Protocol: d.Protocol, Family: d.Family},
		addr:    d.Addr,
		port:    d.Port,
	}
}

// trash finds deleted servers again. What is in it is said by the flags of their slots; this is an index.
type trash struct {
	slots    map[trashKey]uint32
	services map[uint32][]uint32 // slots by the service that they were deleted from
	order    []uint32            // slots, the longest deleted first
	places   map[uint32]int      // how often a slot is in order: one that came back and went is there again
}

func newTrash() trash {
	return trash{slots: map[trashKey]uint32{}, services: map[uint32][]uint32{}, places: map[uint32]int{}}
}

func (t *trash) add(slot uint32, d *directorDest) {
	t.slots[trashKeyOf(d)] = slot
	t.services[d.Service] = append(t.services[d.Service], slot)
	t.queue(slot)
}

// queue puts a slot at the end of the order.
func (t *trash) queue(slot uint32) {
	t.order = append(t.order, slot)
	t.places[slot]++
}

// dequeue takes the first slot out of the order; last is false if it is further behind, too.
func (t *trash) dequeue() (slot uint32, last bool) {
	slot, t.order = t.order[0], t.order[1:]
	if t.places[slot]--; t.places[slot] > 0 {
		return slot, false
	}
	delete(t.places, slot)
	return slot, true
}

func inTrash(d *directorDest) bool { return d.Flags&(destUsed|destAvailable) == destUsed }

// discard puts a server into the trash.
func (t *Table) discard(slot uint32) {
	d := t.dests.at(slot)
	d.Removed = monotonicSeconds()
	d.Flags = destUsed
	t.trash.add(slot, d)
}

// disown takes the name of a deleted service from the servers in the trash that were its own.
func (t *Table) disown(service uint32) {
	for _, slot := range t.trash.services[service] {
		if d := t.dests.at(slot); inTrash(d) && d.Service == service {
			d.Service = 0
		}
	}
	delete(t.trash.services, service)
}

// busyLooked bounds how many servers that still have connections are looked at with each new server.
const busyLooked = 64

// emptyTrash frees the slots of servers that are gone for good: deleted for trashTime, and without
// connections.
func (t *Table) emptyTrash() {
	now, busy := monotonicSeconds(), 0
	for len(t.trash.order) > 0 && busy < busyLooked {
		slot := t.trash.order[0]
		d := t.dests.at(slot)
		if t.trash.places[slot] == 1 && inTrash(d) && now-d.Removed < trashTime {
			return // and so are those behind it
		}
		if _, last := t.trash.dequeue(); !last {
			continue
		}
		if inTrash(d) && t.isBusy(slot) {
			t.trash.queue(slot)
			busy++
			continue
		}
		t.bury(slot)
	}
}

// hurryTrash frees the slots of all deleted servers without connections: there is no other slot left.
func (t *Table) hurryTrash() {
	for range len(t.trash.order) {
		slot, last := t.trash.dequeue()
		if !last {
			continue
		}
		if inTrash(t.dests.at(slot)) && t.isBusy(slot) {
			t.trash.queue(slot)
			continue
		}
		t.bury(slot)
	}
}

// bury frees the slot of a server in the trash. One that was added again is not in it any more, and one
// that a transaction is about to add is not found in it.
func (t *Table) bury(slot uint32) {
	d := t.dests.at(slot)
	if key := trashKeyOf(d); inTrash(d) && t.trash.slots[key] == slot {
		delete(t.trash.slots, key)
		*d = directorDest{}
		t.slots.free(slot, 1)
	}
}

// isBusy tells whether a server has connections or templates.
func (t *Table) isBusy(slot uint32) bool {
	return atomic.LoadUint64(&t.destConns.at(slot).Word)&^connsOverload != 0 ||
		atomic.LoadUint64(t.destPersistent.at(slot)) != 0
}

// monotonicSeconds is the time that the trash is stamped with.
func monotonicSeconds() uint32 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return uint32(time.Duration(now.Nano()) / time.Second)
}
