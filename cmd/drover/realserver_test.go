package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/datapath"
	"drover/internal/realserver"
)

func TestRealserverWrongInput(t *testing.T) {
	t.Setenv("DROVER_RUN", t.TempDir())
	const wrong = "wrong configuration of the real server: "
	for _, test := range []struct{ line, want string }{
		{"realserver rise", `unknown command "rise" for realserver`},
		{"realserver up", `realserver up: want at least one --vip ADDRESS`},
		{"realserver up --vip 192.0.2", `--vip 192.0.2: want an IPv4 or IPv6 address`},
		{"realserver up --vip 127.0.0.1", wrong + `VIP 127.0.0.1: want a unicast address`},
		{"realserver up --vip 224.0.0.1", wrong + `VIP 224.0.0.1: want a unicast address`},
		{"realserver up --vip fe80::1%lo", wrong + `VIP fe80::1%lo: want a unicast address`},
		{"realserver up --vip 192.0.2.100 now", `drover realserver up takes no argument: "now"`},
		{"realserver up --vip 192.0.2.100 --tunnel gre", wrong + `tunnel "gre": want none, xdp or kernel`},
		{"realserver up --vip 192.0.2.100 --tunnel xdp --tunnel-port 0", `--tunnel-port 0: want 1 to 65535`},
		{"realserver up --vip 192.0.2.100 --tunnel xdp --tunnel-port gue", `--tunnel-port gue: want 1 to 65535`},
		{"realserver up --vip 192.0.2.100 --tunnel-port 6080", wrong + `a tunnel's port without a tunnel: want xdp or kernel`},
		{"realserver up --vip 192.0.2.100 --tunnel kernel --source 192.0.2.1", wrong + `a list of directors without the tunnel xdp: only that looks at it`},
		{"realserver up --vip 192.0.2.100 --tunnel xdp --source x", `--source x: want an IPv4 or IPv6 address`},
		{"realserver up --vip 192.0.2.100 --interface eth0", wrong + `an interface without a tunnel or a segment size to clamp`},
		{"realserver up --vip 192.0.2.100 --clamp-mss=big", `--clamp-mss big: want a number of bytes`},
		{"realserver up --vip 192.0.2.100 --clamp-mss=12", wrong + `segment size 12: want 64 to 65495`},
		{"realserver up --vip 192.0.2.100 --clamp-mss 1400", `--clamp-mss 1400: want an equals sign: --clamp-mss=1400`},
		{"realserver down all", `drover realserver down takes no argument: "all"`},
		{"realserver status all", `drover realserver status takes no argument: "all"`},
	} {
		t.Run(test.line, func(t *testing.T) {
			status, stdout, stderr := runDrover(strings.Fields(test.line)...)
			got := fmt.Sprintf("%d %s%s", status, stdout, stderr)
			if diff := cmp.Diff("2 drover: "+test.want+"\n", got); diff != "" {
				t.Errorf("status and output (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrintRealserver(t *testing.T) {
	var text bytes.Buffer
	err := printRealserver(&printer{w: &text}, &realserver.Status{
		VIPs: []netip.Addr{netip.MustParseAddr("192.0.2.100"), netip.MustParseAddr("2001:db8:2::100")}, Tunnel: realserver.XDP,
		Ports: []uint16{6080, 6081}, Interfaces: []datapath.Interface{{Name: "eth0", Index: 2, Mode: "native"}},
		MSS4: 1400, MSS6: 1380, Clamped: 1234,
		Counters: []realserver.Counter{
			{Name: "gue", Verdict: "decap", Help: "taken out of GUE", Value: 7},
			{Name: "ecn", Verdict: "drop", Help: "congestion"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `Real server
  VIPs on lo     192.0.2.100, 2001:db8:2::100
  tunnel         xdp
  ports of GUE   6080 6081
  attached to    eth0 (native)
  segment sizes  at most 1400 (IPv4), 1380 (IPv6); 1,234 lowered

Packets
  verdict  counter  packets  meaning
  decap    gue            7  taken out of GUE
  drop     ecn            0  congestion
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}
