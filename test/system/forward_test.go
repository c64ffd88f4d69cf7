package system

import (
	"fmt"
	"testing"

	"drover/internal/lab"
)

// TestForward sends what users send through every mode and layout, in both families.
func TestForward(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		mode   lab.Mode
		layout lab.Layout
	}{
		{lab.DR, lab.Router},
		{lab.DR, lab.OneArm},
		{lab.DR, lab.TwoInterface},
		{lab.NAT, lab.Gateway},
		{lab.NAT, lab.OneArm},
	} {
		t.Run(fmt.Sprintf("%s %s", row.mode, row.layout), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: row.mode, Layout: row.layout})
			for _, family := range families {
				c.balance(family, lab.Servers...)
				echo := "-u " + c.vip(family, echoPort)
				c.ipvsadm("-A -s rr " + echo)
				for _, rs := range lab.Servers {
					c.ipvsadm("-a " + echo + " -r " + c.rip(rs, family, echoPort) + " " + c.how())
				}
			}
			for _, family := range families {
				t.Run(string(family), func(t *testing.T) {
					forward(t, &cluster{Lab: c.Lab, t: t}, family)
				})
			}
		})
	}
}

func forward(t *testing.T, c *cluster, family lab.Family) {
	check(t, "servers that answered over HTTP", lab.Servers, c.servers(family, 6))
	rate, err := c.transfer(family)
	if err != nil {
		t.Error(err)
	}
	var echoed []string
	for i := range 6 {
		text := fmt.Sprintf("datagram %d", i)
		answer, err := c.echo(family, text)
		if err != nil {
			t.Fatalf("echo: %v", err)
		}
		echoed = append(echoed, answer[:len("rs1")])
		check(t, "echo", answer[:len("rs1")]+" "+text, answer)
	}
	check(t, "servers that answered over UDP", lab.Servers, serverNames(echoed))
	t.Logf("HTTP and UDP by 3 servers; 1 MB down and 1 MB up at %.0f MB/s", rate/megabyte)
}
