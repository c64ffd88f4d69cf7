package schedule

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEdits replays testdata/edits.txt: servers that are added, edited and deleted under way.
func TestEdits(t *testing.T) {
	sections := strings.Split(read(t, "testdata/edits.txt"), "== ")[1:]
	if len(sections) != 115 {
		t.Fatalf("the recording has %d sections, want 115", len(sections))
	}
	for _, section := range sections {
		lines := strings.Split(strings.TrimSpace(section), "\n")
		t.Run(lines[0], func(t *testing.T) { replayAll(t, lines[1:]) })
	}
}

// run matches a line of testdata/runs.txt:
// "sh-port w=5,3,1,1 -b sh-port | src=10.1.0.2 sport=16100.. vip=10.9.8.61 closed: r2 ..."
var run = regexp.MustCompile(`^(\w+)\S* w=(\S+) (?:-b (\S+))? ?\| src=(\S+) sport=(\d+)\.\. vip=(\S+) (closed|held): (.*)$`)

// TestRuns replays the runs of testdata/runs.txt, which is taken from the recording 60-sched.txt of kernel-ipvs:
// connections 1 to 40 to servers r1 to r4.
func TestRuns(t *testing.T) {
	text, _, _ := strings.Cut(read(t, "testdata/runs.txt"), "\n==")
	lines := strings.Split(text, "\n")
	if len(lines) != 87 {
		t.Fatalf("the recording has %d runs, want 87", len(lines))
	}
	for _, line := range lines {
		m := run.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a run: %q", line)
		}
		sources := strings.Replace(m[4], "..", "+", 1)
		steps := append([]string{strings.TrimSpace("service " + m[6] + ":80 " + m[1] + " " + m[3])}, adds(m[2])...)
		steps = append(steps, "connect "+strings.Replace(m[7], "held", "hold", 1)+" "+sources+" "+m[5]+": "+m[8])
		head, _, _ := strings.Cut(line, ": ")
		t.Run(head, func(t *testing.T) { replayAll(t, steps) })
	}
}

// TestRunsWithEdits replays those lines of testdata/runs.txt that follow its headings. What led to a line
// stands in the recording's script, so it is repeated here.
func TestRunsWithEdits(t *testing.T) {
	text := read(t, "testdata/runs.txt")
	_, text, _ = strings.Cut(text, "\n==")
	var answers []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		if !strings.HasPrefix(line, "==") {
			answers = append(answers, line[strings.LastIndex(line, ": ")+1:])
		}
	}
	const closed, window = " closed 10.1.0.2 20000:", " window8 10.1.0.2 20000:"
	tests := []struct {
		name    string
		service string
		weights string
		steps   []string // a connect without answers takes the next line's
	}{
		{
			"mh-fallback, r2 edited to 0", "10.9.8.89:80 mh mh-fallback", "5,3,1,1",
			[]string{"edit r2 0", "connect closed 10.1.1.1+40 18900:"},
		},
		{
			"sh-fallback, r2 edited to 0", "10.9.8.91:80 sh sh-fallback", "5,3,1,1",
			[]string{"edit r2 0", "connect closed 10.1.1.1+40 19100:"},
		},
		{
			"wrr, weight edited", "10.9.8.92:80 wrr", "5,3,1,1",
			[]string{"connect" + closed, "edit r1 1", "connect" + closed},
		},
		{
			"rr, server added", "10.9.8.93:80 rr", "1,1,1",
			[]string{"connect" + closed, "add r4 1", "connect" + closed},
		},
		{"lc, window", "10.9.8.94:80 lc", "5,3,1,1", []string{"connect" + window}},
		{"wlc, window", "10.9.8.95:80 wlc", "5,3,1,1", []string{"connect" + window}},
		{"sed, window", "10.9.8.96:80 sed", "5,3,1,1", []string{"connect" + window}},
		{"nq, window", "10.9.8.97:80 nq", "5,3,1,1", []string{"connect" + window}},
		{
			"rr, upper threshold", "10.9.8.100:80 rr", "",
			[]string{"add r1 1 4", "add r2 1", "connect hold 10.1.0.2 20000:"},
		},
	}
	for _, test := range tests {
		steps := append([]string{"service " + test.service}, adds(test.weights)...)
		for _, step := range test.steps {
			if strings.HasPrefix(step, "connect") {
				step, answers = step+" "+answers[0], answers[1:]
			}
			steps = append(steps, step)
		}
		t.Run(test.name, func(t *testing.T) { replayAll(t, steps) })
	}
	if len(answers) != 0 {
		t.Errorf("%d lines of the recording were not replayed", len(answers))
	}
}

// adds gives the lines that add servers r1, r2, ... with weights "5,3,1".
func adds(weights string) []string {
	var lines []string
	for i, w := range strings.Split(weights, ",") {
		if w != "" {
			lines = append(lines, "add r"+string(rune('1'+i))+" "+w)
		}
	}
	return lines
}

func replayAll(t *testing.T, lines []string) {
	t.Helper()
	var r replay
	for _, line := range lines {
		if err := r.do(line); err != nil {
			t.Fatalf("%s: %v", lines[0], err)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
