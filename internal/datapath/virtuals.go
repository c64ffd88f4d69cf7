package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// virtualChanges counts by how many services each VIP has more or less.
func virtualChanges(changed []*stagedService) map[directorAddr]int {
	changes := map[directorAddr]int{}
	for _, s := range changed {
		if s.key.isMark() {
			continue
		}
		if s.there {
			changes[s.key.Addr]++
		}
		if s.stored != nil {
			changes[s.key.Addr]--
		}
	}
	return changes
}

// addVirtuals counts the VIPs that have more services, before these are in force: a fragment without ports
// is for a VIP or it is not.
func (t *Table) addVirtuals(changed []*stagedService) error {
	return t.countVirtuals(changed, func(change int) bool { return change > 0 })
}

// removeVirtuals counts those that have fewer, afterwards.
func (t *Table) removeVirtuals(changed []*stagedService) error {
	return t.countVirtuals(changed, func(change int) bool { return change < 0 })
}

func (t *Table) countVirtuals(changed []*stagedService, which func(change int) bool) error {
	for vip, change := range virtualChanges(changed) {
		if !which(change) {
			continue
		}
		n := uint32(int(t.vips[vip]) + change)
		if err := t.setVirtual(vip, n); err != nil {
			return err
		}
		t.vips[vip] = n
		if n == 0 {
			delete(t.vips, vip)
		}
		t.reached("VIP counted")
	}
	return nil
}

func (t *Table) setVirtual(vip directorAddr, n uint32) (err error) {
	if n == 0 {
		err = t.maps.Virtuals.Delete(vip)
	} else {
		err = t.maps.Virtuals.Put(vip, n)
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("count VIP: %w", serviceError(err))
	}
	return nil
}

// repairVirtuals sets the numbers of services by VIP to those that are.
func (t *Table) repairVirtuals() error {
	wrong := map[directorAddr]bool{}
	for vip := range t.vips {
		wrong[vip] = true // unless it is found with this very number
	}
	var vip directorAddr
	var n uint32
	all := t.maps.Virtuals.Iterate()
	for all.Next(&vip, &n) {
		wrong[vip] = n != t.vips[vip]
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read the VIPs: %w", err)
	}
	for vip, is := range wrong {
		if !is {
			continue
		}
		if err := t.setVirtual(vip, t.vips[vip]); err != nil {
			return err
		}
	}
	return nil
}
