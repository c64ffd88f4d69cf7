package schedule

import (
	"net/netip"
	"slices"
	"time"
)

// LocalityExpiration is for how long lblc and lblcr remember a destination that nobody asks for, and after
// which time without a change lblcr takes a server out of a destination's set. These are ip_vs's defaults of
// lblc_expiration and lblcr_expiration. ip_vs looks for what is to be forgotten each half hour only.
const LocalityExpiration = 24 * time.Hour

// lightest is what lblc and lblcr take for a destination that is new, or whose servers have too much to do: as wlc.
func lightest(servers []Server) (index int, ok bool) { return cheapest(servers, overhead, byWeight) }

// overburdened reports whether a server has more active connections than its weight, while another has not
// half as many as its own.
func overburdened(s Server, servers []Server) bool {
	return int64(s.Active) > int64(s.Weight) && slices.ContainsFunc(servers, func(other Server) bool {
		return 2*int64(other.Active) < int64(other.Weight)
	})
}

// indexOf gives the position of a server that is in the list, or -1.
func indexOf(servers []Server, addr netip.AddrPort) int {
	return slices.IndexFunc(servers, func(s Server) bool { return s.Addr == addr })
}

// localityBased is lblc: connections to a destination address go on to the server that the last one got,
// as long as that is fit. (It was made for caches, where a firewall mark leads many addresses to one
// service; with a service for one VIP there is one address.)
type localityBased struct{ cache map[netip.Addr]cached }

type cached struct {
	server netip.AddrPort
	used   time.Duration
}

func newLocalityBased() *localityBased {
	return &localityBased{cache: map[netip.Addr]cached{}}
}

// Pick does not look at the upper threshold of a server that the destination has already.
func (l *localityBased) Pick(servers []Server, p Packet) (int, bool) {
	destination := p.Virtual.Addr()
	if c, known := l.cache[destination]; known && p.At-c.used <= LocalityExpiration {
		l.cache[destination] = cached{c.server, p.At}
		i := indexOf(servers, c.server)
		if i >= 0 && servers[i].Weight > 0 && !overburdened(servers[i], servers) {
			return i, true
		}
	}
	i, ok := lightest(servers)
	if ok {
		l.cache[destination] = cached{servers[i].Addr, p.At}
	}
	return i, ok
}

// Changed forgets nothing: a server that is deleted and added again has its destinations back.
func (l *localityBased) Changed(_, _ []Server) {}

// localityReplicated is lblcr: lblc with a set of servers for each destination. When the least loaded
// server of the set is too busy, another joins; after a day without a change the most loaded one leaves.
type localityReplicated struct{ sets map[netip.Addr]*serverSet }

type serverSet struct {
	servers       []netip.AddrPort // who joined last comes first
	used, changed time.Duration
}

func newLocalityReplicated() *localityReplicated {
	return &localityReplicated{sets: map[netip.Addr]*serverSet{}}
}

// Pick finds the least loaded server before the most loaded one leaves, so that one may be both.
func (l *localityReplicated) Pick(servers []Server, p Packet) (int, bool) {
	destination := p.Virtual.Addr()
	set, known := l.sets[destination]
	if !known || p.At-set.used > LocalityExpiration {
		i, ok := lightest(servers)
		if ok {
			l.sets[destination] = &serverSet{[]netip.AddrPort{servers[i].Addr}, p.At, p.At}
		}
		return i, ok
	}
	set.used = p.At
	least := set.least(servers)
	if len(set.servers) > 1 && p.At-set.changed > LocalityExpiration {
		set.removeMost(slices.Concat(servers, p.Deleted), p.At)
	}
	if least >= 0 && !overburdened(servers[least], servers) {
		return least, true
	}
	i, ok := lightest(servers)
	if ok && !slices.Contains(set.servers, servers[i].Addr) {
		set.servers = slices.Insert(set.servers, 0, servers[i].Addr)
		set.changed = p.At
	}
	return i, ok
}

// Changed forgets nothing.
func (l *localityReplicated) Changed(_, _ []Server) {}

// members gives those of the servers that are in the set, in the set's order.
func (s *serverSet) members(servers []Server) []Server {
	var all []Server
	for _, addr := range s.servers {
		if i := indexOf(servers, addr); i >= 0 {
			all = append(all, servers[i])
		}
	}
	return all
}

// least gives the position of the first of the least loaded usable servers of the set, or -1.
func (s *serverSet) least(servers []Server) int {
	members := s.members(servers)
	if i, ok := lightest(members); ok {
		return indexOf(servers, members[i].Addr)
	}
	return -1
}

// removeMost takes the first of the most loaded servers out of the set, of those that have a weight: also
// one that is at its upper threshold, or deleted.
func (s *serverSet) removeMost(servers []Server, now time.Duration) {
	var most Server
	for _, m := range s.members(servers) {
		if m.Weight > 0 && (most.Weight == 0 || overhead(m)*uint64(most.Weight) > overhead(most)*uint64(m.Weight)) {
			most = m
		}
	}
	if most.Weight > 0 {
		at := slices.Index(s.servers, most.Addr)
		s.servers = slices.Delete(s.servers, at, at+1)
		s.changed = now
	}
}
