package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"drover/internal/checker"
)

// A urlBuild is a url while it is read.
type urlBuild struct{ checker.URL }

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
	b.enter(urlBlock, s)
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
