// Package firewall reads the rules of netfilter that packets of a data path in XDP never come to: those that mark
// packets, and those that let them in or not.
package firewall

import (
	"fmt"
	"net/netip"
	"slices"

	"drover/internal/lvs"
)

// A Hook is where in the kernel a chain is.
type Hook int

// What a packet for a VIP passes on a director with ip_vs, in order.
const (
	Prerouting Hook = iota
	Input
)

// A Chain is a base chain that a packet for a VIP passes.
type Chain struct {
	Where    string     // "iptables filter INPUT", "nft inet site input"
	Family   lvs.Family // 0: both
	Hook     Hook
	Priority int
	Drops    bool // its policy
	Rules    []Rule
}

// A Rule as far as it can be read.
type Rule struct {
	Where   string // its chain
	Number  int    // in the chain, from 1
	Text    string
	Match   Match
	Marks   bool // it sets mark = (mark &^ Mask) ^ Value
	Value   uint32
	Mask    uint32
	End     End
	Problem string // why it matches fewer packets than Match says, or does something else; empty: it does not
}

// An End is how a rule ends a packet's way through its chain.
type End int

// The ends.
const (
	GoesOn  End = iota // to the next rule
	Accepts            // or returns to the chain's policy
	Denies
	Leaves // to another chain, or nobody knows where
)

// A Match is what a rule asks of a packet: of each list one must fit; an empty one asks nothing.
type Match struct {
	Families     []lvs.Family
	Protocols    []lvs.Protocol
	Sources      []netip.Prefix
	Destinations []netip.Prefix
	SourcePorts  []lvs.PortRange
	Ports        []lvs.PortRange
	Interfaces   []string
}

// A Finding is a rule, or a chain's policy, and what is to be said of it.
type Finding struct {
	Rule   Rule
	Reason string
}

// disjoint tells whether no packet fits both.
func (m Match) disjoint(o Match) bool {
	return apart(m.Families, o.Families, same) || apart(m.Protocols, o.Protocols, same) ||
		apart(m.Sources, o.Sources, netip.Prefix.Overlaps) || apart(m.Destinations, o.Destinations, netip.Prefix.Overlaps) ||
		apart(m.SourcePorts, o.SourcePorts, overlap) || apart(m.Ports, o.Ports, overlap) ||
		apart(m.Interfaces, o.Interfaces, same)
}

func same[T comparable](a, b T) bool { return a == b }

func overlap(a, b lvs.PortRange) bool { return a.First <= b.Last && b.First <= a.Last }

// apart tells whether both lists ask something, and nothing fits both.
func apart[T any](a, b []T, meet func(T, T) bool) bool {
	for _, x := range a {
		if slices.ContainsFunc(b, func(y T) bool { return meet(x, y) }) {
			return false
		}
	}
	return len(a) > 0 && len(b) > 0
}

// merged gives the same ports without overlaps: a rule that names one twice still matches once.
func merged(ports []lvs.PortRange) []lvs.PortRange {
	slices.SortFunc(ports, func(a, b lvs.PortRange) int { return int(a.First) - int(b.First) })
	var all []lvs.PortRange
	for _, r := range ports {
		if n := len(all); n > 0 && int(r.First) <= int(all[n-1].Last)+1 {
			all[n-1].Last = max(all[n-1].Last, r.Last)
			continue
		}
		all = append(all, r)
	}
	return all
}

// InOrder sorts chains as a packet passes them.
func InOrder(chains []Chain) {
	slices.SortStableFunc(chains, func(a, b Chain) int {
		if a.Hook != b.Hook {
			return int(a.Hook) - int(b.Hook)
		}
		return a.Priority - b.Priority
	})
}

// Bypassed gives the rules that deny packets or mark them, and the policies that deny: none of them holds for what
// XDP forwards.
func Bypassed(chains []Chain) []Finding {
	var found []Finding
	for _, c := range chains {
		for _, r := range c.Rules {
			switch {
			case r.Marks:
				found = append(found, Finding{r, "drover mark import takes marks over"})
			case r.End == Denies:
				found = append(found, Finding{r, "drover acl import takes rules over"})
			}
		}
		if c.Drops {
			found = append(found, Finding{c.policy(), "drover acl import takes rules over"})
		}
	}
	return found
}

// Name tells a rule in a few words.
func (r Rule) Name() string { return fmt.Sprintf("%s rule %d", r.Where, r.Number) }

// policy is the chain's policy as a rule behind all others.
func (c Chain) policy() Rule {
	r := Rule{Where: c.Where, Number: len(c.Rules) + 1, Text: "policy accept", End: Accepts}
	if c.Drops {
		r.Text, r.End = "policy drop", Denies
	}
	return r
}
