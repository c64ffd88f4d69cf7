//go:build kernel61

package kernel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// seedOf gives the run's seed: that of DROVER_KERNEL_SEED, else one by chance.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("DROVER_KERNEL_SEED")
	if text == "" {
		return rand.Uint64N(1 << 32)
	}
	seed, err := strconv.ParseUint(text, 0, 64)
	must(t, err)
	return seed
}

// stepsDone counts the steps of all phases.
var stepsDone int

// TestMain says at the end how much was compared, and how to do it again.
func TestMain(m *testing.M) {
	status := m.Run()
	fmt.Printf("%d steps, seed %s\n", stepsDone, os.Getenv("DROVER_KERNEL_SEED"))
	os.Exit(status)
}

// A deadline is a time at which a test has done enough.
type deadline time.Time

// reserve is what is left for the tests that follow, of the time that all have.
const reserve = 100 * time.Second

// budgetOf gives a test so much time, on a slow machine less.
func budgetOf(t *testing.T, d time.Duration) deadline {
	t.Helper()
	end := time.Now().Add(d)
	if all, ok := t.Deadline(); ok && all.Add(-reserve).Before(end) {
		end = all.Add(-reserve)
	}
	return deadline(end)
}

func (d deadline) over() bool { return time.Now().After(time.Time(d)) }

func caseName(kind string, seed uint64) string { return fmt.Sprintf("%s-%d", kind, seed) }

// done prints what a phase did, and begins to count for the next.
func (p *pair) done(t *testing.T, phase string, begin time.Time, cases int) {
	t.Helper()
	t.Logf("%s: %d cases, %d steps in %.0f s", phase, cases, p.steps, time.Since(begin).Seconds())
	if p.steps == 0 {
		t.Errorf("%s: no step was compared", phase)
	}
	stepsDone += p.steps
	p.steps = 0
}

// each does f with each line of a case, its ports from base on, and says at which line it failed.
func (p *pair) each(base int, all []string, f func(step) error) error {
	for i, line := range all {
		s, err := parseStep(line, base)
		if err == nil {
			err = f(s)
		}
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, line, err)
		}
	}
	return nil
}

// How long the phases go on with new cases; how much each does at least, however slow the machine; and after
// how many failures it ends.
const (
	commandsTime   = 50 * time.Second
	trafficTime    = 70 * time.Second
	recordingsTime = 25 * time.Second
	leastSteps     = 150
	leastRuns      = 6 // each has hundreds of steps
	maxFailures    = 2
)

// trials bounds how often a case is tried while it is shrunk, and shrinkTime how long that goes on.
const (
	trials     = 80
	shrinkTime = 20 * time.Second
)

// again is how often a case that differed is run once more: a difference of rules comes again in most runs. One that does not
// depends on where ip_vs's timers stand, and is printed.
const again = 3

// comesAgain tells whether a case differs in most of its further runs, and prints what it was if not.
func (p *pair) comesAgain(t *testing.T, c testCase, err error, try func([]string) error) bool {
	t.Helper()
	var found *difference
	if !errors.As(err, &found) {
		return true
	}
	differs := 0
	for range again {
		if errors.As(try(c.lines), &found) {
			differs++
		}
	}
	if differs*2 > again {
		return true
	}
	fmt.Printf("%s differed once, and in %d of %d further runs: not counted\n%v\n", c.name, differs, again, err)
	return false
}

// report fails the test with a case as short as can be found, in the form in which it can be kept.
func (p *pair) report(t *testing.T, c testCase, err error, try func([]string) error) {
	t.Helper()
	var found *difference
	if !errors.As(err, &found) {
		t.Fatalf("%s: %v", c.name, err)
	}
	last, seen, enough := err, "not found again", budgetOf(t, shrinkTime)
	c.lines = shrink(c.lines, trials, func(lines []string) bool {
		if enough.over() {
			return false
		}
		err := try(lines)
		if errors.As(err, &found) {
			last, seen = err, "found again"
			return true
		}
		return false
	})
	t.Errorf("a case to keep as test/kernel/testdata/cases/%s.txt:\n%s\n%s when parts of it were tried; the difference:\n%v",
		c.name, indent(c.file()), seen, last)
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
