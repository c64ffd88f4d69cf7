package datapath

import (
	"errors"
	"net/netip"
	"testing"

	"drover/internal/lvs"
)

// TestReaderSeesWholeLists: a transaction that changes one service alone moves no epoch; who reads the
// service meanwhile has all of its servers as they were, or all as they are.
func TestReaderSeesWholeLists(t *testing.T) {
	r := newRig(t, 64)
	reader, err := newTable(&r.objects.directorMaps)
	must(t, err)
	defer reader.unmap() //nolint:errcheck // only read
	must(t, r.table.AddService(with(ruleKey, "wlc")))
	const servers = 100
	weigh := func(weight int32, change func(lvs.ServiceKey, lvs.Destination) error) error {
		err := r.table.Begin()
		for n := range servers {
			addr := netip.AddrPortFrom(realServer(n, lvs.IPv4).Addr(), 80)
			err = errors.Join(err, change(ruleKey, lvs.Destination{Addr: addr, Forwarding: lvs.Masquerade, Weight: weight}))
		}
		return errors.Join(err, r.table.Commit())
	}
	must(t, weigh(1, r.table.AddDestination))
	// Three changes, and then the reader gets a list: so it meets them, and both weights in turn.
	const bursts, changes = 200, 3
	done, read := make(chan error, 1), make(chan struct{}, 1)
	go func() {
		var err error
		for i := range bursts * changes {
			if i%changes == 0 {
				<-read
			}
			err = errors.Join(err, weigh(int32(2-i%2), r.table.EditDestination))
		}
		done <- err
	}()
	seen, mixed := map[int32]int{}, 0
	for running := true; running; {
		select {
		case err := <-done:
			must(t, err)
			running = false
		default:
		}
		service, err := reader.Service(ruleKey)
		if err != nil || len(service.Destinations) != servers {
			t.Fatalf("%d servers, %v", len(service.Destinations), err)
		}
		weight := service.Destinations[0].Weight
		for _, d := range service.Destinations {
			if d.Weight != weight {
				mixed++
				break
			}
		}
		seen[weight]++
		select {
		case read <- struct{}{}:
		default:
		}
	}
	if mixed > 0 || seen[1] < 2 || seen[2] < 2 {
		t.Errorf("%d lists of old and new weights; lists seen by weight: %v", mixed, seen)
	}
}
