package ipvsadm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A recorded is one command of a transcript of the real ipvsadm on the real ip_vs.
type recorded struct {
	section        string // the line that begins with "==" above it
	args           []string
	stdin          string
	stdout, stderr string
	status         int
	state          string // the file that has stdout, in testdata/state
	cut            bool   // only the first three lines of stdout were kept
	lines          int    // of the whole stdout, where it was cut
}

// readTranscript reads the format of testdata: "$ ipvsadm ARGUMENTS" or "< RULES" (of a restore),
// then "out: ", "err: " and "rc: " lines, or the state file that has them.
func readTranscript(t *testing.T, name string) []recorded {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	section := ""
	for line := range strings.SplitSeq(string(text), "\n") {
		if heading, ok := strings.CutPrefix(line, "== "); ok {
			section = heading
			continue
		}
		if command, ok := strings.CutPrefix(line, "$ ipvsadm"); ok {
			command, state, stated := strings.Cut(command, "   -> state/")
			r := recorded{section: section, args: strings.Fields(command)}
			if stated {
				_, _ = fmt.Sscanf(state, "%s rc=%d", &r.state, &r.status)
				r.stdout = readState(t, r.state)
			}
			all = append(all, r)
			continue
		}
		if rules, ok := strings.CutPrefix(line, "< "); ok {
			stdin, err := strconv.Unquote(`"` + rules + `"`)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, recorded{section: section, args: []string{"-R"}, stdin: stdin})
			continue
		}
		if len(all) > 0 {
			all[len(all)-1].read(line)
		}
	}
	return all
}

func (r *recorded) read(line string) {
	if out, ok := strings.CutPrefix(line, "out: "); ok {
		r.stdout += out + "\n"
	}
	if complaint, ok := strings.CutPrefix(line, "err: "); ok {
		r.stderr += complaint + "\n"
	}
	if n, err := fmt.Sscanf(line, "(then the usage text; lines: /tmp/o:%d", &r.lines); n == 1 && err == nil {
		r.cut = true
	}
	if strings.HasPrefix(line, "rc: ") {
		_, _ = fmt.Sscanf(line, "rc: %d", &r.status)
	}
}

func readState(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "state", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// result is what a run gave.
type result struct {
	Stdout, Stderr string
	Status         int
}

// run runs the program of that name on a table.
func run(table *fakeTable, hosts Hosts, stdin, name string, args ...string) result {
	var stdout, stderr bytes.Buffer
	status := Run(Env{
		Stdin:  strings.NewReader(stdin),
		Stdout: &stdout,
		Stderr: &stderr,
		Open:   func(Mode) (Table, error) { return table, nil },
		Hosts:  hosts,
		Ports:  NewPorts("testdata/services"),
	}, name, args)
	return result{stdout.String(), stderr.String(), status}
}

// replay runs a recorded command and compares what comes out.
func (r *recorded) replay(t *testing.T, table *fakeTable, hosts Hosts) {
	t.Helper()
	got := run(table, hosts, r.stdin, "ipvsadm", r.args...)
	want := result{r.stdout, r.stderr, r.status}
	if r.cut {
		if lines := len(strings.FieldsFunc(got.Stdout, func(c rune) bool { return c == '\n' })); lines != r.lines {
			t.Errorf("ipvsadm %s prints %d lines, want %d", strings.Join(r.args, " "), lines, r.lines)
		}
		got.Stdout = strings.Join(strings.SplitAfterN(got.Stdout, "\n", 4)[:3], "")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ipvsadm %s < %q (-want +got):\n%s", strings.Join(r.args, " "), r.stdin, diff)
	}
}
