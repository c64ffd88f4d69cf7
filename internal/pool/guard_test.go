package pool

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	guard := Guard{Percent: 60, Window: 30 * time.Second}
	up := Seen{Alive: true}
	down := func(d time.Duration) Seen { return Seen{Since: ago(d)} }
	for _, c := range []struct {
		name    string
		guard   Guard
		was     Holding
		servers []Seen
		want    []bool
		held    bool
	}{
		{"none fails", guard, Holding{}, []Seen{up, up, up}, []bool{true, true, true}, false},
		{"one of three fails", guard, Holding{}, []Seen{up, down(time.Second), up}, []bool{true, false, true}, false},
		{"two of three fail", guard, Holding{}, []Seen{up, down(time.Second), down(2 * time.Second)}, []bool{true, true, true}, true},
		{"two of three fail, one of them long ago", guard, Holding{}, []Seen{up, down(time.Second), down(time.Minute)}, []bool{true, false, false}, false},
		{"those that were down before stay down", guard, Holding{}, []Seen{down(time.Minute), down(time.Second), down(time.Second)}, []bool{false, true, true}, true},
		{"never alive since the start", guard, Holding{}, []Seen{{}, {}, up}, []bool{false, false, true}, false},
		{"held on when the window has passed", guard, Holding{From: ago(time.Hour)}, []Seen{up, down(30 * time.Minute), down(time.Minute)}, []bool{true, true, true}, true},
		{"let go when enough have come back", guard, Holding{From: ago(time.Hour)}, []Seen{up, up, down(30 * time.Minute)}, []bool{true, true, false}, false},
		{"the only server", guard, Holding{}, []Seen{down(time.Second)}, []bool{false}, false},
		{"switched off", Guard{}, Holding{From: ago(time.Hour)}, []Seen{down(0), down(0)}, []bool{false, false}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			holding := c.guard.Judge(now, c.was, c.servers)
			var got []bool
			for _, s := range c.servers {
				got = append(got, s.Alive)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("alive (-want +got):\n%s", diff)
			}
			if holding.Held() != c.held {
				t.Errorf("held is %v, want %v", holding.Held(), c.held)
			}
		})
	}
}
