package system

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"drover/internal/lab"
)

// farServer is a second address of rs1, for each family, that is reached over a gateway.
var farServer = map[lab.Family]netip.Addr{
	lab.V4: netip.MustParseAddr("198.51.100.200"),
	lab.V6: netip.MustParseAddr("2001:db8:9::200"),
}

// replaceRoute moves the far server from one gateway, rs2, to another, rs3, and stops the first. The
// director has had nothing to do with the second before.
func replaceRoute(t *testing.T, c *cluster) time.Duration {
	for _, f := range families {
		for _, gateway := range []string{"rs2", "rs3"} {
			c.makeGateway(gateway, f)
		}
		c.run("rs1", "ip addr add "+prefix(farServer[f])+" dev lo")
		c.run(lab.Director, c.routeOver("rs2", f))
		service := "-t " + c.vip(f, httpPort)
		c.ipvsadm(fmt.Sprintf("-a %s -r %s -g", service, netip.AddrPortFrom(farServer[f], httpPort)))
		c.deleteServer(f, "rs1")
	}
	wait(t, 500*time.Millisecond) // of the old way
	c.wantNoProcess()
	for _, f := range families {
		if n := sum(c.listed("-t " + c.vip(f, httpPort))); n.Active+n.Inactive < 20 {
			t.Fatalf("%s: %+v connections over the first gateway", f, n)
		}
		c.run(lab.Director, c.routeOver("rs3", f))
	}
	c.sysctl("rs2", "net/ipv4/ip_forward", "0")
	c.sysctl("rs2", "net/ipv6/conf/all/forwarding", "0")
	return 0
}

// routeOver is the command that leads the director to the far server over a gateway.
func (c *cluster) routeOver(gateway string, f lab.Family) string {
	return fmt.Sprintf("ip route replace %s via %s dev eth0", prefix(farServer[f]), c.Topology.Addr(gateway, f))
}

// makeGateway has a server forward what is for the VIP to rs1, instead of taking it in itself.
func (c *cluster) makeGateway(node string, f lab.Family) {
	c.t.Helper()
	vip := prefix(c.Topology.VIP(f))
	c.run(node, "ip addr del "+vip+" dev lo")
	c.run(node, fmt.Sprintf("ip route add %s via %s dev eth0", vip, c.Topology.Addr("rs1", f)))
	c.sysctl(node, "net/ipv4/ip_forward", "1")
	c.sysctl(node, "net/ipv6/conf/all/forwarding", "1")
}
