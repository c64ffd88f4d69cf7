package system

import (
	"fmt"
	"testing"

	"drover/internal/lab"
)

// leastMTU is IPv6's (RFC 8200, Section 5): the narrowest link that both families must cross.
const leastMTU = 1280

// TestPathMTU moves a megabyte each way by a server behind narrow links, in every mode. All that tells the
// ends is ICMP, about the outer or the inner packet, or the segment size that a SYN-ACK names.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		mode    lab.Mode
		layout  lab.Layout
		clamped bool // by a server that clamps, too
	}{
		{lab.DR, lab.Router, true},
		{lab.DR, lab.TwoInterface, false},
		{lab.NAT, lab.Gateway, false},
		{lab.TUN, lab.Remote, true},
		{lab.TUN, lab.Router, true},
	} {
		t.Run(fmt.Sprintf("%s %s", row.mode, row.layout), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: row.mode, Layout: row.layout})
			if row.clamped {
				c.clamp("rs2", leastMTU-40-60) // the outer header, and those of IPv6 and TCP
			}
			for _, f := range families {
				if row.clamped { // first: what the client is told of the VIP's path, it remembers
					c.throughNarrow(f, "rs2", leastMTU)
					if c.realserver("rs2").Clamped == 0 {
						t.Errorf("%s: no SYN-ACK of rs2 was clamped", f)
					}
				}
				mtu := leastMTU
				if f == lab.V6 && row.mode == lab.TUN {
					mtu += 40 // nobody makes an IPv6 packet smaller than 1280, so its tunnel takes this much
				}
				c.throughNarrow(f, "rs1", mtu)
			}
		})
	}
}

// throughNarrow moves a megabyte each way by a server to which, and to the client from which, the last link
// takes no more than an MTU.
func (c *cluster) throughNarrow(f lab.Family, server string, mtu int) {
	c.t.Helper()
	c.ipvsadm("-C")
	c.balance(f, server)
	c.narrowServer(f, server, mtu)
	c.narrowClient(f, mtu)
	stop := c.capture(server)
	rate, err := c.transfer(f)
	if err != nil {
		c.t.Fatalf("%s by %s: %v", f, server, err)
	}
	sizes := stop()
	sizes.within(c.t, frameSizes{In: 1200, Out: 1200}, frameSizes{In: header + mtu, Out: header + 1500})
	c.t.Logf("%s: 1 MB down and up by %s at %.0f MB/s, longest frames there %+v", f, server, rate/megabyte, sizes)
}

// narrowServer makes the last link to a server take no more than an MTU. In layout remote the router finds
// out about it and tells the director; elsewhere it is the director's own.
func (c *cluster) narrowServer(f lab.Family, server string, mtu int) {
	c.t.Helper()
	node, iface := lab.Director, "eth0"
	switch c.Config.Layout {
	case lab.Gateway, lab.TwoInterface:
		iface = "eth1"
	case lab.Remote:
		node, iface = lab.Gate, "eth2"
	}
	// The kernel heeds a route's MTU for packets that it forwards only if it is locked.
	c.run(node, fmt.Sprintf("ip route add %s dev %s mtu lock %d", prefix(c.Topology.Addr(server, f)), iface, mtu))
}

// narrowClient makes the link to the client take no more. Of that the router tells the VIP, and the director
// must hand it on to the server.
func (c *cluster) narrowClient(f lab.Family, mtu int) {
	c.t.Helper()
	c.run(lab.Gate, fmt.Sprintf("ip route replace %s dev eth0 mtu %d", prefix(c.Topology.Addr(lab.Client, f)), mtu))
}

// widenClient takes that back.
func (c *cluster) widenClient(f lab.Family) {
	c.t.Helper()
	c.run(lab.Gate, "ip route del "+prefix(c.Topology.Addr(lab.Client, f))+" dev eth0")
}

// clamp has a server lower the segment sizes of its SYN-ACKs.
func (c *cluster) clamp(server string, size int) {
	c.t.Helper()
	line := fmt.Sprintf("drover realserver up --interface eth0 --clamp-mss=%d", size)
	for _, vip := range c.Topology.VIPs {
		line += " --vip " + vip.String()
	}
	if c.Config.Mode == lab.TUN {
		line += fmt.Sprintf(" --tunnel xdp --tunnel-port %d", lab.TunnelPort)
	}
	c.run(server, line)
}
