package firewall

import (
	"fmt"
	"net/netip"

	"drover/internal/lvs"
)

// Marks gives the mark rules that do what the chains' rules do, in order, and those of them that cannot be taken
// over, with the reason.
func Marks(chains []Chain) (rules []lvs.MarkRule, left []Finding) {
	for _, c := range chains {
		var ends []Rule
		for _, r := range c.Rules {
			if r.Marks {
				made, reason := markRules(c, r, ends)
				rules = append(rules, made...)
				if reason != "" {
					left = append(left, Finding{r, reason})
				}
			}
			if r.End != GoesOn {
				ends = append(ends, r)
			}
		}
	}
	return rules, left
}

// markRules gives a rule for each combination of what the rule's lists have.
func markRules(c Chain, r Rule, ends []Rule) (rules []lvs.MarkRule, reason string) {
	if r.Problem != "" {
		return nil, r.Problem
	}
	for _, e := range ends {
		if !e.Match.disjoint(r.Match) {
			return nil, fmt.Sprintf("rule %d may end the chain before it", e.Number)
		}
	}
	for _, p := range r.Match.Protocols {
		if p != lvs.TCP && p != lvs.UDP {
			return nil, fmt.Sprintf("protocol %v: services of marks are TCP's and UDP's", p)
		}
	}
	family := c.Family
	if len(r.Match.Families) == 1 {
		family = r.Match.Families[0]
	}
	for _, protocol := range orNone(r.Match.Protocols) {
		for _, source := range orNone(r.Match.Sources) {
			for _, destination := range orNone(r.Match.Destinations) {
				for _, from := range orNone(r.Match.SourcePorts) {
					for _, to := range orNone(r.Match.Ports) {
						for _, in := range orNone(r.Match.Interfaces) {
							rules = append(rules, lvs.MarkRule{
								Value: r.Value, Mask: r.Mask, Protocol: protocol, Only: only(family, source, destination),
								Source: source, Destination: destination, SourcePorts: from, Ports: to, Interface: in,
							})
						}
					}
				}
			}
		}
	}
	return rules, ""
}

// orNone gives the zero value, which asks nothing, for an empty list.
func orNone[T any](list []T) []T {
	if len(list) == 0 {
		return make([]T, 1)
	}
	return list
}

// only is the family that a rule names where no prefix of it does.
func only(family lvs.Family, prefixes ...netip.Prefix) lvs.Family {
	for _, p := range prefixes {
		if p.IsValid() {
			return 0
		}
	}
	return family
}
