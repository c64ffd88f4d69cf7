package config

import (
	"net/netip"
	"slices"
	"strings"
)

// A Route is a line of virtual_routes or static_routes, as ip route add takes it.
type Route struct {
	At     Position
	Type   string // "unicast", "blackhole", "unreachable", "prohibit", ...
	To     netip.Prefix
	Device string
	Words  []string // the whole line
}

// A Rule is a line of virtual_rules or static_rules, as ip rule add takes it.
type Rule struct {
	At         Position
	Preference int // 0: not said
	Words      []string
}

func routes(at func(*builder) *[]Route) reader1 {
	kind := &blockKind{name: "virtual_routes", word: func(b *builder, s *Statement) {
		if r, ok := b.readRoute(s); ok {
			*at(b) = append(*at(b), r)
		}
	}}
	return func(b *builder, s *Statement) { b.enter(kind, s) }
}

var routeTypes = strings.Fields("unicast local broadcast multicast throw unreachable prohibit blackhole nat")

// routeNumbers are options of a route with a number, which may have "lock" before it.
var routeNumbers = strings.Fields("priority metric preference mtu advmss hoplimit reordering window cwnd ssthresh initcwnd initrwnd quickack fastopen_no_cookie weight")

// routeWords are options with another value; encap takes all that follows.
var routeWords = strings.Fields("table tos dsfield protocol proto realms rtt rttvar rto_min expires features congctl pref scope vrf ttl-propagate track_group")

// readRoute reads "[TYPE] [to] PREFIX [via ADDRESS] [dev NAME] [OPTION VALUE] ... [nexthop ...] ...".
func (b *builder) readRoute(s *Statement) (Route, bool) {
	r := Route{At: s.At, Type: "unicast", Words: s.Words}
	family := 0
	rest := s.Words
	for len(rest) > 0 {
		word, value := rest[0], ""
		if len(rest) > 1 {
			value = rest[1]
		}
		used := 2
		switch {
		case slices.Contains(routeTypes, word):
			r.Type, used = word, 1
		case word == "to" || word == "inet" || word == "inet6" || word == "nexthop" || word == "onlink" || word == "no_track" || word == "append":
			used = 1
		case word == "or" || word == "gw":
			b.wrong(s, "%s is an old word: it is %s now", word, map[string]string{"or": "nexthop", "gw": "via"}[word])
		case word == "src" || word == "via" || word == "from":
			if value == "inet" || value == "inet6" {
				value, used = append(rest, "", "")[2], 3
			}
			if !b.routeAddress(s, word, value, &family) {
				return r, false
			}
		case word == "dev" || word == "oif":
			if !slices.Contains(s.Words, "nexthop") { // of several ways none is the route's
				r.Device = value
			}
		case slices.Contains(routeNumbers, word):
			if value == "lock" && len(rest) > 2 {
				value, used = rest[2], 3
			}
			if _, ok := b.numberIn(s, value, 0, 1<<32-1); !ok {
				return r, false
			}
		case slices.Contains(routeWords, word):
		case word == "encap":
			used = len(rest)
		case !r.To.IsValid():
			prefix, ok := routePrefix(word)
			if !ok {
				b.wrong(s, "%q: want a prefix, or a word of ip route: the route is not used", word)
				return r, false
			}
			if family != 0 && family != prefix.Addr().BitLen() {
				b.wrong(s, "%s is of another address family: the route is not used", word)
				return r, false
			}
			r.To, used, family = prefix, 1, prefix.Addr().BitLen()
		default:
			b.wrong(s, "%q: not a word of ip route: the route is not used", word)
			return r, false
		}
		rest = rest[min(used, len(rest)):]
	}
	if !r.To.IsValid() {
		b.wrong(s, "want a destination: the route is not used")
		return r, false
	}
	if r.Device == "" && !slices.Contains(s.Words, "no_track") {
		b.warn(s.At, s.Keyword(), "without dev it can't be tracked: it may be taken away without a change of state")
	}
	return r, true
}

func routePrefix(word string) (netip.Prefix, bool) {
	switch word {
	case "default", "any", "all":
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), true
	case "default6":
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0), true
	}
	if prefix, err := netip.ParsePrefix(word); err == nil {
		return prefix, true
	}
	a, err := netip.ParseAddr(word)
	return netip.PrefixFrom(a, max(0, a.BitLen())), err == nil
}

// routeAddress reads an address of a route; all are of one family.
func (b *builder) routeAddress(s *Statement, word, value string, family *int) bool {
	p, ok := routePrefix(value)
	switch {
	case !ok:
		b.wrong(s, "%s %q: want an IP address: the route is not used", word, value)
		return false
	case *family != 0 && *family != p.Addr().BitLen():
		b.wrong(s, "%s %s is of another address family: the route is not used", word, value)
		return false
	}
	*family = p.Addr().BitLen()
	return true
}

func rules(at func(*builder) *[]Rule) reader1 {
	kind := &blockKind{name: "virtual_rules", word: func(b *builder, s *Statement) {
		if r, ok := b.readRule(s); ok {
			*at(b) = append(*at(b), r)
		}
	}}
	return func(b *builder, s *Statement) { b.enter(kind, s) }
}

// ruleActions say what a rule does; those with a value are in ruleWords.
var ruleActions = strings.Fields("blackhole prohibit unreachable nop l3mdev table lookup goto")

var ruleFlags = strings.Fields("not inet inet6 no_track blackhole prohibit unreachable nop l3mdev")

var ruleWords = strings.Fields("from to table lookup tos dsfield fwmark iif dev oif uidrange ip_proto ipproto sport dport " +
	"realms goto suppress_prefixlength suppress_ifgroup suppress_group tun_id tunnel-id protocol preference priority order track_group")

// readRule reads "[not] [from PREFIX] [to PREFIX] ... ACTION [preference N]".
func (b *builder) readRule(s *Statement) (Rule, bool) {
	r := Rule{At: s.At, Words: s.Words}
	action, target := false, 0
	for rest := s.Words; len(rest) > 0; {
		word := rest[0]
		action = action || slices.Contains(ruleActions, word)
		if slices.Contains(ruleFlags, word) {
			rest = rest[1:]
			continue
		}
		if !slices.Contains(ruleWords, word) || len(rest) < 2 {
			b.wrong(s, "%q: not a word of ip rule, or without its value: the rule is not used", word)
			return r, false
		}
		ok := true
		switch word {
		case "from", "to":
			if _, ok = routePrefix(rest[1]); !ok {
				b.wrong(s, "%s %q: want a prefix: the rule is not used", word, rest[1])
			}
		case "preference", "priority", "order":
			r.Preference, ok = b.numberIn(s, rest[1], 0, 1<<32-1)
		case "goto":
			target, ok = b.numberIn(s, rest[1], 0, 1<<32-1)
		}
		if !ok {
			return r, false
		}
		rest = rest[2:]
	}
	switch {
	case !action:
		b.wrong(s, "want what it does, as table N: the rule is not used")
		return r, false
	case target > 0 && r.Preference >= target:
		b.wrong(s, "goto %d leads back, from preference %d: the rule is not used", target, r.Preference)
		return r, false
	case r.Preference == 0:
		b.warn(s.At, s.Keyword(), "it has no preference: its place among the rules depends on when it comes")
	}
	return r, true
}
