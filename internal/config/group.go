package config

import (
	"net/netip"
	"strconv"
	"strings"

	"drover/internal/lvs"
)

// maxGroup is how many services a group's ranges may come to.
const maxGroup = 65536

// A group is a virtual_server_group: services without their protocol.
type group struct {
	at   Position
	keys []lvs.ServiceKey
}

func (b *builder) readGroup(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	if _, ok := b.groups[name]; ok {
		b.wrong(s, "%s: there is a group of that name already", name)
		return
	}
	g := &group{at: s.At}
	b.groups[name] = g
	for i := range s.Block {
		b.groupEntry(g, &s.Block[i])
	}
	switch {
	case len(g.keys) == 0:
		b.wrong(s, "%s has no entries: it is ignored", name)
		delete(b.groups, name)
	case g.ambiguous():
		b.wrong(s, "%s has addresses of both families, and a fwmark without inet or inet6: it is ignored", name)
		delete(b.groups, name)
	}
}

// ambiguous tells whether the family of a mark cannot be known.
func (g *group) ambiguous() bool {
	families := map[lvs.Family]bool{}
	for _, key := range g.keys {
		families[key.Family] = true
	}
	return families[lvs.IPv4] && families[lvs.IPv6] && families[0]
}

// groupEntry reads "ADDRESS [PORT]", "A.B.C.D-E [PORT]", "ADDRESS-ADDRESS [PORT]", "PREFIX [PORT]" or "fwmark N [inet|inet6]".
func (b *builder) groupEntry(g *group, s *Statement) {
	if s.Keyword() == "fwmark" {
		b.groupMark(g, s)
		return
	}
	port := 0
	if len(s.Words) > 1 {
		var ok bool
		if port, ok = b.numberIn(s, s.Words[1], 0, 65535); !ok {
			return
		}
	}
	first, last, ok := addressRange(s.Words[0])
	if !ok {
		b.wrong(s, "%q: want an address, a range of addresses, a prefix, or fwmark N", s.Words[0])
		return
	}
	for a := first; ; a = a.Next() {
		if len(g.keys) == maxGroup {
			b.wrong(s, "more than %d services in one group", maxGroup)
			return
		}
		g.keys = append(g.keys, lvs.ServiceKey{Addr: netip.AddrPortFrom(a, uint16(port)), Family: lvs.FamilyOf(a)})
		if a == last {
			return
		}
	}
}

func (b *builder) groupMark(g *group, s *Statement) {
	mark, err := strconv.ParseUint(b.text(s), 0, 32)
	if err != nil || mark == 0 {
		b.wrong(s, "want a firewall mark from 1 to 4294967295")
		return
	}
	key := lvs.ServiceKey{Mark: uint32(mark)}
	if len(s.Words) > 2 {
		switch s.Words[2] {
		case "inet":
			key.Family = lvs.IPv4
		case "inet6":
			key.Family = lvs.IPv6
		default:
			b.wrong(s, "%q: want inet or inet6", s.Words[2])
			return
		}
	}
	g.keys = append(g.keys, key)
}

// addressRange gives the first and the last address that a text stands for.
func addressRange(text string) (first, last netip.Addr, ok bool) {
	if from, to, found := strings.Cut(text, "-"); found {
		first, err := netip.ParseAddr(from)
		if err != nil {
			return first, last, false
		}
		if last, err = netip.ParseAddr(to); err != nil {
			if last, ok = withLastPart(first, to); !ok {
				return first, last, false
			}
		}
		return first, last, first.Is4() == last.Is4() && first.Less(last)
	}
	if prefix, err := netip.ParsePrefix(text); err == nil { // the host's bits must be clear
		return prefix.Addr(), lastOf(prefix), prefix == prefix.Masked()
	}
	first, err := netip.ParseAddr(text)
	return first, first, err == nil
}

// withLastPart gives an address with another last number (IPv4), or another last group of hexadecimal digits (IPv6).
func withLastPart(a netip.Addr, text string) (netip.Addr, bool) {
	bytes := a.AsSlice()
	if a.Is4() {
		n, err := strconv.ParseUint(text, 10, 8)
		bytes[3] = byte(n)
		last, _ := netip.AddrFromSlice(bytes)
		return last, err == nil
	}
	n, err := strconv.ParseUint(text, 16, 16)
	bytes[14], bytes[15] = byte(n>>8), byte(n)
	last, _ := netip.AddrFromSlice(bytes)
	return last, err == nil
}

func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}
