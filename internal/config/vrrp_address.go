package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/lvs"
)

// A VIP is a line of virtual_ipaddress, virtual_ipaddress_excluded or static_ipaddress: an address as ip address add
// takes it.
type VIP struct {
	At            Position
	Prefix        netip.Prefix // the address with its length
	Device        string       // empty: the instance's
	Broadcast     netip.Addr   // invalid: none, unless BroadcastAuto
	BroadcastAuto bool         // brd +: the host bits set
	Scope         int          // rtm_scope: 0 global, 253 link, 254 host, ...
	Label         string
	Peer          netip.Addr
	Home          bool // IFA_F_HOMEADDRESS
	NoDAD         bool // -nodad
	ManageTemp    bool // mngtmpaddr
	NoPrefixRoute bool
	AutoJoin      bool
	NoTrack       bool           // it may be taken away without a change of state
	Preferred     *time.Duration // preferred_lft; nil: not said; 0: deprecated
	UseVMAC       bool
	TrackGroup    string
}

// scopes are the names of /etc/iproute2/rt_scopes.
var scopes = map[string]int{"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}

// vips reads the lines of a block of addresses. Those of virtual_ipaddress are of one family.
func vips(at func(*builder) *[]VIP, oneFamily bool) reader1 {
	kind := &blockKind{name: "virtual_ipaddress", word: func(b *builder, s *Statement) {
		if v, ok := b.readVIP(s); ok && (!oneFamily || b.sameFamily(s, lvs.FamilyOf(v.Prefix.Addr()), v.Prefix.String())) {
			*at(b) = append(*at(b), v)
		}
	}}
	return func(b *builder, s *Statement) {
		b.bare(s)
		b.enter(kind, s)
	}
}

// readVIP reads "ADDRESS[/LENGTH] [option [value]] ...".
func (b *builder) readVIP(s *Statement) (v VIP, ok bool) {
	v.At = s.At
	if v.Prefix, ok = b.prefix(s, s.Keyword()); !ok {
		return v, false
	}
	for rest := s.Values(); len(rest) > 0; {
		if set := v.flag(rest[0]); set != nil {
			*set = true
			rest = rest[1:]
			continue
		}
		if !isVIPOption(rest[0]) {
			b.wrong(s, "%q: not an option of an address: it is ignored", rest[0])
			rest = rest[1:]
			continue
		}
		if len(rest) < 2 {
			b.wrong(s, "%s: want a value", rest[0])
			break
		}
		if !b.vipOption(s, &v, rest[0], rest[1]) {
			return v, false
		}
		rest = rest[2:]
	}
	if v.Peer.IsValid() && v.Broadcast.IsValid() {
		b.wrong(s, "an address with a peer has no broadcast: it is ignored")
		v.Broadcast = netip.Addr{}
	}
	if v.Prefix.Addr().Is6() {
		b.onlyOf4(s, &v)
	}
	return v, true
}

// prefix reads an address with a length that may be missing; one that can't be is that of a host.
func (b *builder) prefix(s *Statement, text string) (netip.Prefix, bool) {
	host, length, cut := strings.Cut(text, "/")
	a, ok := b.address(s, host)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := a.BitLen()
	if cut {
		if n, ok := b.numberIn(s, length, 0, a.BitLen()); ok {
			bits = n
		}
	}
	return netip.PrefixFrom(a, bits), true
}

func (v *VIP) flag(word string) *bool {
	return map[string]*bool{
		"home": &v.Home, "-nodad": &v.NoDAD, "mngtmpaddr": &v.ManageTemp, "noprefixroute": &v.NoPrefixRoute,
		"autojoin": &v.AutoJoin, "no_track": &v.NoTrack, "use_vmac": &v.UseVMAC,
	}[word]
}

func isVIPOption(word string) bool {
	switch word {
	case "dev", "brd", "broadcast", "scope", "label", "peer", "preferred_lft", "track_group":
		return true
	}
	return false
}

// vipOption reads an option with its value. It is false where the address is not used.
func (b *builder) vipOption(s *Statement, v *VIP, name, value string) bool {
	switch name {
	case "dev":
		if v.Device != "" {
			b.wrong(s, "it has two devices: it is not used")
			return false
		}
		v.Device = value
	case "brd", "broadcast":
		return b.broadcast(s, v, value)
	case "scope":
		if scope, ok := parseScope(value); ok {
			v.Scope = scope
		} else {
			b.wrong(s, "scope %q: want global, site, link, host, nowhere or a number to 255", value)
		}
	case "label":
		v.Label = value
	case "peer":
		peer, ok := b.address(s, value)
		if ok && peer.Is4() != v.Prefix.Addr().Is4() {
			b.wrong(s, "peer %s is of another address family: it is ignored", value)
		} else if ok {
			v.Peer = peer
		}
	case "preferred_lft":
		forever := time.Duration(-1)
		if value == "forever" {
			v.Preferred = &forever
		} else if n, ok := b.numberIn(s, value, 0, 1<<32-1); ok {
			d := time.Duration(n) * time.Second
			v.Preferred = &d
		}
	case "track_group":
		v.TrackGroup = value
		if b.vrrp.instance != nil {
			b.wrong(s, "track_group is for static addresses: it is ignored")
		} else if !slices.ContainsFunc(b.config.VRRP.TrackGroups, func(g TrackGroup) bool { return g.Name == value }) {
			b.wrong(s, "there is no track_group %s before: it is ignored", value)
			v.TrackGroup = ""
		}
	}
	return true
}

func parseScope(text string) (int, bool) {
	if scope, ok := scopes[text]; ok {
		return scope, true
	}
	n, err := strconv.ParseUint(text, 0, 8)
	return int(n), err == nil
}

// broadcast reads an address, "+" or "-". An address of IPv6 has none, and is not used with one.
func (b *builder) broadcast(s *Statement, v *VIP, value string) bool {
	a, err := netip.ParseAddr(value)
	switch {
	case v.Prefix.Addr().Is6():
		b.wrong(s, "an IPv6 address has no broadcast: it is not used")
		return false
	case value == "-":
	case value == "+" && v.Prefix.Bits() > 30:
		b.wrong(s, "a length of %d leaves no bits for a broadcast: it is ignored", v.Prefix.Bits())
	case value == "+":
		v.BroadcastAuto = true
	case err != nil || !a.Is4():
		b.wrong(s, "broadcast %q: want an IPv4 address: the address is not used", value)
		return false
	default:
		v.Broadcast = a
	}
	return true
}

func (b *builder) onlyOf4(s *Statement, v *VIP) {
	if v.Scope != 0 {
		b.wrong(s, "an IPv6 address has no scope of its own: it is ignored")
		v.Scope = 0
	}
	if v.Label != "" {
		b.wrong(s, "an IPv6 address has no label: it is ignored")
		v.Label = ""
	}
}
