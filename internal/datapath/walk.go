package datapath

import "drover/internal/schedule"

// A walk follows the cursor of rr or wrr through the changes of a transaction, one by one as ip_vs does,
// while the programs go on moving it. Others have none.
type walk struct {
	fresh  bool           // the scheduler is new to the service: it begins anew
	moved  []uint32       // rr: by 1 + position in the stored list, 1 + where the pointer would be now
	passes []schedule.WRR // wrr: step and maximum after each change
}

// newWalk begins at a stored list of so many servers.
func newWalk(servers int) walk {
	w := walk{moved: make([]uint32, 1+servers)}
	for i := range w.moved {
		w.moved[i] = uint32(i)
	}
	return w
}

// inserted: a server was put in front of the others. A pointer that is before the list stays there.
func (w *walk) inserted() {
	for i, at := range w.moved {
		if at > 0 {
			w.moved[i] = at + 1
		}
	}
}

// deleted: the server at a position went. A pointer at it moves to the one ahead of it.
func (w *walk) deleted(position int) {
	for i, at := range w.moved {
		if at > uint32(position) {
			w.moved[i] = at - 1
		}
	}
}

// weighed: after a change of any kind the servers have these weights.
func (w *walk) weighed(weights []int32) {
	var pass schedule.WRR
	pass.Step, pass.Maximum = schedule.WRRParameters(weights)
	w.passes = append(w.passes, pass)
}

// cursor gives what a stored list's cursor becomes: weight << 32 | 1 + position. Of schedulers that do not
// walk it stays what it is.
func (w *walk) cursor(scheduler string, stored uint64) uint64 {
	if w.fresh {
		stored = 0
	}
	switch scheduler {
	case "rr":
		if at := int(uint32(stored)); !w.fresh && at < len(w.moved) {
			return 1<<32 | uint64(w.moved[at])
		}
		return 1 << 32
	case "wrr":
		now := schedule.WRR{Current: int32(stored >> 32)}
		for _, pass := range w.passes {
			now = now.Adjusted(pass.Step, pass.Maximum)
		}
		return uint64(uint32(now.Current)) << 32
	}
	return stored
}
