package firewall

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/lvs"
)

// nftObject is one of the objects that "nft -j list ruleset" prints (libnftables-json(5)).
type nftObject struct {
	Chain *struct {
		Family, Table, Name, Type, Hook, Policy string
		Prio                                    int
	}
	Rule *struct {
		Family, Table, Chain string
		Expr                 []map[string]json.RawMessage
	}
}

var nftFamilies = map[string]lvs.Family{"ip": lvs.IPv4, "ip6": lvs.IPv6, "inet": 0}

// ParseNFT reads what "nft -j list ruleset" prints. Tables of iptables' are left to ParseIPTables if it reads them,
// as nft cannot tell all of their rules.
func ParseNFT(text []byte, butIPTables bool) ([]Chain, error) {
	var ruleset struct{ Nftables []nftObject }
	if err := json.Unmarshal(text, &ruleset); err != nil {
		return nil, fmt.Errorf("nft -j list ruleset: %w", err)
	}
	var chains []Chain
	for _, o := range ruleset.Nftables {
		if c := o.Chain; c != nil {
			family, known := nftFamilies[c.Family]
			hook, hooked := map[string]Hook{"prerouting": Prerouting, "input": Input}[c.Hook]
			_, ofIPTables := iptablesChains[c.Table][c.Name]
			if !known || !hooked || c.Type != "filter" || butIPTables && ofIPTables && family != 0 {
				continue
			}
			chains = append(chains, Chain{
				Where: "nft " + c.Family + " " + c.Table + " " + c.Name, Family: family, Hook: hook, Priority: c.Prio,
				Drops: c.Policy == "drop",
			})
		}
		if o.Rule == nil {
			continue
		}
		where := "nft " + o.Rule.Family + " " + o.Rule.Table + " " + o.Rule.Chain
		i := slices.IndexFunc(chains, func(c Chain) bool { return c.Where == where })
		if i < 0 {
			continue
		}
		r := Rule{Where: where, Number: len(chains[i].Rules) + 1}
		if chains[i].Family != 0 {
			r.Match.Families = []lvs.Family{chains[i].Family}
		}
		var words []string
		for _, expr := range o.Rule.Expr {
			for kind, body := range expr {
				words = append(words, string(body))
				r.nftStatement(kind, body)
			}
		}
		r.Text = strings.Join(words, " ")
		chains[i].Rules = append(chains[i].Rules, r)
	}
	return chains, nil
}

func (r *Rule) nftStatement(kind string, body json.RawMessage) {
	switch kind {
	case "match":
		r.nftMatch(body)
	case "mangle":
		r.nftMangle(body)
	case "accept", "return":
		r.End = Accepts
	case "drop", "reject":
		r.End = Denies
	case "counter", "log", "comment":
	case "jump", "goto", "queue":
		r.End = Leaves
	case "vmap":
		r.doubt("it has a verdict map")
		r.End = Leaves
	default:
		r.doubt("it has %s, which Drover does not look at", kind)
	}
}

func (r *Rule) nftMatch(body json.RawMessage) {
	var m struct {
		Op   string
		Left struct {
			Payload *struct{ Protocol, Field string }
			Meta    *struct{ Key string }
		}
		Right json.RawMessage
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Left.Payload == nil && m.Left.Meta == nil {
		r.doubt("it asks for what Drover does not look at: %s", body)
		return
	}
	what := ""
	if m.Left.Meta != nil {
		what = "meta " + m.Left.Meta.Key
	} else {
		what = m.Left.Payload.Protocol + " " + m.Left.Payload.Field
		// A field of one family's header says which family it is.
		if f := nftFamilies[m.Left.Payload.Protocol]; f != 0 && !slices.Contains(r.Match.Families, f) {
			r.Match.Families = append(r.Match.Families, f)
		}
	}
	if m.Op != "==" && m.Op != "in" {
		r.doubt("it asks for %s %s", what, m.Op)
		return
	}
	values, err := nftValues(m.Right)
	if err != nil {
		r.doubt("%s: %v", what, err)
		return
	}
	for _, v := range values {
		r.nftAsk(what, v)
	}
	r.Match.Ports, r.Match.SourcePorts = merged(r.Match.Ports), merged(r.Match.SourcePorts)
}

// An nftValue is a number, a word, a prefix or a range of numbers.
type nftValue struct {
	number      *uint32
	word        string
	prefix      string
	first, last uint32
}

// nftValues gives the one value, or those of a set.
func nftValues(body json.RawMessage) ([]nftValue, error) {
	var n uint32
	if json.Unmarshal(body, &n) == nil {
		return []nftValue{{number: &n, first: n, last: n}}, nil
	}
	var word string
	if json.Unmarshal(body, &word) == nil {
		if strings.HasPrefix(word, "@") {
			return nil, fmt.Errorf("a named set (%s)", word)
		}
		return []nftValue{{word: word}}, nil
	}
	var compound struct {
		Set    []json.RawMessage
		Prefix *struct {
			Addr string
			Len  int
		}
		Range []json.RawMessage
	}
	if err := json.Unmarshal(body, &compound); err != nil {
		return nil, fmt.Errorf("%s is not read", body)
	}
	switch {
	case compound.Prefix != nil:
		return []nftValue{{prefix: fmt.Sprintf("%s/%d", compound.Prefix.Addr, compound.Prefix.Len)}}, nil
	case len(compound.Range) == 2:
		var v nftValue
		if json.Unmarshal(compound.Range[0], &v.first) == nil && json.Unmarshal(compound.Range[1], &v.last) == nil {
			return []nftValue{v}, nil
		}
	case compound.Set != nil:
		var all []nftValue
		for _, element := range compound.Set {
			values, err := nftValues(element)
			if err != nil {
				return nil, err
			}
			all = append(all, values...)
		}
		return all, nil
	}
	return nil, fmt.Errorf("%s is not read", body)
}

// nftAsk adds one of the values that a match takes.
func (r *Rule) nftAsk(what string, v nftValue) {
	switch what {
	case "ip saddr", "ip6 saddr":
		r.nftAddress(&r.Match.Sources, v)
	case "ip daddr", "ip6 daddr":
		r.nftAddress(&r.Match.Destinations, v)
	case "tcp dport", "udp dport", "th dport", "tcp sport", "udp sport", "th sport":
		r.nftPorts(what, v)
	case "meta l4proto", "ip protocol", "ip6 nexthdr":
		p, known := map[string]lvs.Protocol{"tcp": lvs.TCP, "udp": lvs.UDP, "icmp": 1, "ipv6-icmp": 58, "sctp": lvs.SCTP}[v.word]
		if v.number != nil && *v.number < 256 {
			p, known = lvs.Protocol(*v.number), true
		}
		if !known {
			r.doubt("protocol %s is not known", v.word)
		}
		r.Match.Protocols = append(r.Match.Protocols, p)
	case "meta iifname", "meta iif":
		if v.word == "" || strings.HasSuffix(v.word, "*") {
			r.doubt("it asks for interfaces by more than a name")
			return
		}
		r.Match.Interfaces = append(r.Match.Interfaces, v.word)
	case "meta nfproto", "meta protocol":
		family, known := map[string]lvs.Family{"ipv4": lvs.IPv4, "ip": lvs.IPv4, "ipv6": lvs.IPv6, "ip6": lvs.IPv6}[v.word]
		if !known {
			r.doubt("%s %s is not known", what, v.word)
			return
		}
		r.Match.Families = append(r.Match.Families, family)
	default:
		r.doubt("it asks for %s, which Drover does not look at", what)
	}
}

func (r *Rule) nftAddress(to *[]netip.Prefix, v nftValue) {
	if v.prefix == "" && v.word == "" {
		r.doubt("a range of addresses")
		return
	}
	r.prefix(to, v.prefix+v.word)
}

// nftPorts also notes the protocol, which "tcp dport" asks for too.
func (r *Rule) nftPorts(what string, v nftValue) {
	protocol, field, _ := strings.Cut(what, " ")
	if p, ok := map[string]lvs.Protocol{"tcp": lvs.TCP, "udp": lvs.UDP}[protocol]; ok && !slices.Contains(r.Match.Protocols, p) {
		r.Match.Protocols = append(r.Match.Protocols, p)
	}
	if v.word != "" || v.prefix != "" || v.last > 65535 {
		r.doubt("ports %s%s: not numbers", v.word, v.prefix)
		return
	}
	to := &r.Match.Ports
	if field == "sport" {
		to = &r.Match.SourcePorts
	}
	*to = append(*to, lvs.PortRange{First: uint16(v.first), Last: uint16(v.last)})
}

// nftMangle reads "meta mark set EXPRESSION".
func (r *Rule) nftMangle(body json.RawMessage) {
	var m struct {
		Key struct {
			Meta *struct{ Key string }
		}
		Value json.RawMessage
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Key.Meta == nil || m.Key.Meta.Key != "mark" {
		return // it changes something else
	}
	if r.Marks {
		r.doubt("it sets the mark twice")
	}
	r.Marks = true
	keep, value, ok := nftMark(m.Value)
	if !ok {
		r.doubt("the mark is not a number, or one that the old mark is and-ed, or-ed or xor-ed with")
		return
	}
	r.Value, r.Mask = value, ^keep
}

// nftMark gives an expression of the old mark as (mark & keep) ^ value.
func nftMark(body json.RawMessage) (keep, value uint32, ok bool) {
	if json.Unmarshal(body, &value) == nil {
		return 0, value, true
	}
	var e map[string]json.RawMessage
	if json.Unmarshal(body, &e) != nil || len(e) != 1 {
		return 0, 0, false
	}
	for op, of := range e {
		if op == "meta" {
			var meta struct{ Key string }
			err := json.Unmarshal(of, &meta)
			return ^uint32(0), 0, err == nil && meta.Key == "mark"
		}
		var sides []json.RawMessage
		if json.Unmarshal(of, &sides) != nil || len(sides) < 2 {
			return 0, 0, false
		}
		if keep, value, ok = nftMark(sides[0]); !ok {
			return 0, 0, false
		}
		for _, side := range sides[1:] {
			var n uint32
			if json.Unmarshal(side, &n) != nil {
				return 0, 0, false
			}
			switch op {
			case "&":
				keep, value = keep&n, value&n
			case "|":
				keep, value = keep&^n, value|n
			case "^":
				value ^= n
			default:
				return 0, 0, false
			}
		}
	}
	return keep, value, true
}
