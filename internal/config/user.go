package config

import (
	"os/user"
	"strconv"
)

// maxInterface is how many letters the name of an interface has at most (IFNAMSIZ less one, linux/if.h).
const maxInterface = 15

// knowsUser tells whether a user and a group, by name or number, are there; empty ones are. What would run as one that
// is not is not run at all.
func (b *builder) knowsUser(s *Statement, name, group string) bool {
	if name != "" && !isNumber(name) {
		if _, err := user.Lookup(name); err != nil {
			b.wrong(s, "there is no user %s: it is not used", name)
			return false
		}
	}
	if group != "" && !isNumber(group) {
		if _, err := user.LookupGroup(group); err != nil {
			b.wrong(s, "there is no group %s: it is not used", group)
			return false
		}
	}
	return true
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 32)
	return err == nil
}

// wantOne wants exactly one value.
func wantOne(b *builder, s *Statement) {
	if len(s.Words) != 2 {
		b.wrong(s, "want one value")
	}
}

// wordsOf gives the words of a block, which has nothing but them.
func (b *builder) wordsOf(s *Statement) []string {
	b.bare(s)
	return words(s)
}

// bare warns of what stands between a keyword and its block.
func (b *builder) bare(s *Statement) {
	if len(s.Words) > 1 {
		b.warn(s.At, s.Keyword(), "%s: nothing is wanted before the block", joined(s.Values()))
	}
}
