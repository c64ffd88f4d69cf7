package director

import (
	"fmt"
	"log/slog"

	"drover/internal/checker"
	"drover/internal/config"
	"drover/internal/pool"
)

// An Origin is what of the configuration an event is about.
type Origin struct {
	Virtual  *config.VirtualServer
	Real     *config.RealServer
	Instance *config.Instance
	Group    *config.SyncGroup
}

// record keeps an event and tells it.
func (d *Director) record(e Event) {
	e.Time = d.options.Now()
	e = d.events.add(e)
	if d.options.Tell != nil {
		d.options.Tell.Tell(e)
	}
}

// log writes an event's message, in the words that keepalived has for it, and what it is about as values.
func (d *Director) log(level slog.Level, e Event) {
	values := []any{"event", string(e.Kind), "state", e.State}
	for _, v := range [...]struct{ name, value string }{{"service", e.VirtualServer}, {"rs", e.RealServer}, {"instance", e.Instance}, {"reason", e.Reason}} {
		if v.value != "" {
			values = append(values, v.name, v.value)
		}
	}
	d.options.Log.Log(nil, level, e.Message, values...) //nolint:staticcheck // the loop has no context of its own
	d.record(e)
}

// tellCheck tells what became of a check.
func (d *Director) tellCheck(p *poolState, at place, was checker.State, r checker.Report) {
	rs := &p.vs.RealServers[at.server]
	check := &rs.Checks[at.check]
	e := Event{Kind: KindCheck, VirtualServer: p.vs.Name, RealServer: rs.Name, Reason: r.State.Last.Reason}
	level := slog.LevelInfo
	switch {
	case r.State.Up && (!was.Up || !was.HasRun):
		e.State, e.Message = "UP", succeeded(check, rs, p.vs)
	case !r.State.Up && (was.Up || !was.HasRun):
		e.State, e.Message, level = "DOWN", failed(check, rs, p.vs), slog.LevelWarn
		if n := r.State.Failures - 1; n > 0 {
			e.Message += fmt.Sprintf(" after %d retries", n)
		} else if check.Retry == 0 {
			e.Message += " with retry disabled"
		}
		e.Message += "."
	case !r.State.Last.OK:
		e.State, e.Message = "FAILED", failed(check, rs, p.vs)+"."
	default:
		return // a weight, which is told with the pool's change
	}
	d.log(level, e)
}

// succeeded and failed give keepalived's words for a check's outcome.
func succeeded(c *checker.Check, rs *config.RealServer, vs *config.VirtualServer) string {
	switch c.Kind {
	case checker.KindHTTP, checker.KindSSL:
		return fmt.Sprintf("Remote Web server %s succeed on service.", rs.Name)
	case checker.KindMisc:
		return fmt.Sprintf("Misc check for [%s VS %s] by [%s] succeeded.", rs.Name, vs.Name, c.Misc.Command[0])
	case checker.KindTCP:
		return fmt.Sprintf("TCP connection to %s success.", rs.Name)
	}
	return fmt.Sprintf("%s on service %s success.", c.Kind, rs.Name)
}

func failed(c *checker.Check, rs *config.RealServer, vs *config.VirtualServer) string {
	switch c.Kind {
	case checker.KindHTTP, checker.KindSSL:
		return fmt.Sprintf("HTTP_CHECK on service %s failed", rs.Name)
	case checker.KindMisc:
		return fmt.Sprintf("Misc check for [%s VS %s] by [%s] failed", rs.Name, vs.Name, c.Misc.Command[0])
	}
	return fmt.Sprintf("%s on service %s failed", c.Kind, rs.Name)
}

// tellChange tells a pool's change.
func (d *Director) tellChange(p *poolState, c pool.Change) {
	e := Event{VirtualServer: p.vs.Name, Origin: Origin{Virtual: p.vs}}
	if c.Server >= 0 {
		rs := &p.vs.RealServers[c.Server]
		e.RealServer, e.Origin.Real = rs.Name, rs
		e.Reason = d.why(p, c.Server)
	}
	level := slog.LevelInfo
	switch c.Kind {
	case pool.ServerUp:
		e.Kind, e.State = KindServer, "UP"
		e.Message = fmt.Sprintf("%s VS %s", word(e.Origin.Real.Inhibit, "Enabling service "+e.RealServer+" of", "Adding service "+e.RealServer+" to"), e.VirtualServer)
		e.Reason = ""
	case pool.ServerDown:
		e.Kind, e.State, level = KindServer, "DOWN", slog.LevelWarn
		e.Message = fmt.Sprintf("%s VS %s", word(e.Origin.Real.Inhibit, "Disabling service "+e.RealServer+" of", "Removing service "+e.RealServer+" from"), e.VirtualServer)
	case pool.WeightChanged:
		e.Kind, e.State = KindWeight, fmt.Sprint(c.To)
		e.Message = fmt.Sprintf("Changing weight from %d to %d for active service %s of VS %s", c.From, c.To, e.RealServer, e.VirtualServer)
	case pool.QuorumUp:
		e.Kind, e.State = KindVirtual, "UP"
		e.Message = fmt.Sprintf("Gained quorum %d+%d=%d <= %d for VS %s", c.Quorum, c.Hysteresis, c.Quorum+c.Hysteresis, c.Sum, e.VirtualServer)
	case pool.QuorumDown:
		e.Kind, e.State, level = KindVirtual, "DOWN", slog.LevelWarn
		e.Message = fmt.Sprintf("Lost quorum %d-%d=%d > %d for VS %s", c.Quorum, c.Hysteresis, c.Quorum-c.Hysteresis, c.Sum, e.VirtualServer)
	case pool.SorryIn, pool.SorryOut:
		e.Kind, e.State = KindSorry, word(c.Kind == pool.SorryIn, "UP", "DOWN")
		e.RealServer = p.vs.Sorry.Name
		in, out := word(p.vs.Sorry.Inhibit, "Enabling", "Adding"), word(p.vs.Sorry.Inhibit, "Disabling", "Removing")
		e.Message = fmt.Sprintf("%s sorry server %s %s VS %s", word(c.Kind == pool.SorryIn, in, out), e.RealServer, word(c.Kind == pool.SorryIn, "to", "from"), e.VirtualServer)
	}
	d.log(level, e)
}

// why gives the reason of the first of a server's checks that fails.
func (d *Director) why(p *poolState, server int) string {
	for j, key := range p.checks[server] {
		if state := d.known[key]; !state.Up && state.Last.Reason != "" {
			return fmt.Sprintf("%s: %s", p.vs.RealServers[server].Checks[j].Kind, state.Last.Reason)
		}
	}
	return ""
}

func (d *Director) tellGuard(held bool) {
	e := Event{Kind: KindGuard, State: "RELEASED", Message: "Enough real servers answer again: the pools follow their checks"}
	level := slog.LevelInfo
	if held {
		e.State, level = "HOLDING", slog.LevelError
		e.Message = fmt.Sprintf("%d %% or more of all real servers have failed within %v: this director's own network is suspected, and the pools stay as they were",
			d.config.Drover.MassFailureGuard, guardWindow)
	}
	d.log(level, e)
}

// farewell runs the notifications that omega asks for.
func (d *Director) farewell() {
	for _, p := range d.pools {
		if !p.vs.Omega {
			continue
		}
		for i := range p.vs.RealServers {
			if p.state.Servers[i].Alive {
				d.tellChange(p, pool.Change{Kind: pool.ServerDown, Server: i})
			}
		}
		if p.state.Quorum {
			d.tellChange(p, pool.Change{Kind: pool.QuorumDown, Server: -1, Sum: p.state.Sum, Quorum: p.vs.Quorum, Hysteresis: p.vs.Hysteresis})
		}
	}
}

func word(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}
