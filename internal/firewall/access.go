package firewall

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"drover/internal/lvs"
)

// Access gives the access rules by which each of the services lets in, and keeps out, whom the chains do, and the
// rules that cannot be taken over, with the reason. Of netfilter's rules the first that matches counts; of access
// rules the longest prefix: so each prefix that any rule names gets what the first rule says that covers it.
func Access(chains []Chain, services []lvs.ServiceKey) (rules []lvs.AccessRule, left []Finding) {
	for _, c := range chains {
		for _, r := range c.Rules {
			if reason := notTaken(r); reason != "" && concernsAny(r, services) {
				left = append(left, Finding{r, reason})
			}
		}
	}
	for _, s := range services {
		if s.Mark == 0 {
			rules = append(rules, accessOf(chains, s)...)
		}
	}
	return rules, left
}

// notTaken says why a rule is left out; empty: it is not, or it does nothing to be taken over.
func notTaken(r Rule) string {
	switch {
	case r.End == GoesOn:
		return ""
	case r.Problem != "":
		return r.Problem
	case r.End == Leaves:
		return "it goes to another chain"
	case len(r.Match.SourcePorts) > 0:
		return "it asks for the client's port"
	}
	return ""
}

func concernsAny(r Rule, services []lvs.ServiceKey) bool {
	return slices.ContainsFunc(services, func(s lvs.ServiceKey) bool { return r.Match.concerns(s) })
}

// concerns tells whether a packet for a service can fit.
func (m Match) concerns(s lvs.ServiceKey) bool {
	if s.Mark != 0 {
		return true // it may be for any address
	}
	port := lvs.PortRange{First: s.Addr.Port(), Last: s.Addr.Port()}
	if port.First == 0 {
		port.Last = 65535
	}
	return !m.disjoint(Match{
		Families: []lvs.Family{s.Family}, Protocols: []lvs.Protocol{s.Protocol}, Ports: []lvs.PortRange{port},
		Destinations: []netip.Prefix{netip.PrefixFrom(s.Addr.Addr(), s.Addr.Addr().BitLen())},
	})
}

// accessOf gives a service's rules, without those that a wider one makes needless.
func accessOf(chains []Chain, s lvs.ServiceKey) []lvs.AccessRule {
	everyone := netip.PrefixFrom(s.Addr.Addr(), 0).Masked()
	prefixes, interfaces := []netip.Prefix{everyone}, []string{""}
	var passed []Chain
	for _, c := range chains {
		if c.Family != 0 && c.Family != s.Family {
			continue
		}
		kept := c
		kept.Rules = nil
		for _, r := range append(slices.Clone(c.Rules), c.policy()) {
			if r.End == GoesOn || notTaken(r) != "" || !r.Match.concerns(s) {
				continue
			}
			kept.Rules = append(kept.Rules, r)
			for _, p := range r.Match.Sources {
				if lvs.FamilyOf(p.Addr()) == s.Family {
					prefixes = append(prefixes, p.Masked())
				}
			}
			interfaces = append(interfaces, r.Match.Interfaces...)
		}
		passed = append(passed, kept)
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
		return cmp.Or(a.Bits()-b.Bits(), a.Addr().Compare(b.Addr()))
	})
	slices.Sort(interfaces)
	var rules []lvs.AccessRule
	for _, p := range slices.Compact(prefixes) {
		for _, in := range slices.Compact(slices.Clone(interfaces)) {
			r := lvs.AccessRule{Source: p, VIP: s.Addr.Addr(), Protocol: s.Protocol, Port: s.Addr.Port(), Interface: in}
			if s.Addr.Port() == 0 {
				r.Protocol = lvs.ProtocolNone
			}
			r.Deny, r.Reason = denied(passed, p, in)
			one := lvs.MarkedPacket{Protocol: s.Protocol, From: netip.AddrPortFrom(p.Addr(), 0), To: s.Addr, Interface: in}
			if r.Deny != lvs.Denied(rules, one, time.Time{}) {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// denied tells whether one of the chains keeps out all of a prefix, and where.
func denied(chains []Chain, source netip.Prefix, in string) (deny bool, reason string) {
	for _, c := range chains {
		i := slices.IndexFunc(c.Rules, func(r Rule) bool {
			return covers(r.Match.Sources, source) && (len(r.Match.Interfaces) == 0 || slices.Contains(r.Match.Interfaces, in))
		})
		if i >= 0 && c.Rules[i].End == Denies {
			return true, c.Rules[i].Name()
		}
	}
	return false, ""
}

func covers(list []netip.Prefix, p netip.Prefix) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(q netip.Prefix) bool {
		return q.Bits() <= p.Bits() && q.Contains(p.Addr())
	})
}
