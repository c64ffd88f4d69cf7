package schedule

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestHash32(t *testing.T) {
	// The sums are made by hand: 2*0x61C88647 = 0xC3910C8E, 3*0x61C88647 = 0x1_255992D5, -0x61C88647 = 0x9E3779B9.
	tests := []struct {
		v    uint32
		want uint8
	}{{0, 0}, {1, 0x61}, {2, 0xC3}, {3, 0x25}, {0xFFFFFFFF, 0x9E}}
	for _, test := range tests {
		if got := Hash32(test.v); got != test.want {
			t.Errorf("Hash32(%#x) = %#x, want %#x", test.v, got, test.want)
		}
	}
}

func TestFold(t *testing.T) {
	tests := []struct {
		addr string
		want uint32
	}{
		{"192.0.2.1", 0xC0000201},
		{"::1", 1},
		{"2001:db8::", 0x20010DB8},
		{"2001:db8:1:2:3:4:5:6", 0x20010DB8 ^ 0x00010002 ^ 0x00030004 ^ 0x00050006},
		{"::ffff:192.0.2.1", 0x0000FFFF ^ 0xC0000201},
	}
	for _, test := range tests {
		if got := Fold(netip.MustParseAddr(test.addr)); got != test.want {
			t.Errorf("Fold(%s) = %#x, want %#x", test.addr, got, test.want)
		}
	}
}

func TestSourceHashTable(t *testing.T) {
	tests := []struct {
		name    string
		weights []int32
		want    []int32 // the buckets' servers, repeated to the end
	}{
		{"no server", nil, []int32{NoServer}},
		{"one", []int32{7}, []int32{0}},
		{"weights", []int32{1, 3, 2}, []int32{0, 1, 1, 1, 2, 2}},
		{"0 has a bucket", []int32{2, 0, 1}, []int32{0, 0, 1, 2}},
		{"all at 0", []int32{0, 0}, []int32{0, 1}},
		{"larger than the table", []int32{300, 1}, []int32{0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var want Table
			for b := range want {
				want[b] = test.want[b%len(test.want)]
			}
			if diff := cmp.Diff(want, SourceHashTable(test.weights)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDestinationHashTable: servers take turns.
func TestDestinationHashTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "servers")
		for b, i := range DestinationHashTable(n) {
			if int(i) != b%n {
				t.Fatalf("bucket %d of %d servers is %d's", b, n, i)
			}
		}
	})
	if got := DestinationHashTable(0)[255]; got != NoServer {
		t.Errorf("a bucket without servers is %d's", got)
	}
}
