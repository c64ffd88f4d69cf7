package config

import "slices"

// Track is what an instance or a group looks at beside its interface.
type Track struct {
	Interfaces, Scripts, Files, Processes []Tracked
}

// A Tracked is a line of track_interface, track_script, track_file or track_process.
type Tracked struct {
	At      Position
	Name    string
	Weight  int // added to the priority while it is well, or when negative taken while not; 0: not well is FAULT
	Reverse bool
}

// A tracker is what a track block can name.
type tracker struct {
	keyword string // of its block
	what    string // of its definition
	most    int    // of a weight
	known   func(*builder, string) (weight int, reverse, ok bool)
}

var (
	trackedInterface = &tracker{"track_interface", "interface", 254, func(_ *builder, name string) (int, bool, bool) {
		return 0, false, len(name) <= maxInterface
	}}
	trackedScript = &tracker{"track_script", "vrrp_script", 253, func(b *builder, name string) (int, bool, bool) {
		i := slices.IndexFunc(b.config.VRRP.Scripts, func(s TrackScript) bool { return s.Name == name })
		if i < 0 {
			return 0, false, false
		}
		s := b.config.VRRP.Scripts[i]
		return s.Weight, s.Reverse, true
	}}
	trackedFile = &tracker{"track_file", "track_file", 254, func(b *builder, name string) (int, bool, bool) {
		f := b.files[name]
		if f == nil {
			return 0, false, false
		}
		return f.weight, f.reverse, true
	}}
	trackedProcess = &tracker{"track_process", "vrrp_track_process", 254, func(b *builder, name string) (int, bool, bool) {
		i := slices.IndexFunc(b.config.VRRP.Processes, func(p TrackProcess) bool { return p.Name == name })
		if i < 0 {
			return 0, false, false
		}
		p := b.config.VRRP.Processes[i]
		return p.Weight, p.Reverse, true
	}}
)

func trackRows(at func(*builder) *Track) []row {
	track := func(t *tracker, remark string, list func(*Track) *[]Tracked) row {
		kind := &blockKind{name: t.keyword, word: func(b *builder, s *Statement) { b.readTracked(t, s, list(at(b))) }}
		return row{t.keyword, Acted, remark, func(b *builder, s *Statement) {
			b.bare(s)
			b.enter(kind, s)
		}}
	}
	return []row{
		track(trackedInterface, "NAME [weight N [reverse]]", func(t *Track) *[]Tracked { return &t.Interfaces }),
		track(trackedScript, "NAME [weight N [reverse|noreverse]] of a vrrp_script before", func(t *Track) *[]Tracked { return &t.Scripts }),
		track(trackedFile, "the same of a track_file before", func(t *Track) *[]Tracked { return &t.Files }),
		track(trackedProcess, "the same of a vrrp_track_process before", func(t *Track) *[]Tracked { return &t.Processes }),
		{"track_bfd", Refused, "BFD is not there yet", nil},
	}
}

// readTracked reads "NAME [weight N [reverse|noreverse]]".
func (b *builder) readTracked(t *tracker, s *Statement, list *[]Tracked) {
	k := Tracked{At: s.At, Name: s.Keyword()}
	weight, reverse, ok := t.known(b, k.Name)
	if !ok {
		b.wrong(s, "there is no %s of that name before: it is ignored", t.what)
		return
	}
	if slices.ContainsFunc(*list, func(other Tracked) bool { return other.Name == k.Name }) {
		b.wrong(s, "it is there already: this one is ignored")
		return
	}
	k.Weight, k.Reverse = weight, reverse
	rest := s.Values()
	switch {
	case len(rest) == 0:
	case rest[0] != "weight":
		b.wrong(s, "%q: want weight N: it is ignored", rest[0])
		return
	case len(rest) == 1:
		b.wrong(s, "weight: want a number: it is ignored")
		return
	default:
		if w, reverse, ok := b.weight(s, rest[1:], t.most); ok { // one that is wrong leaves the tracker without
			k.Weight, k.Reverse = w, reverse
		}
	}
	if t == trackedInterface && (k.Weight == 254 || k.Weight == -254) {
		k.Weight -= k.Weight / 254
		b.warn(s.At, s.Keyword(), "the weight of an interface is 253 at most: it is set to %d", k.Weight)
	}
	*list = append(*list, k)
}

// weight reads "N [reverse|noreverse]".
func (b *builder) weight(s *Statement, words []string, most int) (n int, reverse, ok bool) {
	if len(words) == 0 {
		b.wrong(s, "want a number from %d to %d", -most, most)
		return 0, false, false
	}
	if n, ok = b.numberIn(s, words[0], -most, most); !ok || len(words) == 1 {
		return n, false, ok
	}
	switch words[1] {
	case "reverse":
		return n, true, true
	case "noreverse", "no_reverse":
		return n, false, true
	}
	b.wrong(s, "%q: want reverse, noreverse or nothing: it is ignored", words[1])
	return n, false, false
}
