package datapath

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// TestTransactionIsItsCommands: commands in one transaction are answered as the same ones by themselves, and
// leave the same services, the same counters, and schedulers that go on with the same servers.
func TestTransactionIsItsCommands(t *testing.T) {
	single, together := newRig(t, 4096), newRig(t, 4096)
	seed := uint64(time.Now().UnixNano())
	commands, flows := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
	changed, connected := 0, 0
	for round := range 60 {
		n := 1 + commands.IntN(60)
		var answers [2][]string
		script := commands.Uint64()
		for i, r := range []*rig{single, together} {
			if i == 1 {
				must(t, r.table.Begin())
			}
			random := rand.New(rand.NewPCG(script, 0))
			for range n {
				answers[i] = append(answers[i], fmt.Sprint(r.command(random)))
			}
			must(t, r.table.Commit())
		}
		if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
			t.Fatalf("seed %d, round %d: answers (-single +transaction):\n%s", seed, round, diff)
		}
		before := single.listing()
		if diff := cmp.Diff(before, together.listing(), compareAddrs); diff != "" {
			t.Fatalf("seed %d, round %d: services (-single +transaction):\n%s", seed, round, diff)
		}
		changed += len(before)
		if round%10 == 0 { // no bucket gets full: that would differ
			single.expireAll()
			together.expireAll()
		}
		connected += sameConnections(t, flows, before, single, together)
		if diff := cmp.Diff(single.listing(), together.listing(), compareAddrs); diff != "" {
			t.Fatalf("seed %d, round %d: after connections (-single +transaction):\n%s", seed, round, diff)
		}
	}
	for _, r := range []*rig{single, together} {
		if wrong := r.auditControl(); wrong != nil {
			t.Errorf("seed %d: %q", seed, wrong)
		}
	}
	if changed < 100 || connected < 200 {
		t.Errorf("seed %d: %d services, %d connections: too few to tell", seed, changed, connected)
	}
}

// sameConnections opens the same connections in both, and expects them to go to the same servers.
func sameConnections(t *testing.T, random *rand.Rand, services []lvs.ServiceState, single, together *rig) (n int) {
	t.Helper()
	for _, s := range services {
		if s.Scheduler == "twos" { // it picks at random
			continue
		}
		for range random.IntN(8) {
			client := netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + random.IntN(250))})
			f := flow{s.Protocol, netip.AddrPortFrom(client, uint16(1024+random.IntN(60000))), s.Addr}
			a, okA := single.connect(f)
			b, okB := together.connect(f)
			if a != b || okA != okB {
				t.Fatalf("%s %v: connection of %v went to %v (%t) and %v (%t)", s.Scheduler, s.Addr, f.from, a, okA, b, okB)
			}
			if okA {
				n++
			}
		}
	}
	return n
}

// TestTransactionIsForgotten: without Commit nothing is changed, and nothing is lost.
func TestTransactionIsForgotten(t *testing.T) {
	r := newRig(t, 64)
	must(t, addBoth(r.table, ruleKey, at("198.51.100.10:80")))
	before := r.listing()
	must(t, r.table.Begin())
	must(t, r.table.Flush())
	must(t, addBoth(r.table, ruleKey6, at("[2001:db8:3::10]:80")))
	r.reopen(t)
	must(t, r.table.takeStock())
	if diff := cmp.Diff(before, r.listing(), compareAddrs); diff != "" {
		t.Errorf("services (-before +after):\n%s", diff)
	}
	if wrong := r.auditControl(); wrong != nil {
		t.Errorf("%q", wrong)
	}
}

// reopen is another command, in another process: it knows only what is in the maps.
func (r *rig) reopen(t *testing.T) {
	t.Helper()
	next, err := newTable(&r.objects.directorMaps)
	must(t, err)
	must(t, r.table.unmap())
	r.table = next
}

// TestReaderSeesWholeTransactions: while transactions go from one table to another and back, a reader finds
// the one or the other.
func TestReaderSeesWholeTransactions(t *testing.T) {
	r := newRig(t, 64)
	reader, err := newTable(&r.objects.directorMaps)
	must(t, err)
	defer reader.unmap() //nolint:errcheck // only read
	fill := func(weight int32) error {
		err := errors.Join(r.table.Begin(), r.table.Flush())
		for i := range 60 {
			key := ruleKey
			key.Addr = netip.AddrPortFrom(ruleVIP.Addr(), uint16(1000+i+int(weight)))
			err = errors.Join(err, r.table.AddService(with(key, "wlc")))
			for n := range 3 {
				d := lvs.Destination{Addr: realServer(n+int(weight), lvs.IPv4), Forwarding: lvs.Masquerade, Weight: weight}
				err = errors.Join(err, r.table.AddDestination(key, d))
			}
		}
		return errors.Join(err, r.table.Commit())
	}
	must(t, fill(1))
	done := make(chan error, 1)
	go func() {
		var err error
		for i := range 300 {
			err = errors.Join(err, fill(int32(2-i%2)))
		}
		done <- err
	}()
	seen := map[int32]int{}
	for running := true; running; {
		select {
		case err := <-done:
			must(t, err)
			running = false
		default:
		}
		services, err := reader.Services()
		must(t, err)
		weight := int32(0)
		servers := 0
		for _, s := range services {
			for _, d := range s.Destinations {
				if weight == 0 {
					weight = d.Weight
				}
				if d.Weight != weight || int(s.Addr.Port()) < 1000+int(weight) {
					t.Fatalf("a table of weight %d has %+v", weight, s)
				}
				servers++
			}
		}
		if len(services) != 60 || servers != 180 {
			t.Fatalf("%d services and %d servers, want 60 and 180", len(services), servers)
		}
		seen[weight]++
	}
	if seen[1] < 2 || seen[2] < 2 {
		t.Errorf("tables seen by weight: %v: too few to tell", seen)
	}
	if wrong := r.auditControl(); wrong != nil {
		t.Errorf("%q", wrong)
	}
}
