package system

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/lab"
)

// A loop sends 100 requests a second through a VIP, each on a connection of its own and with a second
// to be answered. A lost packet fails its request: TCP would send it again only after a second.
const (
	loopInterval = 10 * time.Millisecond
	loopTimeout  = time.Second
)

type loop struct {
	url    string
	client *http.Client
	begin  time.Time
	stop   context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex // protects what follows
	requests int
	failures []failure
}

// A failure is a request without the answer of a server.
type failure struct {
	sent time.Duration // after the loop's begin
	err  error
}

// startLoop begins a loop, which ends with end, or with the test.
func (c *cluster) startLoop(f lab.Family) *loop {
	ctx, stop := context.WithCancel(c.t.Context())
	l := &loop{
		url: c.url(f, "/"), client: c.client(loopTimeout),
		begin: time.Now(), stop: stop, ended: make(chan struct{}),
	}
	go l.run(ctx)
	c.t.Cleanup(func() {
		stop()
		<-l.ended
	})
	return l
}

func (l *loop) run(ctx context.Context) {
	defer close(l.ended)
	var group sync.WaitGroup
	defer group.Wait()
	ticks := time.NewTicker(loopInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			group.Go(l.request)
		}
	}
}

func (l *loop) request() {
	sent := time.Since(l.begin)
	err := l.ask()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if err != nil {
		l.failures = append(l.failures, failure{sent, err})
	}
}

func (l *loop) ask() error {
	response, err := l.client.Get(l.url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if server, _, _ := strings.Cut(string(body), ":"); !slices.Contains(lab.Servers, server) {
		return fmt.Errorf("%s: %q", response.Status, body)
	}
	return nil
}

// A report is what a loop came to.
type report struct {
	requests int
	failures []failure // in the order in which they were sent
	lasted   time.Duration
}

// end stops the loop and waits for the last answers.
func (l *loop) end() report {
	lasted := time.Since(l.begin)
	l.stop()
	<-l.ended
	slices.SortFunc(l.failures, func(a, b failure) int { return int(a.sent - b.sent) })
	return report{l.requests, l.failures, lasted}
}

// failedSince counts the requests that were sent after a moment and have failed by now.
func (l *loop) failedSince(moment time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, f := range l.failures {
		if l.begin.Add(f.sent).After(moment) {
			n++
		}
	}
	return n
}

// within fails the test if the loop lost more than so much of its time, or did not really run.
func (r report) within(t *testing.T, loss time.Duration) {
	t.Helper()
	if least := int(r.lasted / loopInterval * 9 / 10); r.requests < least {
		t.Errorf("%d requests in %v, want %d: too few to judge by", r.requests, r.lasted, least)
	}
	if most := int(loss / loopInterval); len(r.failures) > most {
		t.Errorf("%s; want %d failures at most", r, most)
		for _, f := range r.failures[:min(5, len(r.failures))] {
			t.Errorf("sent at %v: %v", f.sent.Round(time.Millisecond), f.err)
		}
	}
}

// String tells how many requests failed, and over what time.
func (r report) String() string {
	if len(r.failures) == 0 {
		return fmt.Sprintf("%d requests, none failed", r.requests)
	}
	first, last := r.failures[0], r.failures[len(r.failures)-1]
	return fmt.Sprintf("%d requests, %d failed, sent within %v",
		r.requests, len(r.failures), (last.sent - first.sent + loopInterval).Round(time.Millisecond))
}
