package datapath

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"drover/internal/lvs"
)

// rivalKeys is how many connections TestRivals begins, each from both CPUs in the same moment.
const rivalKeys = 20_000

// TestRivals: two CPUs that begin the same connection at once, and would choose different servers, make
// one connection of it, which is counted once.
func TestRivals(t *testing.T) {
	r := newRig(t, 1<<15)
	r.tune("half_open_max", "100") // no client finishes its handshake
	services := crewServices()[:2] // by direct routing and NAT
	for _, s := range services {
		r.serve(s, "rr")
		for range s.servers { // so that all next hops are known
			r.follow(flow{lvs.TCP, clientOf(lvs.IPv4, 0, 1), s.key.Addr}, flagSYN)
			r.reset(flow{lvs.TCP, clientOf(lvs.IPv4, 0, 1), s.key.Addr})
		}
	}
	r.expireAll()
	must(t, r.table.Zero(nil))
	var arrived atomic.Int64
	r.onTwoCPUs(t, 0, func(w *worker) error {
		defer arrived.Store(4 * rivalKeys) // on an error the other must not wait
		for i := range rivalKeys {
			s := services[i%2]
			f := flow{lvs.TCP, netip.AddrPortFrom(clientOf(lvs.IPv4, 0, 0).Addr(), uint16(i+1024)), s.key.Addr}
			frame := f.frame(frontMAC, flagSYN)
			for arrived.Add(1); arrived.Load() < int64(2*(i+1)); {
				runtime.Gosched()
			}
			if verdict, _, err := w.inject(w.front, frame); err != nil || verdict == xdpPass {
				return fmt.Errorf("connection of %v: verdict %d, %w", f, verdict, err)
			}
		}
		return nil
	}, func() error { return nil })
	began := uint64(0)
	for _, s := range r.listing() {
		began += s.Stats.Conns
	}
	open, err := r.table.Connections()
	must(t, err)
	if began != rivalKeys || len(open) != rivalKeys {
		t.Errorf("%d connections were counted and %d are there, want %d; outcomes %v", began, len(open), rivalKeys, r.outcomes())
	}
	wrong := r.auditCounts()
	r.expireAll()
	if wrong = slices.Concat(wrong, r.auditCounts(), r.auditEmpty()); wrong != nil {
		t.Errorf("%.5q", wrong)
	}
}
