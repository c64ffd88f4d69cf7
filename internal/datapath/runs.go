package datapath

// runs gives out runs of neighbouring numbers below a limit. The search goes on from the last one
// given, so that what was freed is not used again at once: a program may still be reading it.
type runs struct {
	taken []bool
	next  uint32
	left  uint32 // numbers that are free
}

func newRuns(limit uint32) *runs { return &runs{taken: make([]bool, limit), left: limit} }

// mark sets a run that is known to be taken.
func (r *runs) mark(first, n uint32) {
	for i := first; i < first+n && i < uint32(len(r.taken)); i++ {
		if !r.taken[i] {
			r.taken[i] = true
			r.left--
		}
	}
}

// take gives the first of n free neighbours; ok is false when there is no such run.
func (r *runs) take(n uint32) (first uint32, ok bool) {
	if n > r.left {
		return 0, false
	}
	if first, ok = r.search(r.next, uint32(len(r.taken)), n); !ok {
		first, ok = r.search(0, uint32(len(r.taken)), n)
	}
	if ok {
		r.mark(first, n)
		r.next = first + n
	}
	return first, ok
}

func (r *runs) search(from, to, n uint32) (first uint32, ok bool) {
	length := uint32(0)
	for i := from; i < to; i++ {
		if r.taken[i] {
			length = 0
			continue
		}
		if length++; length == n {
			return i + 1 - n, true
		}
	}
	return 0, false
}

// free gives a run back.
func (r *runs) free(first, n uint32) {
	for i := first; i < first+n && i < uint32(len(r.taken)); i++ {
		if r.taken[i] {
			r.taken[i] = false
			r.left++
		}
	}
}
