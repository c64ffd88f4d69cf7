package system

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/lab"
)

// streamSize is more than the windows of both ends take in, so that a transfer which nobody reads is
// still under way.
const streamSize = 32 * megabyte

// TestServerLoss takes rs1 away in the middle of transfers, in the two ways that servers go.
func TestServerLoss(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		mode lab.Mode
		lose func(*testing.T, *cluster, []*stream)
	}{
		{"killed, DR", lab.DR, killServer},
		{"killed, NAT", lab.NAT, killServer},
		{"deleted, DR", lab.DR, deleteServer},
		{"deleted, NAT", lab.NAT, deleteServer},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: row.mode, Family: lab.V4})
			c.balance(lab.V4, lab.Servers...)
			var streams []*stream
			for range lab.Servers { // round robin: one of each
				s, err := c.stream(lab.V4, streamSize)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.conn.Close() })
				streams = append(streams, s)
			}
			row.lose(t, c, streams)
		})
	}
}

// split gives the stream of rs1, and the others.
func split(t *testing.T, streams []*stream) (lost *stream, others []*stream) {
	t.Helper()
	for _, s := range streams {
		if s.server == "rs1" {
			lost = s
		} else {
			others = append(others, s)
		}
	}
	if lost == nil || len(others) != 2 {
		t.Fatalf("%d streams, none from rs1 or too few from others", len(streams))
	}
	return lost, others
}

// finish reads streams to their ends and compares what came.
func finish(t *testing.T, streams []*stream) {
	t.Helper()
	for _, s := range streams {
		if err := s.drain(limit); err != nil {
			t.Errorf("transfer from %s: %v", s.server, err)
		}
	}
}

// killServer kills the process: its kernel ends the connection, and refuses new ones as long as the
// server is in the table. That is all that ip_vs knows of it.
func killServer(t *testing.T, c *cluster, streams []*stream) {
	lost, others := split(t, streams)
	for _, p := range c.Status().Processes {
		if p.Node == "rs1" {
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin := time.Now()
	err := lost.drain(5 * time.Second)
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("transfer from the killed server: %v, want its end", err)
	}
	ended := time.Since(begin)
	finish(t, others)

	refused := 0
	for range 6 {
		_, _, err := c.ask(http.MethodGet, c.url(lab.V4, "/"), nil)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			refused++
		case err != nil:
			t.Errorf("new connection: %v", err)
		}
	}
	check(t, "new connections that rs1 refused, of 6", 2, refused)
	c.deleteServer(lab.V4, "rs1")
	check(t, "servers after -d", []string{"rs2", "rs3"}, c.servers(lab.V4, 6))
	t.Logf("the client saw the end after %v; the others went on", ended.Round(time.Millisecond))
}

// deleteServer deletes the server from the service. Its connection is not ended: its packets are
// dropped (expire_nodest_conn=0) until the server comes back from the trash.
func deleteServer(t *testing.T, c *cluster, streams []*stream) {
	lost, others := split(t, streams)
	c.deleteServer(lab.V4, "rs1")
	if err := lost.drain(1500 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("transfer from the deleted server, at %d of %d bytes: %v, want silence", lost.got, lost.size, err)
	}
	finish(t, others)
	check(t, "servers after -d", []string{"rs2", "rs3"}, c.servers(lab.V4, 6))
	if dropped := c.counter("drop", "server_gone"); dropped == 0 {
		t.Error("no packet was counted as dropped for its server's absence")
	}
	if listing := c.ipvsadm("-Lnc"); !strings.Contains(listing, c.rip("rs1", lab.V4, c.serverPort())) {
		t.Errorf("the connection is not listed any more:\n%s", listing)
	}
	got := lost.got
	c.addServer(lab.V4, "rs1")
	begin := time.Now()
	finish(t, []*stream{lost})
	t.Logf("silent at %.1f of %d MB; after -a the transfer ended well, %v later",
		float64(got)/megabyte, lost.size/megabyte, time.Since(begin).Round(time.Millisecond))
}

// counter reads one of the data path's counters.
func (c *cluster) counter(verdict, name string) uint64 {
	c.t.Helper()
	for _, n := range c.status().Counters {
		if n.Verdict == verdict && n.Name == name {
			return n.Value
		}
	}
	c.t.Fatalf("no counter %s %s", verdict, name)
	return 0
}
