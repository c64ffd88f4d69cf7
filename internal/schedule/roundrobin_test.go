package schedule

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFollow(t *testing.T) {
	tests := []struct {
		name          string
		at            int
		before, after string
		want          int
	}{
		{"nothing changes", 1, "c b a", "c b a", 1},
		{"added at the head", 1, "c b a", "d c b a", 2},
		{"added with the pointer at the head", Head, "c b a", "d c b a", Head},
		{"one ahead deleted", 2, "c b a", "b a", 1},
		{"one behind deleted", 0, "c b a", "c b", 0},
		{"itself deleted", 1, "c b a", "c a", 0},
		{"itself deleted at the front", 0, "c b a", "b a", Head},
		{"itself and the one ahead deleted", 2, "d c b a", "d a", 0},
		{"all deleted", 1, "b a", "", Head},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Follow(test.at, strings.Fields(test.before), strings.Fields(test.after)); got != test.want {
				t.Errorf("Follow = %d, want %d", got, test.want)
			}
		})
	}
}

// TestRoundRobinIsFair: while nothing changes, any n picks from n usable servers take each of them once.
func TestRoundRobinIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Int32Range(0, 3), 1, 20).Draw(t, "weights")
		servers, usable := list(weights...), 0
		for _, s := range servers {
			if s.usable() {
				usable++
			}
		}
		r := newRoundRobin()
		r.Changed(nil, servers)
		for range rapid.IntRange(0, 20).Draw(t, "skipped") {
			r.Pick(servers, Packet{})
		}
		picks := make([]int, len(servers))
		for range usable {
			if i, ok := r.Pick(servers, Packet{}); ok {
				picks[i]++
			}
		}
		for i, n := range picks {
			if n != int(min(weights[i], 1)) {
				t.Fatalf("server %d of weights %v was picked %d times", i, weights, n)
			}
		}
	})
}
