package checker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// A Runner asks checks until it is closed.
type Runner struct {
	report func(Report)
	ctx    context.Context // of all that it runs
	cancel context.CancelFunc
	tell   chan Report
	told   sync.WaitGroup // the goroutine that reports
	asked  sync.WaitGroup // those that ask

	mu      sync.Mutex // protects running
	running map[Key]*run
}

// A run is one check that is asked.
type run struct {
	check Check
	key   Key
	stop  context.CancelFunc

	mu    sync.Mutex // protects state
	state State
}

// New gives a Runner that asks nothing yet. It calls report from one goroutine, in the order in which a check's answers
// come: when a check goes up or down or changes its weight, at its first answer, and for failures where the check wants
// them told.
func New(report func(Report)) *Runner {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Runner{report: report, ctx: ctx, cancel: cancel, tell: make(chan Report, 256), running: map[Key]*run{}}
	r.told.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case told := <-r.tell:
				report(told)
			}
		}
	})
	return r
}

// Set has these checks asked, and no others. Those that are asked already go on as if nothing had happened; new ones
// begin with what is known of them, or, without that, as their alpha says. Equal checks are asked once.
func (r *Runner) Set(checks []Check, known map[Key]State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := make(map[Key]bool, len(checks))
	for i := range checks {
		key := checks[i].Key()
		if wanted[key] {
			continue
		}
		wanted[key] = true
		if r.running[key] == nil {
			state, ok := known[key]
			if !ok {
				state = State{Up: !checks[i].StartDown}
			}
			r.start(checks[i], key, state)
		}
	}
	for key, run := range r.running {
		if !wanted[key] {
			run.stop()
			delete(r.running, key)
		}
	}
}

// States gives what is known of each check.
func (r *Runner) States() map[Key]State {
	r.mu.Lock()
	defer r.mu.Unlock()
	states := make(map[Key]State, len(r.running))
	for key, run := range r.running {
		run.mu.Lock()
		states[key] = run.state
		run.mu.Unlock()
	}
	return states
}

// Close ends all questions, and waits for them.
func (r *Runner) Close() {
	r.cancel()
	r.asked.Wait()
	r.told.Wait()
}

func (r *Runner) start(c Check, key Key, state State) {
	ctx, stop := context.WithCancel(r.ctx)
	run := &run{check: c, key: key, stop: stop, state: state}
	r.running[key] = run
	r.asked.Go(func() {
		defer stop()
		r.ask(ctx, run)
	})
}

// ask asks a check over and over. The first question comes at a random moment within the warmup: so checks of one file do
// not run in step, neither at the start nor after a reload.
func (r *Runner) ask(ctx context.Context, run *run) {
	asker := newAsker(&run.check)
	if waits, ok := asker.(interface{ interrupt() }); ok {
		defer context.AfterFunc(ctx, waits.interrupt)()
	}
	due := schedule{every: run.check.Delay, next: time.Now().Add(randomUpTo(run.check.Warmup))}
	timer := time.NewTimer(time.Until(due.next))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		result := question(ctx, asker)
		if ctx.Err() != nil {
			return // what was interrupted has not failed
		}
		was := run.state // only this goroutine writes it
		next, report, retry := step(was, result, &run.check.Timing)
		run.mu.Lock()
		run.state = next
		run.mu.Unlock()
		if worthTelling(was, &report, &run.check.Timing) {
			report.Key = run.key
			select {
			case r.tell <- report:
			case <-ctx.Done():
				return
			}
		}
		if retry {
			timer.Reset(run.check.RetryDelay)
		} else {
			timer.Reset(due.after(time.Now()))
		}
	}
}

// A schedule is when a check is asked: at a moment of its own, and every so often from there. What holds the machine up, or
// makes many servers fail at once, bunches questions; they part again, as each keeps its own moments.
type schedule struct {
	every time.Duration
	next  time.Time
}

// after gives how long to wait from now until the check is due, which is at least half of its delay, and moves on.
func (s *schedule) after(now time.Time) time.Duration {
	late := now.Add(s.every / 2).Sub(s.next)
	s.next = s.next.Add((late/s.every + 1) * s.every)
	return s.next.Sub(now)
}

func randomUpTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// An asker asks once. It may remember what it needs for the next time. The error says why the server does not serve.
type asker interface {
	ask(ctx context.Context) (weight int, sets bool, err error)
}

// question has an asker ask, and takes the time.
func question(ctx context.Context, a asker) Result {
	begin := time.Now()
	weight, sets, err := a.ask(ctx)
	r := Result{At: time.Now(), OK: err == nil, Weight: weight, SetsWeight: sets}
	r.Took = r.At.Sub(begin)
	if err != nil {
		r.Reason = reason(err)
	}
	return r
}

// newAsker gives the asker of a check's kind.
func newAsker(c *Check) asker {
	switch c.Kind {
	case KindHTTP, KindSSL:
		return &httpAsker{check: c}
	case KindMisc:
		return &miscAsker{check: c}
	case KindFile:
		return &fileAsker{check: c}
	case KindSMTP:
		return &smtpAsker{check: c}
	case KindDNS:
		return &dnsAsker{check: c}
	case KindUDP:
		return &udpAsker{check: c}
	case KindPing:
		return &pingAsker{check: c}
	case KindDialog:
		return &dialogAsker{check: c}
	}
	return newTCPAsker(c)
}
