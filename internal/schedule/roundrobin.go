package schedule

import "net/netip"

// Head is the position before the first server of a list, where a round robin begins.
const Head = -1

// Follow gives the position in the list after of what was at position at in the list before: of the server
// itself, or when it is gone, of the nearest one ahead of it that is left, or Head. A list is given by what
// names its servers. It is what ip_vs does to rr's pointer when a server is deleted or added.
func Follow[K comparable](at int, before, after []K) int {
	index := make(map[K]int, len(after))
	for i, k := range after {
		index[k] = i
	}
	for ; at > Head; at-- {
		if i, ok := index[before[at]]; ok {
			return i
		}
	}
	return Head
}

// roundRobin is rr: the next usable server of the list after the one picked last. Weights do not matter
// unless they are 0.
type roundRobin struct {
	last int // position of the server picked last, or Head
}

func newRoundRobin() *roundRobin { return &roundRobin{last: Head} }

// Pick looks at each server once, ending with the one picked last.
func (r *roundRobin) Pick(servers []Server, _ Packet) (int, bool) {
	for step := 1; step <= len(servers); step++ {
		i := (r.last + step) % len(servers)
		if servers[i].usable() {
			r.last = i
			return i, true
		}
	}
	return 0, false
}

// Changed keeps the pointer where it is. From a deleted server it moves to the one ahead of it, so that
// the one behind is next.
func (r *roundRobin) Changed(before, after []Server) {
	r.last = Follow(r.last, addresses(before), addresses(after))
}

func addresses(servers []Server) []netip.AddrPort {
	addrs := make([]netip.AddrPort, 0, len(servers))
	for _, s := range servers {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}
