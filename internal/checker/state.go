package checker

// step gives the state after an answer, the report of it, and whether the next question is a retry, before the check's delay.
//
//	       a success                        retry+1 failures, one after the other
//	[down] ---------> [up, no failures] ... [up, failures] ---------------------> [down]
//	  ^                    ^                     |
//	  |                    +-- a success --------+
//	  +-- the very first answer of all: one failure is enough
//
// Weights are the last answer's, but a failure leaves them.
func step(s State, r Result, t *Timing) (next State, report Report, retry bool) {
	next = s
	next.HasRun, next.Last = true, r
	if r.OK {
		next.Up, next.Failures, next.Weight = true, 0, r.Weight
	} else {
		next.Failures++
		next.Weight = s.Weight
		switch {
		case !s.Up: // it stays down
		case !s.HasRun || next.Failures > t.Retry:
			next.Up = false
		default:
			retry = true
		}
	}
	if next.Up != s.Up {
		next.Since = r.At
	}
	report.State = next
	report.Changed = next.Up != s.Up || next.Weight != s.Weight || r.OK && r.SetsWeight != s.Last.SetsWeight
	return next, report, retry
}

// worthTelling tells whether a report is for others: a change, the first answer, or with log_all_failures each failure of
// a check that is up.
func worthTelling(was State, r *Report, t *Timing) bool {
	return r.Changed || !was.HasRun || !r.State.Last.OK && t.LogAll && was.Up
}
