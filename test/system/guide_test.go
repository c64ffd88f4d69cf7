package system

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// update has the guide's pages take what their commands print, in place of comparing it.
var update = flag.Bool("update", false, "write what the guide's commands print into its pages")

const guide = "../../docs/guide/"

// A typed command of a page, and what it says that the command prints.
type typed struct {
	command string
	printed []string
}

// fences gives the lines of a page's fenced blocks.
func fences(page string) [][]string {
	var all [][]string
	inside := false
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			if inside = !inside; inside {
				all = append(all, nil)
			}
		case inside:
			all[len(all)-1] = append(all[len(all)-1], line)
		}
	}
	return all
}

// typedIn gives the commands of a block that has some: those begin with the root's prompt.
func typedIn(fence []string) []*typed {
	var all []*typed
	for _, line := range fence {
		if command, ok := strings.CutPrefix(line, "# "); ok {
			all = append(all, &typed{command: command})
		} else if len(all) > 0 {
			all[len(all)-1].printed = append(all[len(all)-1].printed, line)
		}
	}
	return all
}

// TestGuide types the commands of the page about health checks, with the files that stand there, and compares what they print,
// but for times and the order of events.
func TestGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(guide + "health-checks.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := fences(string(text))
	reader := newReader(t)
	if err := os.WriteFile(filepath.Join(reader.folder, "keepalived.conf"), []byte(strings.Join(blocks[0], "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, block := range blocks[1:] {
		commands := typedIn(block)
		if len(commands) == 0 {
			continue
		}
		var fresh []string
		for _, c := range commands {
			got := reader.do(t, c)
			fresh = append(append(fresh, "# "+c.command), got...)
		}
		page = strings.Replace(page, "```\n"+strings.Join(block, "\n")+"\n```", "```\n"+strings.Join(fresh, "\n")+"\n```", 1)
	}
	if *update {
		if err := os.WriteFile(guide+"health-checks.md", []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGuideInChinese: the two pages have the same blocks.
func TestGuideInChinese(t *testing.T) {
	t.Parallel()
	var blocks [2][][]string
	for i, name := range []string{"health-checks.md", "zh/health-checks.md"} {
		text, err := os.ReadFile(guide + name)
		if err != nil {
			t.Fatal(err)
		}
		blocks[i] = fences(string(text))
	}
	if diff := cmp.Diff(blocks[0], blocks[1]); diff != "" {
		t.Errorf("blocks (-English +Chinese):\n%s", diff)
	}
}

// A reader follows a page, in a folder and a lab of its own.
type reader struct {
	folder, lab string
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{folder: t.TempDir(), lab: labPrefix() + "guide"}
	t.Cleanup(func() {
		if out, err := exec.Command(program, "lab", "down", "--name", r.lab).CombinedOutput(); err != nil {
			t.Errorf("lab down: %v, %s", err, out)
		}
	})
	return r
}

var (
	labCommand = regexp.MustCompile(`drover lab (\w+)`)
	looks      = regexp.MustCompile(`drover (status|checks|logs)|drover lab curl|ipvsadm|director/metrics`) // what may be typed again, until it is as wanted
)

// do types a command, and gives its output and its exit status if that is not 0.
func (r *reader) do(t *testing.T, c *typed) []string {
	t.Helper()
	if *update {
		time.Sleep(4 * time.Second)
	}
	var got []string
	typeIt := func() string {
		got = r.typeOnce(t, c.command)
		return cmp.Diff(comparable(c.printed), comparable(got))
	}
	switch {
	case *update:
		typeIt()
	case looks.MatchString(c.command):
		eventually(t, limit, func() string {
			if diff := typeIt(); diff != "" {
				return c.command + " (-page +run):\n" + diff
			}
			return ""
		})
	default:
		if diff := typeIt(); diff != "" {
			t.Errorf("%s (-page +run):\n%s", c.command, diff)
		}
	}
	return got
}

func (r *reader) typeOnce(t *testing.T, command string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", labCommand.ReplaceAllString(strings.ReplaceAll(command, "/run/drover/", runFolder+"/"), "drover lab $1 --name "+r.lab))
	cmd.Dir = r.folder
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if strings.HasPrefix(command, "drover lab up") && err == nil {
		return nil // its map of the lab is in the lab's own page
	}
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(string(out), r.folder+"/", "")) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", command, err)
	}
	if status := cmd.ProcessState.ExitCode(); status != 0 {
		lines = append(lines, "exit "+string(rune('0'+status)))
	}
	return lines
}

var (
	clock    = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} `)
	duration = regexp.MustCompile(`\b\d+(\.\d+)? ?(ms|s|m\d+s)\b`)
	fraction = regexp.MustCompile(`\b\d+\.\d+(e[+-]\d+)?$`)
	version  = regexp.MustCompile(`version="[^"]*"`)
	blanks   = regexp.MustCompile(` {2,}`)
)

// comparable has no times, no widths of columns, and events sorted: which of two checks answered first is chance.
func comparable(lines []string) []string {
	var out, events []string
	for _, line := range lines {
		event := clock.MatchString(line)
		for _, r := range []struct {
			what *regexp.Regexp
			as   string
		}{{clock, "CLOCK "}, {duration, "TIME"}, {fraction, "NUMBER"}, {version, "VERSION"}, {blanks, "  "}} {
			line = r.what.ReplaceAllString(line, r.as)
		}
		if event {
			events = append(events, line)
		} else {
			out = append(out, line)
		}
	}
	slices.Sort(events)
	return append(out, events...)
}
