package lvs

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A PortRange is the ports from First to Last. The zero value is all of them.
type PortRange struct{ First, Last uint16 }

// All tells the zero value.
func (r PortRange) All() bool { return r == PortRange{} }

// Contains tells whether a port is one of them.
func (r PortRange) Contains(port uint16) bool { return r.All() || r.First <= port && port <= r.Last }

// String gives "80" or "8000-8099"; of all ports nothing.
func (r PortRange) String() string {
	switch {
	case r.All():
		return ""
	case r.First == r.Last:
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// ParsePortRange reads what String gives.
func ParsePortRange(text string) (PortRange, error) {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a > b || b == 0 {
		return PortRange{}, fmt.Errorf("ports %q: want N or N-M, 1 to 65535", text)
	}
	return PortRange{uint16(a), uint16(b)}, nil
}

// A MarkRule gives packets that it matches a firewall mark, as the MARK target of netfilter's mangle table does:
// mark = (mark &^ Mask) ^ Value. Of several rules each that matches has its turn, in their order.
type MarkRule struct {
	Value, Mask         uint32
	Protocol            Protocol     // ProtocolNone: any
	Only                Family       // 0: both, unless a prefix says which
	Source, Destination netip.Prefix // the zero value: any
	SourcePorts, Ports  PortRange
	Interface           string // that the packet comes in by; "": any
	Hits                uint64 // packets that it matched; as read
}

// Family is that of the packets that the rule can match; 0: both.
func (r MarkRule) Family() Family {
	for _, p := range []netip.Prefix{r.Destination, r.Source} {
		if p.IsValid() {
			return FamilyOf(p.Addr())
		}
	}
	return r.Only
}

// Check refuses what can match nothing.
func (r MarkRule) Check() error {
	family := r.Family()
	for _, p := range []netip.Prefix{r.Destination, r.Source} {
		if p.IsValid() && FamilyOf(p.Addr()) != family {
			return errors.New("source and destination are of different families")
		}
	}
	if r.Only != 0 && family != r.Only {
		return errors.New("its addresses are not of the family that it is for")
	}
	ports := !r.Ports.All() || !r.SourcePorts.All()
	if ports && r.Protocol != TCP && r.Protocol != UDP && r.Protocol != ProtocolNone {
		return fmt.Errorf("ports need tcp or udp, not %s", r.Protocol)
	}
	return nil
}

// A MarkedPacket is what rules look at.
type MarkedPacket struct {
	Protocol  Protocol
	From, To  netip.AddrPort
	Interface string
}

// Matches is the slow and obvious form of what the data path does.
func (r MarkRule) Matches(p MarkedPacket) bool {
	family := r.Family()
	return (family == 0 || family == FamilyOf(p.To.Addr())) &&
		(r.Protocol == ProtocolNone || r.Protocol == p.Protocol) &&
		(!r.Source.IsValid() || r.Source.Contains(p.From.Addr())) &&
		(!r.Destination.IsValid() || r.Destination.Contains(p.To.Addr())) &&
		r.SourcePorts.Contains(p.From.Port()) && r.Ports.Contains(p.To.Port()) &&
		(r.Interface == "" || r.Interface == p.Interface)
}

// Mark gives a packet's mark by a list of rules.
func Mark(rules []MarkRule, p MarkedPacket) uint32 {
	var mark uint32
	for _, r := range rules {
		if r.Matches(p) {
			mark = mark&^r.Mask ^ r.Value
		}
	}
	return mark
}
