package datapath

import (
	"net/netip"
	"testing"

	"drover/internal/lvs"
)

// TestTwosByChance: that the numbers which twos draws are random, and are two. Of two servers of weight 1 the
// first is drawn with 2/3 and the second with 1/3, as three shares of the weight, 0 to 2, are equally likely;
// one that has much to do takes a connection only when it is drawn twice.
func TestTwosByChance(t *testing.T) {
	tests := []struct {
		name  string
		busy  int // in list order
		share float64
	}{
		{"the first is busy", 0, 4.0 / 9},
		{"the second is busy", 1, 1.0 / 9},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, 1<<12)
			vip := netip.MustParseAddrPort("192.0.2.100:80")
			w := serviceTwin(r, t, lvs.Service{
				ServiceKey: lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip, Family: lvs.IPv4}, Scheduler: "twos",
			})
			w.add(t, 1)
			w.add(t, 1)
			_, row, err := r.table.find(w.service.ServiceKey)
			must(t, err)
			r.table.destConns.at(r.table.list(row.Block)[test.busy].slot()).Word = 1 << 20
			const connections = 900
			taken := 0
			for n := range connections {
				client := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), uint16(1024+n))
				server, ok := r.connect(flow{protocol: lvs.TCP, from: client, to: vip})
				if !ok {
					t.Fatal("refused")
				}
				if server == w.servers[test.busy].Addr {
					taken++
				}
			}
			// Six standard deviations of 900 trials are 90 at most: one run in 500 million is outside.
			if want := test.share * connections; float64(taken) < want-90 || float64(taken) > want+90 {
				t.Errorf("the busy server took %d of %d connections, want about %.0f", taken, connections, want)
			}
		})
	}
}
