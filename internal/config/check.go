package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/checker"
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

// A urlBuild is a url while it is read.
type urlBuild struct{ checker.URL }

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
	{"host", Acted, "of old files: connect_ip, connect_port and bindto in a block", func(b *builder, s *Statement) { b.walk(b.at, s.Block) }},
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
	b.walk(block, s.Block)
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

var httpBlock = &blockKind{name: "HTTP_GET", rows: slices.Concat([]row{
	{"url", Acted, "", (*builder).readURL},
	{"http_protocol", Acted, "", func(b *builder, s *Statement) {
		version := checker.Version(strings.ToUpper(b.text(s)))
		if !slices.Contains([]checker.Version{checker.HTTP10, checker.HTTP11, checker.HTTP10C, checker.HTTP10K, checker.HTTP11K}, version) {
			b.wrong(s, "%q: want 1.0, 1.0C, 1.0K, 1.1 or 1.1K", version)
			return
		}
		check(b).HTTP.Version = version
	}},
	{"fast_recovery", Acted, "", truth(func(b *builder) *bool { return &check(b).HTTP.FastRecovery })},
	{"virtualhost", Acted, "", word1(func(b *builder) *string { return &check(b).settings.virtualHost })},
	{"enable_sni", Acted, "", truth(func(b *builder) *bool { return &check(b).HTTP.SNI })},
	{"sni_name", Acted, "", func(b *builder, s *Statement) {
		check(b).HTTP.SNI, check(b).HTTP.SNIName = true, b.text(s)
	}},
	{"tls_compliant", Acted, "", truth(func(b *builder) *bool { return &check(b).HTTP.TLSCompliant })},
}, connectRows)}

var urlBlock = &blockKind{name: "url", rows: []row{
	{"path", Acted, "", word1(func(b *builder) *string { return &b.url.Path })},
	{"digest", Acted, "", func(b *builder, s *Statement) {
		digest := strings.ToLower(b.text(s))
		if len(digest) != 32 || strings.Trim(digest, "0123456789abcdef") != "" {
			b.wrong(s, "%q: want 32 hexadecimal digits, as genhash prints", digest)
			return
		}
		if b.url.Digest != "" {
			b.wrong(s, "there is one already: this one is ignored")
			return
		}
		b.url.Digest = digest
	}},
	{"status_code", Acted, "", (*builder).readStatus},
	{"virtualhost", Acted, "", word1(func(b *builder) *string { return &b.url.VirtualHost })},
	{"regex", Acted, "as Go's regexp package reads it (RE2): no back references, no lookaround", func(b *builder, s *Statement) {
		if words := s.Escaped(); len(words) > 1 {
			regex(b).Pattern = words[1]
		}
	}},
	{"regex_no_match", Acted, "", func(b *builder, _ *Statement) { regex(b).Not = true }},
	{"regex_min_offset", Acted, "", func(b *builder, s *Statement) {
		if n, ok := b.number(s, 0, math.MaxInt32); ok {
			regex(b).MinOffset = n
		}
	}},
	{"regex_max_offset", Acted, "", func(b *builder, s *Statement) {
		if n, ok := b.number(s, 0, math.MaxInt32); ok {
			regex(b).MaxOffset = n
		}
	}},
	{"regex_options", Acted, "caseless, multiline, dotall and ungreedy; the others do nothing", (*builder).readRegexOptions},
	{"regex_stack", Noted, "the expressions need no stack", nil},
}}

func regex(b *builder) *checker.Regex {
	if b.url.Regex == nil {
		b.url.Regex = &checker.Regex{}
	}
	return b.url.Regex
}

var regexOptions = map[string]string{"caseless": "i", "multiline": "m", "dotall": "s", "ungreedy": "U"}

func (b *builder) readRegexOptions(s *Statement) {
	for _, option := range s.Values() {
		if letter, ok := regexOptions[option]; ok {
			regex(b).Flags += letter
		} else {
			b.find(s, Note, option+" does nothing here", "")
		}
	}
}

func (b *builder) readURL(s *Statement) {
	b.url = &urlBuild{}
	b.walk(urlBlock, s.Block)
	u := b.url.URL
	b.url = nil
	if u.Path == "" {
		b.wrong(s, "no path: the url is not used")
		return
	}
	if u.Regex != nil {
		if err := u.Regex.Compile(); err != nil {
			b.wrong(s, "regex: %v", err)
			u.Regex = nil
		}
	}
	check(b).HTTP.URLs = append(check(b).HTTP.URLs, u)
}

// readStatus reads statuses and ranges of them.
func (b *builder) readStatus(s *Statement) {
	for _, text := range s.Values() {
		from, to, isRange := strings.Cut(text, "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.Atoi(from)
		high, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || low < 100 || high > 599 || low > high {
			b.wrong(s, "%q: want a status from 100 to 599, or a range", text)
			continue
		}
		b.url.Status = append(b.url.Status, checker.StatusRange{From: low, To: high})
	}
}

var smtpBlock = &blockKind{name: "SMTP_CHECK", rows: slices.Concat([]row{
	{"helo_name", Acted, "", word1(func(b *builder) *string { return &check(b).SMTP.HELO })},
}, connectRows)}

var dnsTypes = strings.Fields("A NS CNAME SOA MX TXT AAAA")

var dnsBlock = &blockKind{name: "DNS_CHECK", rows: slices.Concat([]row{
	{"type", Acted, "", func(b *builder, s *Statement) {
		name := strings.ToUpper(b.text(s))
		if !slices.Contains(dnsTypes, name) {
			b.wrong(s, "%q: want one of %s", name, joined(dnsTypes))
			return
		}
		check(b).DNS.Type = name
	}},
	{"name", Acted, "", word1(func(b *builder) *string { return &check(b).DNS.Name })},
}, connectRows)}

var udpBlock = &blockKind{name: "UDP_CHECK", rows: slices.Concat([]row{
	{"payload", Acted, "", func(b *builder, s *Statement) {
		data, _, err := hexString(joined(s.Values()), false)
		if err == nil && len(data) == 0 {
			err = fmt.Errorf("want bytes as hexadecimal digits")
		}
		if err != nil {
			b.wrong(s, "%v", err)
			return
		}
		check(b).UDP.Payload = data
	}},
	{"require_reply", Acted, "", func(b *builder, s *Statement) {
		data, mask, err := hexString(joined(s.Values()), true)
		if err != nil {
			b.wrong(s, "%v", err)
			return
		}
		check(b).UDP.Require, check(b).UDP.Reply, check(b).UDP.ReplyMask = true, data, mask
	}},
	{"min_reply_length", Acted, "", integer(0, 65507, func(b *builder) *int { return &check(b).UDP.MinReply })},
	{"max_reply_length", Acted, "", integer(0, 65507, func(b *builder) *int { return &check(b).UDP.MaxReply })},
}, connectRows)}

var miscBlock = &blockKind{name: "MISC_CHECK", rows: slices.Concat([]row{
	{"misc_path", Acted, "", func(b *builder, s *Statement) {
		if script := b.script(s); script != nil {
			check(b).Misc.Command = script.Command // keepalived does not look at what follows the program
		}
	}},
	{"misc_timeout", Acted, "", func(b *builder, s *Statement) {
		if d, ok := b.timer(s, 0, longest); ok {
			check(b).Misc.Timeout = d
		}
	}},
	{"misc_dynamic", Acted, "", loose(func(b *builder) *bool { return &check(b).Misc.Dynamic })},
	{"user", Acted, "", func(b *builder, s *Statement) {
		check(b).Misc.User = b.text(s)
		if len(s.Words) > 2 {
			check(b).Misc.Group = s.Words[2]
		}
	}},
}, timingRows)}

var fileBlock = &blockKind{name: "FILE_CHECK", rows: []row{
	{"track_file", Acted, "", func(b *builder, s *Statement) {
		switch name := b.text(s); {
		case name == "":
		case b.files[name] == nil:
			b.wrong(s, "there is no track_file %q before: it is ignored", name)
		default:
			check(b).file = name
		}
	}},
	{"weight", Acted, "", (*builder).readFileWeight},
	{"dynamic", Noted, "the weight is added in any case, as in keepalived 2.2.7", nil},
}}

func (b *builder) readFileWeight(s *Statement) {
	n, ok := b.number(s, -math.MaxInt32, math.MaxInt32)
	if !ok {
		return
	}
	if len(s.Words) > 2 {
		if s.Words[2] != "reverse" {
			b.wrong(s, "%q: want reverse, or nothing", s.Words[2])
			return
		}
		n = -n
		check(b).File.Reverse = true
	}
	check(b).weight = &n
}

var dialogBlock = &blockKind{name: "the check", rows: slices.Concat([]row{
	{"login", Acted, "", word1(func(b *builder) *string { return &check(b).Dialog.User })},
	{"passwd password", Acted, "", word1(func(b *builder) *string { return &check(b).Dialog.Password })},
	{"database", Acted, "", word1(func(b *builder) *string { return &check(b).Dialog.Database })},
	{"request", Acted, "", func(b *builder, s *Statement) {
		if words := s.Escaped(); len(words) > 1 {
			check(b).Dialog.Request = words[1]
		}
	}},
	{"receive", Acted, "", func(b *builder, s *Statement) {
		if words := s.Escaped(); len(words) > 1 {
			check(b).Dialog.Receive = words[1]
		}
	}},
	{"tls", Acted, "", truth(func(b *builder) *bool { return &check(b).Dialog.TLS })},
}, connectRows)}

func dialogReader(protocol string) reader1 {
	return func(b *builder, s *Statement) {
		c := &checkBuild{Check: checker.Check{Kind: checker.KindDialog, Dialog: &checker.Dialog{Protocol: protocol}}, at: s.At}
		b.readCheck(s, c, dialogBlock)
	}
}

// An sslBuild is the SSL block.
type sslBuild struct {
	password, ca, certificate, key string
}

var sslBlock = &blockKind{name: "SSL", rows: []row{
	{"password", Acted, "of the key", sslWord(func(b *builder) *string { return &b.ssl.password })},
	{"ca", Acted, "", sslWord(func(b *builder) *string { return &b.ssl.ca })},
	{"certificate", Acted, "", sslWord(func(b *builder) *string { return &b.ssl.certificate })},
	{"key", Acted, "", sslWord(func(b *builder) *string { return &b.ssl.key })},
}}

// sslWord is word1 with keepalived's warning where the word is said again.
func sslWord(at func(*builder) *string) reader1 {
	return func(b *builder, s *Statement) {
		if *at(b) != "" {
			b.warn(s.At, s.Keyword(), "it was said before: this one holds")
		}
		word1(at)(b, s)
	}
}

// readSSL reads an SSL block; a second one takes the place of the first.
func (b *builder) readSSL(s *Statement) {
	if b.sslAt != (Position{}) {
		b.warn(s.At, s.Keyword(), "there is a block before, at %s:%d: this one holds", b.sslAt.File, b.sslAt.Line)
	}
	b.ssl, b.sslAt = sslBuild{}, s.At
	opens(sslBlock)(b, s)
}

// A trackFile is a track_file block.
type trackFile struct {
	path       string
	weight     int
	reverse    bool
	initial    *int
	overwrite  bool
	weightSaid bool
}

var trackFileBlock = &blockKind{name: "track_file", rows: []row{
	{"file", Acted, "", func(b *builder, s *Statement) {
		if b.file.path != "" {
			b.wrong(s, "there is one already: this one is ignored")
			return
		}
		b.file.path = b.text(s)
	}},
	{"weight", Acted, "", func(b *builder, s *Statement) {
		if b.file.weightSaid {
			b.wrong(s, "there is one already: this one is ignored")
			return
		}
		if n, reverse, ok := b.weight(s, s.Values(), 254); ok {
			b.file.weight, b.file.reverse, b.file.weightSaid = n, reverse, true
		}
	}},
	{"init_file", Acted, "writes the file when the director begins, with 0 or a number; with overwrite also where it is there", func(b *builder, s *Statement) {
		n := 0
		for _, word := range s.Values() {
			if word == "overwrite" {
				b.file.overwrite = true
				continue
			}
			var ok bool
			if n, ok = b.numberIn(s, word, -math.MaxInt32, math.MaxInt32); !ok {
				return
			}
		}
		b.file.initial = &n
	}},
}}

func (b *builder) readTrackFile(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	b.file = &trackFile{weight: 1}
	b.walk(trackFileBlock, s.Block)
	if b.file.path == "" {
		b.wrong(s, "%s: no file", name)
	} else {
		b.files[name] = b.file
		if b.file.initial != nil {
			b.config.Files = append(b.config.Files, InitFile{b.file.path, *b.file.initial, b.file.overwrite})
		}
	}
	b.file = nil
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
	return check, b.finishKind(c, &check, s)
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

// tls gives what the SSL block says, or nil.
func (b *builder) tls() *checker.TLS {
	if b.ssl == (sslBuild{}) {
		return nil
	}
	t, err := checker.LoadTLS(b.ssl.key, b.ssl.certificate, b.ssl.ca, b.ssl.password)
	if err != nil {
		if !b.sslSaid {
			b.sslSaid = true
			b.findings = append(b.findings, Finding{Severity: Error, Keyword: "SSL", At: Position{File: b.config.File, Line: 1}, Reason: fmt.Sprint(err)})
		}
		return nil
	}
	return t
}
