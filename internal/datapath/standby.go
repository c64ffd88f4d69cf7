package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
)

// Standby gives the VIPs that another director has, sorted. All others are balanced here.
func (t *Table) Standby() ([]netip.Addr, error) {
	var vips []netip.Addr
	var key directorAddr
	var value uint32
	all := t.maps.Standby.Iterate()
	for all.Next(&key, &value) {
		vips = append(vips, netip.AddrFrom16(key.Byte).Unmap())
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("read the VIPs on standby: %w", err)
	}
	slices.SortFunc(vips, netip.Addr.Compare)
	return vips, nil
}

// SetStandby says that another director has a VIP, or that it is this one's: one write, which the next
// packet meets. On standby what comes for the VIP is left to the host, also of connections that began here.
func (t *Table) SetStandby(vip netip.Addr, standby bool) error {
	if standby {
		if err := t.maps.Standby.Put(mapped(vip), uint32(1)); err != nil {
			return fmt.Errorf("set %s on standby: %w", vip, serviceError(err))
		}
		t.setUses(usesStandby, usesStandby)
		return nil
	}
	if err := t.maps.Standby.Delete(mapped(vip)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("set %s active: %w", vip, err)
	}
	left, err := t.Standby()
	if err == nil && len(left) == 0 {
		t.setUses(usesStandby, 0)
	}
	return err
}
