package kernel

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A step is one thing that is done to both directors. A case is a list of steps, one a line, so that it can
// be read, cut shorter, and kept in testdata/cases:
//
//	$ ipvsadm -A -t 192.0.2.1:PORT0 -s rr              a command, also ipvsadm-save and ipvsadm-restore
//	$ ipvsadm -R < "-A -t 192.0.2.1:PORT0\n"           the same with text on its stdin
//	> tcp 203.0.113.5:1025 192.0.2.1:PORT0 SA 10       a client's packet: flags S F R A P U or -, bytes of payload
//	< tcp 203.0.113.5:1025 192.0.2.1:PORT0 SA 10       an answer, of the server that got the client's last packet
//	wait 3s
//	mark 5 tcp 192.0.2.1:PORT0                         what is for that port gets this mark, in front of both
//	tune conn_reuse_mode 0                             a sysctl of ip_vs, and the tune of the same name
//
// PORT0 to PORT9 stand for ports that no case has used before: a server that is added again to a service
// comes back with its connections (ip_vs's destination trash), so a trial needs a service of its own.
type step struct {
	program string // "" unless the step is a command
	args    []string
	stdin   string
	packet  *packet
	wait    time.Duration
	setting *setting
}

// A setting is a mark rule or a tune.
type setting struct {
	tune     string // "": a mark
	value    string
	protocol string
	vip      netip.AddrPort
}

// tuneDefaults are those that are tried.
var tuneDefaults = map[string]string{
	"conn_reuse_mode": "1", "expire_nodest_conn": "0", "expire_quiescent_template": "0", "sloppy_tcp": "0",
}

func parseSetting(kind, text string) (*setting, error) {
	words := strings.Fields(text)
	if kind == "tune" && len(words) == 2 && tuneDefaults[words[0]] != "" {
		return &setting{tune: words[0], value: words[1]}, nil
	}
	if kind == "tune" || len(words) != 3 {
		return nil, fmt.Errorf("%s %q: expected mark N PROTOCOL VIP:PORT, or tune NAME VALUE", kind, text)
	}
	vip, err := netip.ParseAddrPort(words[2])
	return &setting{value: words[0], protocol: words[1], vip: vip}, err
}

// A packet is a TCP segment or UDP datagram. client and vip name the flow in both directions.
type packet struct {
	answer      bool // from the server
	protocol    string
	client, vip netip.AddrPort
	flags       string // of TCP, a letter each
	payload     int    // bytes
}

var portName = regexp.MustCompile(`PORT(\d)`)

// parseStep reads a line, with ports from base on in place of PORT0, PORT1, ...
func parseStep(line string, base int) (step, error) {
	line = portName.ReplaceAllStringFunc(line, func(name string) string {
		return strconv.Itoa(base + int(name[len(name)-1]-'0'))
	})
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "$":
		return parseCommand(rest)
	case ">", "<":
		p, err := parsePacket(rest)
		p.answer = kind == "<"
		return step{packet: &p}, err
	case "wait":
		d, err := time.ParseDuration(rest)
		return step{wait: d}, err
	case "mark", "tune":
		set, err := parseSetting(kind, rest)
		return step{setting: set}, err
	}
	return step{}, fmt.Errorf("step %q: expected $, >, <, wait, mark or tune at its beginning", line)
}

func parseCommand(text string) (s step, err error) {
	text, quoted, ok := strings.Cut(text, " < ")
	if ok {
		if s.stdin, err = strconv.Unquote(quoted); err != nil {
			return s, fmt.Errorf("stdin %s: %w", quoted, err)
		}
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return s, fmt.Errorf("no program in %q", text)
	}
	s.program, s.args = words[0], words[1:]
	return s, nil
}

func parsePacket(text string) (p packet, err error) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return p, fmt.Errorf("packet %q: expected protocol, client, VIP, flags, bytes of payload", text)
	}
	p.protocol, p.flags = fields[0], strings.Trim(fields[3], "-")
	if p.client, err = netip.ParseAddrPort(fields[1]); err != nil {
		return p, err
	}
	if p.vip, err = netip.ParseAddrPort(fields[2]); err != nil {
		return p, err
	}
	p.payload, err = strconv.Atoi(fields[4])
	return p, err
}

// restore gives the line of `ipvsadm -R`.
func restore(program, rules string) string {
	if program == "ipvsadm" {
		program += " -R"
	}
	return "$ " + program + " < " + strconv.Quote(rules)
}
