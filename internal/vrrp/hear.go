package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// send sends an advert to the group or to each peer.
func (r *Runner) send(x *router, priority uint8) {
	w := r.wires[wireKey{x.Interface, x.Six}]
	source := r.source(x)
	if w == nil || !source.IsValid() {
		return
	}
	a := Advert{Version: x.Settings.Version, VRID: x.VRID, Priority: priority, Interval: x.Settings.Interval, Addresses: x.Addresses, Auth: x.Auth, Password: x.Password}
	to := []netip.Addr{x.Instance.Group}
	if len(x.Peers) > 0 {
		to = nil
		for _, p := range x.Peers {
			to = append(to, p.Addr)
		}
	}
	for _, addr := range to {
		if err := w.conn.Send(a.Marshal(source, addr, !x.NoPseudo), source, addr); err != nil {
			r.complain(x, "send", fmt.Sprintf("an advert to %s: %v", addr, err))
		}
	}
	x.stats.Sent++
	if r.options.Lives != nil && priority > 0 {
		r.options.Lives(x.Name, x.machine.downInterval())
	}
	if priority == 0 {
		x.stats.ZeroSent++
	}
}

// source is where adverts come from.
func (r *Runner) source(x *router) netip.Addr {
	if x.Source.IsValid() {
		return x.Source
	}
	link := r.links[x.Interface]
	if x.Six {
		return link.Six
	}
	return link.Four
}

func (r *Runner) hear(a arrival) {
	if r.wires[a.at] != a.on || len(a.d.Payload) < headerSize {
		return // of a wire that was closed meanwhile
	}
	vrid, known := a.d.Payload[1], false
	for _, x := range r.routers {
		if x.VRID == vrid && x.Interface == a.at.device && x.Six == a.at.six {
			known = true
			r.hearFor(x, a.d)
		}
	}
	if !known {
		r.tellStrange(fmt.Sprintf("%s: an advert of virtual router %d from %s, which is not ours", a.at.device, vrid, a.d.Source))
	}
	r.act()
}

func (r *Runner) hearFor(x *router, d *Datagram) {
	if d.Source == r.source(x) {
		return // our own, by unicast to ourselves
	}
	x.stats.Received++
	a, err := x.Check(d)
	var fault *ParseError
	if errors.As(err, &fault) {
		if x.stats.Faults == nil {
			x.stats.Faults = map[Fault]uint64{}
		}
		x.stats.Faults[fault.Kind]++
		r.complain(x, fault.Kind, fmt.Sprintf("advert from %s: %s: %s", d.Source, fault.Kind, fault.Reason))
	}
	if a == nil || x.Deaf && x.machine.Priority() == OwnerPriority {
		return
	}
	if a.Priority == 0 {
		x.stats.ZeroReceived++
	}
	if x.machine.State() == Master && a.Priority > 0 {
		r.complain(x, "master", fmt.Sprintf("%s says that it is MASTER, with priority %d; ours is %d", d.Source, a.Priority, x.machine.Priority()))
	}
	x.machine.Hear(d.At, a, d.Source)
}

// complaints of one kind are told once in so long.
const complaints = 30 * time.Second

func (r *Runner) complain(x *router, kind Fault, text string) {
	if time.Since(x.told[kind]) < complaints {
		return
	}
	x.told[kind] = time.Now()
	r.options.Log(x.Name, text)
}

func (r *Runner) tellStrange(text string) {
	if time.Since(r.strange[text]) < complaints || len(r.strange) > 1000 {
		return
	}
	r.strange[text] = time.Now()
	r.options.Log("", text)
}
