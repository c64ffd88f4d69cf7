package system

import (
	"encoding/json"
	"fmt"
	"testing"

	"drover/internal/lab"
	"drover/internal/realserver"
)

// TestTunnel sends what users send through every kind of tunnel, in both layouts, with strict reverse path
// filtering on the servers.
func TestTunnel(t *testing.T) {
	for _, row := range []struct{ how, counter string }{
		{"-i", "ipip"},
		{"-i --tun-type gue --tun-port 6080", "gue"},
		{"-i --tun-type gue --tun-port 6080 --tun-csum", "gue"},
		{"-i --tun-type gue --tun-port 6080 --tun-remcsum", "gue"},
		{"-i --tun-type gre", "gre"},
		{"-i --tun-type gre --tun-csum", "gre"},
	} {
		for _, layout := range []lab.Layout{lab.Remote, lab.Router} {
			t.Run(fmt.Sprintf("%s, %s", layout, row.how), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t, lab.Config{Mode: lab.TUN, Layout: layout})
				for _, rs := range lab.Servers {
					c.run(rs, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1")
				}
				for _, family := range families {
					c.tunnel("-t", family, family, httpPort, row.how)
					c.tunnel("-u", family, family, echoPort, row.how)
				}
				for _, family := range families {
					forward(t, &cluster{Lab: c.Lab, t: t}, family)
				}
				for _, rs := range lab.Servers {
					c.checkDecapsulated(rs, row.counter)
				}
			})
		}
	}
}

// TestMixedPool: the servers of an IPv4 service are reached by IPv6, and those of an IPv6 service by IPv4.
func TestMixedPool(t *testing.T) {
	c := newCluster(t, lab.Config{Mode: lab.TUN})
	other := map[lab.Family]lab.Family{lab.V4: lab.V6, lab.V6: lab.V4}
	for _, family := range families {
		c.tunnel("-t", family, other[family], httpPort, "-i")
		c.tunnel("-u", family, other[family], echoPort, "-i")
	}
	for _, family := range families {
		forward(t, c, family)
	}
	for _, rs := range lab.Servers {
		c.checkDecapsulated(rs, "ipip")
	}
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

// checkDecapsulated: the server took packets out of tunnels of one kind, and dropped none.
func (c *cluster) checkDecapsulated(server, kind string) {
	c.t.Helper()
	for _, n := range c.realserver(server).Counters {
		if n.Verdict == "drop" && n.Value > 0 || n.Verdict == "decap" && (n.Value > 0) != (n.Name == kind) {
			c.t.Errorf("%s: %d packets counted as %s %s", server, n.Value, n.Verdict, n.Name)
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
