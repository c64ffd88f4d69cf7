package datapath

import (
	"net/netip"
	"testing"

	"drover/internal/lvs"
)

// TestThresholds follows a server's overload through its connections: it takes none from the upper threshold on,
// and again below the lower one, or below three quarters of the upper.
func TestThresholds(t *testing.T) {
	for _, test := range []struct {
		name         string
		upper, lower uint32
		again        int // connections with which it takes new ones
	}{
		{"upper alone", 8, 0, 5},
		{"upper and lower", 8, 3, 2},
		{"both the same", 4, 4, 3},
		{"one", 1, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, 4096)
			l := limited{rig: r, vip: netip.MustParseAddrPort("192.0.2.100:80")}
			k := lvs.ServiceKey{Protocol: lvs.TCP, Addr: l.vip, Family: lvs.IPv4}
			server := lvs.Destination{
				Addr: netip.MustParseAddrPort("198.51.100.2:80"), Forwarding: lvs.DirectRoute, Weight: 1,
				Upper: test.upper, Lower: test.lower,
			}
			r.addService(k, server)
			for l.open = range int(test.upper) {
				if !l.connect() {
					t.Fatalf("refused with %d connections, upper threshold %d", l.open, test.upper)
				}
			}
			l.open = int(test.upper)
			if l.connect() {
				t.Fatalf("it took one more than its upper threshold, %d", test.upper)
			}
			for ; l.open > 0; l.open-- {
				l.end()
				if took, want := l.connect(), l.open-1 <= test.again; took != want {
					t.Fatalf("with %d connections left: took another: %t, want %t", l.open-1, took, want)
				} else if took {
					return
				}
			}
		})
	}
}

// limited opens connections, and ends them in the same order.
type limited struct {
	*rig
	vip         netip.AddrPort
	open        int
	last, ended uint16
}

func (l *limited) flow(n uint16) flow {
	return flow{lvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), 1024+n), l.vip}
}

func (l *limited) connect() bool {
	_, ok := l.rig.connect(l.flow(l.last))
	if ok {
		l.establish(l.flow(l.last))
		l.last++
	}
	return ok
}

func (l *limited) end() {
	l.reset(l.flow(l.ended))
	l.ended++
	l.turn(11_000)
	for range 3 {
		l.turn(1)
	}
}

// TestThresholdEdited: who has his threshold raised or taken away takes connections at once.
func TestThresholdEdited(t *testing.T) {
	for _, test := range []struct {
		name  string
		upper uint32
		takes bool
	}{{"the same", 2, false}, {"raised", 3, true}, {"none", 0, true}, {"lowered", 1, false}} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, 4096)
			l := limited{rig: r, vip: netip.MustParseAddrPort("192.0.2.100:80")}
			k := lvs.ServiceKey{Protocol: lvs.TCP, Addr: l.vip, Family: lvs.IPv4}
			server := lvs.Destination{Addr: netip.MustParseAddrPort("198.51.100.2:80"), Weight: 1, Upper: 2}
			server.Forwarding = lvs.DirectRoute
			r.addService(k, server)
			for range 2 {
				l.connect()
			}
			server.Upper = test.upper
			must(t, r.table.EditDestination(k, server))
			if got := l.connect(); got != test.takes {
				t.Errorf("it takes another connection: %t, want %t", got, test.takes)
			}
		})
	}
}
