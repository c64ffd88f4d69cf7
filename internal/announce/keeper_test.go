package announce

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A fakeKernel notes what is asked of it.
type fakeKernel struct {
	mu    sync.Mutex
	begin time.Time
	notes []string
	has   map[string]bool
	fails string // what contains it fails
}

func (k *fakeKernel) note(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	at := fmt.Sprintf("%.1f ", time.Since(k.begin).Seconds())
	if k.fails != "" && strings.Contains(text, k.fails) {
		k.notes = append(k.notes, at+text+": failed")
		return errors.New(text + ": no such device")
	}
	k.notes = append(k.notes, at+text)
	return nil
}

func (k *fakeKernel) Add(a Address) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := a.Prefix.String()
	if k.has[name] {
		return false, nil
	}
	if err := k.note("add %s", name); err != nil {
		return false, err
	}
	k.has[name] = true
	return true, nil
}

func (k *fakeKernel) Delete(a Address) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.has, a.Prefix.String())
	return k.note("delete %s", a.Prefix)
}

func (k *fakeKernel) Route(words []string, add bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.note("route %v %v", add, words)
}

func (k *fakeKernel) Rule(words []string, add bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.note("rule %v %v", add, words)
}

func (k *fakeKernel) Announce(a Address) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.note("announce %s", a.Prefix)
}

// kept runs a keeper through something, and gives what it did.
func kept(t *testing.T, what func(*Keeper, *fakeKernel)) (notes string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		kernel := &fakeKernel{begin: time.Now(), has: map[string]bool{}}
		k := NewKeeper(Options{
			Kernel: kernel,
			Owned: func(h *Holding, own bool) {
				kernel.mu.Lock()
				defer kernel.mu.Unlock()
				kernel.notes = append(kernel.notes, fmt.Sprint(h.Name, " ", own))
			},
			Log: func(text string) {
				kernel.mu.Lock()
				defer kernel.mu.Unlock()
				kernel.notes = append(kernel.notes, "log "+text)
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.Run(ctx) })
		what(k, kernel)
		synctest.Wait()
		cancel()
		running.Wait()
		notes = strings.Join(kernel.notes, "\n")
	})
	return notes
}

var vip = Address{Prefix: netip.MustParsePrefix("192.0.2.100/32"), Device: "eth0"}

func holding() Holding {
	return Holding{Name: "VI_1", Addresses: []Address{vip}, Routes: [][]string{{"default"}}, Timing: Timing{Repeat: 2, Delay: 5 * time.Second, LowerRepeat: 1}}
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	const left = "route false [default]\n0.0 delete 192.0.2.100/32\nVI_1 false\n"
	const entered = "VI_1 true\n1.5 add 192.0.2.100/32\n1.5 route true [default]\n1.5 announce 192.0.2.100/32\n1.5 announce 192.0.2.100/32\n"
	wait := func(s float64) { time.Sleep(time.Duration(s * float64(time.Second))) }
	for _, c := range []struct {
		name, want string
		what       func(*Keeper, *fakeKernel)
	}{
		{"what an earlier process left goes", "0.0 " + left[:len(left)-1], func(k *Keeper, _ *fakeKernel) {
			k.Set([]Holding{holding()})
			wait(3)
		}},
		{
			"it comes, is told twice, and goes", "0.0 " + left + entered + "6.5 announce 192.0.2.100/32\n6.5 announce 192.0.2.100/32\n" +
				"8.5 route false [default]\n8.5 delete 192.0.2.100/32\nVI_1 false",
			func(k *Keeper, _ *fakeKernel) {
				k.Set([]Holding{holding()})
				wait(1.5)
				k.Own("VI_1", true)
				wait(7)
				k.Own("VI_1", false)
				wait(3)
			},
		},
		{
			"the end", "0.0 " + left + entered + "2.0 route false [default]\n2.0 delete 192.0.2.100/32\nVI_1 false",
			func(k *Keeper, _ *fakeKernel) {
				k.Set([]Holding{holding()})
				wait(1.5)
				k.Own("VI_1", true)
				wait(0.5)
			},
		},
		{
			"another one says that it is his", "0.0 " + left + entered + "2.0 announce 192.0.2.100/32\n" +
				"2.0 route false [default]\n2.0 delete 192.0.2.100/32\nVI_1 false",
			func(k *Keeper, _ *fakeKernel) {
				k.Set([]Holding{holding()})
				wait(1.5)
				k.Own("VI_1", true)
				wait(0.5)
				k.Again("VI_1")
			},
		},
		{
			"somebody takes an address away", "0.0 " + left + entered +
				"2.5 add 192.0.2.100/32\n2.5 route true [default]\n2.5 announce 192.0.2.100/32\n2.5 announce 192.0.2.100/32\n" +
				"3.0 route false [default]\n3.0 delete 192.0.2.100/32\nVI_1 false",
			func(k *Keeper, kernel *fakeKernel) {
				k.Set([]Holding{holding()})
				wait(1.5)
				k.Own("VI_1", true)
				wait(0.5)
				kernel.mu.Lock()
				clear(kernel.has)
				kernel.mu.Unlock()
				wait(1)
			},
		},
		{
			"what fails is tried again, and told once", "0.0 " + left + "VI_1 true\n1.5 add 192.0.2.100/32\n1.5 route true [default]: failed\n" +
				"log VI_1: route true [default]: no such device\n1.5 announce 192.0.2.100/32\n1.5 announce 192.0.2.100/32\n" +
				"VI_1 true\n2.5 route true [default]: failed\nVI_1 true\n3.5 route true [default]\n" +
				"4.0 route false [default]\n4.0 delete 192.0.2.100/32\nVI_1 false",
			func(k *Keeper, kernel *fakeKernel) {
				k.Set([]Holding{holding()})
				wait(1.5)
				kernel.mu.Lock()
				kernel.fails = "route true"
				kernel.mu.Unlock()
				k.Own("VI_1", true)
				wait(1.5)
				kernel.mu.Lock()
				kernel.fails = ""
				kernel.mu.Unlock()
				wait(1)
			},
		},
		{
			"who is told has forgotten", "0.0 " + left + entered + "VI_1 true\n" +
				"2.0 route false [default]\n2.0 delete 192.0.2.100/32\nVI_1 false",
			func(k *Keeper, _ *fakeKernel) {
				k.Set([]Holding{holding()})
				wait(1.5)
				k.Own("VI_1", true)
				wait(0.5)
				k.Refresh()
			},
		},
		{
			"a reload with another address, while it is here", "0.0 " + left + entered +
				"2.0 delete 192.0.2.100/32\nVI_1 true\n2.0 add 192.0.2.101/32\n2.0 route true [default]\n" +
				"2.0 announce 192.0.2.101/32\n2.0 announce 192.0.2.101/32\n3.0 route false [default]\n3.0 delete 192.0.2.101/32\nVI_1 false",
			func(k *Keeper, _ *fakeKernel) {
				k.Set([]Holding{holding()})
				wait(1.5)
				k.Own("VI_1", true)
				wait(0.5)
				h := holding()
				h.Addresses = slices.Clone(h.Addresses)
				h.Addresses[0].Prefix = netip.MustParsePrefix("192.0.2.101/32")
				k.Set([]Holding{h})
				wait(1)
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, kept(t, c.what)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
