package schedule

// The schedulers of this file compare the cost of the usable servers, and take the first of the cheapest in
// list order. They keep no state. Costs are exact for up to 2^24 connections on a server; in ip_vs they
// overflow from 2^23 active connections on.

// overhead is the load of lc and wlc: an active connection counts as much as 256 inactive ones.
func overhead(s Server) uint64 { return uint64(s.Active)<<8 + uint64(s.Inactive) }

// expectedDelay is the load of sed and nq: the active connections with the new one.
func expectedDelay(s Server) uint64 { return uint64(s.Active) + 1 }

// cheapest gives the first usable server with the least load per weight. Ratios are compared by cross
// multiplication, so that nothing is rounded: a/x < b/y when a*y < b*x.
func cheapest(servers []Server, load func(Server) uint64, weight func(Server) uint64) (index int, ok bool) {
	for i, s := range servers {
		if !s.usable() {
			continue
		}
		best := servers[index]
		if !ok || load(s)*weight(best) < load(best)*weight(s) {
			index, ok = i, true
		}
	}
	return index, ok
}

func byWeight(s Server) uint64 { return uint64(s.Weight) }
func alike(Server) uint64      { return 1 }

// leastConnection is lc: least overhead, whatever the weights.
type leastConnection struct{}

func (leastConnection) Pick(servers []Server, _ Packet) (int, bool) {
	return cheapest(servers, overhead, alike)
}
func (leastConnection) Changed(_, _ []Server) {}

// weightedLeastConnection is wlc: least overhead per weight.
type weightedLeastConnection struct{}

func (weightedLeastConnection) Pick(servers []Server, _ Packet) (int, bool) {
	return cheapest(servers, overhead, byWeight)
}
func (weightedLeastConnection) Changed(_, _ []Server) {}

// shortestExpectedDelay is sed: least active connections per weight, the new one included.
type shortestExpectedDelay struct{}

func (shortestExpectedDelay) Pick(servers []Server, _ Packet) (int, bool) {
	return cheapest(servers, expectedDelay, byWeight)
}
func (shortestExpectedDelay) Changed(_, _ []Server) {}

// neverQueue is nq: the first idle server, else as sed.
type neverQueue struct{}

func (neverQueue) Pick(servers []Server, _ Packet) (int, bool) {
	for i, s := range servers {
		if s.usable() && s.Active == 0 {
			return i, true
		}
	}
	return cheapest(servers, expectedDelay, byWeight)
}
func (neverQueue) Changed(_, _ []Server) {}
