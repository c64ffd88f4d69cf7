package datapath

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
	"drover/internal/schedule"
)

// A kernelReplay repeats a recording of ip_vs through the programs. The lines of a recording are described
// in ../schedule/testdata/edits.sh; addresses of clients and VIPs are kept, as sh and dh hash them.
type kernelReplay struct {
	*rig
	service lvs.Service
	open    []flow // connections of a window, the oldest first

	// hashed: servers have the recorded addresses, as mh hashes them, too; else the rig's.
	hashed bool
}

func (k *kernelReplay) do(t *testing.T, line string) {
	t.Helper()
	command, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	switch command {
	case "service":
		k.service = recordedService(args)
		must(t, k.table.AddService(k.service))
	case "scheduler":
		k.service.Scheduler = args[0]
		must(t, k.table.EditService(k.service))
	case "add":
		must(t, k.table.AddDestination(k.service.ServiceKey, k.server(args)))
	case "edit":
		must(t, k.table.EditDestination(k.service.ServiceKey, k.server(args)))
	case "delete":
		must(t, k.table.DeleteDestination(k.service.ServiceKey, k.server(args).Addr))
	case "expire":
		k.expireAll()
		k.open = nil
	case "pass":
		ageReplicaSets(t, k.objects.ReplicaSets)
	case "connect":
		how, answers, _ := strings.Cut(rest, ": ")
		k.connections(t, strings.Fields(how), strings.Fields(strings.ReplaceAll(answers, "ERR:connection", "ERR")))
	default:
		t.Fatalf("unknown command %q", command)
	}
}

// recordedService is "VIP:PORT SCHEDULER [FLAG,...]".
func recordedService(args []string) lvs.Service {
	vip := netip.MustParseAddrPort(args[0])
	s := lvs.Service{
		ServiceKey: lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip, Family: lvs.FamilyOf(vip.Addr())},
		Scheduler:  args[1],
	}
	flags := strings.Join(args[2:], "")
	if strings.Contains(flags, "-fallback") {
		s.Flags |= lvs.SchedFlag1
	}
	if strings.Contains(flags, "-port") {
		s.Flags |= lvs.SchedFlag2
	}
	return s
}

// server is "rN [WEIGHT [UPPER]]".
func (k *kernelReplay) server(args []string) lvs.Destination {
	n, _ := strconv.Atoi(strings.TrimPrefix(args[0], "r"))
	d := lvs.Destination{Addr: realServer(n, k.service.Family), Forwarding: lvs.Masquerade}
	if k.hashed {
		d.Addr = k.recordedServer(n)
	}
	if len(args) > 1 {
		weight, _ := strconv.Atoi(args[1])
		d.Weight = int32(weight)
	}
	if len(args) > 2 {
		upper, _ := strconv.Atoi(args[2])
		d.Upper = uint32(upper)
	}
	return d
}

// recordedServer is number n of the servers that were recorded: 10.2.0.1 on in runs.txt, 203.0.113.1 and
// 2001:db8:2::1 on in edits.txt.
func (k *kernelReplay) recordedServer(n int) netip.AddrPort {
	base := netip.MustParseAddr("203.0.113.0")
	switch vip := k.service.Addr.Addr(); {
	case vip.Is6():
		base = netip.MustParseAddr("2001:db8:2::")
	case vip.As4()[0] == 10:
		base = netip.MustParseAddr("10.2.0.0")
	}
	b := base.AsSlice()
	b[len(b)-1] = byte(n)
	addr, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr, schedulePort)
}

// ageReplicaSets makes all sets of lblcr look as if they had not been changed for longer than the expiration,
// though they were in use. (If the clock moved instead, the held connections would be over.)
func ageReplicaSets(t *testing.T, sets *ebpf.Map) {
	t.Helper()
	var key directorLocalityKey
	var set directorReplicas
	for all := sets.Iterate(); all.Next(&key, &set); {
		set.Changed -= uint32((schedule.LocalityExpiration + time.Second).Milliseconds())
		must(t, sets.Put(key, set))
	}
}

// connections is "closed|hold|windowN SOURCES PORT". Window N holds the connections and closes the oldest
// when more than N are open.
func (k *kernelReplay) connections(t *testing.T, how, recorded []string) {
	t.Helper()
	sources := recordedSources(how[1])
	port, _ := strconv.Atoi(how[2])
	window, err := strconv.Atoi(strings.TrimPrefix(how[0], "window"))
	windowed := err == nil
	var picked []string
	for n := range recorded {
		client := netip.AddrPortFrom(sources[n%len(sources)], uint16(port+n))
		f := flow{protocol: lvs.TCP, from: client, to: k.service.Addr}
		server, ok := k.connect(f)
		if !ok {
			picked = append(picked, "ERR")
			continue
		}
		host := server.Addr().AsSlice()
		number := host[len(host)-1]
		if !k.hashed {
			number -= realServer(0, k.service.Family).Addr().AsSlice()[len(host)-1]
		}
		picked = append(picked, fmt.Sprintf("r%d", number))
		k.establish(f)
		switch {
		case how[0] == "closed":
			k.reset(f)
		case windowed:
			k.open = append(k.open, f)
		}
		if len(k.open) > window {
			k.reset(k.open[0])
			k.open = k.open[1:]
		}
	}
	if diff := cmp.Diff(recorded, picked); diff != "" {
		t.Errorf("connect %s (-kernel +programs):\n%s", strings.Join(how, " "), diff)
	}
}

// recordedSources reads "198.51.100.1+3,198.51.100.9": .1, .2, .3 and .9.
func recordedSources(list string) (all []netip.Addr) {
	for _, part := range strings.Split(list, ",") {
		first, count, found := strings.Cut(part, "+")
		n := 1
		if found {
			n, _ = strconv.Atoi(count)
		}
		for addr := netip.MustParseAddr(first); n > 0; n-- {
			all = append(all, addr)
			addr = addr.Next()
		}
	}
	return all
}

// usesMaglev tells whether a section's service is scheduled by mh, if only for a time.
func usesMaglev(lines []string) bool {
	return slices.ContainsFunc(lines[1:], func(l string) bool { return slices.Contains(strings.Fields(l), "mh") })
}

// replayRecordings replays sections: a name, then lines.
func replayRecordings(t *testing.T, sections [][]string) {
	t.Helper()
	r := newRig(t, 1<<14)
	addRoute(t, "0.0.0.0/0", "192.0.2.254")
	for host := 2; host < 10; host++ {
		permanent(t, r.front, fmt.Sprintf("2001:db8:2::%d", host), routerMAC)
	}
	for _, lines := range sections {
		k := kernelReplay{rig: r, hashed: usesMaglev(lines)}
		for _, line := range lines[1:] {
			k.do(t, line)
		}
		if t.Failed() {
			t.Fatalf("in section %q", lines[0])
		}
		must(t, r.table.Flush())
	}
}

// TestScheduleAsRecordedWithEdits replays the recording of servers that are added, edited and deleted
// under way.
func TestScheduleAsRecordedWithEdits(t *testing.T) {
	var sections [][]string
	for _, section := range strings.Split(recording(t, "edits.txt"), "== ")[1:] {
		sections = append(sections, strings.Split(strings.TrimSpace(section), "\n"))
	}
	if len(sections) != 115 {
		t.Fatalf("the recording has %d sections", len(sections))
	}
	replayRecordings(t, sections)
}

// recordedRun matches a line of runs.txt:
// "sh-port w=5,3,1,1 -b sh-port | src=10.1.0.2 sport=16100.. vip=10.9.8.61 closed: r2 ..."
var recordedRun = regexp.MustCompile(`^(\w+)\S* w=(\S+) (?:-b (\S+))? ?\| src=(\S+) sport=(\d+)\.\. vip=(\S+) (closed|held): (.*)$`)

// TestScheduleAsRecorded replays the recorded runs: connections 1 to 40 to servers r1 to r4.
func TestScheduleAsRecorded(t *testing.T) {
	runs, edited, _ := strings.Cut(recording(t, "runs.txt"), "\n==")
	var sections [][]string
	for _, line := range strings.Split(runs, "\n") {
		m := recordedRun.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a run: %q", line)
		}
		lines := append([]string{line, "service " + m[6] + ":80 " + m[1] + " " + m[3]}, recordedAdds(m[2])...)
		how := strings.Replace(m[7], "held", "hold", 1) + " " + strings.Replace(m[4], "..", "+", 1) + " " + m[5]
		sections = append(sections, append(lines, "connect "+how+": "+m[8]))
	}
	if len(sections) != 87 {
		t.Fatalf("the recording has %d runs, want 87", len(sections))
	}
	replayRecordings(t, append(sections, runsWithEdits(t, edited)...))
}

// runsWithEdits makes sections of the lines that follow the headings of runs.txt. What led to a line
// stands in the recording's script, so it is repeated here.
func runsWithEdits(t *testing.T, text string) (sections [][]string) {
	t.Helper()
	var answers []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		if !strings.HasPrefix(line, "==") {
			answers = append(answers, line[strings.LastIndex(line, ": ")+1:])
		}
	}
	const closed, window = "connect closed 10.1.0.2 20000:", "connect window8 10.1.0.2 20000:"
	for _, s := range []struct {
		service, weights string
		steps            []string // a connect takes the next line's answers
	}{
		{"10.9.8.89:80 mh mh-fallback", "5,3,1,1", []string{"edit r2 0", "connect closed 10.1.1.1+40 18900:"}},
		{"10.9.8.91:80 sh sh-fallback", "5,3,1,1", []string{"edit r2 0", "connect closed 10.1.1.1+40 19100:"}},
		{"10.9.8.92:80 wrr", "5,3,1,1", []string{closed, "edit r1 1", closed}},
		{"10.9.8.93:80 rr", "1,1,1", []string{closed, "add r4 1", closed}},
		{"10.9.8.94:80 lc", "5,3,1,1", []string{window}},
		{"10.9.8.95:80 wlc", "5,3,1,1", []string{window}},
		{"10.9.8.96:80 sed", "5,3,1,1", []string{window}},
		{"10.9.8.97:80 nq", "5,3,1,1", []string{window}},
		{"10.9.8.100:80 rr", "1 4,1", []string{"connect hold 10.1.0.2 20000:"}}, // r1 has an upper threshold of 4
	} {
		lines := append([]string{s.service, "service " + s.service}, recordedAdds(s.weights)...)
		for _, step := range s.steps {
			if strings.HasPrefix(step, "connect") {
				step, answers = step+" "+answers[0], answers[1:]
			}
			lines = append(lines, step)
		}
		sections = append(sections, lines)
	}
	if len(answers) > 0 {
		t.Errorf("%d lines of the recording were not replayed", len(answers))
	}
	return sections
}

func recordedAdds(weights string) (lines []string) {
	for i, w := range strings.Split(weights, ",") {
		lines = append(lines, fmt.Sprintf("add r%d %s", i+1, w))
	}
	return lines
}

func recording(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("../schedule/testdata/" + file)
	must(t, err)
	return string(text)
}

// recordedMark matches a line of fwmark.txt, the recording 65-fwmark.txt of kernel-ipvs without what it lists:
// "dh fwmark w=1,1,1,1 src=10.1.0.2 sport=10100.. dst=10.8.0.1..40 held: r2 ..."
var recordedMark = regexp.MustCompile(`^(\w+) fwmark w=(\S+) src=(\S+) sport=(\d+)\.\. dst=10\.8\.0\.1\.\.40 held: (.*)$`)

// TestScheduleOfMarksAsRecorded replays what ip_vs chose for a service of a mark, of connections to 40 addresses.
func TestScheduleOfMarksAsRecorded(t *testing.T) {
	r := newRig(t, 1<<12)
	addRoute(t, "0.0.0.0/0", "192.0.2.254")
	lines := strings.Split(strings.TrimSpace(recording(t, "fwmark.txt")), "\n")
	if len(lines) != 8 {
		t.Fatalf("the recording has %d runs", len(lines))
	}
	for i, line := range lines {
		m := recordedMark.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a run: %q", line)
		}
		mark := uint32(i + 1)
		rule := lvs.MarkRule{Value: mark, Mask: ^uint32(0), Destination: netip.MustParsePrefix("10.8.0.0/24")}
		must(t, r.table.SetMarks([]lvs.MarkRule{rule}))
		k := kernelReplay{rig: r, service: lvs.Service{ServiceKey: lvs.ServiceKey{Mark: mark, Family: lvs.IPv4}, Scheduler: m[1]}}
		must(t, r.table.AddService(k.service))
		for _, add := range recordedAdds(m[2]) {
			d := k.server(strings.Fields(add)[1:])
			d.Addr = netip.AddrPortFrom(d.Addr.Addr(), 0)
			must(t, r.table.AddDestination(k.service.ServiceKey, d))
		}
		port, _ := strconv.Atoi(m[4])
		recorded := strings.Fields(m[5])
		var picked []string
		for n := range recorded {
			f := flow{
				protocol: lvs.TCP, from: netip.AddrPortFrom(netip.MustParseAddr(m[3]), uint16(port+n)),
				to: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 8, 0, byte(1 + n)}), 80),
			}
			server, ok := k.connect(f)
			if !ok {
				t.Fatalf("%s: connection %d was refused", line, n+1)
			}
			picked = append(picked, fmt.Sprintf("r%d", server.Addr().As4()[3]-realServer(0, lvs.IPv4).Addr().As4()[3]))
			k.establish(f)
		}
		if diff := cmp.Diff(recorded, picked); diff != "" {
			t.Errorf("%s (-kernel +programs):\n%s", line, diff)
		}
		must(t, r.table.Flush())
	}
}
