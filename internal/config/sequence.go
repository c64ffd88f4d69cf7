package config

import (
	"strconv"
	"strings"
)

// repeat deals with "~SEQ(...) REST", "~SEQx(...) REST" and "~LST(...) REST": REST is read for each value of the
// variables. done is false for a line that is none of them.
func (r *reader) repeat(line string) (done bool, err error) {
	for _, kind := range [...]struct {
		prefix string
		base   int // of the numbers; 0: a list
	}{{"~SEQ(", 10}, {"~SEQx(", 16}, {"~LST(", 0}} {
		arguments, ok := strings.CutPrefix(line, kind.prefix)
		if !ok {
			continue
		}
		end := strings.IndexByte(arguments, ')')
		if end < 0 {
			r.warn("%s...): the bracket is not closed: the line is skipped", kind.prefix)
			return true, nil
		}
		rest := strings.TrimSpace(arguments[end+1:])
		inside, _ := r.substitute(arguments[:end])
		if kind.base == 0 {
			return true, r.list(inside, rest)
		}
		return true, r.sequence(inside, kind.base, rest)
	}
	return false, nil
}

// sequence is ~SEQ(var, [start,] [step,] end).
func (r *reader) sequence(arguments string, base int, rest string) error {
	words := strings.Split(arguments, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	var numbers []int64
	for _, word := range words[1:] {
		n, err := strconv.ParseInt(word, 0, 64)
		if err != nil {
			r.warn("~SEQ(%s): %q is not a number: the line is skipped", arguments, word)
			return nil
		}
		numbers = append(numbers, n)
	}
	if len(numbers) < 1 || len(numbers) > 3 || nameLength(words[0]) != len(words[0]) || words[0] == "" {
		r.warn("~SEQ(%s): want a name, and start, step and end: the line is skipped", arguments)
		return nil
	}
	end := numbers[len(numbers)-1]
	start := int64(1)
	if end < 0 {
		start = -1
	}
	if len(numbers) > 1 {
		start = numbers[0]
	}
	step := int64(1)
	if end < start {
		step = -1
	}
	if len(numbers) == 3 {
		step = numbers[1]
	}
	if step == 0 || (end-start)/step < 0 || (end-start)/step > maxStatements {
		r.warn("~SEQ(%s): it never comes to its end: the line is skipped", arguments)
		return nil
	}
	defer r.unset(words[0])
	for n := start; (step > 0 && n <= end) || (step < 0 && n >= end); n += step {
		r.variables[words[0]] = &variable{strconv.FormatInt(n, base)}
		if err := r.line(rest); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) unset(name string) { delete(r.variables, name) }

// list is ~LST(var, value, ...) or ~LST({var, var}, {value, value}, ...).
func (r *reader) list(arguments, rest string) error {
	items, ok := listItems(arguments)
	if !ok || len(items) < 2 {
		r.warn("~LST(%s): want a name, or several in {}, and as many values each: the line is skipped", arguments)
		return nil
	}
	names := items[0]
	for _, name := range names {
		defer r.unset(name)
	}
	for _, values := range items[1:] {
		if len(values) != len(names) {
			r.warn("~LST(%s): %d values for %d names: the line is skipped", arguments, len(values), len(names))
			return nil
		}
		for i, name := range names {
			r.variables[name] = &variable{values[i]}
		}
		if err := r.line(rest); err != nil {
			return err
		}
	}
	return nil
}

// listItems cuts "a, b" into one word each, and "{a, b}, {c, d}" into two.
func listItems(text string) (items [][]string, ok bool) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var item string
		if inside, found := strings.CutPrefix(text, "{"); found {
			if item, text, found = strings.Cut(inside, "}"); !found {
				return nil, false
			}
			text = strings.TrimSpace(text)
			if text != "" && !strings.HasPrefix(text, ",") {
				return nil, false
			}
			text = strings.TrimPrefix(text, ",")
			words := strings.Split(item, ",")
			for i := range words {
				words[i] = strings.TrimSpace(words[i])
			}
			items = append(items, words)
			continue
		}
		item, text, _ = strings.Cut(text, ",")
		items = append(items, []string{strings.TrimSpace(item)})
	}
	return items, true
}
