package schedule

import "math/rand/v2"

// twoChoices is twos: of two servers drawn at random, each as likely as its weight says, the less loaded one
// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). Debian's kernel 6.1 does not
// have it, so nothing of it is recorded: the model follows the algorithm as published for ip_vs.
type twoChoices struct{ random func() uint32 }

func (t twoChoices) Pick(servers []Server, _ Packet) (int, bool) {
	return TwoChoices(servers, t.random(), t.random())
}
func (twoChoices) Changed(_, _ []Server) {}

func newTwoChoices() twoChoices { return twoChoices{random: rand.Uint32} }

// TwoChoices is what twos picks when these two numbers are drawn. The second server wins only if it has less
// overhead for its weight.
func TwoChoices(servers []Server, first, second uint32) (index int, ok bool) {
	var total uint64
	for _, s := range servers {
		if s.usable() {
			total += uint64(s.Weight)
		}
	}
	if total == 0 {
		return 0, false
	}
	i, j := drawn(servers, total, first), drawn(servers, total, second)
	a, b := servers[i], servers[j]
	if overhead(b)*uint64(a.Weight) < overhead(a)*uint64(b.Weight) {
		return j, true
	}
	return i, true
}

// drawn gives the server at which a random share of the total weight, 0 to all of it, is used up.
// As in ip_vs 0 is a number of its own, so that the first server is drawn a little more often.
func drawn(servers []Server, total uint64, random uint32) int {
	// Of (total+1) * random the upper bits, from bit 32 on: total may have more than 32 bits.
	n := total + 1
	share := n>>32*uint64(random) + (n & 0xffffffff * uint64(random) >> 32)
	last := 0
	for i, s := range servers {
		if !s.usable() {
			continue
		}
		last = i
		if share <= uint64(s.Weight) {
			break
		}
		share -= uint64(s.Weight)
	}
	return last
}
