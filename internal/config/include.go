package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// includes are the keywords: what must hold of the files that they name.
var includes = map[string]struct{ readable, some bool }{
	"include":  {},
	"includer": {readable: true},
	"includem": {some: true},
	"includew": {some: true},
	"includeb": {some: true},
	"includea": {readable: true, some: true},
}

// include deals with an include line. done is false for any other line.
func (r *reader) include(line string) (done bool, err error) {
	keyword, pattern, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	rules, ok := includes[keyword]
	if !ok {
		return false, nil
	}
	words := splitWords(pattern)
	if len(words) != 1 {
		r.find(Finding{At: r.at, Severity: Error, Keyword: keyword, Reason: "want the name of a file, or a pattern"})
		return true, nil
	}
	if len(r.included) > maxDepth {
		return true, r.endless()
	}
	found := false
	for _, name := range braces(words[0]) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(r.folder(), name)
		}
		files, err := filepath.Glob(name)
		if err != nil {
			r.find(Finding{At: r.at, Severity: Error, Keyword: keyword, Reason: "the pattern " + name + " is wrong: " + err.Error()})
			continue
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.IsDir() {
				continue
			}
			if slices.Contains(r.included, file) {
				r.find(Finding{At: r.at, Severity: Error, Keyword: keyword, Reason: file + " is being read already: it is not read in itself"})
				continue
			}
			found = true
			if err := r.includeFile(file, keyword, rules.readable); err != nil {
				return true, err
			}
		}
	}
	if !found && rules.some {
		r.find(Finding{At: r.at, Severity: Error, Keyword: keyword, Reason: "no file is named " + words[0]})
	}
	return true, nil
}

func (r *reader) includeFile(file, keyword string, must bool) error {
	if f, err := os.Open(file); err != nil {
		severity := Warning
		if must {
			severity = Error
		}
		r.find(Finding{At: r.at, Severity: severity, Keyword: keyword, Reason: err.Error()})
		return nil
	} else if err := f.Close(); err != nil {
		return err
	}
	return r.file(file)
}

// braces gives the names that csh's braces stand for: a{b,c}d is abd and acd.
func braces(pattern string) []string {
	begin := strings.IndexByte(pattern, '{')
	if begin < 0 {
		return []string{pattern}
	}
	var parts []string
	depth, from := 0, begin+1
	for i := begin; i < len(pattern); i++ {
		switch pattern[i] {
		case '{':
			depth++
		case ',':
			if depth == 1 {
				parts = append(parts, pattern[from:i])
				from = i + 1
			}
		case '}':
			if depth--; depth > 0 {
				continue
			}
			parts = append(parts, pattern[from:i])
			var names []string
			for _, part := range parts {
				names = append(names, braces(pattern[:begin]+part+pattern[i+1:])...)
			}
			return names
		}
	}
	return []string{pattern}
}
