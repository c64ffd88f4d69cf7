package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/internal/lab"
)

// loadRate is how many requests a load sends in a second, each on a connection of its own.
const loadRate = 50

// loadTimeout is how long one may take. A SYN that is lost is sent again after a second.
const loadTimeout = 3 * time.Second

// A load asks the VIP from the client, steadily.
type load struct {
	stop func()

	mu       sync.Mutex // protects requests
	requests []request
}

// A request is one that has ended.
type request struct {
	begun  time.Time
	server string // who answered
	err    error
}

// startLoad begins a load, which ends with stop, or with ctx.
func startLoad(ctx context.Context, l *lab.Lab) *load {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	lo := &load{stop: func() {
		cancel()
		asking.Wait()
	}}
	client := &http.Client{Timeout: loadTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			var d net.Dialer
			failed := l.Do(lab.Client, func() error {
				conn, err = d.DialContext(ctx, network, address)
				return err
			})
			return conn, failed
		},
	}}
	url, _ := l.URL(lab.V4, "/")
	asking.Go(func() {
		ticker := time.NewTicker(time.Second / loadRate)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				asking.Go(func() { lo.ask(ctx, client, url) })
			}
		}
	})
	return lo
}

func (l *load) ask(ctx context.Context, client *http.Client, url string) {
	r := request{begun: time.Now()}
	var response *http.Response
	asked, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err == nil {
		response, err = client.Do(asked)
	}
	if err == nil {
		r.server = response.Header.Get(lab.ServerHeader)
		response.Body.Close()
	}
	if ctx.Err() != nil {
		return
	}
	r.err = err
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
}

// A tally counts requests.
type tally struct {
	servers map[string]int // answers of each
	failed  int
	reason  string // of the last failure
}

// between counts the requests that were begun in a span of time.
func (l *load) between(from, to time.Time) tally {
	t := tally{servers: map[string]int{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.requests {
		if r.begun.Before(from) || r.begun.After(to) {
			continue
		}
		if r.err != nil {
			t.failed++
			t.reason = r.err.Error()
			continue
		}
		t.servers[r.server]++
	}
	return t
}

func (t tally) all() int {
	n := t.failed
	for _, answers := range t.servers {
		n += answers
	}
	return n
}

// text gives "rs1 50, rs3 51".
func (t tally) text() string {
	var parts []string
	for server, n := range t.servers {
		parts = append(parts, fmt.Sprintf("%s %d", server, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
