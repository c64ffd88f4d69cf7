package system

import (
	"fmt"
	"testing"

	"drover/internal/lab"
)

// header is Ethernet's, which an MTU does not count.
const header = 14

// smallMTU is that of the narrow place in a cluster of 1500.
const smallMTU = 1400

// TestSmallMTU moves data through a narrow place at each of three spots. TCP at one end learns of the
// first by itself. Of the second the router tells the VIP, and the director must hand that on to the
// server. Of the third the director itself must tell the client.
func TestSmallMTU(t *testing.T) {
	full := frameSizes{In: header + 1500, Out: header + 1500}
	for _, place := range []struct {
		name   string
		narrow func(c *cluster, f lab.Family)
		most   frameSizes        // at the server
		told   map[string]string // a counter that moves: verdict to name
	}{
		{
			name: "the server's interface",
			narrow: func(c *cluster, _ lab.Family) {
				c.run("rs1", fmt.Sprintf("ip link set eth0 mtu %d", smallMTU))
			},
			most: frameSizes{In: header + smallMTU, Out: header + smallMTU},
		},
		{
			name: "the way to the client",
			narrow: func(c *cluster, f lab.Family) {
				to := prefix(c.Topology.Addr(lab.Client, f))
				c.run(lab.Gate, fmt.Sprintf("ip route add %s dev eth0 mtu %d", to, smallMTU))
			},
			most: full,
			told: map[string]string{"forward": "icmp"},
		},
		{
			name: "the way to the server",
			narrow: func(c *cluster, f lab.Family) {
				iface := "eth0"
				if c.Config.Mode == lab.NAT {
					iface = "eth1"
				}
				to := prefix(c.Topology.Addr("rs1", f))
				// The kernel heeds a route's MTU for packets that it forwards only if it is locked.
				c.run(lab.Director, fmt.Sprintf("ip route add %s dev %s mtu lock %d", to, iface, smallMTU))
			},
			most: frameSizes{In: header + smallMTU, Out: full.Out},
			told: map[string]string{"answer": "too_big"},
		},
	} {
		for _, mode := range []lab.Mode{lab.DR, lab.NAT} {
			t.Run(fmt.Sprintf("%s, %s", place.name, mode), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t, lab.Config{Mode: mode})
				for _, f := range families {
					c.balance(f, "rs1")
				}
				for _, f := range families {
					told := map[string]uint64{}
					for verdict, name := range place.told {
						told[verdict] = c.counter(verdict, name)
					}
					place.narrow(c, f)
					stop := c.capture("rs1")
					rate, err := c.transfer(f)
					if err != nil {
						t.Fatalf("%s: %v", f, err)
					}
					sizes := stop()
					sizes.within(t, frameSizes{In: header + smallMTU - 100, Out: header + smallMTU - 100}, place.most)
					for verdict, name := range place.told {
						if n := c.counter(verdict, name); n == told[verdict] {
							t.Errorf("%s: counter %s %s stays at %d", f, verdict, name, n)
						}
					}
					t.Logf("%s: 1 MB down and up at %.0f MB/s, longest frames at the server %+v", f, rate/megabyte, sizes)
				}
			})
		}
	}
}

// TestJumbo moves data in frames of several buffers (xdp.frags).
func TestJumbo(t *testing.T) {
	const mtu = 9000
	for _, mode := range []lab.Mode{lab.DR, lab.NAT} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: mode, MTU: mtu})
			for _, f := range families {
				c.balance(f, "rs1")
				stop := c.capture("rs1")
				rate, err := c.transfer(f)
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				sizes := stop()
				// Generic mode takes any frame; native mode must not be refused for the MTU.
				for _, i := range c.status().Interfaces {
					check(t, "mode of "+i.Name, "native", i.Mode)
				}
				sizes.within(t, frameSizes{In: 4097, Out: 4097}, frameSizes{In: header + mtu, Out: header + mtu})
				t.Logf("%s: 1 MB down and up at %.0f MB/s, longest frames at the server %+v", f, rate/megabyte, sizes)
			}
		})
	}
}
