//go:build bench

package datapath

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/lvs"
	"drover/test/bench/rounds"
)

const (
	expiryRounds      = 3
	expiryConnections = 1_000_000
	expiryTimeout     = 3 * time.Second // long beside the second in which they are made
	expiryReach       = time.Millisecond
)

// TestBenchExpiry lets a million connections run out within a second or so, with the real timer, and
// prints how long that holds the timer's CPU: the longest callback as the timer counts it, and the longest
// time in which a thread that spins on that CPU did not run, beside the same without connections.
func TestBenchExpiry(t *testing.T) {
	const name = "expiry of 1,000,000"
	options, err := rounds.FromEnvironment(expiryRounds)
	must(t, err)
	if !options.Chosen(name) {
		return
	}
	c := benchCase{name: name, flows: expiryConnections, forward: lvs.DirectRoute, fresh: true}.complete(options)
	b, err := newBench(t, c)
	must(t, err)
	must(t, startTimer(b.objects.StartTimer))
	must(t, b.table.SetTimeouts(lvs.Timeouts{TCP: expiryTimeout}))
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // its pauses would be taken for the timer's

	var callback, idle, busy rounds.Values
	turns := min(options.Rounds, expiryRounds)
	for range turns {
		longest, quiet, held := b.expire()
		callback, idle, busy = append(callback, longest), append(idle, quiet), append(busy, held)
	}
	table := rounds.Table{
		Title:   fmt.Sprintf("%d connections expire at once, milliseconds: median (least .. most)", c.flows),
		Columns: []string{"longest", "ms", "reach"},
	}
	row := func(what, reach string, v rounds.Values) {
		table.Row(map[string]any{"longest": what, "ms": v}, what, v.Text(3), reach)
	}
	reach := fmt.Sprintf("<= %d", expiryReach.Milliseconds())
	row("callback of the timer", reach, callback)
	row("time that its CPU did not run a spinning thread", reach, busy)
	row("the same without connections", "", idle)
	table.Note("%d rounds. The hypervisor and interrupts hold a CPU too, hence the last row.", turns)
	must(t, table.Print(os.Stdout))
}

// expire makes the connections and waits until all are gone. It gives milliseconds: the longest callback,
// and the longest time that the CPU was held before and meanwhile.
func (b *bench) expire() (callback, idle, busy float64) {
	b.t.Helper()
	sweeps, err := mapArray[directorSweep](b.objects.Sweeps)
	must(b.t, err)
	pool, err := mapArray[directorPool](b.objects.Pool)
	must(b.t, err)
	defer func() {
		must(b.t, sweeps.close())
		must(b.t, pool.close())
	}()
	idle = longestHeld(b.t, time.Now().Add(2*time.Second), func() bool { return false })
	b.target(b.entry)
	for _, flags := range []byte{tcpSYN, tcpACK} {
		b.flowsOf(flags)
		b.run(b.programs.BenchFlow, int(b.flows))
	}
	b.check()
	live := &pool.at(0).Live
	if n := atomic.LoadUint64(live); n != uint64(b.flows) {
		b.t.Fatalf("%d connections are there, want %d", n, b.flows)
	}
	atomic.StoreUint32(&sweeps.at(0).Longest, 0)
	gone := func() bool { return atomic.LoadUint64(live) == 0 }
	busy = longestHeld(b.t, time.Now().Add(30*time.Second), gone)
	if !gone() {
		b.t.Fatal("connections do not expire")
	}
	return float64(atomic.LoadUint32(&sweeps.at(0).Longest)) / 1e6, idle, busy
}

// longestHeld spins, before all other threads of its CPU, and gives the longest time in which it did not
// run, in milliseconds.
func longestHeld(t *testing.T, deadline time.Time, done func() bool) float64 {
	t.Helper()
	schedule := func(policy, priority uint32) {
		must(t, unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}, 0))
	}
	schedule(unix.SCHED_FIFO, 1)
	defer schedule(unix.SCHED_NORMAL, 0)
	var longest time.Duration
	for time.Now().Before(deadline) && !done() {
		// The kernel takes the CPU from a thread that leaves others nothing for most of a second
		// (sched_rt_runtime_us).
		end := time.Now().Add(300 * time.Millisecond)
		for last := time.Now(); last.Before(end); {
			now := time.Now()
			longest, last = max(longest, now.Sub(last)), now
		}
		time.Sleep(50 * time.Millisecond)
	}
	return float64(longest.Nanoseconds()) / 1e6
}
