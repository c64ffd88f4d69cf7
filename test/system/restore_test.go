package system

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/lab"
)

// TestKillRestore kills restores of 2,000 services with 5 servers each at random moments, under load, and
// beside a loop that lists. A restore is one transaction: whoever lists finds the table before or the table
// after, and the service under load, which is in both, is never without its servers.
func TestKillRestore(t *testing.T) {
	c := newCluster(t, lab.Config{Mode: lab.DR, Family: lab.V4})
	c.balance(lab.V4, lab.Servers...)
	underLoad := strings.Join(c.saved(), "\n") + "\n"
	tables := [2]string{underLoad + manyRules(1), underLoad + manyRules(2)}
	took := c.restore(tables[0])
	check(t, "restored", strings.TrimSpace(tables[0]), strings.Join(c.saved(), "\n"))

	sessions := c.openAll(lab.V4, 20)
	held, release := context.WithCancel(t.Context())
	lost := make(chan error, 1)
	go func() { lost <- hold(held, sessions) }()
	load := c.startLoop(lab.V4, patient)
	var listings atomic.Int32
	mixed := make(chan error, 1)
	go func() { mixed <- c.listWhole(held, tables, &listings) }()

	killed, finished := 0, 0
	for begin, i := time.Now(), 1; time.Since(begin) < stormTime; i++ {
		switch {
		case i%4 == 0: // how long does it take while the others run?
			took = c.restore(tables[i/4%2])
			finished++
		case c.killRestore(tables[i%2], took):
			killed++
		default:
			finished++
		}
	}
	loop := load.end()
	loop.within(t, 0)
	release()
	if err := <-lost; err != nil {
		t.Errorf("long-lived connections: %v", err)
	}
	if err := <-mixed; err != nil {
		t.Error(err)
	}
	if killed < 3 || finished < 1 || listings.Load() < 5 {
		t.Errorf("%d restores killed, %d finished, %d listings: too few to judge by", killed, finished, listings.Load())
	}
	c.restore(tables[0])
	check(t, "restored in the end", strings.TrimSpace(tables[0]), strings.Join(c.saved(), "\n"))
	t.Logf("%d restores killed, %d finished, one takes %v; %d listings; %s", killed, finished,
		took.Round(time.Millisecond), listings.Load(), loop)
}

// manyRules is 2,000 services with 5 servers of one weight each, as ipvsadm -Sn prints them.
func manyRules(weight int) string {
	var rules strings.Builder
	for i := range 2000 {
		service := fmt.Sprintf("-t 203.0.113.%d:%d", 1+i/20, 1000+i%20)
		fmt.Fprintf(&rules, "-A %s -s wlc\n", service)
		for n := range 5 {
			fmt.Fprintf(&rules, "-a %s -r 192.0.2.%d:%d -g -w %d\n", service, 20+n, 1000+i%20, weight)
		}
	}
	return rules.String()
}

// restore replaces the table, and gives the time that it took.
func (c *cluster) restore(rules string) time.Duration {
	c.t.Helper()
	begin := time.Now()
	cmd := c.Command(c.t.Context(), "ipvsadm-restore")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(rules), &out, &out
	if err := c.Start(lab.Director, cmd); err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		c.t.Fatalf("restore: %v: %s", err, out.String())
	}
	return time.Since(begin)
}

// killRestore begins to replace the table and kills that at some moment, unless it is done before.
func (c *cluster) killRestore(rules string, within time.Duration) (killed bool) {
	c.t.Helper()
	cmd := c.Command(c.t.Context(), "ipvsadm-restore")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(rules), &stderr
	if err := c.Start(lab.Director, cmd); err != nil {
		c.t.Fatal(err)
	}
	timer := time.AfterFunc(rand.N(within), func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // the state tells how it ended
	if !cmd.ProcessState.Success() && cmd.ProcessState.Exited() {
		c.t.Errorf("restore: %v: %s", cmd.ProcessState, stderr.String())
	}
	return !cmd.ProcessState.Exited()
}

// listWhole lists until ctx ends. Each listing is one of the tables.
func (c *cluster) listWhole(ctx context.Context, tables [2]string, listings *atomic.Int32) error {
	for ctx.Err() == nil {
		out, err := c.try(lab.Director, "ipvsadm -Sn")
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if out != tables[0] && out != tables[1] {
			return fmt.Errorf("a listing of %d lines, %d of weight 1 and %d of weight 2, is neither table",
				strings.Count(out, "\n"), strings.Count(out, "-w 1\n"), strings.Count(out, "-w 2\n"))
		}
		listings.Add(1)
	}
	return nil
}
