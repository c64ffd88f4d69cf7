package datapath

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// plug takes all but n slots of every home, with words that are nobody's. A home is a pair of buckets.
func (r *rig) plug(n int) {
	r.t.Helper()
	r.eachBucket(func(i int, b *directorBucket) {
		for j := range b.Slot {
			if i%2 == 1 || j >= n {
				b.Slot[j] = 0xffffffff << 32
			}
		}
	})
}

// unplug undoes it.
func (r *rig) unplug() {
	r.eachBucket(func(_ int, b *directorBucket) {
		for j, word := range b.Slot {
			if word == 0xffffffff<<32 {
				b.Slot[j] = 0
			}
		}
	})
}

func (r *rig) eachBucket(f func(i int, b *directorBucket)) {
	r.t.Helper()
	buckets, err := mapArray[directorBucket](r.objects.Buckets)
	if err != nil {
		r.t.Fatal(err)
	}
	defer buckets.close() //nolint:errcheck // the memory goes with the maps
	for i := range buckets.elements {
		f(i, buckets.at(uint32(i)))
	}
}

// homes gives the entries of each home that has any.
func (r *rig) homes() map[int][]uint32 {
	homes := map[int][]uint32{}
	r.eachBucket(func(i int, b *directorBucket) {
		for _, word := range b.Slot {
			if index := uint32(word); index != 0 {
				homes[i/2] = append(homes[i/2], index)
			}
		}
	})
	return homes
}

// fullService is a service for many clients.
func fullService(r *rig, f lvs.Forwarding) func(client int) flow {
	r.tune("half_open_max", "100")
	key, _ := r.stateService("192.0.2.101:80", lvs.TCP, f)
	return func(client int) flow {
		return flow{lvs.TCP, clientOf(lvs.IPv4, byte(client%40), uint16(2000+client)), key.Addr}
	}
}

// TestFullBucketKeepsEstablished: where the slots of a home are all taken by established connections, a
// new one through NAT, which can't do without slots, is dropped, and they stay.
func TestFullBucketKeepsEstablished(t *testing.T) {
	r := newRig(t, 256)
	client := fullService(r, lvs.Masquerade)
	r.plug(4)
	established := map[flow]bool{}
	for i := range 1000 {
		if verdict, _ := r.receive(r.front, client(i).frame(frontMAC, flagSYN)); verdict == xdpRedirect {
			r.establish(client(i))
			established[client(i)] = true
		}
		r.turn(1)
	}
	kept := map[flow]bool{}
	all, err := r.table.Connections()
	must(t, err)
	for _, c := range all {
		kept[flow{c.Protocol, c.Client, c.Virtual}] = true
	}
	if len(established) == 0 || !maps.Equal(established, kept) {
		t.Errorf("%d connections were established, %d are there", len(established), len(kept))
	}
	outcomes := r.outcomes()
	dropped := outcomes["drop bucket_full"] + outcomes["drop table_full"]
	if got, want := outcomes["forward masq_in"], uint64(2*len(established)); got != want || dropped != 1000-want/2 {
		t.Errorf("outcomes %v, want %d forwarded", outcomes, want)
	}
	r.unplug()
	r.expireAll()
	if wrong := slices.Concat(r.auditCounts(), r.auditEmpty()); wrong != nil {
		t.Errorf("%q", wrong)
	}
}

// TestFullBucketEndsOldestHalfOpen: where half-open connections fill a home, a new one takes the place of
// the oldest of them.
func TestFullBucketEndsOldestHalfOpen(t *testing.T) {
	r := newRig(t, 1024)
	client := fullService(r, lvs.DirectRoute)
	r.plug(3)
	seen := map[uint32]int{} // entry: number of its SYN
	evicted := 0
	before := r.homes()
	for i := range 900 {
		r.follow(client(i), flagSYN)
		r.turn(1)
		after := r.homes()
		for home, now := range after {
			was := before[home]
			if slices.Equal(was, now) {
				continue
			}
			added := slices.DeleteFunc(slices.Clone(now), func(e uint32) bool { return slices.Contains(was, e) })
			gone := slices.DeleteFunc(slices.Clone(was), func(e uint32) bool { return slices.Contains(now, e) })
			if len(added) != 1 || len(gone) > 1 || len(gone) == 1 && len(now) != 3 {
				t.Fatalf("connection %d: a home of %v became %v", i, was, now)
			}
			if len(gone) == 1 {
				evicted++
				oldest := slices.MinFunc(was, func(a, b uint32) int { return seen[a] - seen[b] })
				if gone[0] != oldest {
					t.Fatalf("connection %d took the place of %d, of %v", i, gone[0], was)
				}
			}
			seen[added[0]] = i
		}
		before = after
	}
	if evicted == 0 {
		t.Error("no home was full")
	}
	if wrong := r.auditCounts(); wrong != nil {
		t.Errorf("%q", wrong)
	}
}

// TestFullTable: without a free entry a new connection by direct routing goes on without one. A half-open
// one in its home gives way, and its entry can be had after it has rested.
func TestFullTable(t *testing.T) {
	r := newRig(t, 64)
	client := fullService(r, lvs.DirectRoute)
	send := func(from, to int, want map[string]uint64) {
		for i := from; i < to; i++ {
			r.follow(client(i), flagSYN)
		}
		if diff := cmp.Diff(want, r.outcomes()); diff != "" {
			t.Errorf("outcomes after connection %d (-want +got):\n%s", to, diff)
		}
	}
	send(0, 64, map[string]uint64{"forward route": 64})
	send(64, 164, map[string]uint64{"forward route": 64, "forward stateless": 100})
	all, err := r.table.Connections()
	must(t, err)
	ended := 64 - len(all)
	if ended == 0 {
		t.Error("no half-open connection gave way")
	}
	r.turn(1)   // they begin to rest
	r.turn(999) // not yet
	send(164, 165, map[string]uint64{"forward route": 64, "forward stateless": 101})
	r.turn(1) // free
	send(200, 200+ended, map[string]uint64{"forward route": 64 + uint64(ended), "forward stateless": 101})
	if wrong := r.auditCounts(); wrong != nil {
		t.Errorf("%q", wrong)
	}
}
