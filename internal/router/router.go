// Package router keeps the virtual routers of a configuration: it joins their state machines (package vrrp) with what they look
// at, with the addresses that come and go (package announce), and with the data path, which balances a VIP's packets only where
// this host is MASTER.
package router

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"drover/internal/announce"
	"drover/internal/config"
	"drover/internal/lvs"
	"drover/internal/vrrp"
)

// Options are what a Router stands on.
type Options struct {
	// Standby tells the data path that another host has a VIP, or that it is here, for so long if that is not renewed; nil: there
	// is no data path.
	Standby func(vip netip.Addr, standby bool, lasts time.Duration) error
	// Renew renews such leases; nil: there are none.
	Renew func(vips []netip.Addr, lasts time.Duration) error
	// Tell is called with each change of state, and must not wait.
	Tell func(vrrp.Change)
	Log  *slog.Logger
}

// A Router keeps the virtual routers of this host. The zero value is of no use; New gives one.
type Router struct {
	options  Options
	runner   *vrrp.Runner
	keeper   *announce.Keeper
	trackers *trackers

	mu        sync.Mutex // protects what follows
	instances []config.Instance
	vips      map[netip.Addr]bool // of the instances in force
	watched   []string            // interfaces

	renewFailed bool // the last time, which was said
}

// New gives a router without virtual routers.
func New(o Options) *Router {
	r := &Router{options: o}
	r.keeper = announce.NewKeeper(announce.Options{Kernel: announce.Host{}, Owned: r.owned, Log: func(text string) { o.Log.Error(text) }})
	r.runner = vrrp.NewRunner(vrrp.Options{
		Open: func(device string, six bool) (vrrp.Conn, error) {
			return vrrp.Listen(context.Background(), device, six)
		},
		Own:   r.keeper.Own,
		Again: r.keeper.Again,
		Lives: r.lives,
		Tell:  o.Tell,
		Log: func(name, text string) {
			if name != "" {
				text = "(" + name + ") " + text
			}
			o.Log.Warn(text)
		},
	})
	r.trackers = newTrackers(r.runner, o.Log)
	return r
}

// Run works until ctx ends. Then each MASTER gives up, and its addresses go.
func (r *Router) Run(ctx context.Context) {
	// The addresses go after the adverts that give them up, so the keeper ends after the runner.
	keeping, end := context.WithCancel(context.WithoutCancel(ctx))
	var kept, others sync.WaitGroup
	kept.Go(func() { r.keeper.Run(keeping) })
	others.Go(func() { r.watchLinks(ctx) })
	others.Go(func() { r.trackers.run(ctx) })
	r.runner.Run(ctx)
	end()
	kept.Wait()
	others.Wait()
}

// Set takes a configuration. What it says as before goes on as it is.
func (r *Router) Set(c *config.Config) {
	r.mu.Lock()
	r.instances = c.VRRP.Instances
	r.vips, r.watched = map[netip.Addr]bool{}, nil
	var instances []vrrp.Instance
	var holdings []announce.Holding
	for i := range c.VRRP.Instances {
		in := &c.VRRP.Instances[i]
		instances = append(instances, instanceOf(in, c))
		holdings = append(holdings, holdingOf(in))
		for _, vip := range slices.Concat(in.VIPs, in.Excluded) {
			r.vips[vip.Prefix.Addr()] = true
		}
		r.watched = append(r.watched, in.Interface)
		for _, t := range in.Track.Interfaces {
			r.watched = append(r.watched, t.Name)
		}
	}
	for _, g := range c.VRRP.Groups {
		for _, t := range g.Track.Interfaces {
			r.watched = append(r.watched, t.Name)
		}
	}
	slices.Sort(r.watched)
	r.watched = slices.Compact(r.watched)
	watched := slices.Clone(r.watched)
	vips := r.vips
	r.mu.Unlock()

	r.keeper.Set(holdings)
	links := map[string]vrrp.Link{}
	for _, name := range watched {
		links[name] = lookAtLink(name, vips)
	}
	r.trackers.set(c, links)
	r.runner.Set(instances, links)
	r.trackers.tellAll()
}

// Status gives what is known of each virtual router.
func (r *Router) Status() []vrrp.Status { return r.runner.Status() }

// Refresh tells the data path of all VIPs once more: it was made anew.
func (r *Router) Refresh() { r.keeper.Refresh() }

// owned is called by the keeper before a holding's addresses come, and after they have gone.
func (r *Router) owned(h *announce.Holding, own bool) {
	if r.options.Standby == nil {
		return
	}
	r.mu.Lock()
	vips := r.vips
	var lasts time.Duration // until the first renewal, which is the next advert's
	if i := slices.IndexFunc(r.instances, func(in config.Instance) bool { return in.Name == h.Name }); own && i >= 0 {
		lasts = time.Duration(r.instances[i].DownTimerAdverts+1) * r.instances[i].Advert
	}
	r.mu.Unlock()
	for _, a := range h.Addresses {
		addr := a.Prefix.Addr()
		// One that no virtual router has any more is again as one that nothing was said of: active.
		if err := r.options.Standby(addr, !own && vips[addr], lasts); err != nil {
			r.options.Log.Error("the data path is not told who has a VIP", "vip", addr, "error", err)
		}
	}
}

// lives is called after each advert of a MASTER.
func (r *Router) lives(name string, lasts time.Duration) {
	if r.options.Renew == nil {
		return
	}
	r.mu.Lock()
	i := slices.IndexFunc(r.instances, func(in config.Instance) bool { return in.Name == name })
	var vips []netip.Addr
	if i >= 0 {
		for _, v := range slices.Concat(r.instances[i].VIPs, r.instances[i].Excluded) {
			vips = append(vips, v.Prefix.Addr())
		}
	}
	failed := r.renewFailed
	r.mu.Unlock()
	err := r.options.Renew(vips, lasts)
	if err != nil && !failed {
		r.options.Log.Warn("the data path is not told that this director lives: if it dies, its VIPs are answered for on", "error", err)
	}
	r.mu.Lock()
	r.renewFailed = err != nil
	r.mu.Unlock()
}

// instanceOf gives a virtual router as its machine is told.
func instanceOf(in *config.Instance, c *config.Config) vrrp.Instance {
	out := vrrp.Instance{
		Name: in.Name, Interface: in.Interface, Six: in.Family == lvs.IPv6, Group: in.Multicast, NoPseudo: in.ChecksumAsV2, Deaf: in.IgnoreAdverts, Untracked: in.DontTrackDevice,
		Settings: vrrp.Settings{
			Version: in.Version, Priority: in.Priority, StartMaster: in.Master, Interval: in.Advert, DownAdverts: in.DownTimerAdverts,
			NoPreempt: in.NoPreempt, PreemptDelay: in.PreemptDelay, HigherSend: in.HigherSend, LowerQuiet: in.LowerNoAdvert, Source: in.Source,
		},
		Expected: vrrp.Expected{VRID: uint8(in.VRID), CheckSource: in.CheckSource, SkipAddresses: in.SkipCheckAddr},
	}
	for _, v := range in.VIPs {
		out.Addresses = append(out.Addresses, v.Prefix.Addr())
	}
	for _, p := range in.Peers {
		out.Peers = append(out.Peers, vrrp.Peer{Addr: p.Addr, MinTTL: p.MinTTL, MaxTTL: p.MaxTTL})
	}
	if in.Auth != nil {
		out.Auth = vrrp.AuthPass
		if in.Auth.AH {
			out.Auth = vrrp.AuthAH
		}
		copy(out.Password[:], in.Auth.Password)
	}
	for _, g := range c.VRRP.Groups {
		if slices.Contains(g.Members, in.Name) {
			out.SyncGroup = g.Name
		}
	}
	return out
}

// holdingOf gives what a virtual router has while it is MASTER.
func holdingOf(in *config.Instance) announce.Holding {
	h := announce.Holding{Name: in.Name, Timing: announce.Timing{
		Repeat: in.GARP.Repeat, Delay: in.GARP.Delay, Refresh: in.GARP.Refresh, RefreshRepeat: in.GARP.RefreshRepeat,
		LowerRepeat: in.GARP.LowerRepeat, LowerDelay: in.GARP.LowerDelay,
	}}
	for _, v := range slices.Concat(in.VIPs, in.Excluded) {
		a := announce.Address{Prefix: v.Prefix, Device: v.Device, Label: v.Label, Broadcast: v.Broadcast, Peer: v.Peer, Scope: v.Scope}
		if a.Device == "" {
			a.Device = in.Interface
		}
		h.Addresses = append(h.Addresses, a)
	}
	for _, x := range in.Routes {
		h.Routes = append(h.Routes, wordsOfIP(x.Words))
	}
	for _, x := range in.Rules {
		h.Rules = append(h.Rules, wordsOfIP(x.Words))
	}
	return h
}

// wordsOfIP gives a line of virtual_routes or virtual_rules without the words that are VRRP's own, not ip's.
func wordsOfIP(words []string) []string {
	var out []string
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "no_track", "no-track":
		case "track_group":
			i++ // and its name
		default:
			out = append(out, words[i])
		}
	}
	return out
}
