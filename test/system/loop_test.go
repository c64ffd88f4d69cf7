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

// loopInterval lies between two requests of a loop: 100 a second.
const loopInterval = 10 * time.Millisecond

// How long a request of a loop may take. With strict a lost packet fails its request, because TCP sends
// it again only after a second; with patient only a lost connection does.
const (
	strict  = time.Second
	patient = 5 * time.Second
)

// A loop sends requests through a VIP, each on a connection of its own.
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
func (c *cluster) startLoop(f lab.Family, timeout time.Duration) *loop {
	return c.startLoopOf(f, c.client(timeout))
}

// startLoopOf does it for a client of one's own.
func (c *cluster) startLoopOf(f lab.Family, client *http.Client) *loop {
	ctx, stop := context.WithCancel(c.t.Context())
	l := &loop{
		url: c.url(f, "/"), client: client,
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

// lost is the part of the loop's time whose requests failed. On a busy machine there are fewer of them.
func (r report) lost() time.Duration {
	return time.Duration(float64(r.lasted) * float64(len(r.failures)) / float64(max(1, r.requests)))
}

// within fails the test if the loop lost more than so much of its time, or did not really run.
func (r report) within(t *testing.T, most time.Duration) {
	t.Helper()
	if least := int(r.lasted / loopInterval / 4); r.requests < least {
		t.Errorf("%d requests in %v, want %d: too few to judge by", r.requests, r.lasted, least)
	}
	if r.lost() > most {
		t.Errorf("%s; want %v at most", r, most)
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
	return fmt.Sprintf("%d requests, %d failed, which is %v of the time; sent within %v",
		r.requests, len(r.failures), r.lost().Round(time.Millisecond),
		(last.sent - first.sent + loopInterval).Round(time.Millisecond))
}
