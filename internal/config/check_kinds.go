package config

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"drover/internal/checker"
)

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
