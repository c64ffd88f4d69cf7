package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/lvs"
)

// settings are what checks inherit: from the virtual server, then the real server, then their own block. nil: not said.
type settings struct {
	alpha, logAll, via                 *bool
	timeout, retryDelay, warmup, delay *time.Duration
	retry                              *int
	virtualHost                        string
}

// or fills in what is not said from what is around.
func (s settings) or(around settings) settings {
	s.alpha, s.logAll, s.via = orElse(s.alpha, around.alpha), orElse(s.logAll, around.logAll), orElse(s.via, around.via)
	s.timeout, s.retryDelay = orElse(s.timeout, around.timeout), orElse(s.retryDelay, around.retryDelay)
	s.warmup, s.delay, s.retry = orElse(s.warmup, around.warmup), orElse(s.delay, around.delay), orElse(s.retry, around.retry)
	if s.virtualHost == "" {
		s.virtualHost = around.virtualHost
	}
	return s
}

func orElse[T any](value, otherwise *T) *T {
	if value != nil {
		return value
	}
	return otherwise
}

// A virtualBuild is a virtual server while it is read. What depends on lines that may come later is settled at its end.
type virtualBuild struct {
	VirtualServer
	settings
	key       lvs.ServiceKey // but for the protocol; the zero value of a group
	family    lvs.Family     // ip_family; 0: not said
	protocol  lvs.Protocol
	method    *method
	sorryAddr *netip.AddrPort
	sorryBy   *method
	sorryAt   Position
	inhibit   bool // inhibit_on_failure
	smtpAlert *bool
	slowStart time.Duration

	sorryInhibit bool
	broken       bool // it can't be loaded, and that was said
	reals        []*realBuild
}

// A method is lb_kind with its options.
type method struct {
	forwarding lvs.Forwarding
	tunnel     lvs.TunnelType
	port       uint16
	flags      lvs.TunnelFlags
}

func virtual(b *builder) *virtualBuild { return b.virtual }

// settingRows are those of what is inherited. retry is at least so much: keepalived takes 0 in a check alone.
func settingRows(retries int, at func(*builder) *settings) []row {
	return []row{
		{"delay_loop", Acted, "", duration(time.Millisecond, longest, func(b *builder) **time.Duration { return &at(b).delay })},
		{"connect_timeout", Acted, "", duration(time.Millisecond, longest, func(b *builder) **time.Duration { return &at(b).timeout })},
		{"retry", Acted, "", func(b *builder, s *Statement) {
			if n, ok := b.number(s, retries, math.MaxInt32); ok {
				at(b).retry = &n
			}
		}},
		{"nb_get_retry nb_sock_retry", Acted, "the old names of retry, with a warning", func(b *builder, s *Statement) {
			b.warn(s.At, s.Keyword(), "its name is retry now")
			if n, ok := b.number(s, 0, math.MaxInt32); ok {
				at(b).retry = &n
			}
		}},
		{"delay_before_retry", Acted, "", duration(0, longest, func(b *builder) **time.Duration { return &at(b).retryDelay })},
		{"warmup", Acted, "", duration(0, longest, func(b *builder) **time.Duration { return &at(b).warmup })},
		{"alpha", Acted, "", truthOrUnset(func(b *builder) **bool { return &at(b).alpha })},
		{"log_all_failures", Acted, "", truthOrUnset(func(b *builder) **bool { return &at(b).logAll })},
		{"check_via", Acted, "Drover's own: vip sends the check's packets to the VIP, and to this server, the way that clients' go; server, as without, to the server", func(b *builder, s *Statement) {
			switch text := b.text(s); text {
			case "vip", "server":
				via := text == "vip"
				at(b).via = &via
			case "":
			default:
				b.wrong(s, "%q: want vip or server", text)
			}
		}},
	}
}

var virtualBlock = &blockKind{name: "virtual_server", rows: slices.Concat([]row{
	{"lb_algo lvs_sched", Acted, "", (*builder).readScheduler},
	{"lb_kind lvs_method", Acted, "", readMethod(func(b *builder) **method { return &virtual(b).method })},
	{"protocol", Acted, "", (*builder).readProtocol},
	{"persistence_timeout", Acted, "", (*builder).readPersistence},
	{"persistence_granularity", Acted, "", (*builder).readGranularity},
	{"persistence_engine", Refused, "the data path has no persistence engines: clients are kept by their addresses", nil},
	{"ops", Acted, "", flag(lvs.OnePacket)},
	{"flag-1", Acted, "", flag(lvs.SchedFlag1)},
	{"flag-2", Acted, "", flag(lvs.SchedFlag2)},
	{"flag-3", Acted, "", flag(lvs.SchedFlag3)},
	{"sh-fallback", Acted, "", flagOf("sh", lvs.SchedFlag1)},
	{"sh-port", Acted, "", flagOf("sh", lvs.SchedFlag2)},
	{"mh-fallback", Acted, "", flagOf("mh", lvs.SchedFlag1)},
	{"mh-port", Acted, "", flagOf("mh", lvs.SchedFlag2)},
	{"hashed", Noted, "it does nothing in keepalived either", flagOf("sh", 0)},
	{"ip_family", Acted, "", (*builder).readFamily},
	{"ha_suspend", Checked, "", loose(func(b *builder) *bool { return &virtual(b).HASuspend })},
	{"smtp_alert", Acted, "", truthOrUnset(func(b *builder) **bool { return &virtual(b).smtpAlert })},
	{"virtualhost", Acted, "", word1(func(b *builder) *string { return &virtual(b).settings.virtualHost })},
	{"snmp_name", Noted, "there are metrics for Prometheus in the place of SNMP", wantOne},
	{"omega", Acted, "", loose(func(b *builder) *bool { return &virtual(b).Omega })},
	{"quorum", Acted, "also in percent of the configured weights, as 60%", (*builder).readQuorum},
	{"alpha", Acted, "", func(b *builder, s *Statement) {
		virtual(b).settings.alpha = new(bool)
		loose(func(b *builder) *bool { return virtual(b).settings.alpha })(b, s)
	}},
	{"hysteresis", Acted, "also in percent", (*builder).readHysteresis},
	{"quorum_up", Acted, "", program(func(b *builder) **Script { return &virtual(b).QuorumUp })},
	{"quorum_down", Acted, "", program(func(b *builder) **Script { return &virtual(b).QuorumDown })},
	{"sorry_server", Acted, "", (*builder).readSorry},
	{"sorry_server_inhibit", Acted, "", func(b *builder, s *Statement) {
		if virtual(b).sorryAddr == nil {
			b.wrong(s, "sorry_server must come before: it is ignored")
			return
		}
		loose(func(b *builder) *bool { return &virtual(b).sorryInhibit })(b, s)
	}},
	{"sorry_server_lvs_method", Acted, "", func(b *builder, s *Statement) {
		if virtual(b).sorryAddr == nil {
			b.wrong(s, "sorry_server must come before: it is ignored")
			return
		}
		readMethod(func(b *builder) **method { return &virtual(b).sorryBy })(b, s)
	}},
	{"inhibit_on_failure", Acted, "", loose(func(b *builder) *bool { return &virtual(b).inhibit })},
	{"real_server", Acted, "", (*builder).readReal},
	{"slow_start", Acted, "Drover's own: seconds over which a server that comes back gets its weight", func(b *builder, s *Statement) {
		if d, ok := b.timer(s, 0, longest); ok {
			virtual(b).slowStart = d
		}
	}},
	{"laddr_group_name local_address_group syn_proxy", Refused, "FULLNAT is not there yet", func(b *builder, _ *Statement) { virtual(b).broken = true }},
}, settingRows(1, func(b *builder) *settings { return &virtual(b).settings }))}

// readVirtual reads a virtual_server block.
func (b *builder) readVirtual(s *Statement) {
	v := &virtualBuild{}
	v.At, v.Quorum = s.At, 1
	values := s.Values()
	switch {
	case len(values) == 0:
		b.wrong(s, "want an address and a port, fwmark N, or group NAME")
		return
	case values[0] == "group" && len(values) > 1:
		v.Group = values[1]
	case values[0] == "fwmark" && len(values) > 1:
		mark, err := strconv.ParseUint(values[1], 0, 32)
		if err != nil || mark == 0 {
			b.wrong(s, "%q: want a firewall mark from 1 to 4294967295", values[1])
			return
		}
		v.key.Mark = uint32(mark)
	default:
		addr, ok := b.endpoint(s, 1)
		if !ok {
			return
		}
		v.key.Addr, v.key.Family = addr, lvs.FamilyOf(addr.Addr())
		if len(values) > 2 {
			b.warn(s.At, s.Keyword(), "%s: nothing is wanted after the port", joined(values[2:]))
		}
	}
	if !s.HasBlock {
		b.wrong(s, "want a block { ... }")
		return
	}
	b.virtual = v
	b.enter(virtualBlock, s)
	b.virtual = nil
	b.servers = append(b.servers, v)
}

var schedulers = strings.Fields("rr wrr lc wlc lblc lblcr sh mh dh fo ovf sed nq twos")

func (b *builder) readScheduler(s *Statement) {
	name := b.text(s)
	if name != "" && !slices.Contains(schedulers, name) {
		b.find(s, Error, fmt.Sprintf("%q: want one of %s", name, strings.Join(schedulers, " ")), nearest(name, schedulers))
		return
	}
	if name != "" {
		virtual(b).Template.Scheduler = name
	}
}

func nearest(word string, list []string) string {
	best, distance := "", 3
	for _, name := range list {
		if d := editDistance(word, name); d < distance {
			best, distance = name, d
		}
	}
	return best
}

var forwardings = map[string]lvs.Forwarding{"NAT": lvs.Masquerade, "DR": lvs.DirectRoute, "TUN": lvs.Tunnel}

// readMethod stores a method; one that is wrong leaves that of a line before.
func readMethod(at func(*builder) **method) reader1 {
	return func(b *builder, s *Statement) {
		if m := b.method(s); m != nil {
			*at(b) = m
		}
	}
}

// method reads "NAT", "DR", or "TUN [type ipip|gue port N|gre] [nocsum|csum|remcsum]".
func (b *builder) method(s *Statement) *method {
	name := b.text(s)
	if name == "" {
		return nil
	}
	if name == "FNAT" || name == "SNAT" {
		b.wrong(s, "%s: FULLNAT is not there yet", name)
		if b.virtual != nil {
			b.virtual.broken = true
		}
		return nil
	}
	forwarding, ok := forwardings[name]
	if !ok {
		b.find(s, Error, fmt.Sprintf("%q: want NAT, DR or TUN", name), nearest(strings.ToUpper(name), []string{"NAT", "DR", "TUN"}))
		return nil
	}
	m := &method{forwarding: forwarding}
	rest := s.Words[2:]
	if forwarding == lvs.Tunnel && len(rest) > 0 && !b.tunnel(s, m, rest) {
		return nil
	}
	return m
}

var tunnelFlags = map[string]lvs.TunnelFlags{"nocsum": lvs.TunnelNoChecksum, "csum": lvs.TunnelChecksum, "remcsum": lvs.TunnelRemoteChecksum}

func (b *builder) tunnel(s *Statement, m *method, rest []string) bool {
	for len(rest) > 0 {
		if flags, ok := tunnelFlags[rest[0]]; ok {
			m.flags, rest = flags, rest[1:]
			continue
		}
		if rest[0] != "type" || len(rest) < 2 {
			b.wrong(s, "%q: want type ipip, type gue port N, type gre, nocsum, csum or remcsum", rest[0])
			return false
		}
		kind := rest[1]
		rest = rest[2:]
		switch kind {
		case "ipip":
			m.tunnel = lvs.IPIP
		case "gre":
			m.tunnel = lvs.GRE
		case "gue":
			m.tunnel = lvs.GUE
			if len(rest) < 2 || rest[0] != "port" {
				b.wrong(s, "gue: want port N")
				return false
			}
			port, ok := b.numberIn(s, rest[1], 1, 65535)
			if !ok {
				return false
			}
			m.port, rest = uint16(port), rest[2:]
		default:
			b.wrong(s, "tunnel type %q: want ipip, gue or gre", kind)
			return false
		}
	}
	switch {
	case m.tunnel == lvs.IPIP && m.flags != lvs.TunnelNoChecksum:
		b.wrong(s, "an ipip tunnel has no checksum")
		return false
	case m.tunnel == lvs.GRE && m.flags == lvs.TunnelRemoteChecksum:
		b.wrong(s, "a gre tunnel has no remcsum")
		return false
	}
	return true
}

func (b *builder) readProtocol(s *Statement) {
	switch name := strings.ToUpper(b.text(s)); name {
	case "TCP":
		virtual(b).protocol = lvs.TCP
	case "UDP":
		virtual(b).protocol = lvs.UDP
	case "SCTP":
		virtual(b).protocol = lvs.SCTP
		virtual(b).broken = true
		b.wrong(s, "SCTP: the data path does not balance it yet")
	case "":
	default:
		b.wrong(s, "%q: want TCP, UDP or SCTP", name)
	}
}

// defaultPersistence is that of persistence_timeout without a number.
const defaultPersistence = 360 * time.Second

func (b *builder) readPersistence(s *Statement) {
	t := &virtual(b).Template
	timeout := defaultPersistence
	if len(s.Words) > 1 {
		n, ok := b.number(s, 1, 31*24*3600)
		if !ok {
			return
		}
		timeout = time.Duration(n) * time.Second
	}
	t.Flags |= lvs.Persistent
	t.Timeout = timeout
}

// readGranularity reads an IPv4 mask, or the length of an IPv6 prefix.
func (b *builder) readGranularity(s *Statement) {
	text := b.text(s)
	if text == "" {
		return
	}
	v := virtual(b)
	t := &v.Template
	if a, err := netip.ParseAddr(text); err == nil && a.Is4() && v.key.Family != lvs.IPv6 {
		t.Netmask = a
	} else if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= 128 && v.key.Family != lvs.IPv4 {
		t.PrefixLen = n
	} else {
		b.wrong(s, "%q: want an IPv4 mask, or of an IPv6 service the length of a prefix", text)
		return
	}
	t.Flags |= lvs.Persistent
	if t.Timeout == 0 {
		t.Timeout = defaultPersistence
	}
}

func flag(bit lvs.ServiceFlags) reader1 {
	return func(b *builder, _ *Statement) { virtual(b).Template.Flags |= bit }
}

// flagOf is a flag of one scheduler, which must have been named before.
func flagOf(scheduler string, bit lvs.ServiceFlags) reader1 {
	return func(b *builder, s *Statement) {
		// sh and mh have the same flags, and keepalived takes the names of both for both.
		if name := virtual(b).Template.Scheduler; name != "sh" && name != "mh" {
			b.wrong(s, "it is for lvs_sched %s, which must come before: it is ignored", scheduler)
			return
		}
		virtual(b).Template.Flags |= bit
	}
}

func (b *builder) readFamily(s *Statement) {
	switch name := b.text(s); name {
	case "inet":
		b.setFamily(s, lvs.IPv4)
	case "inet6":
		b.setFamily(s, lvs.IPv6)
	case "":
	default:
		b.wrong(s, "%q: want inet or inet6", name)
	}
}

func (b *builder) setFamily(s *Statement, family lvs.Family) {
	if v := virtual(b); v.key.Addr.IsValid() && v.key.Family != family {
		b.wrong(s, "the address is of the other family: it is ignored")
		return
	}
	virtual(b).family = family
}

// weightOrPercent reads "3" or "60%".
func (b *builder) weightOrPercent(s *Statement, least int, number, percent *int) {
	text := b.text(s)
	if part, ok := strings.CutSuffix(text, "%"); ok {
		if n, ok := b.numberIn(s, part, least, 100); ok {
			*percent = n
		}
		return
	}
	if n, ok := b.number(s, least, math.MaxInt32); ok {
		*number = n
	}
}

func (b *builder) readQuorum(s *Statement) {
	b.weightOrPercent(s, 1, &virtual(b).Quorum, &virtual(b).QuorumPercent)
}

func (b *builder) readHysteresis(s *Statement) {
	b.weightOrPercent(s, 0, &virtual(b).Hysteresis, &virtual(b).HysteresisPercent)
}

func (b *builder) readSorry(s *Statement) {
	if addr, ok := b.endpoint(s, 1); ok {
		virtual(b).sorryAddr = &addr
		virtual(b).sorryAt = s.At
	}
}
