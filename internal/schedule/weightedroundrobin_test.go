package schedule

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWRRParameters(t *testing.T) {
	tests := []struct {
		name          string
		weights       []int32
		step, maximum int32
	}{
		{"no server", nil, 1, 0},
		{"all at 0", []int32{0, 0}, 1, 0},
		{"one", []int32{5}, 5, 1},
		{"no common divisor", []int32{5, 3, 1, 1}, 1, 5},
		{"a common divisor", []int32{6, 4, 2}, 2, 5},
		{"0 does not count", []int32{6, 0, 9}, 3, 7},
		{"the largest weights", []int32{math.MaxInt32, 1}, 1, math.MaxInt32},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			step, maximum := WRRParameters(test.weights)
			if step != test.step || maximum != test.maximum {
				t.Errorf("step %d, maximum %d, want %d and %d", step, maximum, test.step, test.maximum)
			}
		})
	}
}

func TestWRRChanged(t *testing.T) {
	tests := []struct {
		name    string
		before  WRR
		weights []int32
		want    WRR
	}{
		{"new", WRR{}, []int32{5, 3}, WRR{Step: 1, Maximum: 5, Current: 5}},
		{"kept", WRR{1, 5, 2}, []int32{5, 3, 1}, WRR{1, 5, 2}},
		{"above the maximum", WRR{1, 9, 8}, []int32{5, 3}, WRR{1, 5, 5}},
		{"aligned to the step", WRR{1, 9, 5}, []int32{9, 6, 3}, WRR{3, 7, 4}},
		{"aligned at the maximum", WRR{3, 7, 7}, []int32{9, 6, 3}, WRR{3, 7, 7}},
		{"no usable server", WRR{1, 5, 4}, []int32{0, 0}, WRR{1, 0, 0}},
		{"usable again", WRR{1, 0, 0}, []int32{4, 0}, WRR{4, 1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.before.Changed(test.weights)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWRRIsFair: over a full round, from wherever it is taken, each server is picked weight/step times.
func TestWRRIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Int32Range(0, 12), 1, 12).Draw(t, "weights")
		servers := list(weights...)
		r := newWeightedRoundRobin()
		r.Changed(nil, servers)
		for range rapid.IntRange(0, 50).Draw(t, "skipped") {
			r.Pick(servers, Packet{})
		}
		var sum int32
		for _, w := range weights {
			sum += w
		}
		picks := make([]int32, len(servers))
		for range sum / r.Step {
			i, ok := r.Pick(servers, Packet{})
			if !ok {
				t.Fatalf("refused with weights %v", weights)
			}
			picks[i]++
		}
		for i, w := range weights {
			if picks[i] != w/r.Step {
				t.Fatalf("server %d of weights %v was picked %d times, step %d", i, weights, picks[i], r.Step)
			}
		}
	})
}
