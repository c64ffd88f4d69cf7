package config

import (
	"math"
	"slices"
	"time"
)

// A garpBuild is GARP while it is read; nil where the default holds.
type garpBuild struct {
	delay, lowerDelay, refresh, extra  *time.Duration
	repeat, lowerRepeat, refreshRepeat *int
	extraAll                           bool
}

// garpRows are those of global_defs, with vrrp_ before, and of an instance.
func garpRows(prefix string, at func(*builder) *garpBuild) []row {
	seconds := func(field func(*garpBuild) **time.Duration) reader1 {
		return func(b *builder, s *Statement) {
			if n, ok := b.number(s, 0, math.MaxInt32); ok {
				d := time.Duration(n) * time.Second
				*field(at(b)) = &d
			}
		}
	}
	count := func(field func(*garpBuild) **int, least int) reader1 {
		return func(b *builder, s *Statement) {
			n, ok := b.number(s, 0, math.MaxInt32)
			if ok && n < least {
				b.warn(s.At, s.Keyword(), "it is %d at least", least)
				n = least
			}
			if ok {
				*field(at(b)) = &n
			}
		}
	}
	return []row{
		{prefix + "garp_master_delay", Acted, "seconds before the second set; 5 by default", seconds(func(g *garpBuild) **time.Duration { return &g.delay })},
		{prefix + "garp_master_repeat", Acted, "messages of a set; 5 by default", count(func(g *garpBuild) **int { return &g.repeat }, 1)},
		{prefix + "garp_master_refresh", Acted, "seconds; never by default", seconds(func(g *garpBuild) **time.Duration { return &g.refresh })},
		{prefix + "garp_master_refresh_repeat", Acted, "messages of a refresh; 1 by default", count(func(g *garpBuild) **int { return &g.refreshRepeat }, 1)},
		{prefix + "garp_lower_prio_delay", Acted, "by default as garp_master_delay", seconds(func(g *garpBuild) **time.Duration { return &g.lowerDelay })},
		{prefix + "garp_lower_prio_repeat", Acted, "by default as garp_master_repeat", count(func(g *garpBuild) **int { return &g.lowerRepeat }, 0)},
		{prefix + "garp_extra_if", Checked, "[all] seconds, a day at most: also on the other interfaces of VIPs", func(b *builder, s *Statement) { b.readExtra(s, at(b)) }},
		{prefix + "vmac_garp_intvl", Checked, "the old name of garp_extra_if, with a warning", func(b *builder, s *Statement) {
			b.warn(s.At, s.Keyword(), "its name is %sgarp_extra_if now", prefix)
			b.readExtra(s, at(b))
		}},
	}
}

// readExtra reads "[all] SECONDS".
func (b *builder) readExtra(s *Statement, g *garpBuild) {
	rest := s.Values()
	all := len(rest) > 0 && rest[0] == "all"
	if all {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		b.wrong(s, "want [all] and seconds")
		return
	}
	if n, ok := b.numberIn(s, rest[0], 0, 86400); ok {
		d := time.Duration(n) * time.Second
		g.extra, g.extraAll = &d, all
	}
}

// or gives what is said, and where nothing is, what is around.
func (g *garpBuild) or(around GARP) GARP {
	got := GARP{
		Delay: *orElse(g.delay, &around.Delay), Repeat: *orElse(g.repeat, &around.Repeat),
		Refresh: *orElse(g.refresh, &around.Refresh), RefreshRepeat: *orElse(g.refreshRepeat, &around.RefreshRepeat),
		ExtraInterface: *orElse(g.extra, &around.ExtraInterface), ExtraAll: g.extraAll || g.extra == nil && around.ExtraAll,
	}
	got.LowerDelay, got.LowerRepeat = around.LowerDelay, around.LowerRepeat
	if g.delay != nil {
		got.LowerDelay = got.Delay
	}
	if g.repeat != nil {
		got.LowerRepeat = got.Repeat
	}
	got.LowerDelay, got.LowerRepeat = *orElse(g.lowerDelay, &got.LowerDelay), *orElse(g.lowerRepeat, &got.LowerRepeat)
	return got
}

// A GARPGroup is a garp_group block: interfaces on which messages keep apart.
type GARPGroup struct {
	At         Position
	GARP, GNA  time.Duration
	Interfaces []string
}

var garpBlock = &blockKind{name: "garp_group", rows: []row{
	{"garp_interval", Checked, "seconds between gratuitous ARPs", garpTime(func(g *GARPGroup) *time.Duration { return &g.GARP })},
	{"gna_interval", Checked, "seconds between neighbour advertisements", garpTime(func(g *GARPGroup) *time.Duration { return &g.GNA })},
	{"interface", Checked, "", func(b *builder, s *Statement) { b.garpInterfaces(s, s.Values()) }},
	{"interfaces", Checked, "", func(b *builder, s *Statement) { b.garpInterfaces(s, words(s)) }},
}}

func garpTime(at func(*GARPGroup) *time.Duration) reader1 {
	return func(b *builder, s *Statement) {
		if d, ok := b.timer(s, 0, longest); ok {
			*at(b.vrrp.garpGroup), b.vrrp.garpSaid = d, true
		}
	}
}

func (b *builder) garpInterfaces(s *Statement, names []string) {
	for _, name := range names {
		if slices.Contains(b.vrrp.garpGroup.Interfaces, name) {
			b.wrong(s, "%s is there already", name)
			continue
		}
		b.vrrp.garpGroup.Interfaces = append(b.vrrp.garpGroup.Interfaces, name)
	}
}

func (b *builder) readGARPGroup(s *Statement) {
	b.vrrp.garpGroup, b.vrrp.garpSaid = &GARPGroup{At: s.At}, false
	opens(garpBlock)(b, s)
	g := *b.vrrp.garpGroup
	b.vrrp.garpGroup = nil
	if !b.vrrp.garpSaid {
		b.warn(s.At, s.Keyword(), "neither garp_interval nor gna_interval is set: it is ignored")
		return
	}
	b.config.VRRP.GARPGroups = append(b.config.VRRP.GARPGroups, g)
}
