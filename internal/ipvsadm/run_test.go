package ipvsadm

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// TestModes checks what each command opens the table for: a refused one does not open it, and a
// restore opens it once.
func TestModes(t *testing.T) {
	const rules = "-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 198.51.100.1\n-a -t 192.0.2.1:80 -r 198.51.100.2\n-Ln\n"
	for _, row := range []struct {
		command, stdin string
		want           []Mode
		keeps          bool
	}{
		{command: "ipvsadm", want: []Mode{Read}},
		{command: "ipvsadm -Ln", want: []Mode{Read}},
		{command: "ipvsadm -Lnc", want: []Mode{Read}},
		{command: "ipvsadm -Sn", want: []Mode{Read}},
		{command: "ipvsadm-save -n", want: []Mode{Read}},
		{command: "ipvsadm -A -t 192.0.2.1:80", want: []Mode{Add}},
		{command: "ipvsadm -a -t 192.0.2.1:80 -r 198.51.100.1", want: []Mode{Change}},
		{command: "ipvsadm -C", want: []Mode{Change}},
		{command: "ipvsadm -Z", want: []Mode{Change}},
		{command: "ipvsadm --set 1 2 3", want: []Mode{Add}},
		{command: "ipvsadm -A -t 192.0.2.1"},
		{command: "ipvsadm -h"},
		{command: "ipvsadm -R", stdin: "\n-Q\n"},
		{command: "ipvsadm -R", stdin: rules, want: []Mode{Add}},
		{command: "ipvsadm-restore", stdin: rules, want: []Mode{Change, Add}},
		{command: "ipvsadm-restore", stdin: rules, want: []Mode{Change}, keeps: true},
	} {
		var opened []Mode
		closed := 0
		words := strings.Fields(row.command)
		Run(Env{
			Stdin:  strings.NewReader(row.stdin),
			Stdout: &bytes.Buffer{},
			Stderr: &bytes.Buffer{},
			Open: func(mode Mode) (Table, error) {
				opened = append(opened, mode)
				return &closeCounter{newFake(), &closed, row.keeps}, nil
			},
			Hosts: goldenHosts,
			Ports: NewPorts("testdata/services"),
		}, words[0], words[1:])
		if !slices.Equal(opened, row.want) || closed != len(row.want) {
			t.Errorf("%s < %q opened %v and closed %d, want %v", row.command, row.stdin, opened, closed, row.want)
		}
	}
}

type closeCounter struct {
	*fakeTable
	closed *int
	keeps  bool
}

func (c *closeCounter) Keeps() bool { return c.keeps }

func (c *closeCounter) Close() error {
	*c.closed++
	return nil
}

// TestTransactions: the lines of a restore are one transaction up to the line that ends it, or to a listing;
// single commands are none.
func TestTransactions(t *testing.T) {
	const add = "-A -t 192.0.2.1:80\n"
	for _, row := range []struct {
		command, stdin, want string
		err                  error
		status               int
	}{
		{command: "ipvsadm -A -t 192.0.2.1:80"},
		{command: "ipvsadm -Ln", want: "list"},
		{command: "ipvsadm -R", stdin: add + "-C\n", want: "begin commit"},
		{command: "ipvsadm -R", stdin: add + "-D -t 192.0.2.2:80\n" + add, want: "begin commit", status: 255},
		{command: "ipvsadm -R", stdin: add + "-Q\n" + add, want: "begin commit", status: 255},
		{command: "ipvsadm -R", stdin: add + "-Sn\n-C\n", want: "begin commit list begin commit"},
		{command: "ipvsadm -R", stdin: add, want: "begin commit", err: lvs.ErrMemory, status: 255},
		{command: "ipvsadm-restore", stdin: add, want: "begin commit"},
		{command: "ipvsadm-restore", stdin: "", want: "begin commit"},
	} {
		table := newFake()
		table.commitErr = row.err
		words := strings.Fields(row.command)
		got := run(table, goldenHosts, row.stdin, words[0], words[1:]...)
		if calls := strings.Join(table.calls, " "); calls != row.want || got.Status != row.status {
			t.Errorf("%s < %q: calls %q, status %d (%s), want %q, %d", row.command, row.stdin, calls, got.Status,
				got.Stderr, row.want, row.status)
		}
	}
}

// TestSchedulerFlagsOfSeparators: a list that names no flag is none if it is empty, else it is refused, before
// anything is changed, and ends a restore.
func TestSchedulerFlagsOfSeparators(t *testing.T) {
	const add, list = "-A -t 192.0.2.1:80 -s sh -b ", "-A -t 192.0.2.1:80 -s sh"
	for _, row := range []struct {
		flags string
		want  result
		saved string
	}{
		{",sh-port,", result{}, list + " -b sh-port\n"},
		{"", result{}, list + "\n"},
		{",", result{Stderr: "invalid scheduler flag `,'\n", Status: 2}, ""},
		{",,", result{Stderr: "invalid scheduler flag `,,'\n", Status: 2}, ""},
	} {
		table := newFake()
		words := append(strings.Fields(add), row.flags)
		if diff := cmp.Diff(row.want, run(table, goldenHosts, "", "ipvsadm", words...)); diff != "" {
			t.Errorf("-b %q (-want +got):\n%s", row.flags, diff)
		}
		if saved := run(table, goldenHosts, "", "ipvsadm", "-Sn").Stdout; saved != row.saved {
			t.Errorf("-b %q: saved %q, want %q", row.flags, saved, row.saved)
		}
	}
	table := newFake()
	got := run(table, goldenHosts, add+",\n"+list+"\n", "ipvsadm", "-R")
	if saved := run(table, goldenHosts, "", "ipvsadm", "-Sn").Stdout; got.Status != 2 || saved != "" {
		t.Errorf("restore: status %d, then saved %q", got.Status, saved)
	}
}

// TestOpenFails checks the answers where there is no table.
func TestOpenFails(t *testing.T) {
	for _, row := range []struct {
		err  error
		want result
	}{
		{errBroken, result{Stderr: "Can't initialize ipvs: broken\n", Status: 2}},
		{lvs.ErrPermission, result{Stderr: "Can't initialize ipvs: Permission denied (you must be root)\n", Status: 2}},
		{
			&lvs.UnsupportedError{What: "this kernel"},
			result{Stderr: "Drover's data path does not support this kernel yet\n", Status: 2},
		},
	} {
		var stdout, stderr bytes.Buffer
		env := Env{Stdout: &stdout, Stderr: &stderr, Open: func(Mode) (Table, error) { return nil, row.err }}
		got := result{Status: Run(env, "ipvsadm", []string{"-Ln"})}
		got.Stdout, got.Stderr = stdout.String(), stderr.String()
		if got != row.want {
			t.Errorf("%v: %+v, want %+v", row.err, got, row.want)
		}
	}
}

// TestUnsupported checks that what the data path cannot do is named and ends with status 2, also
// on a line of a restore that others follow.
func TestUnsupported(t *testing.T) {
	const complaint = "Drover's data path does not support the scheduler mh yet\n"
	table := newFake()
	table.unsupported = "mh"
	got := run(table, goldenHosts, "", "ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", "mh")
	if want := (result{Stderr: complaint, Status: 2}); got != want {
		t.Errorf("one command: %+v, want %+v", got, want)
	}
	table.daemonless = true
	got = run(table, goldenHosts, "", "ipvsadm", "-L", "--daemon")
	if want := (result{Stderr: "Drover's data path does not support the sync daemon yet\n", Status: 2}); got != want {
		t.Errorf("listing: %+v, want %+v", got, want)
	}
	got = run(table, goldenHosts, "-A -t 192.0.2.1:80 -s mh\n-A -t 192.0.2.2:80 -s rr\n-Sn\n", "ipvsadm", "-R")
	if want := (result{Stdout: "-A -t 192.0.2.2:80 -s rr\n", Stderr: complaint, Status: 2}); got != want {
		t.Errorf("restore: %+v, want %+v", got, want)
	}
}

// TestScripts plays ipvsadm-save and ipvsadm-restore.
func TestScripts(t *testing.T) {
	table := newFake()
	run(table, goldenHosts, "", "ipvsadm", "-A", "-t", "127.0.0.1:80", "-s", "rr")
	const saveUsage = "ipvsadm-save: Script to save the IPVS table to stdout.\n" +
		"   With the -n option, prints out the table in numeric format.\n"
	for _, row := range []struct {
		name, args, stdin string
		want              result
	}{
		{"ipvsadm-save", "", "", result{Stdout: "-A -t localhost:http -s rr\n"}},
		{"/usr/sbin/ipvsadm-save", "word -n", "", result{Stdout: "-A -t 127.0.0.1:80 -s rr\n"}},
		{"ipvsadm-save", "-x", "", result{Stderr: saveUsage, Status: 1}},
		{"ipvsadm-restore", "", "#-A -t 192.0.2.9:80\n-A -t 192.0.2.8:80\n-Sn", result{Stdout: "-A -t 192.0.2.8:80 -s wlc\n"}},
		{
			"ipvsadm-restore", "", "nonsense\n",
			result{Stderr: "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n", Status: 255},
		},
		{"ipvsadm-save", "-n", "", result{}}, // the failed restore cleared the table before
		{
			"/sbin/ipvsadm", "-q", "",
			result{Stderr: "Try `/sbin/ipvsadm -h' or '/sbin/ipvsadm --help' for more information.\n", Status: 255},
		},
	} {
		got := run(table, goldenHosts, row.stdin, row.name, strings.Fields(row.args)...)
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", row.name, row.args, diff)
		}
	}
}

// TestBrokenStreams checks that a table that fails, input that cannot be read and output that
// cannot be written are reported.
func TestBrokenStreams(t *testing.T) {
	var stderr bytes.Buffer
	env := Env{Stdin: brokenStream{}, Stdout: brokenStream{}, Stderr: &stderr, Hosts: goldenHosts}
	env.Open = func(Mode) (Table, error) { return &brokenTable{newFake()}, nil }
	for _, row := range []struct {
		args   string
		status int
		want   string
	}{
		{"-v", 1, "write: broken\n"},
		{"-R", 1, "read rules: broken\n"},
		{"-L --timeout", 1, "broken\n"},
		{"-D -f 1", 255, "broken\n"},
		{"-C", 2, "close table: broken\n"},
	} {
		stderr.Reset()
		if status := Run(env, "ipvsadm", strings.Fields(row.args)); status != row.status || stderr.String() != row.want {
			t.Errorf("%s: status %d, %q, want %d, %q", row.args, status, stderr.String(), row.status, row.want)
		}
	}
}

type brokenStream struct{}

func (brokenStream) Read([]byte) (int, error)  { return 0, errBroken }
func (brokenStream) Write([]byte) (int, error) { return 0, errBroken }

type brokenTable struct{ *fakeTable }

func (*brokenTable) Timeouts() (lvs.Timeouts, error)    { return lvs.Timeouts{}, errBroken }
func (*brokenTable) DeleteService(lvs.ServiceKey) error { return errors.Join(errBroken) }
func (*brokenTable) Close() error                       { return errBroken }
