package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"drover/internal/lvs"
)

// iptablesChains are the chains that a packet for a VIP passes, by table, with their priorities in the kernel
// (linux/netfilter_ipv4.h).
var iptablesChains = map[string]map[string]struct {
	hook     Hook
	priority int
}{
	"raw":      {"PREROUTING": {Prerouting, -300}},
	"mangle":   {"PREROUTING": {Prerouting, -150}, "INPUT": {Input, -150}},
	"filter":   {"INPUT": {Input, 0}},
	"security": {"INPUT": {Input, 50}},
}

// ParseIPTables reads what iptables-save or ip6tables-save prints; program names it in findings.
func ParseIPTables(program string, family lvs.Family, text string) ([]Chain, error) {
	var chains []Chain
	table := ""
	for n, line := range slices.Collect(strings.Lines(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line == "COMMIT":
		case line[0] == '*':
			table = line[1:]
		case line[0] == ':':
			words := strings.Fields(line[1:])
			if len(words) < 2 {
				return nil, fmt.Errorf("%s: line %d: %q: want a chain and its policy", program, n+1, line)
			}
			if at, ok := iptablesChains[table][words[0]]; ok {
				chains = append(chains, Chain{
					Where: program + " " + table + " " + words[0], Family: family, Hook: at.hook, Priority: at.priority,
					Drops: words[1] == "DROP",
				})
			}
		case strings.HasPrefix(line, "-A "):
			words, err := quotedWords(line)
			if err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", program, n+1, err)
			}
			where := program + " " + table + " " + words[1]
			i := slices.IndexFunc(chains, func(c Chain) bool { return c.Where == where })
			if i < 0 {
				continue // no packet for a VIP comes there
			}
			r := Rule{Where: where, Number: len(chains[i].Rules) + 1, Text: line, Match: Match{Families: []lvs.Family{family}}}
			(&iptablesRule{Rule: &r, words: words[2:]}).read()
			chains[i].Rules = append(chains[i].Rules, r)
		default:
			return nil, fmt.Errorf("%s: line %d: %q: want what iptables-save prints", program, n+1, line)
		}
	}
	return chains, nil
}

// quotedWords splits a line at spaces; what is in quotation marks is one word.
func quotedWords(line string) (words []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			words, line = append(words, word), rest
			continue
		}
		end := 1
		for end < len(line) && line[end] != '"' {
			if line[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(line) {
			return nil, fmt.Errorf("%q: a quotation mark is missing", line)
		}
		words, line = append(words, strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(line[1:end])), line[end+1:]
	}
	return words, nil
}

// An iptablesRule is read word by word.
type iptablesRule struct {
	*Rule
	words []string
}

func (r *iptablesRule) next() string {
	if len(r.words) == 0 {
		r.doubt("the rule ends too early")
		return ""
	}
	word := r.words[0]
	r.words = r.words[1:]
	return word
}

// doubt keeps the first reason.
func (r *Rule) doubt(format string, args ...any) {
	if r.Problem == "" {
		r.Problem = fmt.Sprintf(format, args...)
	}
}

// harmlessModules say nothing that the options behind them do not.
var harmlessModules = []string{"tcp", "udp", "multiport", "comment"}

func (r *iptablesRule) read() {
	for len(r.words) > 0 {
		option := r.next()
		if option == "!" {
			r.doubt("it asks for what is not %s", strings.Join(r.words[:min(2, len(r.words))], " "))
			r.skip()
			continue
		}
		switch option {
		case "-p":
			r.protocol(r.next())
		case "-s":
			r.prefix(&r.Match.Sources, r.next())
		case "-d":
			r.prefix(&r.Match.Destinations, r.next())
		case "-i":
			if name := r.next(); strings.HasSuffix(name, "+") {
				r.doubt("it asks for all interfaces whose names begin with %s", strings.TrimSuffix(name, "+"))
			} else {
				r.Match.Interfaces = append(r.Match.Interfaces, name)
			}
		case "--dport", "--dports":
			r.ports(&r.Match.Ports, r.next())
		case "--sport", "--sports":
			r.ports(&r.Match.SourcePorts, r.next())
		case "--comment":
			r.next()
		case "-m":
			if module := r.next(); !slices.Contains(harmlessModules, module) {
				r.doubt("it asks for what Drover does not look at (-m %s)", module)
				r.skip()
			}
		case "-j", "-g":
			r.target(r.next())
			return
		default:
			r.doubt("%s is not known", option)
			r.skip()
		}
	}
}

// skip passes over the arguments of what is not known.
func (r *iptablesRule) skip() {
	for len(r.words) > 0 && r.words[0] != "-j" && r.words[0] != "-g" && r.words[0] != "-m" {
		r.words = r.words[1:]
	}
}

func (r *iptablesRule) protocol(name string) {
	known := map[string]lvs.Protocol{"tcp": lvs.TCP, "udp": lvs.UDP, "icmp": 1, "ipv6-icmp": 58, "sctp": lvs.SCTP}
	if p, ok := known[name]; ok {
		r.Match.Protocols = append(r.Match.Protocols, p)
	} else if n, err := strconv.ParseUint(name, 10, 8); err == nil && n > 0 {
		r.Match.Protocols = append(r.Match.Protocols, lvs.Protocol(n))
	} else if name != "all" && name != "0" {
		r.doubt("protocol %s is not known", name)
	}
}

func (r *Rule) prefix(to *[]netip.Prefix, text string) {
	p, err := netip.ParsePrefix(text)
	if a, errAddr := netip.ParseAddr(text); errAddr == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		r.doubt("%s is no prefix", text) // a mask with holes
		return
	}
	*to = append(*to, p.Masked())
}

func (r *iptablesRule) ports(to *[]lvs.PortRange, list string) {
	for text := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(text, ":")
		if !ranged {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if errA != nil || errB != nil || a > b {
			r.doubt("ports %s: not numbers", text)
			return
		}
		*to = append(*to, lvs.PortRange{First: uint16(a), Last: uint16(b)})
	}
	*to = merged(*to)
}

// target reads -j and what is behind it.
func (r *iptablesRule) target(name string) {
	switch name {
	case "ACCEPT", "RETURN":
		r.End = Accepts
	case "DROP", "REJECT":
		r.End = Denies
	case "LOG", "NFLOG", "TRACE", "CHECKSUM", "TCPMSS", "TTL", "TOS", "DSCP":
	case "MARK":
		r.mark()
	case "CONNMARK":
		r.doubt("it works on the connection's mark (CONNMARK)")
		r.Marks = true
	default:
		r.End = Leaves
	}
}

func (r *iptablesRule) mark() {
	r.Marks = true
	option, argument := r.next(), r.next()
	valueText, maskText, masked := strings.Cut(argument, "/")
	value, err := strconv.ParseUint(valueText, 0, 32)
	mask := uint64(0xffffffff)
	if masked && err == nil {
		mask, err = strconv.ParseUint(maskText, 0, 32)
	}
	if err != nil {
		r.doubt("mark %s: not a number", argument)
		return
	}
	r.Value, r.Mask = uint32(value), uint32(mask)
	switch option {
	case "--set-xmark":
	case "--set-mark":
		r.Mask |= r.Value
	case "--or-mark":
		r.Mask = r.Value
	case "--and-mark":
		r.Value, r.Mask = 0, ^r.Value
	case "--xor-mark":
		r.Mask = 0
	default:
		r.doubt("MARK %s is not known", option)
	}
}
