package vrrp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A segment carries datagrams between its ends at once.
type segment struct {
	mu   sync.Mutex
	ends []*end
}

// An end is a Conn.
type end struct {
	*segment
	address netip.Addr
	queue   chan *Datagram
	cut     bool
	closed  chan struct{}
}

func (s *segment) end(address netip.Addr) *end {
	e := &end{segment: s, address: address, queue: make(chan *Datagram, 100), closed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, e)
	return e
}

func (e *end) Join(netip.Addr) error { return nil }

func (e *end) Send(payload []byte, source, to netip.Addr) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range e.ends {
		if other != e && !e.cut && !other.cut && (to.IsMulticast() || to == other.address) {
			select {
			case other.queue <- &Datagram{At: time.Now(), Source: source, Destination: to, TTL: 255, Payload: slices.Clone(payload)}:
			default:
			}
		}
	}
	return nil
}

func (e *end) Receive() (*Datagram, error) {
	select {
	case d := <-e.queue:
		return d, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

func (e *end) Close() error { close(e.closed); return nil }

// A host is a runner at a segment, with what it said.
type host struct {
	*Runner
	end    *end
	stop   func()
	name   string
	events *[]string
}

func newHost(s *segment, name string, n byte, begin time.Time, events *[]string) *host {
	h := &host{name: name, events: events, end: s.end(netip.AddrFrom4([4]byte{192, 0, 2, n}))}
	note := func(format string, args ...any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		*events = append(*events, fmt.Sprintf("%d %s ", time.Since(begin).Milliseconds(), name)+fmt.Sprintf(format, args...))
	}
	h.Runner = NewRunner(Options{
		Open:  func(string, bool) (Conn, error) { return h.end, nil },
		Own:   func(string, bool) {},
		Again: func(name string) { note("%s again", name) },
		Tell:  func(c Change) { note("%s %s", c.Name, c.To) },
		Log:   func(_, text string) { note("%s", text) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { h.Run(ctx); close(ended) }()
	h.stop = func() { cancel(); <-ended }
	return h
}

func (h *host) set(instances ...Instance) {
	h.Set(instances, map[string]Link{"eth0": {Up: true, Four: h.end.address}})
}

func instance(priority int) Instance {
	return Instance{
		Name: "VI_1", Interface: "eth0", Group: addr("224.0.0.18"),
		Settings: Settings{Version: 2, Priority: priority, Interval: time.Second, DownAdverts: 3},
		Expected: Expected{VRID: 51, Addresses: []netip.Addr{addr("192.0.2.100")}},
	}
}

// live has two hosts live through something, and compares what they said.
func live(t *testing.T, want string, what func(high, low *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var events []string
		s := &segment{}
		begin := time.Now()
		high, low := newHost(s, "high", 1, begin, &events), newHost(s, "low", 2, begin, &events)
		high.set(instance(150))
		low.set(instance(100))
		what(high, low)
		high.stop()
		low.stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		if diff := cmp.Diff(strings.TrimSpace(want), strings.Join(events, "\n")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

const elected = "0 high VI_1 BACKUP\n0 low VI_1 BACKUP\n3414 high VI_1 MASTER\n"

func TestElection(t *testing.T) {
	t.Parallel()
	t.Run("stopped", func(t *testing.T) {
		live(t, elected+"10000 high VI_1 INIT\n10609 low VI_1 MASTER\n20000 low VI_1 INIT", func(high, _ *host) {
			time.Sleep(10 * time.Second)
			high.stop()
			time.Sleep(10 * time.Second)
		})
	})
	t.Run("cut off", func(t *testing.T) {
		want := elected + "12023 low VI_1 MASTER\n" +
			"20023 high 192.0.2.2 says that it is MASTER, with priority 100; ours is 150\n20023 high VI_1 again\n" +
			"20023 low 192.0.2.1 says that it is MASTER, with priority 150; ours is 100\n20023 low VI_1 BACKUP\n" +
			"25000 high VI_1 INIT\n25000 low VI_1 INIT"
		live(t, want, func(high, _ *host) {
			time.Sleep(9 * time.Second) // the last advert was at 8414
			high.end.mu.Lock()
			high.end.cut = true
			high.end.mu.Unlock()
			time.Sleep(11 * time.Second)
			high.end.mu.Lock()
			high.end.cut = false
			high.end.mu.Unlock()
			time.Sleep(5 * time.Second)
		})
	})
	t.Run("interface down and up", func(t *testing.T) {
		want := elected + "10000 high VI_1 FAULT\n10609 low VI_1 MASTER\n15000 high VI_1 BACKUP\n" +
			"18414 high VI_1 MASTER\n18414 low 192.0.2.1 says that it is MASTER, with priority 150; ours is 100\n18414 low VI_1 BACKUP\n" +
			"20000 high VI_1 INIT\n20000 low VI_1 INIT"
		live(t, want, func(high, _ *host) {
			time.Sleep(10 * time.Second)
			high.SetTracked("VI_1", 150, map[string]string{"eth1": "eth1 is down"})
			time.Sleep(5 * time.Second)
			high.SetTracked("VI_1", 150, nil)
			time.Sleep(5 * time.Second)
		})
	})
}

// TestReload: a backup's timer does not begin anew, whatever is changed beside it.
func TestReload(t *testing.T) {
	t.Parallel()
	want := elected + "11023 low VI_1 MASTER\n15000 low VI_2 INIT\n15000 low VI_1 INIT"
	want = strings.Replace(want, "3414 high", "2000 low VI_2 BACKUP\n3414 high", 1)
	want = strings.Replace(want, "11023", "5609 low VI_2 MASTER\n5609 high eth0: an advert of virtual router 52 from 192.0.2.2, which is not ours\n11023", 1)
	live(t, want, func(high, low *host) {
		second := instance(100)
		second.Name, second.VRID = "VI_2", 52
		time.Sleep(2 * time.Second)
		low.set(second, instance(100))
		time.Sleep(6 * time.Second)
		high.end.mu.Lock()
		high.end.cut = true
		high.end.mu.Unlock()
		for range 7 {
			time.Sleep(time.Second)
			low.set(second, instance(100))
		}
		high.Runner.do(func() { high.routers = nil }) // says nothing at its end
	})
}
