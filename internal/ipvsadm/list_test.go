package ipvsadm

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

func TestLargeNumber(t *testing.T) {
	for _, row := range []struct {
		n              uint64
		shortened, all string
	}{
		{0, "        0", "        0"},
		{99_999_999, " 99999999", " 99999999"},
		{100_000_000, "  100000K", " 100000000"},
		{999_999_999, "  999999K", " 999999999"},
		{1_000_000_000, "    1000M", " 1000000000"},
		{99_999_999_999, "   99999M", " 99999999999"},
		{100_000_000_000, "     100G", " 100000000000"},
		{99_999_999_999_999, "   99999G", " 99999999999999"},
		{100_000_000_000_000, "     100T", " 100000000000000"},
		{math.MaxUint64, "18446744T", " 18446744073709551615"},
	} {
		if got := largeNumber(row.n, false); got != row.shortened {
			t.Errorf("largeNumber(%d) = %q, want %q", row.n, got, row.shortened)
		}
		if got := largeNumber(row.n, true); got != row.all {
			t.Errorf("largeNumber(%d, exact) = %q, want %q", row.n, got, row.all)
		}
	}
}

// TestConnections covers the kinds that the recordings have not: UDP, the template of a
// firewall-mark service, a template that nobody completed, and one with a persistence engine.
func TestConnections(t *testing.T) {
	addr := netip.MustParseAddrPort
	table := newFake()
	table.connections = []lvs.Connection{
		{
			Protocol: lvs.UDP, Client: addr("203.0.113.9:4000"), Virtual: addr("192.0.2.1:53"),
			Destination: addr("198.51.100.1:53"), Expires: 299_999 * time.Millisecond,
		},
		{
			Client: addr("203.0.113.0:0"), Virtual: addr("0.0.0.7:0"), Destination: addr("198.51.100.1:0"),
			Template: true, State: 1, Expires: 100 * time.Hour,
		},
		{
			Protocol: lvs.UDP, Client: addr("203.0.113.9:0"), Virtual: addr("192.0.2.1:5060"),
			Destination: addr("198.51.100.1:5060"), Template: true, PEName: "sip", PEData: "id@client",
		},
		{
			Protocol: lvs.TCP, Client: addr("127.0.0.1:80"), Virtual: addr("192.0.2.1:443"),
			Destination: addr("[2001:db8::1]:8080"), State: lvs.StateClose, Expires: time.Second,
		},
	}
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"-Lnc"}, `IPVS connection entries
pro expire state       source             virtual            destination
UDP 04:59  UDP         203.0.113.9:4000   192.0.2.1:53       198.51.100.1:53
IP  6000:00  ASSURED     203.0.113.0:0      0.0.0.7:0          198.51.100.1:0
UDP 00:00  NONE        203.0.113.9:0      192.0.2.1:5060     198.51.100.1:5060
TCP 00:01  CLOSE       127.0.0.1:80       192.0.2.1:443      [2001:db8::1]:8080
`},
		{[]string{"-Lc", "--persistent-conn"}, `IPVS connection entries
pro expire state       source             virtual            destination        pe name          pe_data
UDP 04:59  UDP         203.0.113.9:4000   192.0.2.1:domain   198.51.100.1:domain
IP  6000:00  ASSURED     203.0.113.0:0      0.0.0.7:0          198.51.100.1:0
UDP 00:00  NONE        203.0.113.9:0      192.0.2.1:sip      198.51.100.1:sip sip                id@client
TCP 00:01  CLOSE       localhost:http     192.0.2.1:https    [2001:db8::1]:http-alt
`},
	} {
		got := run(table, goldenHosts, "", "ipvsadm", row.args...)
		if diff := cmp.Diff(result{Stdout: row.want}, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", row.args, diff)
		}
	}
}
