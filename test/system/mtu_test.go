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

// places are where a cluster may be narrow. TCP at one end learns of the first by itself. Of the second the
// router tells the VIP, and the director must hand that on to the server. Of the third the director itself
// must tell the client, who remembers it: so it comes last.
var places = []struct {
	name, server string // each with a server of its own: they remember too
	narrow       func(c *cluster, f lab.Family, server string)
	widen        func(c *cluster, f lab.Family)
	most         frameSizes        // at the server
	told         map[string]string // a counter that moves: verdict to name
}{
	{
		name: "the server's interface", server: "rs1",
		narrow: func(c *cluster, _ lab.Family, server string) {
			c.run(server, fmt.Sprintf("ip link set eth0 mtu %d", smallMTU))
		},
		most: frameSizes{In: header + smallMTU, Out: header + smallMTU},
	},
	{
		name: "the way to the client", server: "rs2",
		narrow: func(c *cluster, f lab.Family, _ string) { c.narrowClient(f, smallMTU) },
		widen:  (*cluster).widenClient,
		most:   frameSizes{In: header + 1500, Out: header + 1500},
		told:   map[string]string{"forward": "icmp"},
	},
	{
		name: "the way to the server", server: "rs3",
		narrow: func(c *cluster, f lab.Family, server string) { c.narrowServer(f, server, smallMTU) },
		most:   frameSizes{In: header + smallMTU, Out: header + 1500},
		told:   map[string]string{"answer": "too_big"},
	},
}

// TestSmallMTU moves data through each narrow place.
func TestSmallMTU(t *testing.T) {
	t.Parallel()
	for _, mode := range []lab.Mode{lab.DR, lab.NAT} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: mode})
			for _, place := range places {
				c.ipvsadm("-C")
				for _, f := range families {
					c.balance(f, place.server)
					told := map[string]uint64{}
					for verdict, name := range place.told {
						told[verdict] = c.counter(verdict, name)
					}
					place.narrow(c, f, place.server)
					stop := c.capture(place.server)
					rate, err := c.transfer(f)
					if err != nil {
						t.Fatalf("%s, %s: %v", place.name, f, err)
					}
					sizes := stop()
					sizes.within(t, frameSizes{In: header + smallMTU - 100, Out: header + smallMTU - 100}, place.most)
					for verdict, name := range place.told {
						if n := c.counter(verdict, name); n == told[verdict] {
							t.Errorf("%s, %s: counter %s %s stays at %d", place.name, f, verdict, name, n)
						}
					}
					if place.widen != nil {
						place.widen(c, f)
					}
					t.Logf("%s, %s: 1 MB down and up at %.0f MB/s, longest frames at the server %+v",
						place.name, f, rate/megabyte, sizes)
				}
			}
		})
	}
}

// TestJumbo moves data in frames of several buffers (xdp.frags).
func TestJumbo(t *testing.T) {
	t.Parallel()
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
