package config

import "strings"

const indent = "    "

// Format lays a configuration out anew: a statement on each line, blocks indented by four blanks, at most one empty line in
// a row. Comments, variables, conditions and sequences stay as they are written; what Read makes of it stays the same.
func Format(source []byte) []byte {
	f := &formatter{}
	continues := false
	for line := range strings.Lines(string(source)) {
		line = strings.TrimRight(line, " \t\r\n")
		_, begins := beginsDefinition(decomment(line))
		switch {
		case continues || begins: // of several lines: its text is the value
			f.write(line, "")
			continues = strings.HasSuffix(strings.TrimSpace(line), "\\")
		default:
			f.line(line)
		}
	}
	f.end()
	return []byte(f.out.String())
}

// A formatter writes lines. The last one is held back, as a brace may belong to it.
type formatter struct {
	out   strings.Builder
	depth int
	empty bool // an empty line was asked for
	open  bool // the last line may get the brace of the next
	last  string
	note  string // comment of last
	some  bool   // last is there
}

// line formats one line of the source.
func (f *formatter) line(line string) {
	code := decomment(line)
	comment := strings.TrimSpace(line[len(code):])
	code = strings.TrimSpace(code)
	if code == "" && comment == "" {
		f.empty = true
		return
	}
	if code == "" {
		f.put(comment, "", false)
		return
	}
	if strings.HasPrefix(code, "~") {
		f.put(code, comment, false)
		return
	}
	parts := cutAtBraces(code)
	for i, part := range parts {
		note := ""
		if i == len(parts)-1 {
			note = comment
		}
		f.part(part, note)
	}
}

// part writes a statement, or a brace.
func (f *formatter) part(text, note string) {
	switch {
	case text == "{" && f.open:
		f.last += " {"
		if note != "" {
			f.note = strings.TrimSpace(f.note + " " + note)
		}
		f.open = false
		f.depth++
	case text == "{":
		f.put("{", note, false)
		f.depth++
	case text == "}":
		f.depth = max(f.depth-1, 0)
		f.empty = false
		f.put("}", note, false)
	default:
		f.put(squeeze(text), note, true)
	}
}

// put writes a line at the present depth.
func (f *formatter) put(text, note string, open bool) {
	f.write(strings.Repeat(indent, f.depth)+text, note)
	f.open = open
}

func (f *formatter) write(text, note string) {
	if f.empty && f.some && !strings.HasSuffix(f.last, "{") {
		f.end()
		f.out.WriteByte('\n')
	} else {
		f.end()
	}
	f.empty, f.open = false, false
	f.last, f.note, f.some = text, note, true
}

// end writes the line that was held back.
func (f *formatter) end() {
	if !f.some {
		return
	}
	f.out.WriteString(f.last)
	if f.note != "" {
		f.out.WriteString(" " + f.note)
	}
	f.out.WriteByte('\n')
}

// cutAtBraces gives the statements and braces of a line.
func cutAtBraces(code string) []string {
	var parts []string
	add := func(text string) {
		if text = strings.TrimSpace(text); text != "" {
			parts = append(parts, text)
		}
	}
	begin := 0
	scanBraces(code, func(i int) {
		add(code[begin:i])
		add(code[i : i+1])
		begin = i + 1
	})
	add(code[begin:])
	return parts
}

// squeeze makes one blank of several, outside of quotes.
func squeeze(text string) string {
	var out strings.Builder
	var quote byte
	blank := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && quote != 0:
			out.WriteByte(c)
			i++
			c = text[i]
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == ' ' || c == '\t' || c == '\r':
			blank = true
			continue
		}
		if blank {
			out.WriteByte(' ')
			blank = false
		}
		out.WriteByte(c)
	}
	return out.String()
}
