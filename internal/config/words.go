package config

import (
	"strconv"
	"strings"
)

// splitWords cuts a text at its blanks. Quotes keep blanks, and go.
func splitWords(text string) []string {
	if strings.IndexByte(text, '"') < 0 && strings.IndexByte(text, '\'') < 0 {
		return strings.Fields(text)
	}
	return scanWords(text, false)
}

// Escaped gives the statement's words with the escapes of quoted strings resolved: \a \b \E \f \n \r \t \v, up to three
// octal digits, \xHH, \cC for a control character; before any other character the backslash goes.
func (s *Statement) Escaped() []string { return scanWords(s.Text, true) }

func scanWords(text string, escapes bool) []string {
	var words []string
	var word strings.Builder
	var quote byte
	begun := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && (escapes || text[i+1] == quote && quote != 0):
			begun = true
			if escapes {
				i += resolveEscape(&word, text[i+1:])
			} else {
				i++
				word.WriteByte(text[i])
			}
		case quote == 0 && (c == '"' || c == '\''):
			quote, begun = c, true
		case c == quote && quote != 0:
			quote = 0
		case quote == 0 && strings.IndexByte(" \t\r", c) >= 0:
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

var letterEscapes = map[byte]byte{'a': 7, 'b': 8, 'E': 27, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11}

// resolveEscape writes what an escape stands for, without its backslash, and gives how long it is.
func resolveEscape(word *strings.Builder, text string) int {
	c := text[0]
	if letter, ok := letterEscapes[c]; ok {
		word.WriteByte(letter)
		return 1
	}
	n := 0
	switch {
	case c >= '0' && c <= '7':
		for n < 3 && n < len(text) && text[n] >= '0' && text[n] <= '7' {
			n++
		}
		value, _ := strconv.ParseUint(text[:n], 8, 16)
		word.WriteByte(byte(value))
		return n
	case c == 'x':
		for n < len(text)-1 && strings.IndexByte("0123456789abcdefABCDEF", text[n+1]) >= 0 {
			n++
		}
		if n > 0 {
			value, _ := strconv.ParseUint(text[1:min(n, 15)+1], 16, 64)
			word.WriteByte(byte(value))
			return n + 1
		}
	case c == 'c' && len(text) > 1:
		word.WriteByte(text[1] & 0x1f)
		return 2
	}
	word.WriteByte(c)
	return 1
}
