package kernel

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestGenerators checks that what is made up can be read, asks for nothing that is left out, is the same for
// the same seed, and has each kind of step.
func TestGenerators(t *testing.T) {
	for _, row := range []struct {
		name  string
		lines func(seed uint64) []string
		kinds []string
	}{
		{"commands", func(seed uint64) []string {
			c := newCommander(seed)
			var all []string
			for range 300 {
				all = append(all, c.next())
			}
			return all
		}, []string{
			"$ ipvsadm -A", "$ ipvsadm -E", "$ ipvsadm -D", "$ ipvsadm -a", "$ ipvsadm -e", "$ ipvsadm -d", "$ ipvsadm -C",
			"$ ipvsadm -Z", "$ ipvsadm --set", "$ ipvsadm -L", "$ ipvsadm -R < ", "$ ipvsadm-restore < ", "$ ipvsadm-save",
		}},
		{"traffic", traffic, []string{"$ ipvsadm -A", "$ ipvsadm -a", "> tcp", "< tcp", "> udp", "< udp", "$ ipvsadm -e", "$ ipvsadm -d"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var all []string
			for seed := range uint64(40) {
				made := row.lines(seed)
				if !slices.Equal(made, row.lines(seed)) {
					t.Fatalf("seed %d gives one thing and another", seed)
				}
				all = append(all, made...)
			}
			for _, line := range all {
				s, err := parseStep(line, 1000)
				if err != nil {
					t.Errorf("%s: %v", line, err)
				} else if name := leftOut(s); name != "" {
					t.Errorf("%s asks for %s", line, name)
				}
			}
			for _, kind := range row.kinds {
				if !slices.ContainsFunc(all, func(line string) bool { return strings.HasPrefix(line, kind) }) {
					t.Errorf("no step begins with %q", kind)
				}
			}
		})
	}
}

// TestLeftOut checks that each entry of the list is found in a command, and nothing else is.
func TestLeftOut(t *testing.T) {
	for line, name := range map[string]string{
		"ipvsadm -A -f 1 -s rr":                                             "",
		"ipvsadm -A --sctp-service 192.0.2.1:80":                            "SCTP services (--sctp-service)",
		"ipvsadm -A -t 192.0.2.1:80 -p":                                     "",
		"ipvsadm -A -t 192.0.2.1:80 -p abc":                                 "", // refused by ipvsadm
		"ipvsadm -A -u 192.0.2.1:80 --pe sip":                               "persistence engines (--pe)",
		"ipvsadm -A -u 192.0.2.1:80 -o":                                     "",
		"ipvsadm -E -t 192.0.2.1:80 -s twos":                                "the scheduler twos (not in Debian's kernel)",
		"ipvsadm -a -t 192.0.2.1:80 -r 198.51.100.1 -x 5":                   "",
		"ipvsadm -a -t 192.0.2.1:80 -r 198.51.100.1 -m":                     "",
		"ipvsadm -a -t 192.0.2.1:80 -r 127.0.0.1:80":                        "",
		"ipvsadm -R < \"-A -t 192.0.2.1:80\\n-A -u 192.0.2.2:80 --pe sip\"": "persistence engines (--pe)",
		"ipvsadm --start-daemon master":                                     "the connection sync daemon (--start-daemon)",
		"ipvsadm -Ln -f 1":                                                  "",
	} {
		s, err := parseStep("$ "+line, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := leftOut(s); got != name {
			t.Errorf("%s: %q is left out, want %q", line, got, name)
		}
	}
}

// TestShrink checks that no more is left of a failing case than what it fails by.
func TestShrink(t *testing.T) {
	var all []string
	for i := range 64 {
		all = append(all, string(rune('A'+i)))
	}
	fails := func(lines []string) bool {
		return slices.Contains(lines, "C") && slices.Contains(lines, "Z") && slices.Index(lines, "C") < slices.Index(lines, "Z")
	}
	if got := shrink(all, 1000, fails); !slices.Equal(got, []string{"C", "Z"}) {
		t.Errorf("shrunk to %q, want C and Z", got)
	}
	tried := 0
	shrink(all, 7, func([]string) bool { tried++; return false })
	if tried != 7 {
		t.Errorf("%d trials, want 7", tried)
	}
}

// TestSteps checks that ports are put in, and that what is no step is refused.
func TestSteps(t *testing.T) {
	s, err := parseStep("> tcp 203.0.113.5:1025 192.0.2.1:PORT1 SA 10", 2000)
	if err != nil || s.packet.vip.Port() != 2001 || s.packet.flags != "SA" || s.packet.payload != 10 || s.packet.answer {
		t.Errorf("packet %+v, %v", s.packet, err)
	}
	for _, line := range []string{"", "# comment", "> tcp 203.0.113.5:1025 192.0.2.1:80 S", "$ ", "wait long", "$ ipvsadm -R < x"} {
		if _, err := parseStep(line, 0); err == nil {
			t.Errorf("%q is taken for a step", line)
		}
	}
}

// TestRuns reads every line of the recording of schedulers.
func TestRuns(t *testing.T) {
	text, err := os.ReadFile("testdata/recordings/60-sched.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(text)) {
		r, err := parseRun(line)
		if err != nil || len(r.servers) != 40 || len(r.weights) != 4 {
			t.Errorf("%d servers, %d weights, %v", len(r.servers), len(r.weights), err)
		}
		count++
	}
	if count != 87 {
		t.Errorf("%d runs, want 87", count)
	}
}

// TestDifferences checks which connections are taken for the same.
func TestDifferences(t *testing.T) {
	const title = "IPVS connection entries\npro expire state       source             virtual            destination\n"
	read := func(lines string) []connection {
		return connections(title+lines, func(string) bool { return true })
	}
	const one, two = "TCP 00:59  SYN_RECV    a:1  v:80 s:80\n", "TCP 15:00  ESTABLISHED a:2  v:80 s:80\n"
	for _, row := range []struct {
		name, kernel, drover string
		differ               bool
	}{
		{"another order", one + two, two + one, false},
		{"two seconds apart", one, "TCP 00:57  SYN_RECV a:1 v:80 s:80\n", false},
		{"three seconds apart", one, "TCP 00:56  SYN_RECV a:1 v:80 s:80\n", true},
		{"another state", one, "TCP 00:59  CLOSE a:1 v:80 s:80\n", true},
		{"one missing", one + two, one, true},
		{"one too many", one, one + two, true},
	} {
		if lines := differences(read(row.kernel), read(row.drover)); (len(lines) > 0) != row.differ {
			t.Errorf("%s: %q", row.name, lines)
		}
	}
}
