package system

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"drover/internal/datapath"
	"drover/internal/lab"
)

// A twin is one of two machines that are director and server at once.
type twin struct {
	*cluster
	node string
}

func (w twin) run(line string) string { w.t.Helper(); return w.cluster.run(w.node, line) }

// counted reads a counter of its data path.
func (w twin) counted(name string) uint64 {
	w.t.Helper()
	var s datapath.Status
	if err := json.Unmarshal([]byte(w.run("drover datapath status --json")), &s); err != nil {
		w.t.Fatal(err)
	}
	var n uint64
	for _, c := range s.Counters {
		if c.Name == name {
			n += c.Value
		}
	}
	return n
}

// streamFrom opens downloads until one is a server's. Their ports are of a range that no request has: a director
// that knows a port from an earlier request would take the download to the server of that one.
func (c *cluster) streamFrom(f lab.Family, server string) *stream {
	c.t.Helper()
	setRange := func(ports string) {
		if _, err := c.Exec(c.t.Context(), lab.Client, "sysctl", "-w", "net.ipv4.ip_local_port_range="+ports); err != nil {
			c.t.Fatal(err)
		}
	}
	before := strings.TrimSpace(c.run(lab.Client, "sysctl -n net.ipv4.ip_local_port_range"))
	setRange("20000 29999")
	defer setRange(before)
	for {
		s, err := c.stream(f, 4*megabyte)
		if err != nil {
			c.t.Fatal(err)
		}
		if s.server == server {
			c.t.Cleanup(func() { s.conn.Close() })
			return s
		}
		s.conn.Close()
	}
}

// TestTwins: two machines, each director and server, and a VIP that is moved over and back under load. Who has
// it balances, the other passes what it gets to its own server: no frame is forwarded twice. A download goes on
// through the moves where its server did not change.
func TestTwins(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Mode: lab.DR})
	f := lab.V4
	a, b := twin{c, lab.Director}, twin{c, "rs1"}
	c.serveOn(lab.Director, 80)
	vip := c.Topology.VIP(f).String()
	// A veth takes redirected frames only if its peer has GRO, which the lab sets for the director alone.
	err := c.Do(lab.Segment, func() error { return datapath.SetOffload("rs1-eth0", datapath.OffloadGRO, true) })
	if err != nil {
		t.Fatal(err)
	}
	// The VIP is on lo of both, and on eth0 of who has it: arp_ignore=1 has that one answer for it.
	a.run("ip address add " + vip + "/32 dev lo")
	for _, w := range []twin{a, b} {
		w.run("sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2")
		w.run("ipvsadm -A -s rr -t " + c.vip(f, 80))
		for _, node := range []string{lab.Director, "rs1"} {
			w.run("ipvsadm -a -g -t " + c.vip(f, 80) + " -r " + c.rip(node, f, 80))
		}
	}
	b.run("drover datapath vip " + vip + " standby")
	move := func(from, to twin) {
		from.run("drover datapath vip " + vip + " standby")
		from.run("ip address del " + vip + "/32 dev eth0")
		to.run("ip address add " + vip + "/32 dev eth0")
		to.run("drover datapath vip " + vip + " active")
		c.run(lab.Gate, "ip neigh flush to "+vip)
	}
	download := c.streamFrom(f, "rs1")
	const requests = 10_000
	moves := map[int]func(){requests / 3: func() { move(a, b) }, 2 * requests / 3: func() { move(b, a) }}
	// After one move and back the other machine's own connections come to it again.
	phase, twice := a, uint64(0)
	other := b
	idle := other.counted("route")
	answered := map[string]int{}
	for n := range requests {
		if m := moves[n]; m != nil {
			twice += other.counted("route") - idle
			m()
			phase, other = other, phase
			idle = other.counted("route")
			if err := download.drain(limit); err != nil {
				t.Errorf("the download from %s, which has the VIP now: %v", download.server, err)
			}
			download = c.streamFrom(f, lab.Director)
		}
		server, _, err := c.ask("GET", c.url(f, "/"), nil)
		if err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
		answered[server]++
	}
	twice += other.counted("route") - idle
	if twice != 0 {
		t.Errorf("%d frames were forwarded by who was on standby", twice)
	}
	// In turn, but for client ports that are used again while the director knows them.
	if n := answered[lab.Director]; n+answered["rs1"] != requests || n < requests*48/100 || n > requests*52/100 {
		t.Errorf("answers: %v", answered)
	}
	if a.counted("standby")+b.counted("standby") == 0 {
		t.Error("nobody passed a packet on standby: nothing was tested")
	}
	fmt.Printf("two machines: %d requests, %d frames forwarded and %d passed on standby\n", requests,
		a.counted("route")+b.counted("route"), a.counted("standby")+b.counted("standby"))
}
