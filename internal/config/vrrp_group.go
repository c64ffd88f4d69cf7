package config

import (
	"slices"
	"time"
)

// vrrpBuild is what is being read of VRRP.
type vrrpBuild struct {
	instance  *instanceBuild
	instances []*instanceBuild
	group     *groupBuild
	groups    []*groupBuild
	script    *TrackScript
	badUser   bool // of that script
	process   *TrackProcess
	garpGroup *GARPGroup
	garpSaid  bool      // of that group, an interval
	garp      garpBuild // of global_defs
	minGARP   bool
}

// A groupBuild is a sync group while it is read.
type groupBuild struct {
	SyncGroup
	alerts *bool
}

// notifyRows are those of who is told of changes.
func notifyRows(at func(*builder) *Notify) []row {
	one := func(field func(*Notify) **Script) reader1 {
		return program(func(b *builder) **Script { return field(at(b)) })
	}
	return []row{
		{"notify", Acted, "run at each change, with INSTANCE or GROUP, name, state and priority", one(func(n *Notify) **Script { return &n.Any })},
		{"notify_master", Acted, "run on becoming MASTER", one(func(n *Notify) **Script { return &n.Master })},
		{"notify_backup", Acted, "run on becoming BACKUP", one(func(n *Notify) **Script { return &n.Backup })},
		{"notify_fault", Acted, "run on FAULT", one(func(n *Notify) **Script { return &n.Fault })},
		{"notify_stop", Acted, "run when VRRP ends", one(func(n *Notify) **Script { return &n.Stop })},
		{"notify_deleted", Checked, "[program] told DELETED, not FAULT, when a reload takes the block away", func(b *builder, s *Statement) {
			at(b).TellDeleted = true
			if len(s.Words) > 1 {
				one(func(n *Notify) **Script { return &n.Deleted })(b, s)
			}
		}},
		{"notify_master_rx_lower_pri", Checked, "run by a MASTER that hears a lower priority", one(func(n *Notify) **Script { return &n.LowerPriority })},
		{"notify_priority_changes", Checked, "changes of priority are told on the FIFO", truth(func(b *builder) *bool { return &at(b).Priority })},
	}
}

var syncGroupBlock = &blockKind{name: "vrrp_sync_group", rows: slices.Concat([]row{
	{"group", Acted, "names of instances", func(b *builder, s *Statement) {
		b.vrrp.group.Members = append(b.vrrp.group.Members, b.wordsOf(s)...)
		if len(s.Block) == 0 {
			b.warn(s.At, s.Keyword(), "there is no instance in it")
		}
	}},
	{"smtp_alert", Acted, "", truthOrUnset(func(b *builder) **bool { return &b.vrrp.group.alerts })},
	{"global_tracking", Checked, "an old word, with a warning", func(b *builder, s *Statement) {
		b.warn(s.At, s.Keyword(), "an old word: put track_interface, track_script and track_file into the group")
	}},
	{"sync_group_tracking_weight", Checked, "members may have weighted trackers", mark(func(b *builder) *bool { return &b.vrrp.group.TrackingWeights })},
}, notifyRows(func(b *builder) *Notify { return &b.vrrp.group.Notify }), trackRows(func(b *builder) *Track { return &b.vrrp.group.Track }))}

func (b *builder) readSyncGroup(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	if slices.ContainsFunc(b.vrrp.groups, func(g *groupBuild) bool { return g.Name == name }) {
		b.wrong(s, "%s is there already: this one is ignored", name)
		return
	}
	g := &groupBuild{}
	g.At, g.Name = s.At, name
	b.vrrp.group = g
	b.enter(syncGroupBlock, s)
	b.vrrp.group = nil
	b.vrrp.groups = append(b.vrrp.groups, g)
}

// A TrackGroup is a track_group block: the instances that go to FAULT when a static address is taken away.
type TrackGroup struct {
	At      Position
	Name    string
	Members []string
}

var trackGroupBlock = &blockKind{name: "track_group", rows: []row{{"group", Checked, "names of instances", func(b *builder, s *Statement) {
	g := &b.config.VRRP.TrackGroups[len(b.config.VRRP.TrackGroups)-1]
	g.Members = append(g.Members, b.wordsOf(s)...)
}}}}

func (b *builder) readTrackGroup(s *Statement) {
	name := b.text(s)
	switch groups := b.config.VRRP.TrackGroups; {
	case name == "":
	case slices.ContainsFunc(groups, func(g TrackGroup) bool { return g.Name == name }):
		b.wrong(s, "%s is there already: this one is ignored", name)
	default:
		b.config.VRRP.TrackGroups = append(groups, TrackGroup{At: s.At, Name: name})
		b.enter(trackGroupBlock, s)
	}
}

// An InterfaceDelay is a line of interface_up_down_delays: how long a link's new state must last to count.
type InterfaceDelay struct {
	At       Position
	Name     string
	Down, Up time.Duration
}

// readDelay reads "NAME DOWN [UP]", in seconds.
func (b *builder) readDelay(s *Statement) {
	if len(s.Words) < 2 {
		return // keepalived says nothing of it
	}
	d := InterfaceDelay{At: s.At, Name: s.Keyword()}
	var ok bool
	if d.Down, ok = b.timer(s, 0, 255*time.Second); !ok {
		return
	}
	d.Up = d.Down
	if len(s.Words) > 2 {
		up := Statement{At: s.At, Words: s.Words[1:]}
		if d.Up, ok = b.timer(&up, 0, 255*time.Second); !ok {
			return
		}
	}
	b.config.VRRP.Delays = append(b.config.VRRP.Delays, d)
}
