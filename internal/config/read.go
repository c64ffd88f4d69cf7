// Package config reads keepalived.conf: its language, its keywords, and the model that they make. The language is
// that of keepalived.conf(5), version 2.2.7.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Bounds on what a file may grow to by includes, variables and sequences: a file that goes beyond is refused, where
// it would otherwise fill the memory.
const (
	maxDepth      = 64        // of includes, and of variables in variables
	maxLine       = 1 << 20   // bytes, after substitution
	maxStatements = 4_000_000 // of a whole configuration
)

// Read reads a file and what it includes into statements. Findings are about what can't be read as it is written. The
// error is that of a file that can't be opened, or of one that grows without bounds.
func Read(file string, o Options) ([]Statement, []Finding, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	r := &reader{options: o, variables: map[string]*variable{}}
	r.blocks = []*openBlock{{}}
	if err := r.file(file); err != nil {
		return nil, nil, err
	}
	for len(r.blocks) > 1 {
		at := r.blocks[len(r.blocks)-1].statement.At
		r.find(Finding{At: at, Severity: Error, Keyword: r.blocks[len(r.blocks)-1].statement.Keyword(), Reason: "its block is not closed: want } before the end of the file"})
		r.close(Position{})
	}
	return r.blocks[0].statements, r.findings, nil
}

// A reader holds what has been read so far.
type reader struct {
	options    Options
	variables  map[string]*variable
	blocks     []*openBlock // the outermost first
	findings   []Finding
	statements int
	depth      int
	included   []string // files being read, the first first
	at         Position
}

// An openBlock is a block whose end has not come: the statement that it belongs to, and what is in it.
type openBlock struct {
	statement  Statement
	statements []Statement
}

func (r *reader) find(f Finding) { r.findings = append(r.findings, f) }

func (r *reader) warn(format string, args ...any) {
	r.find(Finding{At: r.at, Severity: Warning, Reason: fmt.Sprintf(format, args...)})
}

// file reads one file. What it defines and opens stays when it ends.
func (r *reader) file(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		var e *fs.PathError
		if errors.As(err, &e) {
			err = e.Err
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	was := r.at
	r.included = append(r.included, path)
	defer func() {
		r.at = was
		r.included = r.included[:len(r.included)-1]
	}()
	rest := string(text)
	for number := 1; rest != ""; number++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		r.at = Position{File: path, Line: number}
		if name, ok := beginsDefinition(decomment(line)); ok {
			left, lines := r.definition(name, line, rest)
			if lines == 0 {
				return r.endless()
			}
			rest, number = left, number+lines-1
			continue
		}
		if err := r.line(line); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) endless() error {
	return fmt.Errorf("%s:%d: the configuration grows beyond all bounds here: includes or variables in each other", r.at.File, r.at.Line)
}

// line deals with a line up to its statements.
func (r *reader) line(line string) error {
	if r.depth++; r.depth > maxDepth || len(line) > maxLine {
		return r.endless()
	}
	defer func() { r.depth-- }()
	line = strings.TrimSpace(decomment(line))
	line, applies := r.condition(line)
	if line == "" || !applies {
		return nil
	}
	if name, value, ok := cutDefinition(line); ok {
		r.variables[name] = &variable{text: value}
		return nil
	}
	switch line[0] {
	case 'i':
		if done, err := r.include(line); done {
			return err
		}
	case '~':
		if done, err := r.repeat(line); done {
			return err
		}
	}
	if strings.IndexByte(line, '$') >= 0 {
		expanded, changed := r.substitute(line)
		if changed {
			return r.lines(expanded)
		}
	}
	return r.emit(line)
}

// lines deals with each line of an expanded text.
func (r *reader) lines(text string) error {
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if err := r.line(line); err != nil {
			return err
		}
	}
	return nil
}

// condition takes "@ID" and "@^ID" off a line, and tells whether the line applies. They can follow each other.
func (r *reader) condition(line string) (rest string, applies bool) {
	for strings.HasPrefix(line, "@") {
		id, rest, _ := strings.Cut(strings.ReplaceAll(line[1:], "\t", " "), " ")
		id, not := strings.CutPrefix(id, "^")
		if (id == r.configID()) == not {
			return "", false
		}
		line = strings.TrimSpace(rest)
	}
	return line, true
}

// configID is -i, by default the first part of the host's name.
func (r *reader) configID() string {
	if r.options.ID == "" {
		name, _ := os.Hostname()
		r.options.ID, _, _ = strings.Cut(name, ".")
	}
	return r.options.ID
}

// folder is the one that relative names are relative to.
func (r *reader) folder() string { return filepath.Dir(r.at.File) }
