package schedule

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestLeastConnection(t *testing.T) {
	busy := func(weight int32, active, inactive uint32) Server {
		return Server{Weight: weight, Active: active, Inactive: inactive}
	}
	full := Server{Weight: 9, Overloaded: true}
	tests := []struct {
		name    string
		servers []Server
		want    map[string]int // position by scheduler; -1: refused
	}{
		{"none", nil, map[string]int{"lc": -1, "wlc": -1, "sed": -1, "nq": -1}},
		{"none usable", []Server{full, busy(0, 0, 0)}, map[string]int{"lc": -1, "wlc": -1, "sed": -1, "nq": -1}},
		{
			"unusable ones first",
			[]Server{full, busy(0, 0, 0), busy(1, 9, 0)},
			map[string]int{"lc": 2, "wlc": 2, "sed": 2, "nq": 2},
		},
		{
			"ties",
			[]Server{busy(2, 2, 0), busy(1, 1, 0), busy(3, 2, 0)},
			map[string]int{"lc": 1, "wlc": 2, "sed": 2, "nq": 2},
		},
		{
			"equal ratios",
			[]Server{busy(1, 1, 0), busy(2, 2, 0)},
			map[string]int{"lc": 0, "wlc": 0, "sed": 1, "nq": 1},
		},
		{
			"256 inactive ones weigh as one active",
			[]Server{busy(1, 1, 0), busy(1, 0, 256), busy(1, 0, 257)},
			map[string]int{"lc": 0, "wlc": 0, "sed": 1, "nq": 1},
		},
		{
			"one inactive less",
			[]Server{busy(1, 1, 0), busy(1, 0, 255)},
			map[string]int{"lc": 1, "wlc": 1, "sed": 1, "nq": 1},
		},
		{
			"a slow idle one behind",
			[]Server{busy(9, 1, 0), busy(1, 0, 0)},
			map[string]int{"lc": 1, "wlc": 1, "sed": 0, "nq": 1},
		},
		{
			"large numbers",
			[]Server{busy(1<<31-1, 1<<24-1, 0), busy(1<<31-1, 1<<24-2, 0)},
			map[string]int{"lc": 1, "wlc": 1, "sed": 1, "nq": 1},
		},
	}
	for _, test := range tests {
		for scheduler, want := range test.want {
			t.Run(test.name+"/"+scheduler, func(t *testing.T) {
				s, _ := New(scheduler, 0)
				i, ok := s.Pick(test.servers, Packet{})
				if !ok {
					i = -1
				}
				if i != want {
					t.Errorf("picked %d, want %d", i, want)
				}
			})
		}
	}
}

// TestLeastRatio compares wlc and sed with exact fractions.
func TestLeastRatio(t *testing.T) {
	server := rapid.Custom(func(t *rapid.T) Server {
		return Server{
			Weight:     rapid.Int32Range(0, 1<<31-1).Draw(t, "weight"),
			Active:     rapid.Uint32Range(0, 1<<24-1).Draw(t, "active"),
			Inactive:   rapid.Uint32Range(0, 1<<24-1).Draw(t, "inactive"),
			Overloaded: rapid.IntRange(0, 4).Draw(t, "overloaded") == 0,
		}
	})
	tests := []struct {
		name string
		load func(Server) int64
	}{
		{"wlc", func(s Server) int64 { return int64(s.Active)*256 + int64(s.Inactive) }},
		{"sed", func(s Server) int64 { return int64(s.Active) + 1 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				servers := rapid.SliceOfN(server, 0, 8).Draw(t, "servers")
				want := -1
				var least *big.Rat
				for i, s := range servers {
					if s.Weight == 0 || s.Overloaded {
						continue
					}
					if ratio := big.NewRat(test.load(s), int64(s.Weight)); least == nil || ratio.Cmp(least) < 0 {
						want, least = i, ratio
					}
				}
				s, _ := New(test.name, 0)
				if i, ok := s.Pick(servers, Packet{}); ok != (want >= 0) || ok && i != want {
					t.Fatalf("picked %d (%t), want %d", i, ok, want)
				}
			})
		})
	}
}
