package lvs

import (
	"cmp"
	"net/netip"
	"time"
)

// MaxReason is how many bytes the reason of an access rule may have.
const MaxReason = 63

// An AccessRule lets sources reach services, or denies it. Of the rules that cover a source the longest prefix
// wins; of one prefix the rule that says most about the destination: a port, then a VIP, then an interface.
// Without a rule a source is let in.
type AccessRule struct {
	Deny      bool
	Source    netip.Prefix
	VIP       netip.Addr // the zero value: any
	Protocol  Protocol   // with a VIP: ProtocolNone is any, and any port
	Port      uint16
	Interface string // that the packet comes in by; "": any
	Reason    string
	Expires   time.Time // whole seconds; the zero value: never
	Hits      uint64    // packets that it judged; as read
}

// Scope tells how much a rule says about the destination.
func (r AccessRule) Scope() int {
	scope := 0
	if r.VIP.IsValid() {
		scope += 2
	}
	if r.Protocol != ProtocolNone {
		scope += 2
	}
	if r.Interface != "" {
		scope++
	}
	return scope
}

// CompareAccess is the order of rules: by source, of one source the widest first.
func CompareAccess(a, b AccessRule) int {
	return cmp.Or(
		a.Source.Addr().Compare(b.Source.Addr()), cmp.Compare(a.Source.Bits(), b.Source.Bits()),
		cmp.Compare(a.Scope(), b.Scope()), a.VIP.Compare(b.VIP), cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.Port, b.Port), cmp.Compare(a.Interface, b.Interface),
	)
}

// Same tells whether two rules are for the same packets: there is one of them at most.
func (r AccessRule) Same(other AccessRule) bool { return CompareAccess(r, other) == 0 }

// Matches is the slow and obvious form of what the data path does.
func (r AccessRule) Matches(p MarkedPacket, now time.Time) bool {
	return r.Source.Contains(p.From.Addr()) &&
		(!r.VIP.IsValid() || r.VIP == p.To.Addr()) &&
		(r.Protocol == ProtocolNone || r.Protocol == p.Protocol && r.Port == p.To.Port()) &&
		(r.Interface == "" || r.Interface == p.Interface) &&
		(r.Expires.IsZero() || now.Before(r.Expires))
}

// Denied tells whether rules deny a packet.
func Denied(rules []AccessRule, p MarkedPacket, now time.Time) bool {
	var best *AccessRule
	for i, r := range rules {
		if !r.Matches(p, now) {
			continue
		}
		if best == nil || r.Source.Bits() > best.Source.Bits() ||
			r.Source.Bits() == best.Source.Bits() && r.Scope() > best.Scope() {
			best = &rules[i]
		}
	}
	return best != nil && best.Deny
}

// An AccessLimit is how many connections a source may begin: Rate in a second, and Burst at once. The zero value
// is no limit. A source is an address, of IPv6 a network of 64 bits.
type AccessLimit struct{ Rate, Burst uint32 }
