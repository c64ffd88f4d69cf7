package system
import ("drover/internal/lab";"fmt";"net/netip";"testing";"time")
func replaceRouteDbg(t *testing.T, c *cluster, b time.Time) time.Duration {
	for _, f := range families {
		for _, gateway := range []string{"rs2", "rs3"} {
			t.Logf("%v %d", time.Since(b), 1)
			c.makeGateway(gateway, f)
		}
		t.Logf("%v %d", time.Since(b), 2)
		c.run("rs1", "ip addr add "+prefix(farServer[f])+" dev lo")
		t.Logf("%v %d", time.Since(b), 3)
		c.run(lab.Director, c.routeOver("rs2", f))
		service := "-t " + c.vip(f, httpPort)
		t.Logf("%v %d", time.Since(b), 4)
		c.ipvsadm(fmt.Sprintf("-a %s -r %s -g", service, netip.AddrPortFrom(farServer[f], httpPort)))
		t.Logf("%v %d", time.Since(b), 5)
		c.deleteServer(f, "rs1")
	}
	wait(t, 500*time.Millisecond) // of the old way
	c.wantNoProcess()
	for _, f := range families {
		if n := sum(c.listed("-t " + c.vip(f, httpPort))); n.Active+n.Inactive < 20 {
			t.Fatalf("%s: %+v connections over the first gateway", f, n)
		}
		t.Logf("%v %d", time.Since(b), 6)
		c.run(lab.Director, c.routeOver("rs3", f))
	}
	t.Logf("%v %d", time.Since(b), 7)
	c.sysctl("rs2", "net/ipv4/ip_forward", "0")
	t.Logf("%v %d", time.Since(b), 8)
	c.sysctl("rs2", "net/ipv6/conf/all/forwarding", "0")
	return 0
}

