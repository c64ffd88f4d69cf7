package datapath

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

const (
	maxAccessRules   = 131072 // MAX_ACCESS_RULES of bpf/types.h; row 0 of each half is no rule's
	maxAccessReasons = 4096
	accessDeny       = 1
	accessVIP        = 2
)

// accessMaps are the maps of the rules, as memory.
type accessMaps struct {
	nodes   *array[directorAccessNode]
	index   *array[uint64]
	trees   *array[directorAccessTree]
	rules   *array[directorAccessRule]
	reasons *array[directorAccessReason]
}

func (t *Table) mapAccess() (m accessMaps, err error) {
	if m.nodes, err = mapArray[directorAccessNode](t.maps.AccessNodes); err != nil {
		return m, err
	}
	if m.index, err = mapArray[uint64](t.maps.AccessIndex); err != nil {
		return m, err
	}
	if m.trees, err = mapArray[directorAccessTree](t.maps.AccessTrees); err != nil {
		return m, err
	}
	if m.rules, err = mapArray[directorAccessRule](t.maps.AccessRules); err != nil {
		return m, err
	}
	m.reasons, err = mapArray[directorAccessReason](t.maps.AccessReasons)
	return m, err
}

func (m accessMaps) close() {
	for _, c := range []interface{ close() error }{m.nodes, m.index, m.trees, m.rules, m.reasons} {
		_ = c.close() // what was written is in the maps
	}
}

// accessList gives the half in force, and the number of its rules.
func (t *Table) accessList() (half, n uint32) {
	word := atomic.LoadUint32(&t.control.at(0).Access)
	return word & 1, min(word>>1, maxAccessRules-1)
}

// AccessRules gives the rules that have not run out, in the order of lvs.CompareAccess.
func (t *Table) AccessRules() ([]lvs.AccessRule, error) {
	m, err := t.mapAccess()
	if err != nil {
		return nil, err
	}
	defer m.close()
	half, n := t.accessList()
	boot := bootTime()
	var rules []lvs.AccessRule
	for i := uint32(1); i <= n; i++ {
		row := m.rules.at(half*maxAccessRules + i)
		r := accessRuleFrom(row, m.reasons.at(half*maxAccessReasons+uint32(row.Reason)), boot)
		if r.Expires.IsZero() || time.Now().Before(r.Expires) {
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// SetAccessRules puts a list in the place of the one in force; packets meet one or the other. The rules' order
// does not matter. On an error nothing is changed.
func (t *Table) SetAccessRules(rules []lvs.AccessRule) error {
	rules = slices.Clone(rules)
	slices.SortFunc(rules, lvs.CompareAccess)
	if len(rules) >= maxAccessRules {
		return fmt.Errorf("%d access rules: at most %d", len(rules), maxAccessRules-1)
	}
	half, _ := t.accessList()
	half ^= 1
	next, heads := chainRules(rules)
	image, err := newAccessImage(heads, half)
	if err != nil {
		return err
	}
	rows, reasons, err := accessRows(rules, next)
	if err != nil {
		return err
	}
	m, err := t.mapAccess()
	if err != nil {
		return err
	}
	defer m.close()
	for i, node := range image.nodes {
		m.nodes.at(half*accessNodes + uint32(i)).Key = node
	}
	copy(m.index.elements[half*accessIndex:], image.index[:])
	copy(m.trees.elements[half*accessTrees:], image.trees)
	copy(m.rules.elements[half*maxAccessRules+1:], rows)
	copy(m.reasons.elements[half*maxAccessReasons:], reasons)
	if len(rules) > 0 {
		t.setUses(usesAccess, usesAccess)
	}
	atomic.StoreUint32(&t.control.at(0).Access, uint32(len(rules))<<1|half)
	if len(rules) == 0 {
		t.setUses(usesAccess, 0)
	}
	return nil
}

// accessRows gives the rows of rules, and the reasons that they name; the first is none.
func accessRows(rules []lvs.AccessRule, next []uint32) ([]directorAccessRule, []directorAccessReason, error) {
	rows, reasons := make([]directorAccessRule, len(rules)), make([]directorAccessReason, 1)
	known, interfaces := map[string]uint16{"": 0}, map[string]uint32{"": 0}
	boot := bootTime()
	for i, r := range rules {
		if i > 0 && r.Same(rules[i-1]) {
			return nil, nil, fmt.Errorf("access rule for %s: there are two for the same packets", r.Source)
		}
		row := directorAccessRule{
			Hits: r.Hits, Next: next[i], Port: bigEndian(r.Port), Protocol: uint8(r.Protocol),
			Prefix: mapped(r.Source.Addr()), Family: uint8(lvs.FamilyOf(r.Source.Addr())), Bits: uint8(r.Source.Bits()),
		}
		if r.Deny {
			row.Flags |= accessDeny
		}
		if r.VIP.IsValid() {
			row.Flags |= accessVIP
			row.Vip = mapped(r.VIP)
		}
		if !r.Expires.IsZero() {
			row.Expires = uint32(max(1, r.Expires.Sub(boot)/time.Second))
		}
		index, ok := interfaces[r.Interface]
		if !ok {
			link, err := net.InterfaceByName(r.Interface)
			if err != nil {
				return nil, nil, fmt.Errorf("access rule for %s: interface %q: there is none of that name here", r.Source, r.Interface)
			}
			index = uint32(link.Index)
			interfaces[r.Interface] = index
		}
		row.Ifindex = index
		if row.Reason, ok = known[r.Reason]; !ok {
			if len(r.Reason) > lvs.MaxReason || len(reasons) == maxAccessReasons {
				return nil, nil, fmt.Errorf("access rule for %s: its reason is longer than %d bytes, or there are more than %d different ones",
					r.Source, lvs.MaxReason, maxAccessReasons-1)
			}
			row.Reason = uint16(len(reasons))
			known[r.Reason] = row.Reason
			var text directorAccessReason
			copy(text.Text[:], r.Reason)
			reasons = append(reasons, text)
		}
		rows[i] = row
	}
	return rows, reasons, nil
}

func accessRuleFrom(row *directorAccessRule, reason *directorAccessReason, boot time.Time) lvs.AccessRule {
	r := lvs.AccessRule{
		Deny:     row.Flags&accessDeny != 0,
		Source:   netip.PrefixFrom(unmapped(row.Prefix, row.Family), int(row.Bits)),
		Protocol: lvs.Protocol(row.Protocol), Port: bigEndian(row.Port),
		Reason: string(bytes.TrimRight(reason.Text[:], "\x00")), Hits: atomic.LoadUint64(&row.Hits),
	}
	if row.Flags&accessVIP != 0 {
		r.VIP = netip.AddrFrom16(row.Vip.Byte).Unmap()
	}
	if row.Ifindex != 0 {
		r.Interface = fmt.Sprint(row.Ifindex) // one that is gone
		if link, err := net.InterfaceByIndex(int(row.Ifindex)); err == nil {
			r.Interface = link.Name
		}
	}
	if row.Expires != 0 {
		r.Expires = boot.Add(time.Duration(row.Expires) * time.Second).Round(time.Second)
	}
	return r
}

// bootTime is when CLOCK_MONOTONIC was 0, as the clock on the wall has it now.
func bootTime() time.Time {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(now.Nano()))
}

// AccessLimit gives the limit on new connections.
func (t *Table) AccessLimit() (lvs.AccessLimit, error) {
	c := t.control.at(0)
	return lvs.AccessLimit{Rate: atomic.LoadUint32(&c.LimitRate), Burst: atomic.LoadUint32(&c.LimitBurst)}, nil
}

// maxLimit keeps the tokens of a burst, in thousandths, within 32 bits.
const maxLimit = 1_000_000

// SetAccessLimit sets it; the zero value takes it away. lvs.ErrRange beyond a million.
func (t *Table) SetAccessLimit(l lvs.AccessLimit) error {
	if l.Rate > maxLimit || l.Burst > maxLimit || l.Rate > 0 && l.Burst == 0 {
		return lvs.ErrRange
	}
	c := t.control.at(0)
	atomic.StoreUint32(&c.LimitBurst, l.Burst)
	atomic.StoreUint32(&c.LimitRate, l.Rate)
	return nil
}
