//go:build kernel61

package kernel

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A pair is the two directors that are compared, in lockstep.
type pair struct {
	kernel, drover *director
	connections    uint32 // capacity of Drover's table
	base           int    // ports given out to cases
	forms          int    // listings made, to take turns
	steps          int    // done, in all
	settings       []*setting
	last           result // what the last command gave in Drover
}

// newPair makes both, with a table for so many connections in Drover.
func newPair(t *testing.T, connections uint32) *pair {
	t.Helper()
	return &pair{kernel: newKernel(t), drover: newDrover(t, connections), connections: connections, base: 1000}
}

// freshPorts gives the first of ten ports that no case has had.
func (p *pair) freshPorts() int {
	p.base += 10
	if p.base > 60000 {
		p.base = 1010
	}
	return p.base
}

// both does f to both directors at once, each in its namespace.
func (p *pair) both(f func(*director) error) error {
	failed := make(chan error, 2)
	for _, d := range []*director{p.kernel, p.drover} {
		go func() { failed <- d.run(func() error { return f(d) }) }()
	}
	return firstError(<-failed, <-failed)
}

func firstError(errs ...error) error {
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

// ask runs a command in both.
func (p *pair) ask(run func(*director) (result, error)) (kernel, drover result, err error) {
	err = p.both(func(d *director) (err error) {
		r, err := run(d)
		if d == p.kernel {
			kernel = r
		} else {
			drover = r
		}
		return err
	})
	kernel.Stdout = unsignedMarks(kernel.Stdout)
	if p.connections != sameSize { // the header tells the size of the table
		kernel.Stdout = tableSize.ReplaceAllString(kernel.Stdout, "size=")
		drover.Stdout = tableSize.ReplaceAllString(drover.Stdout, "size=")
	}
	return kernel, drover, err
}

var negativeMark = regexp.MustCompile(`(-f )(-\d+)`)

// unsignedMarks gives marks beyond 2^31 as they are.
func unsignedMarks(text string) string {
	return negativeMark.ReplaceAllStringFunc(text, func(found string) string {
		part := negativeMark.FindStringSubmatch(found)
		n, err := strconv.ParseInt(part[2], 10, 32)
		if err != nil {
			return found
		}
		return part[1] + strconv.FormatUint(uint64(uint32(n)), 10)
	})
}

var tableSize = regexp.MustCompile(`size=\d+`)

// A difference says what the directors did otherwise than each other.
type difference struct{ text string }

func (d *difference) Error() string { return d.text }

func differ(format string, args ...any) error { return &difference{fmt.Sprintf(format, args...)} }

// spawnEvery is how often a command that could be a line of a restore is run by a program of its own, which
// takes long, and gives an exit status.
const spawnEvery = 12

// compare runs a command in both and compares what it gives: as a program, or as a line of a restore.
func (p *pair) compare(s step) error {
	text := strings.Join(append([]string{s.program}, s.args...), " ")
	if s.stdin != "" {
		text += fmt.Sprintf(" < %q", s.stdin)
	}
	run := func(d *director) (result, error) { return d.command(s.program, s.args, s.stdin) }
	if isLine(s) && p.steps%spawnEvery != 0 {
		line := strings.Join(s.args, " ")
		run = func(d *director) (result, error) { return d.line(line) }
	}
	kernel, drover, err := p.ask(run)
	if err != nil {
		return err
	}
	switch kernel.Status {
	case unknown:
		drover.Status = unknown
	case crashed:
		kernel = afterCrash(kernel, drover)
	}
	o := orderingOf(text)
	kernel.Stdout, drover.Stdout = ordered(kernel.Stdout, o), ordered(drover.Stdout, o)
	p.last = drover
	if diff := cmp.Diff(kernel, drover); diff != "" {
		return differ("%s (-ip_vs +drover):\n%s", text, diff)
	}
	return nil
}

// isLine tells whether a command can be a line of a restore that goes on: it is ipvsadm's, has arguments,
// does not restore itself, and prints no timeouts, which mark a line's end.
func isLine(s step) bool {
	text := strings.Join(s.args, " ")
	return s.program == "ipvsadm" && len(s.args) > 0 && s.stdin == "" && !strings.Contains(text, "R") &&
		!strings.Contains(text, "--restore") && !strings.Contains(text, "--timeout")
}

// orderingOf tells how the output of a command is compared.
func orderingOf(line string) ordering {
	switch {
	case strings.Contains(line, "--nosort"):
		return anyServices
	case strings.Contains(line, "-c") || strings.Contains(line, "-Lnc"):
		return anyLines
	}
	return exactly
}

// listings take turns after commands.
var listings = []string{
	"-Ln", "-Sn", "-Ln --nosort", "-Ln --stats", "-Ln --thresholds", "-Ln --persistent-conn", "-Ln --tun-info", "-Ln --exact",
	"-Ln --nosort --stats --exact", "-L", "-S", "-Ln --rate", "-Lnc",
}

// compareListing compares two of the listings.
func (p *pair) compareListing() error {
	for range 2 {
		p.forms++
		form := listings[p.forms%len(listings)]
		kernel, drover, err := p.ask(func(d *director) (result, error) { return d.line(form) })
		if err != nil {
			return err
		}
		o := orderingOf(form)
		kernel.Stdout, drover.Stdout = ordered(kernel.Stdout, o), ordered(drover.Stdout, o)
		drover.Status = kernel.Status
		if diff := cmp.Diff(kernel, drover); diff != "" {
			return differ("then %s (-ip_vs +drover):\n%s", form, diff)
		}
	}
	return nil
}

// do does one step of a case to both and compares.
func (p *pair) do(s step) error {
	p.steps++
	switch {
	case s.packet != nil:
		return p.exchange(s.packet)
	case s.wait > 0:
		time.Sleep(s.wait)
		return nil
	case s.setting != nil:
		return p.set(s.setting)
	}
	return p.compare(s)
}

// flush empties both.
func (p *pair) flush() error {
	if err := p.unset(); err != nil {
		return err
	}
	return p.compare(step{program: "ipvsadm", args: []string{"-C"}})
}
