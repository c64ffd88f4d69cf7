package system

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lab"
)

// An explained packet is what these tests read of `drover explain --json`.
type explained struct {
	Verdict   string   `json:"verdict"`
	Outcome   string   `json:"outcome"`
	Mark      uint32   `json:"mark"`
	MarkRules []string `json:"mark_rules"`
	Access    string   `json:"access_rule"`
	Known     bool     `json:"known"`
	Service   string   `json:"service"`
	Server    string   `json:"server"`
	Device    string   `json:"device"`
	Frame     []byte   `json:"frame"`
	Choices   []struct {
		Server string `json:"server"`
		Why    string `json:"why"`
	} `json:"choices"`
}

func (c *cluster) explain(arguments string) (e explained) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.run(lab.Director, "drover explain --json "+arguments)), &e); err != nil {
		c.t.Fatal(err)
	}
	return e
}

// clientAddress gives an address and port of the client's.
func (c *cluster) clientAddress(f lab.Family, port int) string {
	if f == lab.V6 {
		return fmt.Sprintf("[%s]:%d", c.Topology.Addr(lab.Client, f), port)
	}
	return fmt.Sprintf("%s:%d", c.Topology.Addr(lab.Client, f), port)
}

// state is all that asking could change: rules, connections and counters. Their time passes anyway, and ARP is
// counted as other.
func (c *cluster) state() string {
	expiry := regexp.MustCompile(`\b\d\d:\d\d\b`)
	state := c.run(lab.Director, "drover save") + c.run(lab.Director, "ipvsadm -Ln --stats --exact") +
		expiry.ReplaceAllString(strings.Join(c.connections(), "\n"), "")
	for _, counter := range c.status().Counters {
		if counter.Name != "other" && counter.Name != "protocol" {
			state += fmt.Sprintf("%s %s %d\n", counter.Verdict, counter.Name, counter.Value)
		}
	}
	return state
}

// TestExplain: what explain says of a packet is what becomes of it, under every kind of scheduler, and asking
// changes nothing.
func TestExplain(t *testing.T) {
	t.Parallel()
	inModes(t, func(c *cluster) {
		for _, f := range families {
			c.balance(f, "rs1", "rs2", "rs3")
			c.servers(f, 6)                                             // so that the ways are known
			port := map[lab.Family]int{lab.V4: 20000, lab.V6: 21000}[f] // one socket has both families
			for i, scheduler := range []string{"rr", "wlc", "mh"} {
				c.ipvsadm("-E -t " + c.vip(f, 80) + " -s " + scheduler)
				c.explainOne(f, port+i)
			}
			known := "tcp " + c.clientAddress(f, port) + " " + c.vip(f, 80) + " --flags A"
			if e := c.explain(known); !e.Known || e.Verdict != "forward" || e.Server == "" {
				c.t.Errorf("%s: %+v", known, e)
			}
		}
	})
}

func (c *cluster) explainOne(f lab.Family, port int) {
	c.t.Helper()
	packet := "tcp " + c.clientAddress(f, port) + " " + c.vip(f, 80)
	before := c.state()
	e := c.explain(packet)
	if after := c.state(); after != before {
		c.t.Errorf("%s: asking changed the state: %s", packet, cmp.Diff(before, after))
	}
	server, err := c.askFromPort(lab.Client, port, c.vip(f, 80), limit)
	if err != nil {
		c.t.Fatal(err)
	}
	if want := c.rip(server, f, c.serverPort()); e.Verdict != "forward" || e.Server != want || e.Known || len(e.Choices) != 3 {
		c.t.Errorf("%s: %+v, and the server was %s", packet, e, want)
	}
	chosen := 0
	for _, choice := range e.Choices {
		if choice.Why == "chosen" && choice.Server == e.Server {
			chosen++
		}
	}
	mac := c.macBehind(server)
	if chosen != 1 || len(e.Frame) < 60 || !slices.Contains(mac, fmt.Sprintf("%x", e.Frame[:6])) {
		c.t.Errorf("%s: %+v, the next hop has %v", packet, e, mac)
	}
}

// macBehind are the MACs that a frame towards a server can have: its own, or the router's.
func (c *cluster) macBehind(server string) (macs []string) {
	for _, p := range c.Topology.Ports {
		if p.Node == server || p.Node == lab.Gate {
			macs = append(macs, fmt.Sprintf("%x", []byte(p.MAC)))
		}
	}
	return macs
}

// TestExplainRefusals: explain names the rule that denies, the mark and its service, and what is no service.
func TestExplainRefusals(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Mode: lab.DR, Family: lab.V4})
	f := lab.V4
	c.balance(f, "rs1")
	from := c.clientAddress(f, 4000)
	if e := c.explain("tcp " + from + " " + c.vip(f, 81)); e.Outcome != "not_ours" || e.Service != "" {
		t.Errorf("no service: %+v", e)
	}
	c.ipvsadm("-A -f 7 -s rr")
	c.ipvsadm("-a -f 7 -g -r " + c.rip("rs2", f, 0))
	c.run(lab.Director, "drover mark add --mark 7 --proto tcp --dst "+c.Topology.VIP(f).String()+" --dport 443")
	e := c.explain("tcp " + from + " " + c.vip(f, 443))
	if e.Mark != 7 || len(e.MarkRules) != 1 || !strings.Contains(e.MarkRules[0], "--dport 443") || e.Service != "mark/7" {
		t.Errorf("by mark: %+v", e)
	}
	c.run(lab.Director, "drover acl add deny "+c.Topology.Addr(lab.Client, f).String()+" --service "+c.Topology.VIP(f).String()+" --reason scanner")
	e = c.explain("tcp " + from + " " + c.vip(f, 80))
	if e.Outcome != "access" || !strings.Contains(e.Access, "scanner") {
		t.Errorf("denied: %+v", e)
	}
	c.run(lab.Director, "drover acl flush")
	c.ipvsadm("-e -g -w 0 -t " + c.vip(f, 80) + " -r " + c.rip("rs1", f, 80))
	e = c.explain("tcp " + from + " " + c.vip(f, 80))
	if e.Outcome != "unreachable" || len(e.Choices) != 1 || e.Choices[0].Why != "its weight is 0" {
		t.Errorf("weight 0: %+v", e)
	}
	for line, want := range map[string]string{
		"explain tcp 192.0.2.7 192.0.2.1:80":             "ADDRESS:PORT",
		"explain icmp 192.0.2.7:1 192.0.2.1:80":          "want tcp or udp",
		"explain tcp 192.0.2.7:1 [2001:db8::1]:80":       "different families",
		"explain tcp 192.0.2.7:1 192.0.2.1:80 --in nope": "none of that name",
		"explain tcp 192.0.2.7:1 192.0.2.1:80 --flags X": "want S, F, R and A",
		"explain tcp 192.0.2.7:70000 192.0.2.1:80":       "ADDRESS:PORT",
		"trace port":                         "wants a word behind it",
		"trace host nobody":                  "ADDRESS/BITS",
		"capture /nowhere/x.pcapng --for 1s": "no such file",
		"incident --since yesterday":         "invalid",
	} {
		if _, err := c.try(lab.Director, "drover "+line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// TestTraceAndCapture: trace shows a connection's packets by both directions of NAT, and capture keeps each before
// and after, in a file that tcpdump reads.
func TestTraceAndCapture(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Mode: lab.NAT, Family: lab.V4})
	f := lab.V4
	c.balance(f, "rs1")
	c.servers(f, 2)
	client := c.Topology.Addr(lab.Client, f).String()
	file := filepath.Join(t.TempDir(), "x.pcapng")
	trace := c.whileAsking("drover trace proto tcp host "+client+" --for 3s", 21000)
	c.whileAsking("drover capture "+file+" proto tcp host "+client+" --for 3s", 21001)
	for _, want := range []string{client + ":21000 > " + c.vip(f, 80), "forward masq_in", "forward masq_out", "ESTABLISHED", "server " + c.rip("rs1", f, c.serverPort())} {
		if !strings.Contains(trace, want) {
			t.Errorf("trace has not %q:\n%s", want, trace)
		}
	}
	read := c.run(lab.Director, "tcpdump -n -r "+file)
	rip := c.Topology.Addr("rs1", f).String()
	for _, want := range []string{
		client + ".21001 > " + c.Topology.VIP(f).String() + ".80: Flags [S]",           // before
		client + ".21001 > " + rip + "." + fmt.Sprint(c.serverPort()) + ": Flags [S]",  // after
		rip + "." + fmt.Sprint(c.serverPort()) + " > " + client + ".21001: Flags [S.]", // the reply, before
		c.Topology.VIP(f).String() + ".80 > " + client + ".21001: Flags [S.]",          // and after
	} {
		if !strings.Contains(read, want) {
			t.Errorf("capture has not %q:\n%s", want, read)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read the capture: %v, %v", info, err)
	}
}

// whileAsking runs a command of the director's that watches, and a request from a port of the client's. Only one
// can watch at a time: another is refused.
func (c *cluster) whileAsking(line string, port int) string {
	c.t.Helper()
	var text string
	var err error
	done := make(chan bool)
	go func() {
		defer close(done)
		for { // one of those below may watch just then
			text, err = c.try(lab.Director, line)
			if err == nil || !strings.Contains(err.Error(), "one can at a time") {
				return
			}
		}
	}()
	eventually(c.t, 5*time.Second, func() string { // it has begun when another is refused
		_, err := c.try(lab.Director, "drover trace --for 10ms")
		if err == nil || !strings.Contains(err.Error(), "one can at a time") {
			return fmt.Sprintf("a second watcher: %v", err)
		}
		return ""
	})
	if _, err := c.askFromPort(lab.Client, port, c.vip(lab.V4, 80), limit); err != nil {
		c.t.Error(err)
	}
	if <-done; err != nil {
		c.t.Fatal(err)
	}
	return text
}

// TestIncident: drops and refusals are on a tape that outlives the programs that wrote it.
func TestIncident(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Mode: lab.DR, Family: lab.V4})
	f := lab.V4
	c.balance(f, "rs1")
	client := c.Topology.Addr(lab.Client, f).String()
	if got := c.run(lab.Director, "drover incident"); got != "Nothing was dropped or refused.\n" {
		t.Errorf("a fresh data path: %s", got)
	}
	c.run(lab.Director, "drover acl add deny "+client)
	if _, err := c.try(lab.Client, "curl -s -m 0.3 "+c.url(f, "/")); err == nil {
		t.Error("an access rule let the client in")
	}
	c.run(lab.Director, "drover acl flush")
	c.ipvsadm("-e -g -w 0 -t " + c.vip(f, 80) + " -r " + c.rip("rs1", f, 80))
	if _, err := c.try(lab.Client, "curl -s -m 0.3 "+c.url(f, "/")); err == nil {
		t.Error("a server of weight 0 answered")
	}
	tape := c.run(lab.Director, "drover incident")
	want := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d$\n^[\d:.]+ +eth0 +TCP +` + regexp.QuoteMeta(client) + `:\d+ > 192\.0\.2\.100:80  drop access.*\n(.*\n)*.*answer unreachable`)
	if !want.MatchString(tape) {
		t.Errorf("incident, want %v:\n%s", want, tape)
	}
	c.run(lab.Director, "drover datapath upgrade")
	clock := regexp.MustCompile(`\d\d:\d\d:\d\d\.\d+`) // it is reckoned anew each time, to a few milliseconds
	if got := c.run(lab.Director, "drover incident"); clock.ReplaceAllString(got, "") != clock.ReplaceAllString(tape, "") {
		t.Errorf("after an upgrade (-before +after): %s", cmp.Diff(tape, got))
	}
	if got := c.run(lab.Director, "drover incident --since 1ms"); got != "Nothing was dropped or refused.\n" {
		t.Errorf("of the last millisecond: %s", got)
	}
}
