package config

import (
	"hash/fnv"
	"math"
	"net/netip"
	"slices"
	"time"

	"drover/internal/checker"
	"drover/internal/lvs"
)

// A checkBuild is a check while it is read.
type checkBuild struct {
	checker.Check
	settings
	at     Position
	ip     netip.Addr
	port   int
	bind   netip.Addr
	from   int // bind_port
	mark   int
	file   string // track_file
	weight *int
}

func check(b *builder) *checkBuild { return b.check }

// connectRows are those of each check that connects.
var connectRows = slices.Concat([]row{
	{"connect_ip", Acted, "", func(b *builder, s *Statement) {
		a, ok := b.address(s, b.text(s))
		if from := check(b).bind; ok && from.IsValid() && from.Is4() != a.Is4() {
			b.wrong(s, "%s: it is of another family than bindto: it is ignored", a)
		} else if ok {
			check(b).ip = a
		}
	}},
	{"connect_port", Acted, "", integer(1, 65535, func(b *builder) *int { return &check(b).port })},
	{"bindto", Acted, "", func(b *builder, s *Statement) {
		a, ok := b.address(s, b.text(s))
		to := check(b).ip
		if !to.IsValid() {
			to = real1(b).addr.Addr()
		}
		if ok && to.Is4() != a.Is4() {
			b.wrong(s, "%s: it is of another family than the address to connect to: it is ignored", a)
		} else if ok {
			check(b).bind = a
		}
	}},
	{"bind_if", Acted, "", func(b *builder, s *Statement) {
		if name := b.text(s); len(name) > maxInterface {
			b.wrong(s, "%q: want the name of an interface, %d letters at most", name, maxInterface)
		} else if name != "" {
			check(b).Interface = name
		}
	}},
	{"bind_port", Acted, "", integer(1, 65535, func(b *builder) *int { return &check(b).from })},
	{"fwmark", Acted, "the mark of the check's own packets", integer(0, math.MaxUint32, func(b *builder) *int { return &check(b).mark })},
	{"host", Acted, "of old files: connect_ip, connect_port and bindto in a block", func(b *builder, s *Statement) { b.enter(b.at, s) }},
}, timingRows)

var timingRows = settingRows(0, func(b *builder) *settings { return &check(b).settings })

// checkRows are the checks that a real server has.
var checkRows = []row{
	{"TCP_CHECK", Acted, "", checkReader(checker.KindTCP, &blockKind{name: "TCP_CHECK", rows: connectRows})},
	{"HTTP_GET", Acted, "", checkReader(checker.KindHTTP, httpBlock)},
	{"SSL_GET", Acted, "", checkReader(checker.KindSSL, httpBlock)},
	{"SMTP_CHECK", Acted, "", checkReader(checker.KindSMTP, smtpBlock)},
	{"DNS_CHECK", Acted, "", checkReader(checker.KindDNS, dnsBlock)},
	{"UDP_CHECK", Acted, "", checkReader(checker.KindUDP, udpBlock)},
	{"PING_CHECK", Acted, "", checkReader(checker.KindPing, &blockKind{name: "PING_CHECK", rows: connectRows})},
	{"MISC_CHECK", Acted, "", checkReader(checker.KindMisc, miscBlock)},
	{"FILE_CHECK", Acted, "", checkReader(checker.KindFile, fileBlock)},
	{"BFD_CHECK", Refused, "BFD is not there yet: the server counts as up as far as this check goes", nil},
	{"MYSQL_CHECK", Acted, "Drover's own, as ldirectord has it", dialogReader("mysql")},
	{"PGSQL_CHECK", Acted, "Drover's own, as ldirectord has it", dialogReader("pgsql")},
	{"REDIS_CHECK", Acted, "Drover's own", dialogReader("redis")},
	{"LDAP_CHECK", Acted, "Drover's own, as ldirectord has it", dialogReader("ldap")},
	{"IMAP_CHECK", Acted, "Drover's own, as ldirectord has it", dialogReader("imap")},
	{"POP_CHECK", Acted, "Drover's own, as ldirectord has it", dialogReader("pop")},
	{"FTP_CHECK", Acted, "Drover's own, as ldirectord has it", dialogReader("ftp")},
	{"SIMPLE_CHECK", Acted, "Drover's own: connect, send request, look for receive", dialogReader("simple")},
}

// checkReader reads a check's block.
func checkReader(kind checker.Kind, block *blockKind) reader1 {
	return func(b *builder, s *Statement) {
		c := &checkBuild{Check: checker.Check{Kind: kind}, at: s.At}
		switch kind {
		case checker.KindHTTP, checker.KindSSL:
			c.HTTP = &checker.HTTP{Version: checker.HTTP10}
		case checker.KindSMTP:
			c.SMTP = &checker.SMTP{}
		case checker.KindDNS:
			c.DNS = &checker.DNS{Type: "SOA", Name: "."}
		case checker.KindUDP:
			c.UDP = &checker.UDP{MaxReply: 255}
		case checker.KindMisc:
			c.Misc = &checker.Misc{}
		case checker.KindFile:
			c.File = &checker.File{}
		}
		b.readCheck(s, c, block)
	}
}

func (b *builder) readCheck(s *Statement, c *checkBuild, block *blockKind) {
	b.check = c
	b.enter(block, s)
	b.check = nil
	if b.complete(s, c) {
		b.real.checks = append(b.real.checks, c)
	}
}

// complete refuses a check that lacks what it can't be without.
func (b *builder) complete(s *Statement, c *checkBuild) bool {
	switch {
	case c.HTTP != nil && len(c.HTTP.URLs) == 0:
		b.wrong(s, "no url: the check is not used")
	case c.Misc != nil && len(c.Misc.Command) == 0:
		b.wrong(s, "no misc_path: the check is not used")
	case c.Misc != nil && !b.knowsUser(s, c.Misc.User, c.Misc.Group):
	case c.UDP != nil && c.UDP.Require && c.UDP.MinReply > c.UDP.MaxReply:
		b.wrong(s, "min_reply_length %d is more than max_reply_length %d: it will always fail", c.UDP.MinReply, c.UDP.MaxReply)
		return true
	case c.Kind == checker.KindFile && c.file == "":
		b.wrong(s, "no track_file: the check is not used")
	default:
		return true
	}
	return false
}

// finishCheck gives a check what it inherits.
func (b *builder) finishCheck(c *checkBuild, r *realBuild, v *virtualBuild, addr netip.AddrPort) (checker.Check, bool) {
	s := c.settings.or(r.settings).or(v.settings)
	check := c.Check
	retry, retryDelay := 1, time.Second
	switch check.Kind {
	case checker.KindHTTP, checker.KindSSL:
		retryDelay = 3 * time.Second
	case checker.KindDNS:
		retry, retryDelay = 3, *orElse(s.delay, ptr(defaultDelay))
	case checker.KindMisc:
		retry = 0
	}
	check.Delay = *orElse(s.delay, ptr(defaultDelay))
	check.Timing.Timeout = *orElse(s.timeout, ptr(5*time.Second))
	check.Warmup = *orElse(s.warmup, ptr(check.Delay))
	check.Retry, check.RetryDelay = *orElse(s.retry, &retry), *orElse(s.retryDelay, &retryDelay)
	check.StartDown = *orElse(s.alpha, ptr(false))
	check.LogAll = *orElse(s.logAll, &b.config.Global.LogAllFailures)
	check.Addr = addr
	if c.ip.IsValid() {
		check.Addr = netip.AddrPortFrom(c.ip, addr.Port())
	}
	if c.port > 0 {
		check.Addr = netip.AddrPortFrom(check.Addr.Addr(), uint16(c.port))
	}
	if c.bind.IsValid() || c.from > 0 {
		bind := c.bind
		if !bind.IsValid() {
			bind = netip.IPv4Unspecified()
			if check.Addr.Addr().Is6() {
				bind = netip.IPv6Unspecified()
			}
		}
		check.Bind = netip.AddrPortFrom(bind, uint16(c.from))
	}
	check.Mark = uint32(c.mark)
	if *orElse(s.via, ptr(false)) {
		b.viaVIP(c, &check, r, v)
	}
	return check, b.finishKind(c, &check, s)
}

// viaVIP has a check ask the VIP. Its packets have a mark by which the data path gives them to the server: the mark has a
// service of its own, with this server alone.
func (b *builder) viaVIP(c *checkBuild, check *checker.Check, r *realBuild, v *virtualBuild) {
	key := v.Services[0]
	switch {
	case key.Mark != 0 || key.Addr.Port() == 0:
		b.warn(c.at, "check_via", "%s has no address and port to ask: the check asks the server", v.title())
		return
	case check.Kind == checker.KindMisc || check.Kind == checker.KindFile || check.Kind == checker.KindPing:
		return // it asks no port
	case check.Kind == checker.KindUDP || check.Kind == checker.KindDNS:
		// The data path knows a client's port for minutes after its last packet, and another check may have it then.
		b.warn(c.at, "check_via", "a check by UDP asks the server")
		return
	case check.Mark != 0 || c.ip.IsValid() || c.port > 0:
		b.warn(c.at, "check_via", "fwmark, connect_ip and connect_port have no meaning with it: they are ignored")
	}
	if r.ViaMark == 0 {
		r.ViaMark = b.viaMark(v.Name + " " + r.Name)
	}
	check.Addr, check.Mark = key.Addr, r.ViaMark
	if r.Destination.Forwarding != lvs.Masquerade {
		check.Via = r.Destination.Addr.Addr() // by NAT the answer to the VIP comes by the server's gateway
	}
}

// Marks of checks are from here on, and have 28 bits to be apart in.
const (
	viaMarks    = 0x4000_0000
	viaMarkBits = 0x0fff_ffff
)

// viaMark gives a name's mark, which stays the same over reloads and restarts unless two names meet.
func (b *builder) viaMark(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name)) //nolint:errcheck // it never fails
	for n := h.Sum32(); ; n++ {
		mark := viaMarks | n&viaMarkBits
		if !b.marks[mark] {
			b.marks[mark] = true
			return mark
		}
	}
}

func (b *builder) finishKind(c *checkBuild, check *checker.Check, s settings) bool {
	switch {
	case check.HTTP != nil:
		h := *check.HTTP
		h.VirtualHost = s.virtualHost
		if check.Kind == checker.KindSSL {
			h.TLS = b.tls()
		}
		check.HTTP = &h
	case check.Misc != nil:
		m := *check.Misc
		if m.Timeout == 0 {
			m.Timeout = check.Delay
		}
		if m.User == "" {
			m.User, m.Group = b.config.Global.ScriptUser, b.config.Global.ScriptGroup
		}
		check.Misc = &m
	case check.File != nil:
		file, ok := b.files[c.file]
		if !ok {
			b.warn(c.at, "FILE_CHECK", "there is no track_file %q: the check is not used", c.file)
			return false
		}
		check.File = &checker.File{Path: file.path, Weight: file.weight, Reverse: file.reverse}
		if c.weight != nil {
			check.File.Weight = *c.weight
		}
		check.Delay, check.Warmup = time.Second, 0
	}
	return true
}

const defaultDelay = 60 * time.Second

func ptr[T any](v T) *T { return &v }
