package datapath

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"drover/internal/lvs"
)

const maxMarkRules = 256 // MAX_MARK_RULES of bpf/types.h

// markHalf is the bit of control.marks that says which half of mark_rules is in force.
const markHalf = 1 << 31

// markList gives where the rules in force begin, and how many there are.
func (t *Table) markList() (first, n uint32) {
	word := atomic.LoadUint32(&t.control.at(0).Marks)
	if word&markHalf != 0 {
		first = maxMarkRules
	}
	return first, min(word&^markHalf, maxMarkRules)
}

// Marks gives the rules that mark packets, in their order, with the packets that each matched.
func (t *Table) Marks() ([]lvs.MarkRule, error) {
	rows, err := mapArray[directorMarkRule](t.maps.MarkRules)
	if err != nil {
		return nil, err
	}
	defer rows.close() //nolint:errcheck // only read
	first, n := t.markList()
	var rules []lvs.MarkRule
	for i := range n {
		rules = append(rules, markRuleFrom(rows.at(first+i)))
	}
	return rules, nil
}

// SetMarks puts a list of rules in the place of the one in force: packets meet one or the other. An error names
// the rule that can't be, by its number from 1, and nothing is changed.
func (t *Table) SetMarks(rules []lvs.MarkRule) error {
	made, err := newMarkRules(rules)
	if err != nil {
		return err
	}
	rows, err := mapArray[directorMarkRule](t.maps.MarkRules)
	if err != nil {
		return err
	}
	defer rows.close() //nolint:errcheck // the rules are written
	old, _ := t.markList()
	first, half := uint32(maxMarkRules), uint32(markHalf)
	if old != 0 {
		first, half = 0, 0
	}
	for i := range made {
		*rows.at(first + uint32(i)) = made[i]
	}
	if len(made) > 0 {
		t.setUses(usesMarks, usesMarks)
	}
	atomic.StoreUint32(&t.control.at(0).Marks, half|uint32(len(made)))
	if len(made) == 0 {
		t.setUses(usesMarks, 0)
	}
	return nil
}

// CheckMarks gives the error that SetMarks would give.
func (t *Table) CheckMarks(rules []lvs.MarkRule) error {
	_, err := newMarkRules(rules)
	return err
}

func newMarkRules(rules []lvs.MarkRule) ([]directorMarkRule, error) {
	if len(rules) > maxMarkRules {
		return nil, fmt.Errorf("%d mark rules: at most %d", len(rules), maxMarkRules)
	}
	made := make([]directorMarkRule, len(rules))
	for i, r := range rules {
		var err error
		if made[i], err = newMarkRule(r); err != nil {
			return nil, fmt.Errorf("mark rule %d: %w", i+1, err)
		}
	}
	return made, nil
}

func newMarkRule(r lvs.MarkRule) (directorMarkRule, error) {
	if err := r.Check(); err != nil {
		return directorMarkRule{}, err
	}
	row := directorMarkRule{
		Protocol: uint8(r.Protocol), Family: uint8(r.Family()), Value: r.Value, Mask: r.Mask, Hits: r.Hits,
		Sports: portRange(r.SourcePorts), Dports: portRange(r.Ports),
	}
	row.Source, row.SourceMask = maskedPrefix(r.Source)
	row.Destination, row.DestinationMask = maskedPrefix(r.Destination)
	if r.Interface != "" {
		link, err := net.InterfaceByName(r.Interface)
		if err != nil || len(r.Interface) >= len(row.Interface) {
			return row, fmt.Errorf("interface %q: there is none of that name here", r.Interface)
		}
		row.Ifindex = uint32(link.Index)
		copy(row.Interface[:], r.Interface)
	}
	return row, nil
}

// maskedPrefix gives a prefix as an address and the mask of its bits; no prefix is that of all.
func maskedPrefix(p netip.Prefix) (addr, mask directorAddr) {
	if !p.IsValid() {
		return addr, mask
	}
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := range mask.Byte {
		mask.Byte[i] = 0xff << (8 - min(max(bits-8*i, 0), 8))
	}
	return mapped(p.Masked().Addr()), mask
}

// prefixFrom undoes maskedPrefix.
func prefixFrom(addr, mask directorAddr) netip.Prefix {
	if mask == (directorAddr{}) {
		if addr == mask {
			return netip.Prefix{}
		}
	}
	a, bits := netip.AddrFrom16(addr.Byte), prefixLength(mask)
	if a.Is4In6() && bits >= 96 {
		return netip.PrefixFrom(a.Unmap(), bits-96)
	}
	return netip.PrefixFrom(a, bits)
}

func portRange(r lvs.PortRange) [2]uint16 {
	if r == (lvs.PortRange{}) {
		return [2]uint16{0, 65535}
	}
	return [2]uint16{r.First, r.Last}
}

func portRangeFrom(r [2]uint16) lvs.PortRange {
	if r == [2]uint16{0, 65535} {
		return lvs.PortRange{}
	}
	return lvs.PortRange{First: r[0], Last: r[1]}
}

func markRuleFrom(row *directorMarkRule) lvs.MarkRule {
	name := row.Interface[:]
	if end := slices.Index(name, 0); end >= 0 {
		name = name[:end]
	}
	return lvs.MarkRule{
		Value: row.Value, Mask: row.Mask, Protocol: lvs.Protocol(row.Protocol), Only: lvs.Family(row.Family),
		Source: prefixFrom(row.Source, row.SourceMask), Destination: prefixFrom(row.Destination, row.DestinationMask),
		SourcePorts: portRangeFrom(row.Sports), Ports: portRangeFrom(row.Dports), Interface: string(name),
		Hits: atomic.LoadUint64(&row.Hits),
	}
}
