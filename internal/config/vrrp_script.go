package config

import (
	"math"
	"slices"
	"time"
)

// A TrackScript is a vrrp_script block.
type TrackScript struct {
	At         Position
	Name       string
	Script     *Script
	Interval   time.Duration
	Timeout    time.Duration // 0: as Interval
	Weight     int
	Reverse    bool
	Rise, Fall int
	InitFail   bool
}

// A TrackFile is a track_file block.
type TrackFile struct {
	Name, Path string
	Weight     int
	Reverse    bool
}

// A TrackProcess is a vrrp_track_process block.
type TrackProcess struct {
	At             Position
	Name           string
	Command        []string // the process, and parameters
	Match          string   // param_match: "exact", "initial" or "partial"
	Weight         int
	Reverse        bool
	Quorum         int
	QuorumMax      int // -1: not said
	ForkDelay      time.Duration
	TerminateDelay time.Duration
	FullCommand    bool
}

func script(b *builder) *TrackScript { return b.vrrp.script }

var vrrpScriptBlock = &blockKind{name: "vrrp_script", rows: []row{
	{"script", Acted, "the program", func(b *builder, s *Statement) {
		if len(s.Words) > 1 { // without one, the block's end tells
			if p := b.script(s); p != nil {
				script(b).Script = &Script{At: s.At, Command: p.Command}
			}
		}
	}},
	{"interval", Acted, "seconds, 1 by default", wholeSeconds(func(b *builder) *time.Duration { return &script(b).Interval })},
	{"timeout", Acted, "seconds, by default the interval", wholeSeconds(func(b *builder) *time.Duration { return &script(b).Timeout })},
	{"weight", Acted, "N [reverse]", func(b *builder, s *Statement) {
		if n, reverse, ok := b.weight(s, s.Values(), 253); ok {
			script(b).Weight, script(b).Reverse = n, reverse
		}
	}},
	{"rise", Acted, "successes until it is well", integer(1, math.MaxInt32, func(b *builder) *int { return &script(b).Rise })},
	{"fall", Acted, "failures until it is not", integer(1, math.MaxInt32, func(b *builder) *int { return &script(b).Fall })},
	{"user", Acted, "USER [GROUP]", (*builder).readTrackUser},
	{"init_fail", Acted, "not well until it was run", mark(func(b *builder) *bool { return &script(b).InitFail })},
}}

func wholeSeconds(at func(*builder) *time.Duration) reader1 {
	return func(b *builder, s *Statement) {
		if n, ok := b.number(s, 1, 4294); ok {
			*at(b) = time.Duration(n) * time.Second
		}
	}
}

func (b *builder) readTrackUser(s *Statement) {
	name, group := b.text(s), ""
	if len(s.Words) > 2 {
		group = s.Words[2]
	}
	switch {
	case !b.knowsUser(s, name, group):
		b.vrrp.badUser = true
	case script(b).Script != nil:
		script(b).Script.User, script(b).Script.Group = name, group
	}
}

func (b *builder) readVRRPScript(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	b.vrrp.script = &TrackScript{At: s.At, Name: name, Interval: time.Second, Rise: 1, Fall: 1}
	b.vrrp.badUser = false
	b.enter(vrrpScriptBlock, s)
	t := *b.vrrp.script
	b.vrrp.script = nil
	switch {
	case t.Script == nil:
		b.wrong(s, "%s: no script: it is ignored", name)
	case b.vrrp.badUser:
	case slices.ContainsFunc(b.config.VRRP.Scripts, func(o TrackScript) bool { return o.Name == name }):
		b.find(s, Note, name+" is there already: this one is ignored", "")
	default:
		b.config.VRRP.Scripts = append(b.config.VRRP.Scripts, t)
	}
}

func process(b *builder) *TrackProcess { return b.vrrp.process }

var trackProcessBlock = &blockKind{name: "vrrp_track_process", rows: []row{
	{"process", Acted, "NAME [PARAMETER] ...", func(b *builder, s *Statement) {
		if process(b).Command != nil {
			b.wrong(s, "there is one already: this one is ignored")
			return
		}
		process(b).Command = s.Values()
	}},
	{"param_match", Acted, "initial or partial: parameters may follow", func(b *builder, s *Statement) {
		if len(s.Words) > 1 && s.Words[1] != "initial" && s.Words[1] != "partial" {
			b.wrong(s, "%q: want initial, partial or nothing", s.Words[1])
			return
		}
		process(b).Match = "exact"
		if len(s.Words) > 1 {
			process(b).Match = s.Words[1]
		}
	}},
	{"weight", Acted, "N [reverse]; 1 by default", func(b *builder, s *Statement) {
		if n, reverse, ok := b.weight(s, s.Values(), 254); ok {
			process(b).Weight, process(b).Reverse = n, reverse
		}
	}},
	{"quorum", Acted, "so many processes at least", (*builder).readProcessQuorum},
	{"quorum_max", Acted, "so many at most", (*builder).readQuorumMax},
	{"fork_delay", Checked, "seconds until more processes count", processDelay(true, false)},
	{"terminate_delay", Checked, "seconds until fewer count", processDelay(false, true)},
	{"delay", Checked, "both", processDelay(true, true)},
	{"full_command", Checked, "the whole command line is compared", mark(func(b *builder) *bool { return &process(b).FullCommand })},
}}

func (b *builder) readQuorumMax(s *Statement) {
	n, ok := b.number(s, 0, 65535)
	switch {
	case !ok:
	case n < process(b).Quorum && n > 0:
		b.wrong(s, "%d is less than quorum %d: it is ignored", n, process(b).Quorum)
	default:
		process(b).QuorumMax = n
	}
}

func processDelay(fork, terminate bool) reader1 {
	return func(b *builder, s *Statement) {
		d, ok := b.timer(s, time.Microsecond, time.Hour)
		if ok && fork {
			process(b).ForkDelay = d
		}
		if ok && terminate {
			process(b).TerminateDelay = d
		}
	}
}

func (b *builder) readTrackProcess(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	b.vrrp.process = &TrackProcess{At: s.At, Name: name, Match: "any", Weight: 1, Quorum: 1, QuorumMax: -1}
	b.enter(trackProcessBlock, s)
	p := *b.vrrp.process
	b.vrrp.process = nil
	switch {
	case len(p.Command) == 0:
		b.wrong(s, "%s: no process: it is ignored", name)
	case slices.ContainsFunc(b.config.VRRP.Processes, func(o TrackProcess) bool { return o.Name == name }):
		b.find(s, Note, name+" is there already: this one is ignored", "")
	default:
		b.config.VRRP.Processes = append(b.config.VRRP.Processes, p)
	}
}

func (b *builder) readProcessQuorum(s *Statement) {
	n, ok := b.number(s, 1, 65535)
	switch most := process(b).QuorumMax; {
	case !ok:
	case most >= 0 && n > most:
		b.wrong(s, "%d is more than quorum_max %d: it is ignored", n, most)
	default:
		process(b).Quorum = n
	}
}
