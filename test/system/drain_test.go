package system

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/lab"
)

// TestDrain: open connections of a drained server go on and new ones go elsewhere; at the deadline what is left is
// reset at its client, also where that says nothing.
func TestDrain(t *testing.T) {
	t.Parallel()
	inModes(t, func(c *cluster) {
		for _, f := range families {
			c.drainOne(f)
		}
	})
}

func (c *cluster) drainOne(f lab.Family) {
	c.t.Helper()
	c.balance(f, "rs1", "rs2")
	var open []*session
	for range 6 {
		s, err := c.open(c.t.Context(), f)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { s.conn.Close() })
		open = append(open, s)
	}
	out := c.run(lab.Director, "drover drain "+c.vip(f, 80)+" "+c.rip("rs1", f, c.serverPort())+" --deadline 2s")
	for _, want := range []string{"3 left\n", "0 left\n", "3 reset at the deadline\n", " is drained of "} {
		if !strings.Contains(out, want) {
			c.t.Errorf("%s: %q is not in what drain printed:\n%s", f, want, out)
		}
	}
	for _, s := range open {
		err := s.post(10)
		if s.server == "rs2" && err != nil {
			c.t.Errorf("%s: a connection to the other server: %v", f, err)
		}
		if s.server == "rs1" && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			c.t.Errorf("%s: a connection to the drained server: %v, want a reset", f, err)
		}
	}
	check(c.t, string(f)+": who gets new ones", []string{"rs2"}, c.servers(f, 4))
	_, err := c.try(lab.Director, "drover drain "+c.vip(f, 80)+" "+c.rip("rs2", f, c.serverPort()))
	if err == nil || !strings.Contains(err.Error(), "the last server") {
		c.t.Errorf("%s: draining the last server: %v", f, err)
	}
	c.run(lab.Director, "drover slowstart "+c.vip(f, 80)+" "+c.rip("rs1", f, c.serverPort())+" --weight 2 --over 1s")
	check(c.t, string(f)+": who gets new ones again", []string{"rs1", "rs2"}, c.servers(f, 4))
}

// TestDrainWaits: without a deadline a drain ends when the last connection does; persistent clients move then.
func TestDrainWaits(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Mode: lab.NAT})
	c.balance(lab.V4, "rs1", "rs2")
	c.ipvsadm("-E -s rr -p 300 -t " + c.vip(lab.V4, 80))
	s, err := c.open(t.Context(), lab.V4)
	if err != nil {
		t.Fatal(err)
	}
	other := map[string]string{"rs1": "rs2", "rs2": "rs1"}[s.server]
	drained := make(chan error, 1)
	go func() {
		_, err := c.try(lab.Director, "drover drain "+c.vip(lab.V4, 80)+" "+c.rip(s.server, lab.V4, c.serverPort()))
		drained <- err
	}()
	eventually(t, limit, func() string {
		if strings.Contains(c.ipvsadm("-Ln"), "Masq    0 ") {
			return ""
		}
		return "the drain has not begun"
	})
	check(t, "the client's next connection, while one is open", []string{s.server}, c.servers(lab.V4, 2))
	select {
	case err := <-drained:
		t.Fatalf("it ended while a connection was open: %v", err)
	case <-time.After(2 * time.Second):
	}
	s.conn.Close()
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	eventually(t, 150*time.Second, func() string { // closed ones are there for two minutes
		if strings.Join(c.servers(lab.V4, 1), "") == other {
			return ""
		}
		return "the client has not moved"
	})
}
