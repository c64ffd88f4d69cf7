package datapath

import (
	"fmt"
	"sync/atomic"
)

// repair finishes what a command left half done that was killed between two writes. The services and
// their lists are what holds; the rest follows from them. takeStock calls it, before anything is given
// out: listed are the servers in the lists, vips the number of services of each VIP.
func (t *Table) repair(listed map[uint32]bool, vips map[directorAddr]uint32) error {
	for i := range t.dests.elements {
		d := &t.dests.elements[i]
		if d.Flags&destAvailable != 0 && !listed[uint32(i)] {
			t.discard(uint32(i)) // its service was deleted, or it was not yet put into the list
		}
		if d.Flags&destUsed != 0 && !t.ids.taken[d.Service] {
			d.Service = 0
		}
	}
	return t.repairVirtuals(vips)
}

func (t *Table) repairVirtuals(vips map[directorAddr]uint32) error {
	wrong := map[directorAddr]bool{}
	for vip := range vips {
		wrong[vip] = true // unless it is found with this very number
	}
	var vip directorAddr
	var n uint32
	all := t.maps.Virtuals.Iterate()
	for all.Next(&vip, &n) {
		wrong[vip] = n != vips[vip]
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read the VIPs: %w", err)
	}
	for vip, is := range wrong {
		if !is {
			continue
		}
		if err := t.setVirtual(vip, vips[vip]); err != nil {
			return err
		}
	}
	return nil
}

// lookAnew has a service's scheduler look at all of its servers.
func (t *Table) lookAnew(service uint32) { atomic.StoreUint64(t.dirty.at(service), ^uint64(0)) }
