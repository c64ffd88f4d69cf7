package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// text is the first value, or nothing with a finding.
func (b *builder) text(s *Statement) string {
	if len(s.Words) < 2 {
		b.wrong(s, "want a value")
		return ""
	}
	return s.Words[1]
}

// number reads a value between two bounds.
func (b *builder) number(s *Statement, low, high int) (int, bool) {
	text := b.text(s)
	if text == "" {
		return 0, false
	}
	return b.numberIn(s, text, low, high)
}

func (b *builder) numberIn(s *Statement, text string, low, high int) (int, bool) {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		b.wrong(s, "%q: want a number from %d to %d", text, low, high)
		return 0, false
	}
	return n, true
}

// integer stores a number, if it is one.
func integer(low, high int, at func(*builder) *int) reader1 {
	return func(b *builder, s *Statement) {
		if n, ok := b.number(s, low, high); ok {
			*at(b) = n
		}
	}
}

// boolean reads on, off, true, false, yes or no; nothing is yes.
func (b *builder) boolean(s *Statement) (value, ok bool) {
	if len(s.Words) < 2 {
		return true, true
	}
	switch s.Words[1] {
	case "on", "true", "yes":
		return true, true
	case "off", "false", "no":
		return false, true
	}
	b.wrong(s, "%q: want on, off, true, false, yes or no", s.Words[1])
	return false, false
}

func truth(at func(*builder) *bool) reader1 {
	return func(b *builder, s *Statement) {
		if value, ok := b.boolean(s); ok {
			*at(b) = value
		}
	}
}

// loose is truth where keepalived itself looks at no value: any other word is yes.
func loose(at func(*builder) *bool) reader1 {
	return func(b *builder, s *Statement) {
		value := true
		if len(s.Words) > 1 {
			switch s.Words[1] {
			case "off", "false", "no":
				value = false
			}
		}
		*at(b) = value
	}
}

func truthOrUnset(at func(*builder) **bool) reader1 {
	return func(b *builder, s *Statement) {
		if value, ok := b.boolean(s); ok {
			*at(b) = &value
		}
	}
}

// timer reads seconds with up to six decimals.
func (b *builder) timer(s *Statement, least, most time.Duration) (time.Duration, bool) {
	text := b.text(s)
	if text == "" {
		return 0, false
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "+-.0123456789") != "" || seconds < 0 || seconds > math.MaxInt32 {
		b.wrong(s, "%q: want seconds", text)
		return 0, false
	}
	d := time.Duration(math.Round(seconds*1e6)) * time.Microsecond
	if d < least || d > most {
		b.wrong(s, "%q: want %v to %v seconds", text, least.Seconds(), most.Seconds())
		return 0, false
	}
	return d, true
}

func duration(least, most time.Duration, at func(*builder) **time.Duration) reader1 {
	return func(b *builder, s *Statement) {
		if d, ok := b.timer(s, least, most); ok {
			*at(b) = &d
		}
	}
}

// longest is the longest time that a timer of keepalived can be.
const longest = time.Duration(math.MaxUint32) * time.Microsecond

// address reads an IP address.
func (b *builder) address(s *Statement, text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		b.wrong(s, "%q: want an IP address", text)
		return a, false
	}
	return a, true
}

// endpoint reads "ADDRESS [PORT]" from word number i on. What follows is ignored, with a warning.
func (b *builder) endpoint(s *Statement, i int) (netip.AddrPort, bool) {
	if len(s.Words) <= i {
		b.wrong(s, "want an address, and a port")
		return netip.AddrPort{}, false
	}
	host, _, _ := strings.Cut(s.Words[i], "/") // keepalived looks at no prefix length here
	a, ok := b.address(s, host)
	if !ok {
		return netip.AddrPort{}, false
	}
	port := 0
	if len(s.Words) > i+1 {
		if port, ok = b.numberIn(s, s.Words[i+1], 0, 65535); !ok {
			return netip.AddrPort{}, false
		}
	}
	return netip.AddrPortFrom(a, uint16(port)), true
}

// script reads a program: a path, or a quoted string of path and arguments, then user and group. In the string, single
// quotes keep blanks together.
func (b *builder) script(s *Statement) *Script {
	words := s.Words
	if len(words) < 2 {
		b.wrong(s, "want a program")
		return nil
	}
	command := scanWords(words[1], true)
	if len(command) == 0 {
		b.wrong(s, "want a program")
		return nil
	}
	script := &Script{At: s.At, Command: command}
	if len(words) > 2 {
		script.User = words[2]
	}
	if len(words) > 3 {
		script.Group = words[3]
	}
	return script
}

func program(at func(*builder) **Script) reader1 {
	return func(b *builder, s *Statement) {
		script := b.script(s)
		switch {
		case script == nil:
		case *at(b) != nil:
			b.wrong(s, "there is one already: this one is ignored")
		case b.knowsUser(s, script.User, script.Group):
			*at(b) = script
		}
	}
}

func word1(at func(*builder) *string) reader1 {
	return func(b *builder, s *Statement) {
		if text := b.text(s); text != "" {
			*at(b) = text
		}
	}
}

// hexString reads keepalived's free form of bytes: digits, in groups of which an odd one ends with one digit alone. With
// wild, x stands for any four bits; mask has what counts.
func hexString(text string, wild bool) (data, mask []byte, err error) {
	for group := range strings.FieldsSeq(text) {
		for len(group) > 0 {
			part := group[:min(2, len(group))]
			group = group[len(part):]
			var value, bits byte
			for _, c := range part {
				value, bits = value<<4, bits<<4
				switch {
				case wild && (c == 'x' || c == 'X'):
				default:
					digit, err := strconv.ParseUint(string(c), 16, 8)
					if err != nil {
						return nil, nil, fmt.Errorf("%q is no hexadecimal digit", c)
					}
					value, bits = value|byte(digit), bits|0xf
				}
			}
			if len(part) == 1 {
				bits |= 0xf0
			}
			data, mask = append(data, value), append(mask, bits)
		}
	}
	return data, mask, nil
}
