package director

import (
	"errors"
	"net/netip"
	"time"

	"drover/internal/checker"
	"drover/internal/config"
	"drover/internal/lvs"
	"drover/internal/pool"
)

// Errors returned by a Director.
var (
	// ErrEnded says that the director has ended.
	ErrEnded = errors.New("the director has ended")
	// ErrNoServer says that no virtual server has such a real server.
	ErrNoServer = errors.New("no such real server in the configuration")
)

type destinationAddr = netip.AddrPort

// ServerID names a real server in a virtual server, by the names that keepalived gives both.
type ServerID struct {
	VirtualServer string `json:"virtual_server"` // "[192.0.2.1]:tcp:80"
	RealServer    string `json:"real_server"`    // "[198.51.100.11]:tcp:80"
}

// A place is where a check belongs.
type place struct{ pool, server, check int }

// A poolState is a virtual server and what has come of it.
type poolState struct {
	vs       *config.VirtualServer
	state    pool.State
	verdicts []pool.Verdict
	since    []time.Time // of each server's being alive or not, as its checks say; zero: from the start
	raised   []time.Time // when a server that starts slowly has begun to; zero: it does not
	ramping  bool        // some server does
	checks   [][]checker.Key
	touched  bool // verdicts may have changed, or the data path is behind
	applied  []lvs.ServiceState
}

func newPoolState(vs *config.VirtualServer) *poolState {
	n := len(vs.RealServers)
	p := &poolState{
		vs: vs, state: pool.Begin(vs), touched: true,
		verdicts: make([]pool.Verdict, n), since: make([]time.Time, n), raised: make([]time.Time, n), checks: make([][]checker.Key, n),
	}
	for i := range vs.RealServers {
		for j := range vs.RealServers[i].Checks {
			p.checks[i] = append(p.checks[i], vs.RealServers[i].Checks[j].Key())
		}
	}
	return p
}

// id names a real server of the pool.
func (p *poolState) id(server int) ServerID {
	return ServerID{VirtualServer: p.vs.Name, RealServer: p.vs.RealServers[server].Name}
}

// judge makes verdicts of what is known of the checks.
func (p *poolState) judge(now time.Time, known map[checker.Key]checker.State, overrides map[ServerID]Override) {
	p.ramping = false
	for i := range p.verdicts {
		v := pool.Verdict{Alive: true, Override: overrides[p.id(i)].forPool()}
		var since time.Time
		for j, key := range p.checks[i] {
			state := known[key]
			if !state.Up {
				v.Alive = false
			}
			if state.Since.After(since) {
				since = state.Since
			}
			addWeight(&v, &p.vs.RealServers[i].Checks[j], state)
		}
		p.since[i] = since
		v.Ramp = p.ramp(i, now, v.Alive)
		p.verdicts[i] = v
	}
}

// addWeight gives a verdict what a check says of the weight.
func addWeight(v *pool.Verdict, c *checker.Check, state checker.State) {
	if !state.HasRun {
		return
	}
	switch {
	case c.Kind == checker.KindMisc && c.Misc.Dynamic:
		if state.Last.SetsWeight {
			weight := state.Weight
			v.Absolute = &weight
		}
	default:
		v.Delta += state.Weight
	}
}

// ramp gives the part of its weight, in thousandths, that a server gets now; 0 is all of it.
func (p *poolState) ramp(server int, now time.Time, alive bool) int {
	over := p.vs.RealServers[server].SlowStart
	if over <= 0 || !alive {
		p.raised[server] = time.Time{}
		return 0
	}
	was := p.state.Servers[server]
	if was.Known && !was.Alive {
		p.raised[server] = now
	}
	if p.raised[server].IsZero() {
		return 0
	}
	part := int(now.Sub(p.raised[server]) * 1000 / over)
	if part >= 1000 {
		p.raised[server] = time.Time{}
		return 0
	}
	p.ramping = true
	return max(part, 1)
}
