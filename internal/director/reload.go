package director

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"drover/internal/checker"
	"drover/internal/config"
)

// Reloaded is what the last reload came to.
type Reloaded struct {
	At       time.Time     `json:"at,omitzero"`
	Took     time.Duration `json:"took,omitzero"`
	Error    string        `json:"error,omitempty"` // empty: the file is in force
	Added    int           `json:"added"`           // virtual servers
	Removed  int           `json:"removed"`
	Rejected int           `json:"rejected"` // reloads that were refused since the director began
}

// Reload reads the configuration again. One that can't be used is told and refused, and the old one stays in force;
// a good one touches only what has changed. The file is read outside the loop, which goes on meanwhile.
func (d *Director) Reload(ctx context.Context) error {
	began := d.options.Now()
	c, err := d.options.Load()
	if err != nil {
		_ = d.do(ctx, func() {
			d.reloaded.Rejected++
			d.reloaded.At, d.reloaded.Error = began, err.Error()
			d.log(slog.LevelError, Event{
				Kind: KindReload, State: "REFUSED", Reason: err.Error(),
				Message: "The configuration is refused: the one in force stays",
			})
		})
		return err
	}
	return d.do(ctx, func() {
		was := map[string]bool{}
		for _, p := range d.pools {
			was[p.vs.Name] = true
		}
		d.use(c)
		added := 0
		for _, p := range d.pools {
			if !was[p.vs.Name] {
				added++
			}
			delete(was, p.vs.Name)
		}
		d.setTimeouts()
		d.startChecks()
		d.settle()
		if d.options.Router != nil {
			d.options.Router.Set(c)
		}
		d.save()
		d.reloaded = Reloaded{At: began, Took: d.options.Now().Sub(began), Added: added, Removed: len(was), Rejected: d.reloaded.Rejected}
		d.log(slog.LevelInfo, Event{
			Kind: KindReload, State: "DONE",
			Message: fmt.Sprintf("The configuration is in force: %d virtual servers, %d of them new, %d gone", len(d.pools), added, len(was)),
		})
	})
}

// use makes a configuration the one in force. What a pool and its servers had come to moves over by their names.
func (d *Director) use(c *config.Config) {
	was := map[string]*poolState{}
	for _, p := range d.pools {
		was[p.vs.Name] = p
	}
	d.config = c
	if d.options.Tell != nil {
		d.options.Tell.Set(c)
	}
	pools := make([]*poolState, len(c.VirtualServers))
	known := map[checker.Key]checker.State{}
	d.byCheck = map[checker.Key][]place{}
	ids := map[ServerID]bool{}
	for i := range c.VirtualServers {
		p := newPoolState(&c.VirtualServers[i])
		pools[i] = p
		old := was[p.vs.Name]
		if old != nil {
			p.inherit(old)
		} else {
			p.inheritKept(&d.restored)
		}
		for server := range p.checks {
			ids[p.id(server)] = true
			for check, key := range p.checks[server] {
				d.byCheck[key] = append(d.byCheck[key], place{i, server, check})
				if _, ok := known[key]; !ok {
					known[key] = d.firstState(p, server, check)
				}
			}
		}
	}
	for id := range d.overrides {
		if !ids[id] {
			delete(d.overrides, id)
		}
	}
	d.pools, d.known, d.unsaved, d.restored = pools, known, true, kept{}
}

// inherit takes over what a virtual server had come to under the old configuration.
func (p *poolState) inherit(old *poolState) {
	p.state.Quorum, p.state.Sorry = old.state.Quorum, old.state.Sorry
	p.applied = old.applied
	index := map[string]int{}
	for i := range old.vs.RealServers {
		index[old.vs.RealServers[i].Name] = i
	}
	for i := range p.vs.RealServers {
		if j, ok := index[p.vs.RealServers[i].Name]; ok {
			p.state.Servers[i] = old.state.Servers[j]
			p.raised[i] = old.raised[j]
		}
	}
}

// firstState is what a check begins with. One that goes on, goes on. A new check of a server that was down begins
// down: a failed server does not come back by a reload, but by being asked.
func (d *Director) firstState(p *poolState, server, check int) checker.State {
	key := p.checks[server][check]
	if state, ok := d.known[key]; ok {
		return state
	}
	if state, ok := d.restored.recall(key); ok {
		return state
	}
	state := checker.State{Up: !p.vs.RealServers[server].Checks[check].StartDown}
	if standing := p.state.Servers[server]; standing.Known {
		state.Up = standing.Alive
	}
	return state
}

// startChecks has the checks of the configuration run, and no others.
func (d *Director) startChecks() {
	checks := make([]checker.Check, 0, len(d.byCheck))
	for _, places := range d.byCheck {
		at := places[0]
		checks = append(checks, d.pools[at.pool].vs.RealServers[at.server].Checks[at.check])
	}
	d.checks.Set(checks, d.known)
}
