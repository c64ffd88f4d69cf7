package vrrp

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// Set says which virtual routers there are, and what is known of their interfaces. One that was there before, by its name,
// interface, number and family, goes on as it is; no timer begins anew.
func (r *Runner) Set(instances []Instance, links map[string]Link) {
	r.do(func() {
		old := r.routers
		r.routers = nil
		for name, link := range links {
			r.links[name] = link
		}
		for _, i := range instances {
			i.Expected.Version, i.Expected.Interval = i.Settings.Version, i.Settings.Interval
			at := slices.IndexFunc(old, func(x *router) bool { return x.isSame(&i) })
			if at < 0 {
				r.routers = append(r.routers, &router{Instance: i, machine: NewMachine(i.Settings), faults: map[string]string{}, told: map[Fault]time.Time{}, since: time.Now()})
				continue
			}
			x := old[at]
			old = slices.Delete(old, at, at+1)
			x.Instance = i
			x.machine.change(i.Settings)
			r.routers = append(r.routers, x)
		}
		r.stop(old)
		r.regroup()
		for _, x := range r.routers {
			r.lookAt(x)
			if x.machine.State() == Init {
				x.machine.Begin(time.Now())
			}
		}
		r.closeUnused()
		r.act()
	})
}

func (x *router) isSame(i *Instance) bool {
	return x.Name == i.Name && x.Interface == i.Interface && x.VRID == i.VRID && x.Six == i.Six && x.Settings.Version == i.Settings.Version
}

// regroup makes the sync groups anew. The members' states stay.
func (r *Runner) regroup() {
	before := r.groups
	r.groups = map[string]*syncGroup{}
	members := map[string][]*Machine{}
	for _, x := range r.routers {
		x.machine.group = nil
		if x.SyncGroup != "" {
			members[x.SyncGroup] = append(members[x.SyncGroup], x.machine)
		}
	}
	for name, of := range members {
		g := &syncGroup{Group: NewGroup(of...)}
		if was := before[name]; was != nil {
			g.state = was.state
		}
		r.groups[name] = g
	}
}

// stop has virtual routers give up for good.
func (r *Runner) stop(gone []*router) {
	for _, x := range gone {
		x.machine.Stop()
		for _, act := range x.machine.Take() {
			if act.Kind == Send {
				r.send(x, act.Priority)
			} else {
				r.become(x, act)
			}
		}
	}
}

// SetLink says what is known of an interface.
func (r *Runner) SetLink(name string, link Link) {
	r.do(func() {
		r.links[name] = link
		for _, x := range r.routers {
			if x.Interface == name {
				r.lookAt(x)
			}
		}
		r.closeUnused()
		r.act()
	})
}

// SetTracked says what trackers make of a virtual router: its priority, and by what has failed why it is in FAULT.
func (r *Runner) SetTracked(name string, priority int, faults map[string]string) {
	r.do(func() {
		for _, x := range r.routers {
			if x.Name != name {
				continue
			}
			x.machine.SetPriority(priority)
			link, ok := x.faults[linkFault]
			x.faults = maps.Clone(faults)
			if x.faults == nil {
				x.faults = map[string]string{}
			}
			if ok {
				x.faults[linkFault] = link
			}
			r.settleFaults(x)
		}
		r.act()
	})
}

// linkFault is the key of a fault of the instance's own interface.
const linkFault = "link"

// lookAt opens what a virtual router needs, or has it fail.
func (r *Runner) lookAt(x *router) {
	delete(x.faults, linkFault)
	if err := r.openFor(x); err != nil {
		x.faults[linkFault] = err.Error()
	}
	x.machine.settings.Source = r.source(x)
	r.settleFaults(x)
}

func (r *Runner) openFor(x *router) error {
	link := r.links[x.Interface]
	key := wireKey{x.Interface, x.Six}
	if !link.Up && (!x.Untracked || link.Reason == LinkGone) {
		if w := r.wires[key]; w != nil && link.Reason == LinkGone {
			w.conn.Close()
			delete(r.wires, key)
		}
		return errors.New(x.Interface + " " + link.Reason)
	}
	if !r.source(x).IsValid() {
		return fmt.Errorf("%s has no %s address", x.Interface, map[bool]string{true: "link-local IPv6", false: "IPv4"}[x.Six])
	}
	w := r.wires[key]
	if w == nil {
		conn, err := r.options.Open(x.Interface, x.Six)
		if err != nil {
			return err
		}
		w = &wire{conn}
		r.wires[key] = w
		go r.read(key, w)
	}
	if len(x.Peers) == 0 {
		return w.conn.Join(x.Instance.Group)
	}
	return nil
}

// LinkGone is the Reason of a Link that is not there.
const LinkGone = "does not exist"

func (r *Runner) settleFaults(x *router) {
	reasons := slices.Sorted(maps.Values(x.faults))
	why := "the fault is over"
	if len(reasons) > 0 {
		why = reasons[0]
	}
	x.machine.SetFault(time.Now(), len(reasons) > 0, why)
}

// read hands over what arrives until the wire is closed.
func (r *Runner) read(key wireKey, w *wire) {
	for {
		d, err := w.conn.Receive()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of the interface, which may come back
			time.Sleep(moment)
			continue
		}
		select {
		case r.datagrams <- arrival{key, w, d}:
		case <-r.done:
			return
		}
	}
}

// closeUnused closes wires that no virtual router uses.
func (r *Runner) closeUnused() {
	for key, w := range r.wires {
		if !slices.ContainsFunc(r.routers, func(x *router) bool { return x.Interface == key.device && x.Six == key.six }) {
			w.conn.Close()
			delete(r.wires, key)
		}
	}
}
