package config

import (
	"fmt"
	"strings"
)

// scanOutside calls visit with the place of each byte that is outside of quotes, and goes on where visit says; a negative
// place ends the scan. It is false for a line with a quote that is not closed.
func scanOutside(line string, visit func(i int) (next int)) (closed bool) {
	var quote byte
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quote != 0:
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		default:
			if i = visit(i); i < 0 {
				return true
			}
		}
	}
	return quote == 0
}

// decomment takes off a line's comment: from # or ! outside of quotes to its end.
func decomment(line string) string {
	if !strings.ContainsAny(line, "#!") {
		return line
	}
	end := len(line)
	scanOutside(line, func(i int) int {
		if line[i] == '#' || line[i] == '!' {
			end = i
			return -1
		}
		return i
	})
	return line[:end]
}

// emit makes the statements of a line that needs nothing more but to be cut at its braces.
func (r *reader) emit(line string) error {
	begin := 0
	var failed error
	closed := scanBraces(line, func(i int) {
		if failed == nil {
			failed = r.statement(line[begin:i], line[i] == '{')
		}
		if line[i] == '}' {
			r.close(r.at)
		}
		begin = i + 1
	})
	if failed != nil {
		return failed
	}
	if !closed {
		r.warn("a quote is not closed: the line's end closes it")
	}
	return r.statement(line[begin:], false)
}

// scanBraces calls brace with the place of each brace that begins or ends a block. It is false for a line with a quote that
// is not closed.
func scanBraces(line string, brace func(i int)) (closed bool) {
	return scanOutside(line, func(i int) int {
		switch c := line[i]; {
		case c == '$' && strings.HasPrefix(line[i+1:], "{"): // a parameter that is not defined stays as it is
			return i + max(strings.IndexByte(line[i:], '}'), 0)
		case (c == '{' || c == '}') && isBrace(line, i):
			brace(i)
		}
		return i
	})
}

// isBrace tells a block's brace from one in a word: it has a blank, an end or another brace at one side.
func isBrace(line string, i int) bool {
	edge := func(i int) bool { return i < 0 || i >= len(line) || strings.IndexByte(" \t\r{}", line[i]) >= 0 }
	return edge(i-1) || edge(i+1)
}

// statement adds one, and with opens begins its block.
func (r *reader) statement(text string, opens bool) error {
	if strings.ContainsAny(text, hashSign+bangSign) {
		text = strings.NewReplacer(hashSign, "#", bangSign, "!").Replace(text)
	}
	words := splitWords(text)
	block := r.blocks[len(r.blocks)-1]
	if len(words) == 0 {
		if !opens {
			return nil
		}
		n := len(block.statements)
		if n == 0 || block.statements[n-1].HasBlock {
			r.find(Finding{At: r.at, Severity: Error, Reason: "a block begins that belongs to no keyword: it is skipped"})
			r.blocks = append(r.blocks, &openBlock{statement: Statement{At: r.at, Words: []string{""}, HasBlock: true}})
			return nil
		}
		last := block.statements[n-1]
		block.statements = block.statements[:n-1]
		last.HasBlock = true
		r.blocks = append(r.blocks, &openBlock{statement: last})
		return nil
	}
	if r.statements++; r.statements > maxStatements {
		return fmt.Errorf("%s:%d: more than %d statements", r.at.File, r.at.Line, maxStatements)
	}
	s := Statement{At: r.at, Words: words, Text: text, HasBlock: opens}
	if opens {
		r.blocks = append(r.blocks, &openBlock{statement: s})
		return nil
	}
	block.statements = append(block.statements, s)
	return nil
}

// close ends the innermost block.
func (r *reader) close(at Position) {
	n := len(r.blocks)
	if n == 1 {
		r.find(Finding{At: at, Severity: Error, Reason: "} without a block that it could close"})
		return
	}
	closed := r.blocks[n-1]
	r.blocks = r.blocks[:n-1]
	if closed.statement.Words[0] == "" {
		return // of no keyword
	}
	closed.statement.Block = closed.statements
	around := r.blocks[n-2]
	around.statements = append(around.statements, closed.statement)
}
