package ipvsadm

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// restore runs the lines of stdin, each a command line without the program's name (a word
// "ipvsadm" is skipped). An error of the table is printed and the next line goes on; a line that
// ipvsadm refuses itself ends the restore. All lines up to there are one transaction. The outcome is that
// of the last line.
func (s *session) restore() outcome {
	if s.restoring {
		return s.failed(tryHelp(s.name)) // a line -R would read the lines after it
	}
	s.restoring, s.together = true, true
	return s.finish(s.restoreLines())
}

func (s *session) restoreLines() outcome {
	last := outcome{}
	for line, err := range lines(s.env.Stdin) {
		if err != nil {
			return s.failed(&refusal{status: statusListing, text: "read rules: " + err.Error()})
		}
		words := ruleWords(line)
		if len(words) == 0 {
			continue
		}
		if last = s.ipvsadm(words); last.final {
			return last
		}
	}
	if s.unsupported {
		last.status = statusRefused
	}
	return last
}

func ruleWords(line string) []string {
	var words []string
	for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }) {
		if word != "ipvsadm" {
			words = append(words, word)
		}
	}
	return words
}

// saveScript plays ipvsadm-save: -S, with -n if that is among the arguments.
func (s *session) saveScript(args []string) int {
	words := []string{"-S"}
	for _, arg := range args {
		switch {
		case arg == "-n":
			words = []string{"-S", "-n"}
		case strings.HasPrefix(arg, "-"):
			fmt.Fprint(s.env.Stderr, "ipvsadm-save: Script to save the IPVS table to stdout.\n"+
				"   With the -n option, prints out the table in numeric format.\n")
			return statusListing
		}
	}
	s.name = "ipvsadm"
	return s.ipvsadm(words).status
}

// restoreScript plays ipvsadm-restore: stdin without its comment lines replaces the whole table, in one
// transaction.
func (s *session) restoreScript() int {
	rules, err := io.ReadAll(s.env.Stdin)
	if err != nil {
		s.complain("read rules: " + err.Error())
		return statusListing
	}
	var kept bytes.Buffer
	for line := range bytes.Lines(rules) {
		if !bytes.HasPrefix(line, []byte("#")) {
			kept.Write(line)
		}
	}
	s.name, s.together = "ipvsadm", true
	s.ipvsadm([]string{"-C"})
	s.env.Stdin = &kept
	return s.ipvsadm([]string{"-R"}).status
}
