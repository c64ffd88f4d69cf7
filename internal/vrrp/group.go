package vrrp

import "time"

// A Group is a vrrp_sync_group: virtual routers of which either all are MASTER or none is. The nil Group is that of a virtual
// router which has none.
type Group struct{ members []*Machine }

// NewGroup joins machines that have not begun.
func NewGroup(members ...*Machine) *Group {
	g := &Group{members}
	for _, m := range members {
		m.group = g
	}
	return g
}

// with gives the group's members, or m alone.
func (g *Group) with(m *Machine) []*Machine {
	if g == nil {
		return []*Machine{m}
	}
	return g.members
}

// wants tells whether each member is MASTER or would be.
func (g *Group) wants() bool {
	if g == nil {
		return true
	}
	for _, m := range g.members {
		if m.state != Master && !m.wants {
			return false
		}
	}
	return true
}

func (g *Group) isFailed() bool {
	if g == nil {
		return false
	}
	for _, m := range g.members {
		if m.failed {
			return true
		}
	}
	return false
}

// pull has the others give up what one has given up. Their rivals need not wait for their adverts.
func (g *Group) pull(from *Machine, now time.Time) {
	if g == nil {
		return
	}
	for _, m := range g.members {
		if m != from && m.state == Master {
			m.send(0)
			m.become(Backup, "a member of its group has given up")
			m.rival.Interval = m.settings.Interval
			m.due = now.Add(m.downInterval())
		}
	}
}

// State gives what is told of the group: MASTER or FAULT if all are, else BACKUP.
func (g *Group) State() State {
	state := g.members[0].state
	for _, m := range g.members {
		if m.state == Failed {
			return Failed
		}
		if m.state != state {
			state = Backup
		}
	}
	return state
}
