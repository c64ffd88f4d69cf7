package system

import (
	"encoding/json"
	"strings"
	"testing"

	"drover/internal/lab"
	"drover/internal/realserver"
)

// tunnels are ipvsadm's options, and what the servers count the packets as.
var tunnels = []struct{ how, counter string }{
	{"-i", "ipip"},
	{"-i --tun-type gue --tun-port 6080", "gue"},
	{"-i --tun-type gue --tun-port 6080 --tun-csum", "gue"},
	{"-i --tun-type gue --tun-port 6080 --tun-remcsum", "gue"},
	{"-i --tun-type gre", "gre"},
	{"-i --tun-type gre --tun-csum", "gre"},
}

// TestTunnel sends what users send through every kind of tunnel, in both layouts, with strict reverse path
// filtering on the servers.
func TestTunnel(t *testing.T) {
	t.Parallel()
	for _, layout := range []lab.Layout{lab.Remote, lab.Router} {
		t.Run(string(layout), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: lab.TUN, Layout: layout})
			for _, rs := range lab.Servers {
				c.run(rs, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1")
			}
			for _, kind := range tunnels {
				t.Run(kind.how, func(t *testing.T) {
					c := &cluster{Lab: c.Lab, t: t}
					c.ipvsadm("-C")
					before := c.counted("rs1")
					for _, family := range families {
						c.tunnel("-t", family, family, httpPort, kind.how)
						c.tunnel("-u", family, family, echoPort, kind.how)
						forward(t, c, family)
					}
					c.checkDecapsulated(before, kind.counter)
				})
			}
		})
	}
}

// TestMixedPool: the servers of an IPv4 service are reached by IPv6, and those of an IPv6 service by IPv4.
func TestMixedPool(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Mode: lab.TUN})
	other := map[lab.Family]lab.Family{lab.V4: lab.V6, lab.V6: lab.V4}
	before := c.counted("rs1")
	for _, family := range families {
		c.tunnel("-t", family, other[family], httpPort, "-i")
		c.tunnel("-u", family, other[family], echoPort, "-i")
		forward(t, c, family)
	}
	c.checkDecapsulated(before, "ipip")
}

// tunnel makes a service of a family whose servers' tunnels are of a family.
func (c *cluster) tunnel(protocol string, service, outer lab.Family, port uint16, how string) {
	c.t.Helper()
	name := protocol + " " + c.vip(service, port)
	c.ipvsadm("-A -s rr " + name)
	for _, rs := range lab.Servers {
		c.ipvsadm("-a " + name + " -r " + c.rip(rs, outer, port) + " " + how)
	}
}

// counted gives a server's counters, as "verdict name".
func (c *cluster) counted(server string) map[string]uint64 {
	c.t.Helper()
	counted := map[string]uint64{}
	for _, n := range c.realserver(server).Counters {
		counted[n.Verdict+" "+n.Name] = n.Value
	}
	return counted
}

// checkDecapsulated: since before, rs1 took packets out of tunnels of one kind alone, and dropped none.
func (c *cluster) checkDecapsulated(before map[string]uint64, kind string) {
	c.t.Helper()
	after := c.counted("rs1")
	if after["decap "+kind] == before["decap "+kind] {
		c.t.Errorf("no packet was taken out of %s", kind)
	}
	for name, n := range after {
		n -= before[name]
		verdict, _, _ := strings.Cut(name, " ")
		if n > 0 && (verdict == "drop" || verdict == "decap" && name != "decap "+kind) {
			c.t.Errorf("%d packets counted as %s", n, name)
		}
	}
}

// realserver reads the status of a server.
func (c *cluster) realserver(server string) realserver.Status {
	c.t.Helper()
	var s realserver.Status
	if err := json.Unmarshal([]byte(c.run(server, "drover realserver status --json")), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}
