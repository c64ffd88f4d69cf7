package system

import (
	"fmt"
	"testing"

	"drover/internal/lab"
)

// leastMTU is IPv6's (RFC 8200, Section 5): the narrowest link that both families must cross.
const leastMTU = 1280

// TestPathMTU moves a megabyte each way by a server behind a link of 1,280, in every mode. The narrow link
// is behind the next hop, where neither client, director nor server see its MTU on an interface of their
// own: all that tells them is ICMP, to the VIP or to the director, or the segment size in a SYN-ACK.
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
	} {
		name := fmt.Sprintf("%s %s", row.mode, row.layout)
		if row.clamp {
			name += " clamped"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: row.mode, Layout: row.layout})
			c.narrow()
			if row.clamp {
				c.clamp("rs1", leastMTU-60-60)
			}
			for _, f := range families {
				c.balance(f, "rs1")
			}
			for _, f := range families {
				stop := c.capture("rs1")
				rate, err := c.transfer(f)
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				sizes := stop()
				most := header + leastMTU
				sizes.within(t, frameSizes{In: 1100, Out: 1100}, frameSizes{In: most, Out: header + 1500})
				if row.clamp && c.realserver("rs1").Clamped == 0 {
					t.Errorf("%s: no SYN-ACK of rs1 was clamped", f)
				}
				t.Logf("%s: 1 MB down and up at %.0f MB/s, longest frames at the server %+v", f, rate/megabyte, sizes)
			}
		})
	}
}
