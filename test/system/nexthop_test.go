package system

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/internal/lab"
)

// hopLoss is what a change of a next hop may cost, apart from a link's own down time.
const hopLoss = time.Second

// An event changes the way to rs1. It returns how long the link was down.
type event struct {
	name   string
	happen func(*testing.T, *cluster) time.Duration
}

var (
	garp     = event{"a gratuitous ARP with a new MAC", announceNewMAC}
	flush    = event{"a flush of the neighbours", flushNeighbours}
	flap     = event{"a link flap", flapLink}
	replaced = event{"a route replaced", replaceRoute}
)

// TestNextHops changes the way to the server under a loop of 100 requests a second in each family, with
// ip_forward=0 and no process of Drover alive. It runs alone: what loads a data path meanwhile keeps a CPU
// from the packets, now and then for longer than a request may take.
func TestNextHops(t *testing.T) {
	for _, row := range []struct {
		mode   lab.Mode
		events []event
	}{
		{lab.DR, []event{garp, flush, flap, replaced}},
		{lab.NAT, []event{garp, flush, flap}},
	} {
		t.Run(string(row.mode), func(t *testing.T) {
			c := newCluster(t, lab.Config{Mode: row.mode})
			c.stopForwarding()
			for _, f := range families {
				c.balance(f, "rs1")
			}
			for _, e := range row.events {
				t.Run(e.name, func(t *testing.T) {
					watch(t, &cluster{Lab: c.Lab, t: t}, e)
				})
			}
		})
	}
}

// watch lets an event happen under load.
func watch(t *testing.T, c *cluster, e event) {
	loops := map[lab.Family]*loop{}
	for _, f := range families {
		loops[f] = c.startLoop(f, strict)
	}
	wait(t, 500*time.Millisecond)
	c.wantNoProcess()
	down := e.happen(t, c)
	wait(t, 2*hopLoss) // it would all be lost if nobody followed
	for _, f := range families {
		r := loops[f].end()
		r.within(t, hopLoss+down)
		t.Logf("%s: %s (link down %v)", f, r, down.Round(time.Millisecond))
	}
}

// stopForwarding makes the director what most DR directors are. In NAT too nothing that the data path
// forwards needs the kernel's own forwarding.
func (c *cluster) stopForwarding() {
	c.t.Helper()
	c.sysctl(lab.Director, "net/ipv4/ip_forward", "0")
	c.sysctl(lab.Director, "net/ipv6/conf/all/forwarding", "0")
}

// sysctl sets one in a node.
func (c *cluster) sysctl(node, name, value string) {
	c.t.Helper()
	err := c.Do(node, func() error { return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644) })
	if err != nil {
		c.t.Fatal(err)
	}
}

// way is the director's interface towards the servers.
func (c *cluster) way() string {
	if c.Config.Mode == lab.NAT {
		return "eth1"
	}
	return "eth0"
}

// newMAC gives rs1 another MAC than it has.
func (c *cluster) newMAC(last byte) net.HardwareAddr {
	c.t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 0xee, last}
	c.run("rs1", "ip link set eth0 address "+mac.String())
	return mac
}

func announceNewMAC(t *testing.T, c *cluster) time.Duration {
	mac := c.newMAC(1)
	c.announce("rs1", mac)
	return 0
}

func flushNeighbours(t *testing.T, c *cluster) time.Duration {
	c.run(lab.Director, "ip neigh flush dev "+c.way())
	return 0
}

// flapLink takes the director's interface down for a second. What the kernel forgets then, whoever runs
// the machine's network puts back: IPv6 addresses, and routes.
func flapLink(t *testing.T, c *cluster) time.Duration {
	iface := c.way()
	var restore []string
	for _, what := range []string{"addr", "route"} {
		restore = append(restore, c.remembered(what, iface)...)
	}
	begin := time.Now()
	c.run(lab.Director, "ip link set "+iface+" down")
	wait(t, time.Second)
	c.run(lab.Director, "ip link set "+iface+" up")
	for _, line := range restore {
		c.run(lab.Director, line)
	}
	return time.Since(begin)
}

// remembered gives the commands that put back what a link loses while it is down.
func (c *cluster) remembered(what, iface string) []string {
	c.t.Helper()
	var lines []string
	for _, p := range c.Topology.Ports {
		if p.Node != lab.Director || p.Interface != iface {
			continue
		}
		if what == "addr" {
			for _, a := range p.Addrs {
				if a.Addr().Is6() {
					lines = append(lines, fmt.Sprintf("ip addr replace %s dev %s nodad", a, iface))
				}
			}
			if vip := c.Topology.VIP(lab.V6); vip.IsValid() && iface == "eth0" {
				lines = append(lines, fmt.Sprintf("ip addr replace %s dev %s nodad preferred_lft 0", prefix(vip), iface))
			}
		}
	}
	if what != "route" {
		return lines
	}
	for _, option := range []string{"-4", "-6"} {
		for line := range strings.Lines(c.run(lab.Director, "ip "+option+" route show default dev "+iface)) {
			lines = append(lines, "ip "+option+" route replace "+strings.TrimSpace(line)+" dev "+iface)
		}
	}
	return lines
}

// TestSilentMACChange: a server has another MAC and tells nobody. The kernel's probes find out: at most
// 45 s (1.5 times base_reachable_time) after the entry was confirmed it is stale, up to 5 s later a managed
// one is used, and 5 s later (delay_first_probe_time) it gets three probes to the old MAC, a second each;
// up to 5 s after that it is asked for anew.
func TestSilentMACChange(t *testing.T) {
	t.Parallel()
	const most = 65 * time.Second
	c := newCluster(t, lab.Config{})
	c.stopForwarding()
	for _, f := range families {
		c.balance(f, "rs1")
		check(t, "server", []string{"rs1"}, c.servers(f, 1))
	}
	c.newMAC(2)
	begin := time.Now()
	client := c.client(strict)
	pending := map[lab.Family]bool{lab.V4: true, lab.V6: true}
	followed := map[lab.Family]time.Duration{}
	eventually(t, most, func() string {
		for f := range pending {
			if response, err := client.Get(c.url(f, "/")); err == nil {
				response.Body.Close()
				followed[f] = time.Since(begin)
				delete(pending, f)
			}
		}
		if len(pending) > 0 {
			return fmt.Sprintf("no answer in %v", pending)
		}
		return ""
	})
	for _, f := range families {
		t.Logf("%s: a silent MAC change was followed after %v", f, followed[f].Round(100*time.Millisecond))
	}
}

// TestColdStart: the first request ever, right after -a, with no neighbour known.
func TestColdStart(t *testing.T) {
	const most = 100 * time.Millisecond
	for _, mode := range []lab.Mode{lab.DR, lab.NAT} {
		t.Run(string(mode), func(t *testing.T) {
			c := newCluster(t, lab.Config{Mode: mode})
			c.stopForwarding()
			for _, f := range families {
				c.ipvsadm("-A -s rr -t " + c.vip(f, httpPort))
				if known := c.run(lab.Director, "ip neigh show "+c.Topology.Addr("rs1", f).String()); known != "" {
					t.Fatalf("the director knows rs1: %s", known)
				}
				c.addServer(f, "rs1")
				begin := time.Now()
				response, err := c.client(strict).Get(c.url(f, "/"))
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				took := time.Since(begin)
				if took > most {
					t.Errorf("%s: the first request took %v, want %v at most", f, took, most)
				}
				t.Logf("%s: the first request took %v", f, took.Round(100*time.Microsecond))
			}
		})
	}
}
