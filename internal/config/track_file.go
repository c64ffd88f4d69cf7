package config

import "math"

// A trackFile is a track_file block.
type trackFile struct {
	path       string
	weight     int
	reverse    bool
	initial    *int
	overwrite  bool
	weightSaid bool
}

var trackFileBlock = &blockKind{name: "track_file", rows: []row{
	{"file", Acted, "", func(b *builder, s *Statement) {
		if b.file.path != "" {
			b.wrong(s, "there is one already: this one is ignored")
			return
		}
		b.file.path = b.text(s)
	}},
	{"weight", Acted, "", func(b *builder, s *Statement) {
		if b.file.weightSaid {
			b.wrong(s, "there is one already: this one is ignored")
			return
		}
		if n, reverse, ok := b.weight(s, s.Values(), 254); ok {
			b.file.weight, b.file.reverse, b.file.weightSaid = n, reverse, true
		}
	}},
	{"init_file", Acted, "writes the file when the director begins, with 0 or a number; with overwrite also where it is there", func(b *builder, s *Statement) {
		n := 0
		for _, word := range s.Values() {
			if word == "overwrite" {
				b.file.overwrite = true
				continue
			}
			var ok bool
			if n, ok = b.numberIn(s, word, -math.MaxInt32, math.MaxInt32); !ok {
				return
			}
		}
		b.file.initial = &n
	}},
}}

func (b *builder) readTrackFile(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	b.file = &trackFile{weight: 1}
	b.enter(trackFileBlock, s)
	if b.file.path == "" {
		b.wrong(s, "%s: no file", name)
	} else {
		b.files[name] = b.file
		if b.file.initial != nil {
			b.config.Files = append(b.config.Files, InitFile{b.file.path, *b.file.initial, b.file.overwrite})
		}
	}
	b.file = nil
}
