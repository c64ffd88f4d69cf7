// Package schedule says which real server a new connection goes to, for the schedulers of Linux 6.1's ip_vs.
//
// It holds slow, obvious models of the schedulers, which the data path is tested against, and those parts
// that the data path itself needs when servers change: the hash tables, wrr's parameters, and where rr's
// pointer goes. What the models do is recorded from a running kernel; see testdata. Only twos is not: no kernel
// that can be recorded has it, so its model follows the published algorithm.
package schedule

import (
	"net/netip"
	"slices"
	"time"

	"drover/internal/lvs"
)

// A Server is one real server of a service as its scheduler sees it.
type Server struct {
	Addr       netip.AddrPort // names the server; no two of a list are the same
	Weight     int32          // 0 and less take no new connections
	LastWeight int32          // see Reweigh; mh alone looks at it
	Active     uint32         // connections, ActiveConn of a listing
	Inactive   uint32         // connections, InActConn of a listing
	Overloaded bool           // at its upper threshold: takes no new connections
}

// Reweigh gives the server with another weight. LastWeight is the last one that was not 0, since the server
// was added: one added with weight 0 has none.
func (s Server) Reweigh(weight int32) Server {
	s.Weight = weight
	if weight != 0 {
		s.LastWeight = weight
	}
	return s
}

// usable reports whether the server takes new connections at all.
func (s Server) usable() bool { return s.Weight > 0 && !s.Overloaded }

// A Packet is what a scheduler looks at in the first packet of a connection.
type Packet struct {
	Client  netip.AddrPort // source
	Virtual netip.AddrPort // destination
	At      time.Duration  // when it came, on any clock; lblc and lblcr forget with time
	Deleted []Server       // that the service had, and that are not gone for good; lblcr's sets hold on to them
}

// A Scheduler picks servers for one service. The lists that it is given are in the order in which ip_vs
// walks them, the newest server first. A Scheduler is used by one goroutine at a time.
type Scheduler interface {
	// Pick gives the index of the server for a new connection; ok is false when none may take it.
	// The list has the addresses and weights of the last Changed; its counts and Overloaded may differ.
	Pick(servers []Server, p Packet) (index int, ok bool)

	// Changed tells that the list was before and is after now. ip_vs knows three changes, and Changed is
	// called for each: one server added at the head, one deleted, one edited (even to what it was).
	// A scheduler that takes over a list of servers gets Changed(nil, servers).
	Changed(before, after []Server)
}

// makers has every scheduler of ip_vs, in the order of Names.
var makers = []struct {
	name string
	make func(lvs.ServiceFlags) Scheduler
}{
	{"rr", func(lvs.ServiceFlags) Scheduler { return newRoundRobin() }},
	{"wrr", func(lvs.ServiceFlags) Scheduler { return newWeightedRoundRobin() }},
	{"lc", func(lvs.ServiceFlags) Scheduler { return leastConnection{} }},
	{"wlc", func(lvs.ServiceFlags) Scheduler { return weightedLeastConnection{} }},
	{"sed", func(lvs.ServiceFlags) Scheduler { return shortestExpectedDelay{} }},
	{"nq", func(lvs.ServiceFlags) Scheduler { return neverQueue{} }},
	{"sh", func(f lvs.ServiceFlags) Scheduler { return newSourceHash(f) }},
	{"dh", func(lvs.ServiceFlags) Scheduler { return newDestinationHash() }},
	{"mh", func(f lvs.ServiceFlags) Scheduler { return newMaglevHash(f) }},
	{"fo", func(lvs.ServiceFlags) Scheduler { return failover{} }},
	{"ovf", func(lvs.ServiceFlags) Scheduler { return overflow{} }},
	{"lblc", func(lvs.ServiceFlags) Scheduler { return newLocalityBased() }},
	{"lblcr", func(lvs.ServiceFlags) Scheduler { return newLocalityReplicated() }},
	{"twos", func(lvs.ServiceFlags) Scheduler { return newTwoChoices() }},
}

// New makes the scheduler of a service that has no servers yet. Of the flags only those of sh and mh matter,
// the same two; the others are taken and ignored, as by ip_vs. ok is false when ip_vs has no such scheduler.
func New(name string, flags lvs.ServiceFlags) (s Scheduler, ok bool) {
	for _, m := range makers {
		if m.name == name {
			return m.make(flags), true
		}
	}
	return nil, false
}

// Names lists the schedulers. The caller may change the list.
func Names() []string {
	names := make([]string, 0, len(makers))
	for _, m := range makers {
		names = append(names, m.name)
	}
	return names
}

// Known reports whether ip_vs has a scheduler of that name.
func Known(name string) bool { return slices.Contains(Names(), name) }
