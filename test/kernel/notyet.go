package kernel

import (
	"net/netip"
	"slices"

	"drover/internal/lvs"
)

// An omission is something that ip_vs can do and that no comparison asks Drover for.
type omission struct {
	name string
	asks func(call) bool
}

// notYet is the one list of what is left out, by name. All generators know every feature; what is in this
// list is filtered out of what they make. Later issues empty it. Scheduler twos is the exception that
// stays: Debian's kernel is built without it, so there is nothing to compare with.
var notYet = []omission{
	{"SCTP services (--sctp-service)", func(c call) bool { return c.adds() && c.service.Protocol == lvs.SCTP }},
	{"persistence engines (--pe)", func(c call) bool { return c.service.PE != "" }},
	{"the scheduler twos (not in Debian's kernel)", scheduler("twos")},
	{"the connection sync daemon (--start-daemon)", func(c call) bool { return c.op == "start daemon" }},
}

// Differences that were decided, and where the comparison passes them over:
//   - where ipvsadm crashes, Drover refuses (afterCrash);
//   - ipvsadm prints a mark beyond 2^31 as a negative number, which it then refuses to read (unsignedMarks);
//   - ip_vs counts an ICMP error of its own host as a directly answering server's (withoutDirect);
//   - a server edited from tunnelling to direct routing keeps the tunnel's route in ip_vs (trafficker.way).

// leftOut gives the name of what a step asks for that is left out, or "".
func leftOut(s step) string {
	if s.program == "" {
		return ""
	}
	asked := calls(s)
	for _, o := range notYet {
		if slices.ContainsFunc(asked, o.asks) {
			return o.name
		}
	}
	return ""
}

func scheduler(name string) func(call) bool {
	return func(c call) bool {
		return c.service.Scheduler == name && (c.op == "add service" || c.op == "edit service")
	}
}

// adds tells a call that would let something new in.
func (c call) adds() bool { return c.op == "add service" || c.op == "add server" }

// isDirectors tells whether an address is one of the director's own; see topology.
func isDirectors(a netip.Addr) bool {
	return a.IsLoopback() || slices.ContainsFunc(directorAddresses, func(p netip.Prefix) bool { return p.Addr() == a }) ||
		slices.ContainsFunc(virtualNetworks, func(p netip.Prefix) bool { return p.Contains(a) })
}
