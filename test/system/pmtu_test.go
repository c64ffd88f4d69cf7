package system

import (
	"context"
	"fmt"
	"testing"

	"drover/internal/lab"
)

// leastMTU is IPv6's (RFC 8200, Section 5): the narrowest link that both families must cross.
const leastMTU = 1280

// TestPathMTU moves a megabyte each way by a server behind narrow links, in every mode. All that tells the
// ends is ICMP, about the outer or the inner packet, or the segment size that a SYN-ACK names.
func TestPathMTU(t *testing.T) {
	for _, row := range []struct {
		mode   lab.Mode
		layout lab.Layout
		clamp  bool
	}{
		{lab.DR, lab.Router, false},
		{lab.DR, lab.Router, true},
		{lab.DR, lab.TwoInterface, false},
		{lab.NAT, lab.Gateway, false},
		{lab.TUN, lab.Remote, false},
		{lab.TUN, lab.Remote, true},
		{lab.TUN, lab.Router, false},
		{lab.TUN, lab.Router, true},
	} {
		name := fmt.Sprintf("%s %s", row.mode, row.layout)
		if row.clamp {
			name += " clamped"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: row.mode, Layout: row.layout})
			if row.clamp {
				c.clamp("rs1", leastMTU-40-60) // the outer header, and those of IPv6 and TCP
			}
			for _, f := range families {
				c.balance(f, "rs1")
			}
			for _, f := range families {
				mtu := leastMTU
				if f == lab.V6 && row.mode == lab.TUN && !row.clamp {
					mtu += 40 // nobody makes an IPv6 packet smaller than 1280, so its tunnel takes this much
				}
				c.narrowServer(f, mtu)
				// ICMPv6 errors are as long as 1280 bytes, and one of that length finds no way through a
				// tunnel over the narrow link.
				if f == lab.V4 || mtu > leastMTU || row.mode != lab.TUN {
					c.narrowClient(f, mtu)
				}
				stop := c.capture("rs1")
				rate, err := c.transfer(f)
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				sizes := stop()
				sizes.within(t, frameSizes{In: 1200, Out: 1200}, frameSizes{In: header + mtu, Out: header + 1500})
				if row.clamp && c.realserver("rs1").Clamped == 0 {
					t.Errorf("%s: no SYN-ACK of rs1 was clamped", f)
				}
				t.Logf("%s: 1 MB down and up at %.0f MB/s, longest frames at the server %+v", f, rate/megabyte, sizes)
			}
		})
	}
}

// narrowServer makes the last link to rs1 take no more than an MTU. In layout remote the router finds out
// about it and tells the director; elsewhere it is the director's own.
func (c *cluster) narrowServer(f lab.Family, mtu int) {
	c.t.Helper()
	node, iface := lab.Director, "eth0"
	switch c.Config.Layout {
	case lab.Gateway, lab.TwoInterface:
		iface = "eth1"
	case lab.Remote:
		node, iface = lab.Gate, "eth2"
	}
	// The kernel heeds a route's MTU for packets that it forwards only if it is locked.
	c.run(node, fmt.Sprintf("ip route add %s dev %s mtu lock %d", prefix(c.Topology.Addr("rs1", f)), iface, mtu))
}

// narrowClient makes the link to the client take no more. Of that the router tells the VIP, and the director
// must hand it on to the server.
func (c *cluster) narrowClient(f lab.Family, mtu int) {
	c.t.Helper()
	c.run(lab.Gate, fmt.Sprintf("ip route add %s dev eth0 mtu %d", prefix(c.Topology.Addr(lab.Client, f)), mtu))
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
	c.t.Cleanup(func() {
		if _, err := c.down(server); err != nil { // the test's context has ended
			c.t.Error(err)
		}
	})
	c.run(server, line)
}

func (c *cluster) down(server string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return c.Exec(ctx, server, "drover", "realserver", "down")
}
