package kernel

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A trafficker makes up a case of connections: a service with servers, clients that open, use and close
// connections in good order and in bad, and commands in between.
type trafficker struct {
	*commander
	lines    []string
	protocol string // tcp, udp
	service  string // "-t 192.0.2.7:PORT0"
	vip      string
	v6       bool
	forward  []string // ways that servers are added with
	weight   func() int
	marked   bool  // the service is of a firewall mark
	settings int   // lines before the service's
	added    []int // numbers of servers
	sources  int   // how many addresses clients have
	open     []string
	nextPort int
}

// traffic gives a case's lines.
func traffic(seed uint64) []string {
	c := &commander{Rand: rand.New(rand.NewPCG(seed, 2))}
	t := &trafficker{commander: c, protocol: c.one("tcp", "tcp", "tcp", "udp"), v6: c.chance(20)}
	t.nextPort = 1024 + c.IntN(60000)
	t.sources = []int{1, 4, 100}[c.IntN(3)]
	t.forward = [][]string{{"-m"}, {"-m"}, {"-g"}, {"-g"}, {"-i"}, {"-m", "-g", "-i"}}[c.IntN(6)]
	t.weight = []func() int{
		func() int { return 1 }, func() int { return c.IntN(6) }, func() int { return 1 + c.IntN(4) },
		func() int { return c.IntN(3) * 50 }, func() int { return 1 << c.IntN(16) },
	}[c.IntN(5)]
	t.name()
	t.set()
	for t.begin(); len(t.added) == 0; t.begin() { // all may be left out
		t.lines, t.forward = t.lines[:t.settings], []string{t.one("-m", "-g")}
	}
	for range 20 + c.IntN(50) {
		t.act()
	}
	t.add("$ ipvsadm -Ln --nosort")
	return t.lines
}

func (t *trafficker) name() {
	t.vip = fmt.Sprintf("192.0.2.%d:PORT0", 1+t.IntN(250))
	if t.v6 {
		t.vip = fmt.Sprintf("[2001:db8:9::%x]:PORT0", 1+t.IntN(60000))
	}
	t.service = map[string]string{"tcp": "-t ", "udp": "-u "}[t.protocol] + t.vip
}

// set gives some cases a mark in place of the VIP's service, and some another tune.
func (t *trafficker) set() {
	if t.chance(15) {
		t.lines = append(t.lines, "mark PORT0 "+t.protocol+" "+t.vip)
		t.service, t.marked = "-f PORT0", true
		if t.v6 {
			t.service += " -6"
		}
	}
	if t.chance(20) {
		t.lines = append(t.lines, "tune "+t.one("conn_reuse_mode 0", "conn_reuse_mode 2", "conn_reuse_mode 3",
			"expire_nodest_conn 1", "expire_quiescent_template 1", "sloppy_tcp 1"))
	}
	t.settings = len(t.lines)
}

// add adds a line, unless it asks for what is left out. It tells whether it did.
func (t *trafficker) add(line string) bool {
	s, err := parseStep(line, 1)
	if err != nil || leftOut(s) != "" {
		return false
	}
	t.lines = append(t.lines, line)
	return true
}

func (t *trafficker) begin() {
	for !t.add("$ ipvsadm -A " + t.service + " " + t.anyScheduler() + t.anyPersistence()) {
	}
	for range 1 + t.IntN(5) {
		t.addServer(1 + t.IntN(servers))
	}
}

func (t *trafficker) anyScheduler() string {
	name := t.one(schedulers...)
	flags := ""
	if name == "sh" || name == "mh" {
		flags = t.one("", " -b "+name+"-port", " -b "+name+"-fallback", " -b "+name+"-port,"+name+"-fallback")
	}
	return "-s " + name + flags
}

// anyPersistence gives -p with a mask of any size, or of UDP -o, or nothing.
func (t *trafficker) anyPersistence() string {
	mask := t.one("", " -M 255.255.255.0", " -M 255.255.255.254", " -M 0.0.0.255")
	if t.v6 {
		mask = t.one("", " -M 64", " -M 125")
	}
	switch {
	case t.chance(35):
		return t.one(" -p", " -p 10", " -p 3600") + mask
	case t.protocol == "udp" && t.chance(30):
		return " -o"
	}
	return ""
}

// anyThresholds gives -x and -y for a server, or nothing.
func (t *trafficker) anyThresholds() string {
	if !t.chance(25) {
		return ""
	}
	upper := 1 + t.IntN(4)
	return fmt.Sprintf(" -x %d", upper) + t.one("", fmt.Sprintf(" -y %d", t.IntN(upper+1)))
}

func (t *trafficker) server(n int) string {
	if t.marked { // its servers take the packet's port
		return strings.Trim(strings.TrimSuffix(t.address(n), ":PORT1"), "[]")
	}
	return t.address(n)
}

func (t *trafficker) address(n int) string {
	if t.v6 {
		return fmt.Sprintf("[2001:db8:2::%d]:PORT1", n)
	}
	return fmt.Sprintf("198.51.100.%d:PORT1", n)
}

// way gives the forwarding method of a server. It is part of the server's name: -g and -i take the service's
// port. It stays the same, too: edited from -i to -g, ip_vs goes on with the tunnel's route, which has no next
// hop, and asks who has the VIP (decided: Drover asks for the server).
func (t *trafficker) way(n int) string { return t.forward[n%len(t.forward)] }

func (t *trafficker) addServer(n int) {
	line := fmt.Sprintf("$ ipvsadm -a %s -r %s %s -w %d", t.service, t.server(n), t.way(n), t.weight()) + t.anyThresholds()
	if t.way(n) == "-i" {
		line += t.one("", "", " --tun-type gre", " --tun-type gue --tun-port 6080", " --tun-type gre --tun-csum",
			" --tun-type gue --tun-port 6080 --tun-csum")
	}
	if t.add(line) {
		t.added = append(t.added, n)
	}
}

// act adds a few lines that belong together.
func (t *trafficker) act() {
	switch n := t.IntN(100); {
	case n < 45:
		t.connect()
	case n < 80:
		t.goOn()
	case n < 95:
		t.change()
	default:
		t.add("$ ipvsadm -Ln --nosort" + t.one("", " --persistent-conn", " --thresholds"))
	}
}

// connect opens a connection, and may use and close it.
func (t *trafficker) connect() {
	client := t.client()
	t.open = append(t.open, client)
	if t.protocol == "udp" {
		t.send(">", client, "-")
		if t.chance(50) {
			t.send("<", client, "-")
		}
		return
	}
	script := t.one("> S", "> S,< SA,> A", "> S,< SA,> A,> PA,< A", "> S,< SA,> A,> FA,< FA,> A", "> S,< SA,> A,< FA,> FA,< A",
		"> S,< RA", "> S,< SA,> R", "> S,> A", "> S,> A,> FA", "> S,> S")
	for _, packet := range strings.Split(script, ",") {
		t.send(packet[:1], client, packet[2:])
	}
}

func (t *trafficker) client() string {
	t.nextPort = max(1024, (t.nextPort+1)%65536)
	n := 1 + t.IntN(t.sources)
	if t.v6 {
		return fmt.Sprintf("[2001:db8:c::%x]:%d", n, t.nextPort)
	}
	return fmt.Sprintf("203.0.113.%d:%d", n, t.nextPort)
}

// goOn sends something on a connection, be it fitting or not.
func (t *trafficker) goOn() {
	if len(t.open) == 0 {
		return
	}
	client := t.one(t.open...)
	if t.chance(2) {
		client = t.client() // that has none
	}
	flags := t.one("A", "PA", "FA", "FA", "R", "RA", "S", "SA", "F", "SF", "SR", "-", "FRA", "PU", "U", "SFRPAU")
	if t.protocol == "udp" {
		flags = "-"
	}
	t.send(t.one(">", ">", "<"), client, flags)
}

func (t *trafficker) send(direction, client, flags string) {
	t.add(fmt.Sprintf("%s %s %s %s %s %d", direction, t.protocol, client, t.vip, flags, t.IntN(3)*t.IntN(200)))
}

// change edits the service or its servers.
func (t *trafficker) change() {
	n := t.added[t.IntN(len(t.added))]
	named := fmt.Sprintf("%s -r %s", t.service, t.server(n))
	if t.way(n) != "-m" && !t.marked {
		named = strings.Replace(named, "PORT1", "PORT0", 1)
	}
	switch k := t.IntN(20); {
	case k < 7:
		t.add(fmt.Sprintf("$ ipvsadm -e %s %s -w %d", named, t.way(n), t.weight()) + t.anyThresholds())
	case k < 10:
		t.add(fmt.Sprintf("$ ipvsadm -e %s %s -w 0", named, t.way(n)))
	case k < 13:
		t.add("$ ipvsadm -d " + named)
	case k < 17:
		t.addServer(1 + t.IntN(servers))
	case k < 19:
		t.add("$ ipvsadm -E " + t.service + " " + t.anyScheduler() + t.anyPersistence())
	case t.chance(30): // ip_vs zeroes what it showed last, so it is given the time to show all
		t.add("wait 3s")
		t.add("$ ipvsadm -Z " + t.service)
	}
}
