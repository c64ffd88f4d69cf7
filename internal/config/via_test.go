package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/checker"
)

// TestCheckVia: a check through the VIP has the VIP's address, a mark of its server's, which does not change with what stands
// before it, and by direct routing the server to find its own address by. What can't go there is said.
func TestCheckVia(t *testing.T) {
	t.Parallel()
	const first = "virtual_server 192.0.2.99 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 192.0.2.11 80 {\n TCP_CHECK {\n}\n }\n}\n"
	text := func(more, check string) string {
		return "virtual_server 192.0.2.100 80 {\n lb_algo rr\n lb_kind " + more + "\n protocol TCP\n check_via vip\n real_server 192.0.2.11 80 {\n" + check + "\n}\n}\n"
	}
	server := func(t *testing.T, text string, warnings ...string) RealServer {
		t.Helper()
		c, findings, err := Load(writeFile(t, text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range findings {
			got = append(got, f.Reason)
		}
		if diff := cmp.Diff(warnings, got); diff != "" {
			t.Errorf("findings (-want +got):\n%s", diff)
		}
		return c.VirtualServers[len(c.VirtualServers)-1].RealServers[0]
	}
	vip, rip := netip.MustParseAddrPort("192.0.2.100:80"), netip.MustParseAddr("192.0.2.11")

	dr := server(t, text("DR", "TCP_CHECK {\n}"))
	want := checker.Endpoint{Addr: vip, Mark: dr.ViaMark, Via: rip}
	if dr.ViaMark < viaMarks || dr.Checks[0].Endpoint != want {
		t.Errorf("mark %#x, endpoint %+v, want %+v", dr.ViaMark, dr.Checks[0].Endpoint, want)
	}
	if again := server(t, first+text("DR", "TCP_CHECK {\n}")); again.ViaMark != dr.ViaMark {
		t.Errorf("mark %#x behind another virtual server, %#x alone", again.ViaMark, dr.ViaMark)
	}
	if nat := server(t, text("NAT", "TCP_CHECK {\n}")); nat.Checks[0].Via.IsValid() || nat.Checks[0].Addr != vip {
		t.Errorf("by NAT: %+v", nat.Checks[0].Endpoint)
	}
	server(t, text("DR", "TCP_CHECK {\n connect_port 81\n}"), "fwmark, connect_ip and connect_port have no meaning with it: they are ignored")
	udp := server(t, text("DR", "UDP_CHECK {\n}"), "a check by UDP asks the server")
	if udp.ViaMark != 0 || udp.Checks[0].Addr.Addr() != rip {
		t.Errorf("by UDP: mark %#x, %+v", udp.ViaMark, udp.Checks[0].Endpoint)
	}
	if itself := server(t, text("DR", "TCP_CHECK {\n check_via server\n}")); itself.ViaMark != 0 {
		t.Errorf("asked itself: %+v", itself)
	}
}
