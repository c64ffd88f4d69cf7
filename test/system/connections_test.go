package system

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"drover/internal/lab"
)

// TestParallelConnections holds 200 connections at once: each gets its own answers, ActiveConn counts
// them all while they are held and none afterwards.
func TestParallelConnections(t *testing.T) {
	t.Parallel()
	for _, mode := range []lab.Mode{lab.DR, lab.NAT} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: mode})
			for _, f := range families {
				t.Run(string(f), func(t *testing.T) {
					holdMany(t, &cluster{Lab: c.Lab, t: t}, f, 200)
				})
			}
		})
	}
}

func holdMany(t *testing.T, c *cluster, f lab.Family, connections int) {
	c.balance(f, lab.Servers...)
	service := "-t " + c.vip(f, httpPort)
	sessions := make([]*session, connections)
	err := each(connections, func(i int) (err error) {
		sessions[i], err = c.open(t.Context(), f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	perServer := map[string]int{}
	for _, s := range sessions {
		perServer[s.server]++
	}
	// 200 is no multiple of three, so shares may differ by one.
	for _, rs := range lab.Servers {
		if n := perServer[rs]; n < connections/3 || n > connections/3+1 {
			t.Errorf("connections by server: %v, want a third of %d each", perServer, connections)
		}
	}
	wantCounts := map[string]counts{}
	for rs, n := range perServer {
		wantCounts[c.rip(rs, f, c.serverPort())] = counts{Active: n}
	}
	check(t, "counts while the connections are held", wantCounts, c.listed(service))
	if err := each(connections, func(i int) error { return sessions[i].post(3000) }); err != nil {
		t.Error(err)
	}
	begin := time.Now()
	if err := each(connections, func(i int) error { return sessions[i].conn.Close() }); err != nil {
		t.Error(err)
	}
	eventually(t, 3*time.Second, func() string {
		if n := sum(c.listed(service)); n != (counts{Inactive: connections}) {
			return fmt.Sprintf("after closing: %+v", n)
		}
		return ""
	})
	t.Logf("%d connections held: %v; after closing ActiveConn 0, InActConn %d, within %v",
		connections, perServer, connections, time.Since(begin).Round(time.Millisecond))
}

// each runs n functions at once and joins their errors.
func each(n int, f func(i int) error) error {
	failed := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { failed[i] = f(i) })
	}
	group.Wait()
	return errors.Join(failed...)
}

// openAll opens sessions one after the other, which end with the test.
func (c *cluster) openAll(f lab.Family, n int) []*session {
	c.t.Helper()
	var sessions []*session
	for range n {
		ctx, cancel := context.WithTimeout(c.t.Context(), limit)
		s, err := c.open(ctx, f)
		cancel()
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { s.conn.Close() })
		sessions = append(sessions, s)
	}
	return sessions
}
