package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/datapath"
)

var fullStatus = &datapath.Status{
	Namespace: 4097, ThisVersion: true,
	Interfaces: []datapath.Interface{{Name: "eth0", Index: 2, Mode: "native"}, {Name: "eth1.100", Index: 13, Mode: "generic"}, {Name: "gone0"}},
	Programs:   []datapath.ProgramStatus{{Name: "director", ID: 1234, Tag: "0123456789abcdef", VerifiedInstructions: 12345, RunCount: 7}, {Name: "icmp", ID: 9, Tag: "f"}},
	Maps:       []datapath.MapStatus{{Name: "entries", Type: "Array", Entries: 3, MaxEntries: 1 << 20, Bytes: 64 << 20}, {Name: "services", Type: "Hash", Entries: 1, MaxEntries: 4096, Bytes: 1536}},
	HasPair:    true, MemoryBytes: 96 << 20, Connections: 12345, Capacity: 1 << 20,
	Counters: []datapath.Counter{
		{Name: "not_ours", Verdict: "pass", Help: "no service has this address", Value: 9},
		{Name: "no_next_hop", Verdict: "drop", Help: "the server's MAC is not known", Value: 2},
		{Name: "dr", Verdict: "forward", Help: "sent by direct routing", Value: 1234567},
		{Name: "truncated", Verdict: "drop", Help: "the packet is shorter than its headers", Value: 0},
	},
}

const fullStatusText = `Data path
  network namespace  cookie 4097
  programs           this version
  connections        12,345 of 1,048,576 (1.2 %)
  memory             96 MiB
  clients here       balanced; fragments out of order are held

Interfaces
  name      index  mode
  eth0          2  native
  eth1.100     13  generic
  gone0         0  deleted

Programs
  name        id  tag               verified instructions  runs
  director  1234  0123456789abcdef                 12,345     7
  icmp         9  f                                     0     -

Maps
  name      type   entries   capacity   memory
  entries   Array        3  1,048,576   64 MiB
  services  Hash         1      4,096  1.5 KiB

Packets
  verdict  counter        packets  meaning
  forward  dr           1,234,567  sent by direct routing
  pass     not_ours             9  no service has this address
  drop     no_next_hop          2  the server's MAC is not known
  drop     truncated            0  the packet is shorter than its headers
`

func TestPrintStatus(t *testing.T) {
	var text bytes.Buffer
	if err := printStatus(&printer{w: &text}, fullStatus); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullStatusText, text.String()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestPrintStatusOfAnotherVersion(t *testing.T) {
	var text bytes.Buffer
	if err := printStatus(&printer{w: &text}, &datapath.Status{}); err != nil {
		t.Fatal(err)
	}
	if want := "  programs           another version: run drover datapath upgrade\n"; !strings.Contains(text.String(), want) {
		t.Errorf("%q is not in %q", want, text.String())
	}
}

// Colours change nothing of the text.
func TestPrintStatusColoured(t *testing.T) {
	var text bytes.Buffer
	if err := printStatus(&printer{w: &text, color: true}, fullStatus); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[1mPackets\x1b[0m", "\x1b[31m2\x1b[0m", "\x1b[33mgeneric\x1b[0m"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in the output", want)
		}
	}
	codes := strings.NewReplacer("\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "")
	if diff := cmp.Diff(fullStatusText, codes.Replace(text.String())); diff != "" {
		t.Errorf("without colours (-want +got):\n%s", diff)
	}
}

func TestPrintStatusReportsWriteErrors(t *testing.T) {
	if err := printStatus(&printer{w: brokenPipe{}}, fullStatus); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want io.ErrClosedPipe", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A pipe gets no colours.
func TestPrinterOfPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	env := &environment{stdout: w, getenv: func(string) string { return "" }}
	if newPrinter(env).color {
		t.Error("colours in a pipe")
	}
}

func TestNumbersForPeople(t *testing.T) {
	sizes := map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1 MiB", 96 << 20: "96 MiB",
		5 << 30: "5 GiB", 1<<64 - 1: "16 EiB",
	}
	for n, want := range sizes {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
	counts := map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 1<<64 - 1: "18,446,744,073,709,551,615"}
	for n, want := range counts {
		if got := countText(n); got != want {
			t.Errorf("countText(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestFillStyle(t *testing.T) {
	for used, want := range map[uint32]style{0: plain, 74: plain, 75: yellow, 95: red, 100: red} {
		if got := fillStyle(used, 100); got != want {
			t.Errorf("%d of 100: %q, want %q", used, got, want)
		}
	}
	if got := fillText(0, 0); got != "0 of 0" {
		t.Errorf("no capacity: %q", got)
	}
}

func TestDatapathUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"unknown command", []string{"reload"}, `unknown command "reload" for datapath`},
		{"argument of load", []string{"load", "eth0"}, `drover datapath load takes no argument: "eth0"`},
		{"argument of unload", []string{"unload", "x"}, `drover datapath unload takes no argument: "x"`},
		{"argument of status", []string{"status", "x"}, `drover datapath status takes no argument: "x"`},
		{"argument of upgrade", []string{"upgrade", "x"}, `drover datapath upgrade takes no argument: "x"`},
		{"unknown option", []string{"status", "--yaml"}, "unknown flag: --yaml"},
		{"no number", []string{"load", "--connections", "many"}, `invalid argument "many" for "--connections" flag`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			env := &environment{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
			status := run(env, append([]string{"drover", "datapath"}, test.args...))
			if status != 2 || !strings.HasPrefix(stderr.String(), "drover: "+test.want) || stdout.Len() != 0 {
				t.Errorf("status %d, stderr %q, stdout %q; want 2 and %q", status, &stderr, &stdout, test.want)
			}
		})
	}
}

func TestNotLoaded(t *testing.T) {
	err := notLoaded(datapath.ErrNotLoaded)
	if !errors.Is(err, datapath.ErrNotLoaded) || !strings.Contains(err.Error(), "drover datapath load") {
		t.Errorf("error %v", err)
	}
	if other := io.ErrUnexpectedEOF; notLoaded(other) != other {
		t.Error("another error is changed")
	}
}

func TestInterfaceNames(t *testing.T) {
	got := interfaceNames(fullStatus.Interfaces[:2])
	if want := "eth0 (native), eth1.100 (generic)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
