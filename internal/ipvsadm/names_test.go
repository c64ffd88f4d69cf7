package ipvsadm

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/lvs"
)

// recordedHosts is the /etc/hosts of the recording.
var recordedHosts = fakeHosts{
	{"localhost", "127.0.0.1"},
	{"a-very-long-name-of-a-virtual-server.example.com", "192.0.2.1"},
	{"web", "192.0.2.1"},
	{"short", "192.0.2.2"},
	{"real-server-number-one.rack-7.example.com", "198.51.100.1"},
	{"rs1", "198.51.100.1"},
	{"a-very-long-name-of-a-virtual-server-that-has-an-ipv6-address.example.com", "2001:db8::1"},
	{"rs6", "2001:db8::2"},
}

// unrestorable are lines of ipvsadm -S that ipvsadm -R refuses, and what Drover saves instead.
var unrestorable = strings.NewReplacer(
	"-A -f -1 -s rr\n", "-A -f 4294967295 -s rr\n",
	"-A -f 2147483647 -s sh -b \n", "-A -f 2147483647 -s sh\n",
)

// TestNamesAndRestores replays a recording with names of hosts and services in both directions,
// addresses whose order is circular, and restores of all kinds.
func TestNamesAndRestores(t *testing.T) {
	table := newFake()
	commands := readTranscript(t, "60-names-and-restores.txt")
	for _, r := range commands {
		if strings.Join(r.args, " ") == "-Ln --nosort" {
			table.order = readOrder(t, r.stdout)
		}
	}
	if len(table.order) != 14 || len(commands) != 75 {
		t.Fatalf("%d services and %d commands in the recording, want 14 and 75", len(table.order), len(commands))
	}
	for _, r := range commands {
		r.stdout = unrestorable.Replace(r.stdout)
		r.replay(t, table, recordedHosts)
	}
}

func TestPorts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "services")
	text := "# comment\nhttp 80/tcp www # WWW\nother 80/tcp http\nsip 5060/udp\nbad\nworse x/tcp\namqp 5672/sctp\nodd 7/ddp\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ports := NewPorts(file)
	for _, row := range []struct {
		name     string
		protocol lvs.Protocol
		port     uint16
		back     string // the name of that port
	}{
		{"http", lvs.TCP, 80, "http"},
		{"www", lvs.TCP, 80, "http"},
		{"other", lvs.TCP, 80, "http"},
		{"http", lvs.UDP, 0, ""},
		{"sip", lvs.UDP, 5060, "sip"},
		{"amqp", lvs.SCTP, 5672, "amqp"},
		{"worse", lvs.TCP, 0, ""},
		{"odd", lvs.ProtocolNone, 0, ""},
	} {
		port, ok := ports.Port(row.name, row.protocol)
		if port != row.port || ok != (row.port != 0) {
			t.Errorf("port of %s/%s: %d, %v, want %d", row.name, row.protocol, port, ok, row.port)
		}
		if back, _ := ports.Name(row.port, row.protocol); back != row.back {
			t.Errorf("name of %d/%s: %q, want %q", row.port, row.protocol, back, row.back)
		}
	}
	if _, ok := NewPorts(filepath.Join(t.TempDir(), "none")).Port("http", lvs.TCP); ok {
		t.Error("a missing file has names")
	}
}

func TestSystemHosts(t *testing.T) {
	hosts := NewHosts()
	if addr, ok := hosts.Addr("localhost"); !ok || addr != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("address of localhost: %v, %v", addr, ok)
	}
	if name, ok := hosts.Name(netip.MustParseAddr("127.0.0.1")); !ok || name != "localhost" {
		t.Errorf("name of 127.0.0.1: %q, %v", name, ok)
	}
}

// TestIPv4Address compares with what inet_aton(3) of the C library answers.
func TestIPv4Address(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1":    "192.0.2.1",
		"192.0.513":    "192.0.2.1",
		"192.513":      "192.0.2.1",
		"3221225985":   "192.0.2.1",
		"0xc0.0.2.1":   "192.0.2.1",
		"0300.0.02.01": "192.0.2.1",
		"192.0.2.1 x":  "192.0.2.1",
		"24":           "0.0.0.24",
		"0":            "0.0.0.0",
		"4294967296":   "",
		"256.0.0.1":    "",
		"192.0.65536":  "",
		"192.0.2.256":  "",
		"192.0.2.1.":   "",
		"192..2.1":     "",
		"1.2.3.4.5":    "",
		"08":           "",
		"0x":           "",
		"-1":           "",
		"+1":           "",
		"1_0":          "",
		"":             "",
		" 192.0.2.1":   "",
		"web":          "",
	} {
		got, ok := ipv4Address(text)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("ipv4Address(%q) = %v, %v, want %q", text, got, ok, want)
		}
	}
}
