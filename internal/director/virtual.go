package director

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"drover/internal/config"
	"drover/internal/vrrp"
)

// startRouter has the virtual routers begin, now that the services are in the data path: who becomes MASTER can serve. stop has
// each MASTER give up, and returns when its addresses have gone.
func (d *Director) startRouter(ctx context.Context) (stop func()) {
	r := d.options.Router
	if r == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	r.Set(d.config)
	return func() {
		cancel()
		<-ended
		for range len(d.changes) {
			d.tellRouter(<-d.changes)
		}
	}
}

// Changed takes a virtual router's change of state. It does not wait: an advert may be due. Only a loop that stands still for a
// thousand changes loses one.
func (d *Director) Changed(c vrrp.Change) {
	select {
	case d.changes <- c:
	default:
		d.options.Log.Error("a change of a virtual router is not told", "instance", c.Name, "state", c.To)
	}
}

// tellRouter tells a change in keepalived's words.
func (d *Director) tellRouter(c vrrp.Change) {
	e := Event{Kind: KindVRRP, State: c.To.String(), Instance: c.Name, Priority: c.Priority, Reason: c.Why}
	v := &d.config.VRRP
	if c.Group {
		e.Kind, e.Priority = KindVRRPGroup, 0
		e.Message = fmt.Sprintf("VRRP_Group(%s) Syncing instances to %s state", c.Name, e.State)
		if i := slices.IndexFunc(v.Groups, func(g config.SyncGroup) bool { return g.Name == c.Name }); i >= 0 {
			e.Origin.Group = &v.Groups[i]
		}
	} else {
		e.Message = fmt.Sprintf("(%s) Entering %s STATE", c.Name, e.State)
		if i := slices.IndexFunc(v.Instances, func(in config.Instance) bool { return in.Name == c.Name }); i >= 0 {
			e.Origin.Instance = &v.Instances[i]
		}
	}
	level := slog.LevelInfo
	switch c.To {
	case vrrp.Failed:
		level = slog.LevelWarn
	case vrrp.Init:
		e.State, e.Message = "STOP", fmt.Sprintf("(%s) Stopped", c.Name)
	}
	d.log(level, e)
}
