package vrrp

import (
	"testing"
	"time"
)

// TestGroup: either all members are MASTER or none.
func TestGroup(t *testing.T) {
	t.Parallel()
	settings := Settings{Version: 3, Priority: 100, Interval: 100 * time.Millisecond, DownAdverts: 3, Source: addr("192.0.2.1")}
	now := dawn
	a, b := NewMachine(settings), NewMachine(settings)
	g := NewGroup(a, b)
	drive := func(d time.Duration, each func()) {
		for end := now.Add(d); now.Before(end); now = now.Add(time.Millisecond) {
			each()
			a.Tick(now)
			b.Tick(now)
		}
	}
	expect := func(what string, want State) {
		t.Helper()
		if a.State() != want || b.State() != want || g.State() != want {
			t.Fatalf("%s: %s and %s, the group %s; want %s", what, a.State(), b.State(), g.State(), want)
		}
	}
	advert := &Advert{Version: 3, Priority: 200, Interval: settings.Interval}
	a.Begin(now)
	b.Begin(now)
	n := 0
	drive(2*time.Second, func() {
		if n++; n%50 == 0 { // somebody is MASTER for b alone
			b.Hear(now, advert, addr("192.0.2.2"))
		}
	})
	expect("one would, the other not", Backup)
	drive(time.Second, func() {})
	expect("both would", Master)
	a.Take()
	b.Take()
	b.Hear(now, advert, addr("192.0.2.2"))
	expect("one has to give way", Backup)
	if acts := a.Take(); len(acts) != 2 || acts[0].Kind != Send || acts[0].Priority != 0 {
		t.Errorf("the other does %+v, want an advert of priority 0 first", acts)
	}
	drive(time.Second, func() {})
	expect("both would, again", Master)
	a.SetFault(now, true, "eth0 is down")
	expect("one has a fault", Failed)
	drive(time.Second, func() {})
	expect("it lasts", Failed)
	a.SetFault(now, false, "eth0 is up")
	expect("it is over", Backup)
	drive(time.Second, func() {})
	expect("both would, once more", Master)
}
