package schedule

import "testing"

func TestTwoChoices(t *testing.T) {
	// The random numbers are shares of 2^32: of a total weight of 3, 0 to 3 are drawn, a quarter each.
	const quarter = 1 << 30
	idle, loaded := list(1, 0, 2), list(1, 0, 2)
	loaded[0].Active = 1
	tied := list(1, 2)
	tied[0].Active, tied[1].Active = 1, 2
	full := list(1, 2)
	full[0].Overloaded = true
	tests := []struct {
		name          string
		servers       []Server
		first, second uint32
		want          int // -1: refused
	}{
		{"none", nil, 0, 0, -1},
		{"none usable", list(0, 0), 0, 0, -1},
		{"share 0", idle, 0, 0, 0},
		{"share 1", idle, 2*quarter - 1, 2*quarter - 1, 0},
		{"share 2", idle, 2 * quarter, 2 * quarter, 2},
		{"share 3", idle, 1<<32 - 1, 1<<32 - 1, 2},
		{"equal load: the first", idle, 0, 1<<32 - 1, 0},
		{"equal load: the first, though behind", idle, 1<<32 - 1, 0, 2},
		{"less load: the second", loaded, 0, 1<<32 - 1, 2},
		{"less load: the first", loaded, 1<<32 - 1, 0, 2},
		{"equal load for the weight", tied, 1<<32 - 1, 0, 1},
		{"at its threshold", full, 0, 0, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i, ok := TwoChoices(test.servers, test.first, test.second)
			if !ok {
				i = -1
			}
			if i != test.want {
				t.Errorf("picked %d, want %d", i, test.want)
			}
		})
	}
}

// TestDrawn: large weights, whose sum has more than 32 bits.
func TestDrawn(t *testing.T) {
	const heavy = 1<<31 - 1
	servers := list(heavy, heavy, heavy, heavy)
	for i, random := range []uint32{1 << 29, 3 << 29, 5 << 29, 7 << 29} {
		if got := drawn(servers, 4*heavy, random); got != i {
			t.Errorf("%#x draws server %d, want %d", random, got, i)
		}
	}
}
