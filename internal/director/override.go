package director

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"drover/internal/pool"
)

// An Override is what the operator has said of a real server at run time. It holds over a restart of the director,
// until it is cleared or its time is up.
type Override struct {
	Disabled bool      `json:"disabled,omitempty"`
	Weight   *int32    `json:"weight,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	By       string    `json:"by,omitempty"` // who has said it, as the kernel knows
	At       time.Time `json:"at"`
	Until    time.Time `json:"until,omitzero"` // zero: until it is cleared
}

// forPool gives what of it the pool needs.
func (o Override) forPool() pool.Override {
	return pool.Override{Disabled: o.Disabled, Weight: o.Weight}
}

func (o Override) empty() bool { return !o.Disabled && o.Weight == nil }

// text says what an override does.
func (o Override) text() string {
	var words []string
	if o.Disabled {
		words = append(words, "disabled")
	}
	if o.Weight != nil {
		words = append(words, fmt.Sprintf("weight %d", *o.Weight))
	}
	return strings.Join(words, ", ")
}

// A ServerQuery names real servers: by RealServer, "198.51.100.11" or "198.51.100.11:80", and where VirtualServer is
// not empty only there, "192.0.2.1:80", "tcp/192.0.2.1:80", or as keepalived writes it.
type ServerQuery struct {
	VirtualServer string `json:"virtual_server,omitempty"`
	RealServer    string `json:"real_server"`
}

// Set changes the overrides of the servers that a query names, in all their virtual servers, and gives those. change
// gets each server's override and returns what it is to be; an empty one is none. ErrNoServer if there is no such
// server.
func (d *Director) Set(ctx context.Context, q ServerQuery, change func(Override) Override) ([]ServerID, error) {
	var found []ServerID
	err := d.do(ctx, func() {
		for _, p := range d.pools {
			for i := range p.vs.RealServers {
				if q.matches(p, i) {
					found = append(found, p.id(i))
					d.override(p, i, change)
				}
			}
		}
		d.settle()
		d.save()
	})
	if err == nil && len(found) == 0 {
		err = ErrNoServer
	}
	return found, err
}

func (d *Director) override(p *poolState, server int, change func(Override) Override) {
	id := p.id(server)
	was := d.overrides[id]
	is := change(was)
	e := Event{Kind: KindOverride, VirtualServer: id.VirtualServer, RealServer: id.RealServer, Reason: is.Reason}
	if is.empty() {
		if was.empty() {
			return
		}
		delete(d.overrides, id)
		e.State, e.Message = "CLEARED", fmt.Sprintf("Override of service %s of VS %s is cleared, it was: %s", id.RealServer, id.VirtualServer, was.text())
	} else {
		is.At = d.options.Now()
		d.overrides[id] = is
		e.State, e.Message = "SET", fmt.Sprintf("Override of service %s of VS %s: %s", id.RealServer, id.VirtualServer, is.text())
	}
	p.touched, d.unsaved = true, true
	d.log(0, e)
}

// expireOverrides ends those whose time is up.
func (d *Director) expireOverrides(now time.Time) {
	for id, o := range d.overrides {
		if o.Until.IsZero() || now.Before(o.Until) {
			continue
		}
		delete(d.overrides, id)
		d.log(0, Event{
			Kind: KindOverride, State: "EXPIRED", VirtualServer: id.VirtualServer, RealServer: id.RealServer, Reason: o.Reason,
			Message: fmt.Sprintf("Override of service %s of VS %s has expired, it was: %s", id.RealServer, id.VirtualServer, o.text()),
		})
		d.unsaved = true
		for _, p := range d.pools {
			p.touched = p.touched || p.vs.Name == id.VirtualServer
		}
	}
}

// matches tells whether a query names a pool's server.
func (q ServerQuery) matches(p *poolState, server int) bool {
	rs := &p.vs.RealServers[server]
	addr := rs.Destination.Addr
	if !slices.Contains([]string{rs.Name, addr.String(), addr.Addr().String()}, q.RealServer) {
		return false
	}
	if q.VirtualServer == "" || q.VirtualServer == p.vs.Name || q.VirtualServer == p.vs.Group {
		return true
	}
	for _, key := range p.vs.Services {
		if slices.Contains([]string{key.Text(), key.Addr.String()}, q.VirtualServer) {
			return true
		}
	}
	return false
}
