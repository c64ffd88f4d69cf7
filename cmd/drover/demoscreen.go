package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"drover/internal/lab"
	"drover/internal/lab/demo"
)

// demoScreen writes a demo for a person. On a terminal its last line tells what is being waited for,
// until the next event takes its place.
type demoScreen struct {
	*printer
	terminal bool
	waiting  bool  // the last line is such a one
	failed   error // the first write that failed
	scenes   int
	checks   int    // in this scene
	node     string // of the last command
}

func newDemoScreen(env *environment) *demoScreen {
	file, ok := env.stdout.(*os.File)
	terminal := ok && env.getenv("TERM") != "dumb" && isTerminal(int(file.Fd()))
	return &demoScreen{printer: newPrinter(env), terminal: terminal}
}

func (s *demoScreen) show(event demo.Event) {
	if w, ok := event.(demo.Waiting); ok {
		s.wait(w)
		return
	}
	s.clear()
	switch e := event.(type) {
	case demo.Scene:
		s.scene(e.Lab)
	case demo.Command:
		s.command(e)
	case demo.Answers:
		s.answers(e)
	case demo.Crossing:
		s.crossing(e)
	case demo.Sightings:
		s.sightings(e)
	case demo.Check:
		s.check(e)
	}
}

func (s *demoScreen) write(format string, args ...any) {
	s.failed = cmp.Or(s.failed, s.printf(format, args...))
}

func (s *demoScreen) rows(rows [][]cell) { s.failed = cmp.Or(s.failed, s.table(rows)) }

func (s *demoScreen) wait(w demo.Waiting) {
	if !s.terminal {
		return
	}
	text := w.Text + " ..."
	if w.Of > 0 {
		text = fmt.Sprintf("%s %d of %d", w.Text, w.Done+1, w.Of)
	}
	s.write("\r\x1b[K  %s", s.in(faint, text)) // EL, erase to the end of the line (ECMA-48, Section 8.3.41)
	s.waiting = true
}

// clear removes the waiting line.
func (s *demoScreen) clear() {
	if s.waiting {
		s.write("\r\x1b[K")
	}
	s.waiting = false
}

// title is a heading with a blank line before it.
func (s *demoScreen) title(text string) { s.write("\n%s\n", s.in(bold, text)) }

func (s *demoScreen) scene(l lab.Status) {
	s.scenes++
	s.checks, s.node = 0, ""
	if s.scenes > 1 {
		s.write("\n\n")
	}
	title, text := "Direct routing", []string{
		"The director gives a client's packet the MAC address of a real server, and",
		"leaves the IP addresses alone. The servers hold the VIP too, silently, and",
		"answer the client themselves.",
	}
	switch l.Mode {
	case lab.TUN:
		title, text = "Tunnelling", []string{
			"The director sends a client's packet to a real server inside another packet, so",
			"the server may be anywhere that IP leads to. It takes the packet out, and",
			"answers the client itself: it holds the VIP too, silently.",
		}
	case lab.NAT:
		title, text = "NAT", []string{
			"The director gives a client's packet the address and port of a real server, and",
			"the reply the VIP's again. The servers' way to the clients is through the",
			"director.",
		}
	}
	s.write("%s\n", s.in(bold, title+"\n"+strings.Repeat("─", len(title))))
	s.write("%s\n\n", strings.Join(text, "\n"))
	for _, line := range picture(l) {
		s.write("  %s\n", line)
	}
}

// picture draws the nodes and the cables between them.
func picture(l lab.Status) []string {
	family := lab.V4
	if l.Family == lab.V6 {
		family = lab.V6
	}
	addr := func(node string) netip.Addr { return l.Addr(node, family) }
	vip, silent := fmt.Sprintf("%v, VIP %v", addr(lab.Director), l.VIP(family)), ""
	director := fmt.Sprintf("%-9s %s", lab.Director, vip)
	var lines, ends []string
	stem := "client ─── router ─"
	switch l.Mode {
	case lab.NAT:
		stem += "── director ─"
	case lab.TUN: // the servers are on another network than the director
		lines, silent = []string{stem + "┬─── " + director}, ", VIP on lo"
		stem = strings.Repeat(" ", len([]rune(stem))) + "└─"
	default:
		ends, silent = []string{director}, ", VIP on lo"
	}
	for _, rs := range lab.Servers {
		ends = append(ends, fmt.Sprintf("%-9s %v%s", rs, addr(rs), silent))
	}
	for i, end := range ends {
		branch := "├─ "
		switch i {
		case 0:
			branch = "┬─ "
		case len(ends) - 1:
			branch = "└─ "
		}
		lines = append(lines, stem+branch+end)
		stem = strings.Repeat(" ", len([]rune(stem)))
	}
	lines = append(lines, "client "+addr(lab.Client).String())
	if l.Mode == lab.NAT {
		lines = append(lines, "director "+vip)
	}
	return lines
}

// command sets those of each node apart.
func (s *demoScreen) command(c demo.Command) {
	if c.Node != s.node {
		s.write("\n")
	}
	s.node = c.Node
	s.write("%s %s\n", s.in(faint, c.Node+"#"), s.in(bold, c.Line))
	for line := range strings.Lines(c.Output) {
		s.write("%s\n", strings.TrimRight(line, " \n"))
	}
}

// answers draws who answered, a bar for each answer.
func (s *demoScreen) answers(a demo.Answers) {
	s.title("Who answered when asked " + strconv.Itoa(a.Requests) + " times")
	rows := [][]cell{header("server", "#weight", "#answers")}
	for _, share := range a.Servers {
		rows = append(rows, []cell{
			{text: share.Server},
			number(uint64(share.Weight)), number(uint64(share.Answers)),
			{text: strings.Repeat("■", share.Answers), style: green},
		})
	}
	s.rows(rows)
}

// crossing is a packet before and after the director, side by side.
func (s *demoScreen) crossing(c demo.Crossing) {
	s.title(c.Packet)
	rows := [][]cell{header("field", c.Before, c.After)}
	for _, r := range c.Rows {
		rows = append(rows, crossingRow(r))
	}
	other := "the same"
	if c.RestChanged {
		other = "not the same"
	}
	rest := demo.CrossingRow{Field: "all else", Before: fmt.Sprintf("%d bytes", c.Rest), After: other, Changed: c.RestChanged}
	s.rows(append(rows, crossingRow(rest)))
}

func crossingRow(r demo.CrossingRow) []cell {
	if !r.Changed {
		return []cell{{text: r.Field, style: faint}, {text: r.Before, style: faint}, {text: r.After, style: faint}}
	}
	what := "changed"
	if r.Before == "" {
		what = "added"
	}
	return []cell{{text: r.Field}, {text: r.Before}, {text: r.After, style: yellow}, {text: what, style: yellow}}
}

func (s *demoScreen) sightings(e demo.Sightings) {
	s.title("Where packets from " + e.Source + " were seen")
	rows := [][]cell{header("port of", "#packets")}
	for _, port := range e.Ports {
		row := []cell{{text: port.Node}, number(uint64(port.Packets))}
		if port.Node == lab.Director && port.Packets == 0 {
			row = append(row, cell{text: "none: the replies pass it by", style: green})
		}
		rows = append(rows, row)
	}
	s.rows(rows)
}

func (s *demoScreen) check(c demo.Check) {
	if s.checks == 0 {
		s.title("Checks")
	}
	s.checks++
	mark := s.in(green, "ok")
	if !c.OK {
		mark = s.in(red, "FAILED")
	}
	s.write("  %s  %-42s  %s\n", mark, c.Name, s.in(faint, c.Detail))
}

// close tells the outcome, and how to use the labs that are still up.
func (s *demoScreen) close(results []demo.Result, took time.Duration) error {
	all, failed := 0, len(failedChecks(results))
	for _, result := range results {
		all += len(result.Checks)
	}
	outcome := s.in(green, fmt.Sprintf("All %d checks hold.", all))
	if failed > 0 {
		outcome = s.in(red, fmt.Sprintf("%d of %d checks failed.", failed, all))
	}
	s.write("\n%s %s\n", outcome, s.in(faint, fmt.Sprintf("It took %.1f s.", took.Seconds())))
	for _, result := range results {
		if result.Kept {
			s.kept(result)
		}
	}
	return s.failed
}

func (s *demoScreen) kept(r demo.Result) {
	s.title(fmt.Sprintf("Lab %q is still up", r.Lab))
	for _, line := range []string{
		"lab status --name " + r.Lab,
		"lab exec --name " + r.Lab + " director -- ipvsadm -Ln",
		"lab curl --name " + r.Lab + " --count 6",
		"lab down --name " + r.Lab,
	} {
		s.write("  %s %s\n", os.Args[0], line)
	}
}
