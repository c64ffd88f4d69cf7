package schedule

// WRRParameters gives what wrr derives from the weights of a service: the step, their greatest common
// divisor, and the maximum, the largest weight less (step-1). A round begins with the servers that weigh the
// maximum or more, and goes down by the step; so its last pass asks for weight 1. Without a weight above 0
// the step is 1 and the maximum 0.
func WRRParameters(weights []int32) (step, maximum int32) {
	var largest int32
	for _, w := range weights {
		if w > 0 {
			step = gcd(step, w)
			largest = max(largest, w)
		}
	}
	step = max(step, 1)
	return step, largest - (step - 1)
}

func gcd(a, b int32) int32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// A WRR is the state of wrr beside its position. The zero value is that of a service with no servers, but
// for the step.
type WRR struct {
	Step    int32 // between two passes of a round
	Maximum int32 // weight that the first pass of a round asks for; 0: no server is usable
	Current int32 // weight that the pass under way asks for
}

// Changed gives the state after a server was added, edited or deleted; weights are those of the new list.
// The position goes back to Head, even when nothing changed. The pass under way goes on, unless no weight
// reaches it any more, or none had been there; under a step above 1 it is aligned so that the last pass
// asks for 1.
func (w WRR) Changed(weights []int32) WRR { return w.Adjusted(WRRParameters(weights)) }

// Adjusted is Changed for a list whose step and maximum are known.
func (w WRR) Adjusted(step, maximum int32) WRR {
	w.Step, w.Maximum = step, maximum
	switch {
	case w.Current > w.Maximum || w.Current == 0:
		w.Current = w.Maximum
	case w.Step > 1:
		w.Current = w.Current/w.Step*w.Step + 1
	}
	return w
}

// lastPass reports whether the pass under way asks for the lowest weight of the round.
func (w WRR) lastPass() bool { return w.Current <= w.Step }

// next goes to the next pass, and reports whether that is the first of a new round.
func (w *WRR) next() (restarted bool) {
	w.Current -= w.Step
	if w.Current > 0 {
		return false
	}
	w.Current = w.Maximum
	return true
}

// weightedRoundRobin is wrr: passes over the list, each taking the servers that weigh at least so much.
type weightedRoundRobin struct {
	WRR
	last int // position of the server picked last, or Head
}

func newWeightedRoundRobin() *weightedRoundRobin { return &weightedRoundRobin{last: Head} }

// Pick goes on from the server picked last. It gives up when every server has been asked for weight 1 since
// it began; this happens under overload alone, because any pass finds the heaviest server. The next pick
// goes on from where this one gave up.
func (r *weightedRoundRobin) Pick(servers []Server, _ Packet) (int, bool) {
	if r.Maximum == 0 {
		return 0, false
	}
	start := r.last
	asked := false // all servers for weight 1
	restarted := false
	for {
		if i, ok := r.find(servers, r.last+1); ok {
			r.last = i
			return i, true
		}
		r.last = Head
		if r.next() {
			if asked || start == Head {
				return 0, false
			}
			restarted = true
		}
		asked = r.lastPass()
		if asked && restarted && start != Head {
			return r.pickUpTo(servers, start)
		}
	}
}

// pickUpTo is the end of a search that began behind position start in a last pass: those behind start have
// been asked for weight 1, the others up to start have not.
func (r *weightedRoundRobin) pickUpTo(servers []Server, start int) (int, bool) {
	i, ok := r.find(servers[:start+1], 0)
	r.last = start
	if ok {
		r.last = i
	}
	return i, ok
}

// find gives the first server from position i on that the pass under way takes.
func (r *weightedRoundRobin) find(servers []Server, i int) (int, bool) {
	for ; i < len(servers); i++ {
		if servers[i].Weight >= r.Current && !servers[i].Overloaded {
			return i, true
		}
	}
	return 0, false
}

// Changed begins at the head again, in the pass that was under way.
func (r *weightedRoundRobin) Changed(_, after []Server) {
	r.WRR = r.WRR.Changed(weightsOf(after))
	r.last = Head
}

func weightsOf(servers []Server) []int32 {
	weights := make([]int32, 0, len(servers))
	for _, s := range servers {
		weights = append(weights, s.Weight)
	}
	return weights
}
