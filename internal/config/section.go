package config

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A section is a part of the model as it is shown: a kind, a name, and under it values and further sections.
type section struct {
	kind, name string
	fields     []field
}

// A field has a string, int, bool, time.Duration, list of strings, or section.
type field struct {
	name  string
	value any
}

// writeText writes a section as lines, indented by its depth.
func (s *section) writeText(w *bufio.Writer, depth int) {
	indent := strings.Repeat("  ", depth)
	if s.kind == "check" {
		fmt.Fprintf(w, "%s%s\n", indent, s.name)
	} else {
		fmt.Fprintf(w, "%s%s %s\n", indent, s.kind, s.name)
	}
	for _, f := range s.fields {
		switch v := f.value.(type) {
		case *section:
			if s.kind == "configuration" { // its sections stand beside it
				fmt.Fprintln(w)
				v.writeText(w, depth)
			} else {
				v.writeText(w, depth+1)
			}
		case []string:
			for _, text := range v {
				writeValue(w, depth+1, f.name, text)
			}
		default:
			writeValue(w, depth+1, f.name, v)
		}
	}
}

func writeValue(w *bufio.Writer, depth int, name string, value any) {
	switch v := value.(type) {
	case bool:
		value = map[bool]string{true: "yes", false: "no"}[v]
	case time.Duration:
		value = strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.6f", v.Seconds()), "0"), ".") + " s"
	}
	fmt.Fprintf(w, "%*s%-*s %v\n", 2*depth, "", 26-2*depth, name, value)
}

// MarshalJSON gives an object whose members are in the section's order. Sections of one kind are a list, and so are lists, also
// of one; a sorry server is the only one of its kind.
func (s *section) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	member := func(key string, value any) error {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "%q:%s", key, text)
		return nil
	}
	if err := member("name", s.name); err != nil {
		return nil, err
	}
	done := map[string]bool{}
	for i, f := range s.fields {
		key, value := strings.ReplaceAll(strings.ToLower(f.name), " ", "_"), f.value
		switch v := value.(type) {
		case time.Duration:
			value = v.Seconds()
		case *section, []string:
			if done[f.name] {
				continue
			}
			done[f.name] = true
			if f.name != "sorry server" {
				key, value = plural(key), together(s.fields[i:], f.name)
			}
		}
		if err := member(key, value); err != nil {
			return nil, err
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// together gives all fields of a name as one list.
func together(fields []field, name string) []any {
	var all []any
	for _, f := range fields {
		if f.name != name {
			continue
		}
		if texts, ok := f.value.([]string); ok {
			for _, text := range texts {
				all = append(all, text)
			}
		} else {
			all = append(all, f.value)
		}
	}
	return all
}

func plural(key string) string {
	if strings.HasSuffix(key, "s") {
		return key + "es"
	}
	return key + "s"
}
