package ipvsadm

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

var goldenHosts = fakeHosts{{"localhost", "127.0.0.1"}}

// TestGolden replays the transcript whose listings are in testdata/state, each byte for byte.
func TestGolden(t *testing.T) {
	table := newFake()
	table.order = readOrder(t, readState(t, "10-config-Ln-nosort.txt"))
	commands := readTranscript(t, "40-golden.txt")
	if len(commands) != 120 {
		t.Fatalf("%d commands in the transcript, want 120", len(commands))
	}
	section := ""
	for _, r := range commands {
		if r.section != section {
			section = r.section
			beginSection(t, section, table)
		}
		if strings.Contains(r.state, "30-traffic-Lnc") {
			table.connections = readConnections(t, r.stdout)
		}
		r.replay(t, table, goldenHosts)
	}
}

// beginSection does what the recording did by other means than ipvsadm.
func beginSection(t *testing.T, section string, table *fakeTable) {
	switch section {
	case "traffic":
		traffic(t, table)
	case "daemon": // after the round trip of -S and -R, which dropped the thresholds
		saved := run(table, goldenHosts, "", "ipvsadm", "-Sn")
		if again := restoreText(t, saved.Stdout); again != saved.Stdout {
			t.Errorf("restored table differs (-want +got):\n%s", cmp.Diff(saved.Stdout, again))
		}
	}
}

// traffic gives the table the counters that the recorded traffic left.
func traffic(t *testing.T, table *fakeTable) {
	web := service(t, table, "TCP 10.9.9.9:80")
	web.Stats = counters([10]uint64{10, 50, 35, 2680, 2080, 0, 1, 1, 45, 35})
	web.Destinations[0].Stats = counters([10]uint64{5, 25, 18, 1340, 1066, 0, 0, 0, 22, 18})
	web.Destinations[1].Stats = counters([10]uint64{5, 25, 17, 1340, 1014, 0, 0, 0, 22, 17})
	web.Destinations[0].InactConns, web.Destinations[1].InactConns = 5, 5

	held := service(t, table, "TCP 10.9.9.9:8443")
	held.Stats = counters([10]uint64{4, 20, 16, 1072, 936, 0, 1, 1, 63, 61})
	held.Destinations[0].Stats = held.Stats
	held.Destinations[0].ActiveConns, held.Destinations[0].PersistConns = 4, 1

	dns := service(t, table, "UDP 10.9.9.9:53")
	dns.Stats = counters([10]uint64{4, 4, 0, 116, 0, 0, 0, 0, 3, 0})
	dns.Destinations[0].Stats = dns.Stats

	six := service(t, table, "TCP [fd09::9]:80")
	six.Stats = counters([10]uint64{2, 4, 0, 320, 0, 0, 0, 0, 20, 0})
	six.Destinations[0].Stats, six.Destinations[0].ActiveConns = six.Stats, 2
}

// counters gives the totals and the rates, each in the order of a listing's columns.
func counters(n [10]uint64) lvs.Stats {
	return lvs.Stats{
		Conns: n[0], InPkts: n[1], OutPkts: n[2], InBytes: n[3], OutBytes: n[4],
		Rate: lvs.Rate{CPS: n[5], InPPS: n[6], OutPPS: n[7], InBPS: n[8], OutBPS: n[9]},
	}
}

func service(t *testing.T, table *fakeTable, key string) *lvs.ServiceState {
	t.Helper()
	for i := range table.services {
		if table.services[i].ServiceKey.String() == key {
			return &table.services[i]
		}
	}
	t.Fatalf("no service %s", key)
	return nil
}

// readOrder reads the order of services from a listing with --nosort.
func readOrder(t *testing.T, listing string) map[lvs.ServiceKey]int {
	t.Helper()
	order := map[lvs.ServiceKey]int{}
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		var key lvs.ServiceKey
		switch fields[0] {
		case "TCP", "UDP", "SCTP":
			key.Protocol = map[string]lvs.Protocol{"TCP": lvs.TCP, "UDP": lvs.UDP, "SCTP": lvs.SCTP}[fields[0]]
			key.Addr = netip.MustParseAddrPort(fields[1])
			key.Family = lvs.FamilyOf(key.Addr.Addr())
		case "FWM":
			var mark int32
			if _, err := fmt.Sscan(fields[1], &mark); err != nil {
				t.Fatal(err)
			}
			key.Mark, key.Family = uint32(mark), lvs.IPv4
			if fields[2] == "IPv6" {
				key.Family = lvs.IPv6
			}
		default:
			continue
		}
		order[key] = len(order)
	}
	return order
}

// readConnections reads what -Lnc printed.
func readConnections(t *testing.T, listing string) []lvs.Connection {
	t.Helper()
	var all []lvs.Connection
	for line := range strings.Lines(listing) {
		var state, client, virtual, destination string
		var minutes, seconds int
		n, _ := fmt.Sscanf(line, "TCP %d:%d %s %s %s %s", &minutes, &seconds, &state, &client, &virtual, &destination)
		if n != 6 {
			continue
		}
		c := lvs.Connection{
			Protocol:    lvs.TCP,
			Client:      netip.MustParseAddrPort(client),
			Virtual:     netip.MustParseAddrPort(virtual),
			Destination: netip.MustParseAddrPort(destination),
			Expires:     time.Duration(minutes*60+seconds)*time.Second + 900*time.Millisecond,
		}
		c.State = map[string]lvs.State{
			"ASSURED": 1, "ESTABLISHED": lvs.StateEstablished,
			"SYN_RECV": lvs.StateSynRecv, "TIME_WAIT": lvs.StateTimeWait,
		}[state]
		c.Template = state == "ASSURED"
		all = append(all, c)
	}
	return all
}

// TestGoldenPrograms checks the outputs that were recorded without a transcript.
func TestGoldenPrograms(t *testing.T) {
	for _, row := range []struct{ state, args string }{
		{"99-help.txt", "-h"},
		{"99-help.txt", "--help --nonsense"},
		{"99-version.txt", "--version"},
		{"99-noargs.txt", ""},
	} {
		got := run(newFake(), goldenHosts, "", "ipvsadm", strings.Fields(row.args)...)
		want := result{Stdout: readState(t, row.state)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ipvsadm %s (-want +got):\n%s", row.args, diff)
		}
	}
}

// TestErrors replays the usages, most of them wrong, with their messages and statuses.
func TestErrors(t *testing.T) {
	table, count := newFake(), 0
	for _, r := range readTranscript(t, "50-errors.txt") {
		r.replay(t, table, goldenHosts)
		count++
	}
	if count != 127 {
		t.Errorf("%d commands in the transcript, want 127", count)
	}
	restoreWithBadLines(t, table)
}

// restoreWithBadLines does what follows the usages in the recording: two restores, each followed
// by a save.
func restoreWithBadLines(t *testing.T, table *fakeTable) {
	text, err := os.ReadFile("testdata/50-errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(text), "== restore with a bad line\n")
	want, _, _ = strings.Cut(want, "== not root")

	first := run(table, goldenHosts, "-A -t 10.9.9.9:8001 -s rr\n# comment\n"+
		"-A -t 10.9.9.9:8001 -s rr\n-A -t 10.9.9.9:8002 -s rr\n", "ipvsadm", "-R")
	got := first.Stderr + fmt.Sprintf("rc=%d\n", first.Status) + run(table, goldenHosts, "", "ipvsadm", "-Sn").Stdout
	second := run(table, goldenHosts, "ipvsadm -A -t 10.9.9.9:8003 -s rr\n\n"+
		"-a -t 10.9.9.9:8003 -r 10.2.0.1 -Q\n-A -t 10.9.9.9:8004 -s rr\n", "ipvsadm", "-R")
	got += second.Stdout + second.Stderr + run(table, goldenHosts, "", "ipvsadm", "-Sn").Stdout
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("restores with bad lines (-want +got):\n%s", diff)
	}
}

// restoreText restores rules into an empty table and gives the rules saved from it.
func restoreText(t *testing.T, rules string) string {
	t.Helper()
	table := newFake()
	if got := run(table, goldenHosts, rules, "ipvsadm", "-R"); got != (result{}) {
		t.Errorf("restore %q: %+v", rules, got)
	}
	return run(table, goldenHosts, "", "ipvsadm", "-Sn").Stdout
}
