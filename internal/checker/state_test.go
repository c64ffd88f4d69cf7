package checker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestStep has checks answer: "+" is a success, "-" a failure. What comes of it is "u" or "d" after each, in capitals where it
// is reported as a change; "'" stands for the shorter wait of a retry.
func TestStep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		begin   State
		retry   int
		answers string
		want    string
	}{
		{"up, and so it is", State{Up: true}, 1, "+++", "u u u"},
		{"the very first failure is enough", State{Up: true}, 3, "-", "D"},
		{"alpha: down until it is asked", State{}, 1, "+-", "U u'"},
		{"alpha: and not there", State{}, 1, "--+", "d d U"},
		{"a failure is asked again", State{Up: true}, 1, "+-+", "u u' u"},
		{"retry 1: the second failure counts", State{Up: true}, 1, "+--", "u u' D"},
		{"retry 0: the first", State{Up: true}, 0, "+-", "u D"},
		{"retry 3", State{Up: true}, 3, "+----", "u u' u' u' D"},
		{"a success between starts anew", State{Up: true}, 1, "+-+-+-", "u u' u u' u u'"},
		{"one success brings it up", State{Up: true}, 1, "+--+", "u u' D U"},
		{"after a restart: known and down", State{HasRun: true}, 1, "-+", "d U"},
		{"after a restart: known and up", State{Up: true, HasRun: true}, 1, "--", "u' D"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timing := Timing{Delay: 10 * time.Second, Retry: c.retry, RetryDelay: time.Second}
			state := c.begin
			var words []string
			for _, answer := range c.answers {
				next, report, retry := step(state, Result{OK: answer == '+'}, &timing)
				word := "d"
				if next.Up {
					word = "u"
				}
				if report.Changed {
					word = strings.ToUpper(word)
				}
				if retry {
					word += "'"
				}
				words = append(words, word)
				state = next
			}
			if diff := cmp.Diff(c.want, strings.Join(words, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSchedule: questions that a stall has bunched part again; two of one check do not follow each other too closely.
func TestSchedule(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name        string
		asked, want time.Duration // after begin, when it was due
	}{
		{"at its moment", 0, 10 * time.Second},
		{"a little late", time.Second, 10 * time.Second},
		{"nearly half a delay late", 4900 * time.Millisecond, 10 * time.Second},
		{"so late that the next would follow too closely", 6 * time.Second, 20 * time.Second},
		{"after many", 93 * time.Second, 100 * time.Second},
	} {
		s := schedule{every: 10 * time.Second, next: begin}
		now := begin.Add(c.asked)
		if got := c.asked + s.after(now); got != c.want {
			t.Errorf("%s: due at %v, want %v", c.name, got, c.want)
		}
	}
}

// A numberFile is what a FILE_CHECK looks at: 0 is up, 1 is down.
func numberFile(t *testing.T) (check Check, set func(int)) {
	path := filepath.Join(t.TempDir(), "number")
	set = func(n int) {
		if err := os.WriteFile(path, fmt.Append(nil, n), 0o644); err != nil {
			t.Error(err)
		}
	}
	set(0)
	return Check{Kind: KindFile, File: &File{Path: path}, Timing: Timing{Delay: 10 * time.Second, Retry: 1, RetryDelay: time.Second}}, set
}

// TestRunner has checks asked by a clock of its own.
func TestRunner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said []string
		begin := time.Now()
		r := New(func(report Report) {
			said = append(said, fmt.Sprintf("%v up=%v changed=%v", time.Since(begin), report.State.Up, report.Changed))
		})
		defer r.Close()
		expect := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, said); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
			said = nil
		}
		check, set := numberFile(t)
		r.Set([]Check{check, check}, nil)
		expect("at once, and once though there are two", "0s up=true changed=false")
		set(1)
		time.Sleep(10 * time.Second)
		expect("a failure")
		time.Sleep(time.Second)
		expect("and another", "11s up=false changed=true")
		set(0)
		time.Sleep(5 * time.Second)
		r.Set([]Check{check}, map[Key]State{check.Key(): {Up: true}})
		expect("a reload starts nothing anew")
		time.Sleep(5 * time.Second)
		expect("a success, at a moment of the check's own", "20s up=true changed=true")
		r.Set(nil, nil)
		time.Sleep(time.Minute)
		expect("nothing is asked any more")
		set(1)
		r.Set([]Check{check}, map[Key]State{check.Key(): {Up: false, HasRun: true}})
		time.Sleep(time.Minute)
		expect("known and down: it stays so without a word")
		if states := r.States(); states[check.Key()].Failures != 7 {
			t.Errorf("%d failures, want 7", states[check.Key()].Failures)
		}
	})
}

// TestWarmup: first questions are spread.
func TestWarmup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		firsts := map[time.Duration]int{}
		r := New(func(Report) { firsts[time.Since(begin)/time.Second]++ })
		defer r.Close()
		var checks []Check
		for i := range 1000 {
			checks = append(checks, Check{Kind: KindFile, File: &File{Path: fmt.Sprintf("/nonexistent/%d", i)}, Timing: Timing{Delay: time.Hour, Warmup: 10 * time.Second}})
		}
		r.Set(checks, nil)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		for second := range time.Duration(10) {
			if n := firsts[second]; n < 50 || n > 200 {
				t.Errorf("second %d has %d first questions, want about 100", second, n)
			}
		}
	})
}

func TestLogAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := 0
		r := New(func(Report) { said++ })
		defer r.Close()
		check, set := numberFile(t)
		check.LogAll, check.Retry = true, 3
		r.Set([]Check{check}, nil)
		synctest.Wait()
		set(1)
		time.Sleep(12*time.Second + time.Second/2) // 3 failures of 4
		synctest.Wait()
		if said != 4 {
			t.Errorf("told %d times, want the first answer and 3 failures", said)
		}
	})
}
