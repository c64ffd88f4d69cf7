package schedule

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"drover/internal/lvs"
)

// TestSipHash: that each bit of the data and of the key matters. That it is the kernel's is for the recordings.
func TestSipHash(t *testing.T) {
	seen := map[uint32]bool{}
	for bit := range 32 {
		seen[sipHash13(1<<bit, maglevKey)] = true
		seen[sipHash13(0, maglevKey^1<<bit)] = true
	}
	if len(seen) != 64 {
		t.Errorf("%d different hashes of 64 different inputs", len(seen))
	}
}

// shares counts the buckets of each server.
func shares(table *MaglevTable, servers int) []int {
	counts := make([]int, servers)
	for _, i := range table {
		counts[i]++
	}
	return counts
}

// TestMaglevShares: all buckets are taken, and servers of weights that are not cut have shares of their
// weight, but for the turn that is not finished.
func TestMaglevShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.Int32Range(1, 1000).Draw(t, "unit")
		weights := rapid.SliceOfN(rapid.Int32Range(1, 63), 1, 20).Draw(t, "weights")
		weights[0] = 1 // so that the unit is the common divisor
		total := 0
		var scaled []int32
		for _, w := range weights {
			total += int(w)
			scaled = append(scaled, w*unit)
		}
		for i, got := range shares(NewMaglevTable(list(scaled...), lvs.IPv4), len(weights)) {
			least := MaglevBuckets / total * int(weights[i])
			if got < least || got > least+int(weights[i]) {
				t.Fatalf("server %d of %v has %d buckets, want %d and at most a turn more", i, scaled, got, least)
			}
		}
	})
}

func TestMaglevTurns(t *testing.T) {
	tests := []struct {
		name    string
		weights []int32
		want    []int32
	}{
		{"none", nil, nil},
		{"never weighed", []int32{0, 0}, []int32{0, 0}},
		{"common divisor", []int32{300, 600, 0}, []int32{1, 2, 0}},
		{"six bits stay", []int32{63, 1}, []int32{63, 1}},
		{"seven are cut", []int32{64, 3, 1}, []int32{32, 1, 1}},
		{"the largest", []int32{1<<31 - 1, 1 << 25, 1}, []int32{63, 1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := maglevTurns(list(test.weights...))
			for i := range got {
				if got[i] != test.want[i] {
					t.Errorf("turns %v, want %v", got, test.want)
				}
			}
		})
	}
}

// TestMaglevDisruption: when one of ten servers goes, nine tenths of the clients keep theirs, less few.
func TestMaglevDisruption(t *testing.T) {
	servers := list(1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	before := NewMaglevTable(servers, lvs.IPv4)
	after := NewMaglevTable(servers[:9], lvs.IPv4)
	moved := 0
	for b, i := range before {
		if i != 9 && after[b] != i {
			moved++
		}
	}
	if moved == 0 || moved > MaglevBuckets/10 {
		t.Errorf("%d of %d buckets of servers that stayed went to others", moved, MaglevBuckets)
	}
}

// TestFoldAs: the family is the service's; a tunnel may lead to the other one.
func TestFoldAs(t *testing.T) {
	tests := []struct {
		family lvs.Family
		addr   string
		want   uint32
	}{
		{lvs.IPv4, "192.0.2.1", 0xC0000201},
		{lvs.IPv6, "192.0.2.1", 0xC0000201},
		{lvs.IPv4, "2001:db8::1", 0x20010DB8},
		{lvs.IPv6, "2001:db8::1", 0x20010DB9},
	}
	for _, test := range tests {
		if got := foldAs(test.family, netip.MustParseAddr(test.addr)); got != test.want {
			t.Errorf("foldAs(%v, %s) = %#x, want %#x", test.family, test.addr, got, test.want)
		}
	}
}

// BenchmarkMaglevTable: each edit of a service fills its table.
func BenchmarkMaglevTable(b *testing.B) {
	var servers []Server
	for i := range 1000 {
		addr := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
		servers = append(servers, Server{Addr: netip.AddrPortFrom(addr, uint16(i))}.Reweigh(int32(i%100+1)))
	}
	for b.Loop() {
		NewMaglevTable(servers, lvs.IPv4)
	}
}
