package system

import (
	"context"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/datapath"
	"drover/internal/lab"
)

// limit bounds every single command and request of a test.
const limit = 30 * time.Second

var labsMade atomic.Int32

// cluster is a lab of one test.
type cluster struct {
	*lab.Lab
	t *testing.T
}

// newCluster makes a lab that is gone after the test.
func newCluster(t *testing.T, cfg lab.Config) *cluster {
	t.Helper()
	cfg.Name = labPrefix() + strconv.Itoa(int(labsMade.Add(1)))
	cfg.Program = program
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	l, err := lab.Up(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return &cluster{Lab: l, t: t}
}

// inModes runs a test in a cluster of each forwarding mode.
func inModes(t *testing.T, test func(*cluster)) {
	for _, mode := range []lab.Mode{lab.DR, lab.NAT, lab.TUN} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			test(newCluster(t, lab.Config{Mode: mode}))
		})
	}
}

// try runs a command line in a node.
func (c *cluster) try(node, line string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	out, err := c.Exec(ctx, node, strings.Fields(line)...)
	return string(out), err
}

// run is try where nothing may go wrong.
func (c *cluster) run(node, line string) string {
	c.t.Helper()
	out, err := c.try(node, line)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// ipvsadm types ipvsadm on the director.
func (c *cluster) ipvsadm(arguments string) string {
	c.t.Helper()
	return c.run(lab.Director, "ipvsadm "+arguments)
}

// vip is the address that clients ask, with a port.
func (c *cluster) vip(f lab.Family, port uint16) string {
	return netip.AddrPortFrom(c.Topology.VIP(f), port).String()
}

// rip is the address of a real server, with a port.
func (c *cluster) rip(server string, f lab.Family, port uint16) string {
	return netip.AddrPortFrom(c.Topology.Addr(server, f), port).String()
}

// serverPort is where the servers of a service on port 80 are asked: NAT maps ports, DR cannot.
func (c *cluster) serverPort() uint16 {
	if c.Config.Mode == lab.NAT {
		return 8080
	}
	return 80
}

// how is ipvsadm's option for the lab's forwarding.
func (c *cluster) how() string {
	switch c.Config.Mode {
	case lab.NAT:
		return "-m"
	case lab.TUN:
		return "-i"
	}
	return "-g"
}

// balance makes an HTTP service on port 80 of the family's VIP, with servers.
func (c *cluster) balance(f lab.Family, servers ...string) {
	c.t.Helper()
	c.ipvsadm("-A -s rr -t " + c.vip(f, 80))
	for _, rs := range servers {
		c.addServer(f, rs)
	}
}

func (c *cluster) addServer(f lab.Family, server string) {
	c.t.Helper()
	c.ipvsadm("-a -t " + c.vip(f, 80) + " -r " + c.rip(server, f, c.serverPort()) + " " + c.how())
}

func (c *cluster) deleteServer(f lab.Family, server string) {
	c.t.Helper()
	c.ipvsadm("-d -t " + c.vip(f, 80) + " -r " + c.rip(server, f, c.serverPort()))
}

// counts are the connections of one service, or of one server.
type counts struct{ Active, Inactive int }

// listed reads ActiveConn and InActConn of each server of a service from ipvsadm's listing.
func (c *cluster) listed(service string) map[string]counts {
	c.t.Helper()
	servers := map[string]counts{}
	for line := range strings.Lines(c.ipvsadm("-Ln " + service)) {
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[0] != "->" {
			continue
		}
		active, errActive := strconv.Atoi(fields[4])
		inactive, errInactive := strconv.Atoi(fields[5])
		if errActive == nil && errInactive == nil { // not the headings
			servers[fields[1]] = counts{active, inactive}
		}
	}
	return servers
}

// sum adds the servers' counts up.
func sum(servers map[string]counts) counts {
	var all counts
	for _, n := range servers {
		all.Active += n.Active
		all.Inactive += n.Inactive
	}
	return all
}

// pinFolders are the folders of data paths in the run folder, one for each network namespace.
func pinFolders(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(runFolder, "bpf", "[0-9]*"))
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// eventually polls until there is nothing to complain about any more.
func eventually(t *testing.T, within time.Duration, complaint func() string) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		text := complaint()
		if text == "" {
			return time.Since(begin)
		}
		if time.Since(begin) > within {
			t.Fatalf("after %v: %s", within, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// wait lets a duration pass that is itself part of a test, as a link's down time is.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-time.After(d):
	}
}

func check(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// serverNames are names of real servers, sorted, each once.
func serverNames(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// status reads the data path of the director.
func (c *cluster) status() datapath.Status {
	c.t.Helper()
	var s datapath.Status
	if err := json.Unmarshal([]byte(c.run(lab.Director, "drover datapath status --json")), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}
