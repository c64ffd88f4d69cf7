package kernel

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// A recordedRun is one line of the recording of schedulers: which of four servers got each of 40 connections.
//
//	sh-port w=5,3,1,1 -b sh-port | src=10.1.0.2 sport=16100.. vip=10.9.8.61 closed: r2 r1 ...
type recordedRun struct {
	vip     netip.AddrPort
	flags   string // ipvsadm's: "-s sh -b sh-port"
	weights []string
	sources []netip.Addr
	port    int // of the first client; each has the next
	closed  bool
	servers []string // r1 to r4, or ERR where the client was refused
}

var runLine = regexp.MustCompile(`^([a-z]+)\S* w=(\S+) (-b \S+)? *\| src=(\S+) sport=(\d+)\.\. vip=(\S+) (closed|held): (.*)$`)

func parseRun(line string) (r recordedRun, err error) {
	m := runLine.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return r, fmt.Errorf("not a run of a scheduler: %q", line)
	}
	r.flags, r.weights = words("-s "+m[1], m[3]), strings.Split(m[2], ",")
	if r.sources, err = parseSources(m[4]); err != nil {
		return r, err
	}
	if r.port, err = strconv.Atoi(m[5]); err != nil {
		return r, err
	}
	if r.vip, err = netip.ParseAddrPort(m[6] + ":80"); err != nil {
		return r, err
	}
	r.closed, r.servers = m[7] == "closed", strings.Fields(m[8])
	return r, nil
}

// parseSources reads "10.1.0.2", or "10.1.1.1..40" for 10.1.1.1 to 10.1.1.40.
func parseSources(text string) ([]netip.Addr, error) {
	first, count, found := strings.Cut(text, "..")
	a, err := netip.ParseAddr(first)
	if err != nil || !found {
		return []netip.Addr{a}, err
	}
	n, err := strconv.Atoi(count)
	var all []netip.Addr
	for range n {
		all = append(all, a)
		a = a.Next()
	}
	return all, err
}

// setUp gives the commands that make the service and its servers.
func (r recordedRun) setUp() []string {
	all := []string{fmt.Sprintf("$ ipvsadm -A -t %s %s", r.vip, r.flags)}
	for i, w := range r.weights {
		all = append(all, fmt.Sprintf("$ ipvsadm -a -t %s -r 10.2.0.%d:80 -m -w %s", r.vip, i+1, w))
	}
	return all
}

// connection gives the packets of connection n: opened, and closed by the client or held.
func (r recordedRun) connection(n int) []string {
	client := netip.AddrPortFrom(r.sources[n%len(r.sources)], uint16(r.port+n))
	script := "> S,< SA,> A"
	if r.closed {
		script += ",> FA,< FA,> A"
	}
	var all []string
	for _, p := range strings.Split(script, ",") {
		all = append(all, fmt.Sprintf("%s tcp %s %s %s 0", p[:1], client, r.vip, p[2:]))
	}
	return all
}
