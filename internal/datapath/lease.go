package datapath

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// SetLease says for how long this host answers questions for the MAC of a VIP, unless that is renewed (bpf/lease.h); 0 or less
// takes the lease away, and the host answers as long as it has the address.
func (t *Table) SetLease(vip netip.Addr, lasts time.Duration) error {
	if lasts > 0 {
		if err := t.maps.Leases.Put(mapped(vip), until(lasts)); err != nil {
			return fmt.Errorf("lease %s: %w", vip, serviceError(err))
		}
		t.setUses(usesLeases, usesLeases)
		return nil
	}
	if err := t.maps.Leases.Delete(mapped(vip)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("end the lease of %s: %w", vip, err)
	}
	var key directorAddr
	if err := t.maps.Leases.NextKey(nil, &key); errors.Is(err, ebpf.ErrKeyNotExist) {
		t.setUses(usesLeases, 0)
	}
	return nil
}

// RenewLeases has leases that there are last so long from now on. It waits for no lock, and costs tens of microseconds.
func RenewLeases(vips []netip.Addr, lasts time.Duration) error {
	own, err := ownFolder()
	if err != nil {
		return err
	}
	leases, err := ebpf.LoadPinnedMap(own.pin(directorMapLeases), nil)
	if err != nil {
		return fmt.Errorf("renew leases: %w", err)
	}
	defer leases.Close()
	end := until(lasts)
	for _, vip := range vips {
		err := leases.Update(mapped(vip), end, ebpf.UpdateExist)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("renew the lease of %s: %w", vip, err)
		}
	}
	return nil
}

// until gives a moment from now in nanoseconds of the clock that the leases end by, which goes on while the machine sleeps.
func until(lasts time.Duration) uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return math.MaxUint64 // a kernel without that clock is too old for the data path anyway
	}
	return uint64(now.Nano() + lasts.Nanoseconds())
}
