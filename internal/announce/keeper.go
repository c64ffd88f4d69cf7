// Package announce keeps what goes with a virtual router's MASTER state on this host: its addresses, routes and rules, and the
// gratuitous ARP (RFC 5227, Section 3) and unsolicited neighbour advertisements (RFC 4861, Section 7.2.6) by which others learn
// where the addresses are. What is wanted is set; a keeper brings the kernel there, and back when somebody else interferes.
package announce

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// An Address is one that comes and goes.
type Address struct {
	Prefix    netip.Prefix
	Device    string
	Label     string
	Broadcast netip.Addr // invalid: none
	Peer      netip.Addr // invalid: none
	Scope     int        // rtm_scope: 0 global
}

// Timing says how often others are told.
type Timing struct {
	Repeat        int           // messages for an address, one after the other
	Delay         time.Duration // until they are told a second time; 0: never
	Refresh       time.Duration // and again and again; 0: never
	RefreshRepeat int
	LowerRepeat   int           // after somebody else has said that the addresses were his
	LowerDelay    time.Duration //
}

// A Holding is what a virtual router has while it is MASTER here.
type Holding struct {
	Name      string
	Addresses []Address
	Routes    [][]string // as words of ip route add
	Rules     [][]string // as words of ip rule add
	Timing    Timing
}

// A Kernel is where holdings are put. Each may be done twice.
type Kernel interface {
	// Add tells whether the address was not there.
	Add(Address) (added bool, err error)
	Delete(Address) error
	Route(words []string, add bool) error
	Rule(words []string, add bool) error
	// Announce tells the neighbours once where an address is.
	Announce(Address) error
}

// Options are what a Keeper stands on.
type Options struct {
	Kernel Kernel
	// Owned is called when a holding is about to come, and when it has gone; nil: nobody is told.
	Owned func(h *Holding, own bool)
	Log   func(text string)
}

// Keeper keeps holdings. Its methods do not wait for the kernel.
type Keeper struct {
	options Options
	changed chan struct{}

	mu     sync.Mutex // protects what follows
	wanted []*wish
	tell   bool // Owned is to be called for each holding

	held []*held // the goroutine of Run alone has it
}

// A wish is a holding, and whether it is to be here.
type wish struct {
	Holding
	own   bool
	again bool
}

// held is what was put into the kernel.
type held struct {
	Holding
	own    bool
	whole  bool // all of it is in the kernel
	failed string
	plan   []tell
}

// A tell is a time at which the neighbours are told.
type tell struct {
	at     time.Time
	repeat int
}

// NewKeeper gives a keeper without holdings.
func NewKeeper(o Options) *Keeper {
	return &Keeper{options: o, changed: make(chan struct{}, 1)}
}

// Set says which holdings there are. One that has gone is taken away; one that is new is not here until Own says so, and taken away
// if an earlier process has left it.
func (k *Keeper) Set(all []Holding) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var wanted []*wish
	for _, h := range all {
		w := &wish{Holding: h}
		if i := slices.IndexFunc(k.wanted, func(w *wish) bool { return w.Name == h.Name }); i >= 0 {
			w.own = k.wanted[i].own
		}
		wanted = append(wanted, w)
	}
	k.wanted = wanted
	k.wake()
}

// Own says whether a holding is to be here.
func (k *Keeper) Own(name string, own bool) { k.each(name, func(w *wish) { w.own = own }) }

// Again has the neighbours told once more.
func (k *Keeper) Again(name string) { k.each(name, func(w *wish) { w.again = true }) }

// Refresh has Owned called for each holding as it is now: who is told has forgotten.
func (k *Keeper) Refresh() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tell = true
	k.wake()
}

func (k *Keeper) each(name string, f func(*wish)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.wanted {
		if w.Name == name {
			f(w)
		}
	}
	k.wake()
}

func (k *Keeper) wake() {
	select {
	case k.changed <- struct{}{}:
	default: // it will look at all of it anyway
	}
}

// look is how often the kernel is looked at: others may take an address away, and what failed is tried again.
const look = time.Second

// Run works until ctx ends. Then nothing is here any more.
func (k *Keeper) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			k.Set(nil)
			k.settle(time.Now())
			return
		case <-k.changed:
		case <-timer.C:
		}
		timer.Reset(time.Until(k.settle(time.Now())))
	}
}

// settle brings the kernel to what is wanted, and gives when there is something to do again.
func (k *Keeper) settle(now time.Time) (next time.Time) {
	wanted, tell := k.take()
	before := k.held
	k.held = nil
	for _, w := range wanted {
		h := &held{}
		if i := slices.IndexFunc(before, func(h *held) bool { return h.Name == w.Name }); i >= 0 {
			h = before[i]
			before = slices.Delete(slices.Clone(before), i, i+1)
		} else {
			h.Name, h.own = w.Name, true // an earlier process may have left it
			h.Holding = w.Holding
		}
		k.held = append(k.held, h)
		k.bring(h, &w, now)
		if tell && k.options.Owned != nil {
			k.options.Owned(&h.Holding, h.own)
		}
	}
	for _, h := range before {
		if h.own {
			k.leave(h)
		}
	}
	next = now.Add(look)
	for _, h := range k.held {
		if at := k.tellDue(h, now); !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next
}

func (k *Keeper) take() (all []wish, tell bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	tell, k.tell = k.tell, false
	for _, w := range k.wanted {
		all = append(all, *w)
		w.again = false
	}
	return all, tell
}

// bring brings one holding to what is wanted.
func (k *Keeper) bring(h *held, w *wish, now time.Time) {
	changed := k.drop(h, w)
	h.Holding = w.Holding
	switch {
	case !w.own && h.own:
		k.leave(h)
		h.own, h.plan = false, nil
	case w.own && (!h.own || !h.whole):
		news := !h.own || changed
		h.own = true
		if k.options.Owned != nil {
			k.options.Owned(&h.Holding, true)
		}
		k.enter(h)
		if news {
			h.plan = planned(&h.Timing, now)
		}
	case w.own && k.addresses(h): // somebody has taken one away, and with it routes
		k.enter(h)
		h.plan = append(h.plan, tell{now, max(h.Timing.Repeat, 1)})
	}
	if w.again && h.own {
		h.plan = append(h.plan, tell{now, max(h.Timing.LowerRepeat, 1)})
		if h.Timing.LowerDelay > 0 {
			h.plan = append(h.plan, tell{now.Add(h.Timing.LowerDelay), max(h.Timing.LowerRepeat, 1)})
		}
	}
}

func planned(t *Timing, now time.Time) []tell {
	plan := []tell{{now, t.Repeat}}
	if t.Delay > 0 {
		plan = append(plan, tell{now.Add(t.Delay), t.Repeat})
	}
	if t.Refresh > 0 {
		plan = append(plan, tell{now.Add(t.Refresh), t.RefreshRepeat})
	}
	return plan
}

// drop takes away what a holding that is here has no longer, and tells whether its addresses are others.
func (k *Keeper) drop(h *held, w *wish) (changed bool) {
	if !h.own {
		return false
	}
	for _, a := range h.Addresses {
		if !slices.Contains(w.Addresses, a) {
			k.complain(h, k.options.Kernel.Delete(a))
			h.whole = false
		}
	}
	k.words(h, gone(h.Rules, w.Rules), k.options.Kernel.Rule, false)
	k.words(h, gone(h.Routes, w.Routes), k.options.Kernel.Route, false)
	for _, a := range w.Addresses {
		changed = changed || !slices.Contains(h.Addresses, a)
	}
	h.whole = h.whole && !changed
	return changed
}

func gone(old, left [][]string) [][]string {
	var all [][]string
	for _, words := range old {
		if !slices.ContainsFunc(left, func(w []string) bool { return slices.Equal(w, words) }) {
			all = append(all, words)
		}
	}
	return all
}

// enter puts a holding into the kernel: addresses, which routes may name, then routes and rules.
func (k *Keeper) enter(h *held) {
	h.whole = true
	k.addresses(h)
	h.whole = k.words(h, h.Routes, k.options.Kernel.Route, true) && h.whole
	h.whole = k.words(h, h.Rules, k.options.Kernel.Rule, true) && h.whole
	if h.whole {
		h.failed = ""
	}
}

// addresses puts those into the kernel that are not there, and tells whether there were such.
func (k *Keeper) addresses(h *held) (added bool) {
	for _, a := range h.Addresses {
		one, err := k.options.Kernel.Add(a)
		added = added || one
		h.whole = k.complain(h, err) && h.whole
	}
	return added
}

// leave takes a holding away, the other way round.
func (k *Keeper) leave(h *held) {
	k.words(h, h.Rules, k.options.Kernel.Rule, false)
	k.words(h, h.Routes, k.options.Kernel.Route, false)
	for _, a := range h.Addresses {
		k.complain(h, k.options.Kernel.Delete(a))
	}
	if k.options.Owned != nil {
		k.options.Owned(&h.Holding, false)
	}
	h.whole = false
}

func (k *Keeper) words(h *held, all [][]string, f func([]string, bool) error, add bool) bool {
	ok := true
	for _, words := range all {
		ok = k.complain(h, f(words, add)) && ok
	}
	return ok
}

// complain tells of a failure, once until another comes.
func (k *Keeper) complain(h *held, err error) (ok bool) {
	if err == nil {
		return true
	}
	if text := fmt.Sprintf("%s: %v", h.Name, err); text != h.failed {
		h.failed = text
		k.options.Log(text)
	}
	return false
}

// tellDue tells the neighbours what is due, and gives when the next is.
func (k *Keeper) tellDue(h *held, now time.Time) (next time.Time) {
	var left []tell
	for _, t := range h.plan {
		if t.at.After(now) {
			left = append(left, t)
			continue
		}
		for range t.repeat {
			for _, a := range h.Addresses {
				k.complain(h, k.options.Kernel.Announce(a))
			}
		}
	}
	if refresh := h.Timing.Refresh; h.own && refresh > 0 && len(left) == 0 {
		left = append(left, tell{now.Add(refresh), h.Timing.RefreshRepeat})
	}
	h.plan = left
	for _, t := range left {
		if next.IsZero() || t.at.Before(next) {
			next = t.at
		}
	}
	return next
}
