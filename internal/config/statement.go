package config

import "fmt"

// A Statement is one line of a configuration after variables, sequences and conditions have been dealt with:
// a keyword, its values, and the block that it opens, if any.
type Statement struct {
	At       Position
	Words    []string // the keyword first; quotes are gone, and escapes are as they were written
	Text     string   // that the words were cut from
	HasBlock bool
	Block    []Statement
}

// Keyword is the first word.
func (s *Statement) Keyword() string { return s.Words[0] }

// Values are the words after the keyword.
func (s *Statement) Values() []string { return s.Words[1:] }

// A Finding is something that is to be said about a line.
type Finding struct {
	At         Position
	Severity   Severity
	Keyword    string // that it is about, or empty
	Reason     string // what is wrong, and what was expected
	Suggestion string // a keyword that was perhaps meant, or empty
}

// Severity is how bad a finding is.
type Severity int

// The severities.
const (
	Note    Severity = iota // accepted, and has no effect here; keepalived says nothing of it
	Warning                 // keepalived loads the file and warns
	Error                   // keepalived loads the file without what is wrong, and -t fails
)

// String gives "FILE:LINE: KEYWORD: REASON".
func (f Finding) String() string {
	text := fmt.Sprintf("%s:%d: ", f.At.File, f.At.Line)
	if f.Keyword != "" {
		text += f.Keyword + ": "
	}
	text += f.Reason
	if f.Suggestion != "" {
		text += fmt.Sprintf(" (did you mean %s?)", f.Suggestion)
	}
	return text
}

// Options are what a file's reading depends on beside the file.
type Options struct {
	ID       string              // -i: the lines that begin with @ID are read
	Instance string              // ${_INSTANCE}, unless the file says
	Getenv   func(string) string // ${_ENV NAME}; nil: the process's
}
