package director

import (
	"time"

	"drover/internal/pool"
)

// guardWindow is what counts as failing at once.
const guardWindow = 30 * time.Second

// settle brings the pools to what is known now, and the data path to the pools.
func (d *Director) settle() {
	var touched []*poolState
	for _, p := range d.pools {
		if p.touched {
			touched = append(touched, p)
		}
	}
	if len(touched) == 0 && d.failed == nil {
		return
	}
	now := d.options.Now()
	for _, p := range touched {
		p.judge(now, d.known, d.overrides)
	}
	if d.guard(now) {
		touched = d.pools
	}
	changes := make([][]pool.Change, len(touched))
	for i, p := range touched {
		p.state, changes[i] = pool.Next(p.vs, p.state, p.verdicts)
		p.touched = false
	}
	// Who is told of a change finds it done, as with keepalived.
	d.apply(touched)
	for i, p := range touched {
		for _, change := range changes[i] {
			d.tellChange(p, change)
		}
	}
	d.unsaved = true
}

// guard holds the pools as they were when most servers fail at once. It is true when that begins or ends, which
// touches all pools.
func (d *Director) guard(now time.Time) (turned bool) {
	guard := pool.Guard{Percent: d.config.Drover.MassFailureGuard, Window: guardWindow}
	if guard.Percent == 0 {
		return false
	}
	var seen []pool.Seen
	for _, p := range d.pools {
		for i := range p.verdicts {
			seen = append(seen, pool.Seen{Alive: d.alive(p, i), Since: p.since[i]})
		}
	}
	was := d.holding
	d.holding = guard.Judge(now, was, seen)
	n := 0
	for _, p := range d.pools {
		for i := range p.verdicts {
			p.verdicts[i].Alive = seen[n].Alive
			n++
		}
	}
	if turned = was.Held() != d.holding.Held(); turned {
		d.tellGuard(d.holding.Held())
	}
	return turned || d.holding.Held()
}

// alive is what the checks alone say of a server.
func (d *Director) alive(p *poolState, server int) bool {
	for _, key := range p.checks[server] {
		if !d.known[key].Up {
			return false
		}
	}
	return true
}
