package ipvsadm

import (
	"errors"
	"io"
	"strings"
)

// Errors returned by scan. Their texts are popt's.
var (
	errUnknownOption   = errors.New("unknown option")
	errMissingArgument = errors.New("missing argument")
	errUnwanted        = errors.New("option does not take an argument")
)

// argument is the argument of a switch. given is false where an optional one is left out.
type argument struct {
	text  string
	given bool
}

// A scanner reads switches from the words of a command line as popt does, which ipvsadm is built
// with: switches and other words in any order, short switches in bundles (-Ln), arguments joined
// (-w5, -w=5, --weight=5) or in the next word even if that begins with '-', no abbreviations, and
// no switches after "--".
type scanner struct {
	words  []string
	next   int    // index of the word to read
	bundle string // short switches still to read in the word before it
	rest   bool   // "--" was read
	others []string
}

// scan gives the next switch and its argument, and io.EOF after the last.
func (s *scanner) scan() (*switchSpec, argument, error) {
	joined := argument{}
	var found *switchSpec
	if s.bundle == "" {
		word, ok := s.switchWord()
		if !ok {
			return nil, argument{}, io.EOF
		}
		name, isLong := strings.CutPrefix(word, "--")
		if !isLong {
			s.bundle = word[1:]
		} else {
			name, joined.text, joined.given = strings.Cut(name, "=")
			if found = findLong(name); found == nil {
				return nil, argument{}, errUnknownOption
			}
		}
	}
	if found == nil {
		if found = findShort(s.bundle[0]); found == nil {
			return nil, argument{}, errUnknownOption
		}
		s.bundle = s.bundle[1:]
		if after, ok := strings.CutPrefix(s.bundle, "="); ok {
			joined, s.bundle = argument{after, true}, ""
		}
	}
	arg, err := s.argument(found, joined)
	return found, arg, err
}

// switchWord gives the next word that holds switches, and puts aside the others before it.
func (s *scanner) switchWord() (string, bool) {
	for s.next < len(s.words) {
		word := s.words[s.next]
		s.next++
		switch {
		case s.rest || !strings.HasPrefix(word, "-") || word == "-":
			s.others = append(s.others, word)
		case word == "--":
			s.rest = true
		default:
			return word, true
		}
	}
	return "", false
}

// argument finds the argument of a switch: joined by '=', the rest of the bundle, or the next word.
func (s *scanner) argument(spec *switchSpec, joined argument) (argument, error) {
	switch {
	case spec.takes == noArgument && joined.given:
		return argument{}, errUnwanted
	case spec.takes == noArgument || joined.given:
		return joined, nil
	case s.bundle != "":
		text := s.bundle
		s.bundle = ""
		return argument{text, true}, nil
	case s.next == len(s.words) && spec.takes == needsArgument:
		return argument{}, errMissingArgument
	case s.next == len(s.words), spec.takes == mayHaveArgument && strings.HasPrefix(s.words[s.next], "-"):
		return argument{}, nil
	}
	s.next++
	return argument{s.words[s.next-1], true}, nil
}

// word gives the word that was read last, which popt's messages name.
func (s *scanner) word() string { return s.words[s.next-1] }
