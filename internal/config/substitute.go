package config

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// A variable is what $NAME= gave. One of several lines has them apart by newlines.
type variable struct{ text string }

func isNameByte(c byte, first bool) bool {
	return c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || !first && c >= '0' && c <= '9'
}

// nameLength gives how long the name at the beginning of a text is.
func nameLength(text string) int {
	n := 0
	for n < len(text) && isNameByte(text[n], n == 0) {
		n++
	}
	return n
}

// cutDefinition takes "$NAME=VALUE" apart.
func cutDefinition(line string) (name, value string, ok bool) {
	if !strings.HasPrefix(line, "$") {
		return "", "", false
	}
	n := nameLength(line[1:])
	if n == 0 || n+1 >= len(line) || line[n+1] != '=' {
		return "", "", false
	}
	return line[1 : n+1], strings.TrimSpace(line[n+2:]), true
}

// beginsDefinition tells whether a line begins a definition of several lines: one that ends with a backslash.
func beginsDefinition(line string) (name string, ok bool) {
	line = strings.TrimSpace(line)
	if !strings.HasSuffix(line, "\\") || strings.IndexByte(line, '=') < 0 {
		return "", false
	}
	body := line
	for strings.HasPrefix(body, "@") { // a condition may stand before it
		_, body, _ = strings.Cut(body, " ")
		body = strings.TrimSpace(body)
	}
	name, _, ok = cutDefinition(body)
	return name, ok
}

// definition reads a definition of several lines: those that end with a backslash, and the one after. It gives what is left of
// the file, and how many lines it took; 0 where it has grown too long.
func (r *reader) definition(name, line, rest string) (left string, lines int) {
	var value strings.Builder
	applies := true
	if body, ok := r.condition(strings.TrimSpace(line)); ok {
		_, first, _ := cutDefinition(body)
		value.WriteString(strings.TrimSpace(strings.TrimSuffix(first, "\\")))
	} else {
		applies = false
	}
	lines = 1
	for more := true; more && rest != ""; lines++ {
		line, rest, _ = strings.Cut(rest, "\n")
		text := strings.TrimSpace(line)
		text, more = strings.CutSuffix(text, "\\")
		if value.Len() > 0 {
			value.WriteByte('\n')
		}
		value.WriteString(strings.TrimSpace(text))
		if value.Len() > maxLine {
			return "", 0
		}
	}
	if applies {
		r.variables[name] = &variable{text: value.String()}
	}
	return rest, lines
}

// substitute replaces the parameters of a line by their values, once: values are looked at when their lines are. What
// is not defined stays.
func (r *reader) substitute(line string) (expanded string, changed bool) {
	var out strings.Builder
	for {
		i := strings.IndexByte(line, '$')
		if i < 0 {
			break
		}
		value, length, ok := r.parameter(line[i:])
		if !ok {
			out.WriteString(line[:i+1])
			line = line[i+1:]
			continue
		}
		out.WriteString(line[:i])
		out.WriteString(value)
		line, changed = line[i+length:], true
		if out.Len() > maxLine {
			break
		}
	}
	out.WriteString(line)
	return out.String(), changed
}

// parameter gives the value of the parameter that a text begins with: ${NAME}, or $NAME before a blank or the end.
func (r *reader) parameter(text string) (value string, length int, ok bool) {
	if strings.HasPrefix(text, "${") {
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return "", 0, false
		}
		inside := text[2:end]
		if v, ok := r.variables[inside]; ok {
			return v.text, end + 1, true
		}
		value, ok = r.predefined(inside)
		return value, end + 1, ok
	}
	n := nameLength(text[1:])
	if n == 0 || n+1 < len(text) && strings.IndexByte(" \t\r", text[n+1]) < 0 {
		return "", 0, false
	}
	v, ok := r.variables[text[1:n+1]]
	if !ok {
		value, ok = r.predefined(text[1 : n+1])
		return value, n + 1, ok
	}
	return v.text, n + 1, true
}

// predefined gives the values of the names that begin with an underscore.
func (r *reader) predefined(name string) (string, bool) {
	words := strings.Fields(name)
	if len(words) == 0 {
		return "", false
	}
	switch words[0] {
	case "_PWD":
		return r.folder(), true
	case "_INSTANCE":
		if r.options.Instance != "" {
			return r.options.Instance, true
		}
		return r.configID(), true
	case "_HASH":
		return hashSign, true
	case "_BANG":
		return bangSign, true
	case "_ENV":
		if len(words) == 2 {
			return r.options.Getenv(words[1]), true
		}
	case "_RANDOM":
		return random(words[1:])
	}
	return "", false
}

// ${_HASH} and ${_BANG} stand for signs that would begin a comment: until the words are cut they are these.
const (
	hashSign = "\x01"
	bangSign = "\x02"
)

func random(bounds []string) (string, bool) {
	low, high := 0, 32767
	for i, word := range bounds {
		n, err := strconv.Atoi(word)
		if err != nil || n < 0 || i > 1 {
			return "", false
		}
		if i == 0 {
			low = n
		} else {
			high = n
		}
	}
	if high < low {
		return "", false
	}
	return fmt.Sprint(low + rand.IntN(high-low+1)), true
}
