package checker

import "time"

// step gives the state after an answer, whether that is worth a report, and how long to wait until the next question.
//
//	       a success                        retry+1 failures, one after the other
//	[down] ---------> [up, no failures] ... [up, failures] ---------------------> [down]
//	  ^                    ^                     |
//	  |                    +-- a success --------+
//	  +-- the very first answer of all: one failure is enough
//
// Weights are the last answer's, but a failure leaves them.
func step(s State, r Result, t *Timing) (next State, report Report, wait time.Duration) {
	next = s
	next.HasRun, next.Last = true, r
	wait = t.Delay
	if r.OK {
		next.Up, next.Failures, next.Weight = true, 0, r.Weight
	} else {
		next.Failures++
		next.Weight = s.Weight
		switch {
		case !s.Up: // it stays down, and its failures are not counted: who asks sees when it went down
			next.Failures = s.Failures + 1
		case !s.HasRun || next.Failures > t.Retry:
			next.Up = false
		default:
			wait = t.RetryDelay
		}
	}
	if next.Up != s.Up {
		next.Since = r.At
	}
	report.State = next
	report.Changed = next.Up != s.Up || next.Weight != s.Weight || r.OK && r.SetsWeight != s.Last.SetsWeight
	return next, report, wait
}

// worthTelling tells whether a report is for others: a change, the first answer, or with log_all_failures each failure of
// a check that is up.
func worthTelling(was State, r *Report, t *Timing) bool {
	return r.Changed || !was.HasRun || !r.State.Last.OK && t.LogAll && was.Up
}
