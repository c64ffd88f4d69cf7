//go:build kernel61

package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A transcript is replayed command by command.
type transcript struct {
	*pair
	left map[string]bool // services that something was left out of: the recording has them, the tables do not
}

// replayTranscripts replays the recorded transcripts of ipvsadm in both, what is left out apart, and holds what
// they say against each other, and against the recording where nothing of it was left out.
func (p *pair) replayTranscripts(t *testing.T) {
	begin := time.Now()
	for _, file := range []string{"40-golden.txt", "50-errors.txt"} {
		must(t, p.flush())
		r := transcript{pair: p, left: map[string]bool{}}
		text, err := os.ReadFile(filepath.Join("testdata/recordings", file))
		must(t, err)
		for _, c := range strings.Split(string(text), "\n$ ipvsadm")[1:] {
			if err := r.replay(c); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	p.done(t, "transcripts", begin, 2)
}

// replay does a command and compares. Its text is the arguments, what was printed, and the status; or the name
// of the file with a listing.
func (r *transcript) replay(text string) error {
	line, output, _ := strings.Cut(text, "\n")
	line, file, recorded := strings.Cut(line, "   -> state/")
	s := step{program: "ipvsadm", args: strings.Fields(line)}
	asked := calls(s)
	if leftOut(s) != "" {
		for _, c := range asked {
			r.left[serviceWords(c.service.ServiceKey)] = true
		}
		return nil
	}
	if err := r.do(s); err != nil {
		return err
	}
	if recorded {
		name, _, _ := strings.Cut(file, " ")
		return r.compareRecorded(s, name)
	}
	if slices.ContainsFunc(asked, func(c call) bool { return r.left[serviceWords(c.service.ServiceKey)] }) {
		return nil
	}
	return r.compareComplaint(output)
}

// compareComplaint compares what was printed on stderr.
func (r *transcript) compareComplaint(output string) error {
	var want strings.Builder
	for line := range strings.Lines(output) {
		if text, ok := strings.CutPrefix(line, "err: "); ok {
			want.WriteString(text)
		}
	}
	if got := r.last.Stderr; strings.TrimSpace(got) != strings.TrimSpace(want.String()) {
		return differ("complaint %q, recorded %q", got, want.String())
	}
	return nil
}

// compareRecorded holds a listing against the recorded one, before there was traffic: it must have the same
// lines in the same order, but for those of what was left out.
func (r *transcript) compareRecorded(s step, name string) error {
	if !slices.ContainsFunc([]string{"00-", "10-", "20-"}, func(phase string) bool { return strings.HasPrefix(name, phase) }) {
		return nil
	}
	text, err := os.ReadFile(filepath.Join("testdata/recordings/state", name))
	if err != nil {
		return err
	}
	recorded := strings.Split(ordered(string(text), orderingOf(strings.Join(s.args, " "))), "\n")
	for line := range strings.SplitSeq(r.last.Stdout, "\n") {
		at := slices.Index(recorded, line)
		if at < 0 {
			return differ("%s: the recording has no line %q, or not here", name, line)
		}
		recorded = recorded[at+1:]
	}
	return nil
}
