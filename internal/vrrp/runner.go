package vrrp

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// An Instance is a virtual router that is to be kept.
type Instance struct {
	Name      string
	Interface string
	Six       bool // its family; its adverts may have addresses of this alone
	Settings
	Expected
	Group     netip.Addr // adverts go there, unless there are Peers
	NoPseudo  bool       // the checksum is without a pseudo header (v3_checksum_as_v2)
	SyncGroup string     // or empty
	Untracked bool       // it may be MASTER while its interface is down (dont_track_primary)
	// Deaf has who owns the addresses heed no adverts (owner_ignore_adverts).
	Deaf bool
}

// A Conn is an interface's wire. Wire is one.
type Conn interface {
	Join(group netip.Addr) error
	Send(payload []byte, source, to netip.Addr) error
	Receive() (*Datagram, error)
	Close() error
}

// A Link is what is known of an interface.
type Link struct {
	Up     bool
	Reason string     // why it is not
	Four   netip.Addr // the addresses that adverts come from; invalid: there is none
	Six    netip.Addr
}

// A Change is what has happened to a virtual router, or with Group to a sync group, whose Name it has then.
type Change struct {
	At       time.Time
	Name     string
	Group    bool
	From, To State
	Priority int
	Why      string
}

// A Status is what is known of a virtual router.
type Status struct {
	Instance
	State    State
	Since    time.Time
	Priority int      // with what trackers add
	Faults   []string // why it is in FAULT
	Rival    Rival
	Stats    Stats
}

// Options are what a Runner stands on. Its functions must not wait.
type Options struct {
	Open func(device string, six bool) (Conn, error)
	// Own is told whether this host has the addresses of a virtual router, and Again that it is to say so once more.
	Own   func(name string, own bool)
	Again func(name string)
	// Lives is called when a MASTER has sent an advert: for how long others keep still from now on. nil: nobody is told.
	Lives func(name string, lasts time.Duration)
	Tell  func(Change)
	Log   func(name, text string) // for what is no Change; name may be empty
}

// Runner keeps virtual routers: it sends and hears their adverts, and drives their machines by the clock. One goroutine, that of
// Run, has all of it, and nothing else to do: a reload or a slow disk must not delay an advert.
type Runner struct {
	options   Options
	requests  chan func()
	datagrams chan arrival
	done      chan struct{}

	// What follows belongs to Run.
	routers []*router
	groups  map[string]*syncGroup
	wires   map[wireKey]*wire
	links   map[string]Link
	strange map[string]time.Time // when what is not ours was last told
}

type wireKey struct {
	device string
	six    bool
}

type wire struct{ conn Conn }

type arrival struct {
	at wireKey
	on *wire
	d  *Datagram
}

type router struct {
	Instance
	machine *Machine
	faults  map[string]string // by what has failed: why
	stats   Stats
	since   time.Time
	told    map[Fault]time.Time
}

type syncGroup struct {
	*Group
	state State
}

// NewRunner gives a runner without virtual routers.
func NewRunner(o Options) *Runner {
	return &Runner{
		options: o, requests: make(chan func()), datagrams: make(chan arrival, 256), done: make(chan struct{}),
		groups: map[string]*syncGroup{}, wires: map[wireKey]*wire{}, links: map[string]Link{}, strange: map[string]time.Time{},
	}
}

// Run works until ctx ends. Then each MASTER gives up.
func (r *Runner) Run(ctx context.Context) {
	defer close(r.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(r.nextDue()))
		select {
		case <-ctx.Done():
			r.stop(r.routers)
			r.routers = nil
			r.closeUnused()
			return
		case f := <-r.requests:
			f()
		case a := <-r.datagrams:
			r.hear(a)
		case <-timer.C:
			r.tick()
		}
	}
}

// idle is how long a runner waits that has nothing due.
const idle = time.Hour

func (r *Runner) nextDue() time.Time {
	next := time.Now().Add(idle)
	for _, x := range r.routers {
		if due := x.machine.Due(); !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	return next
}

// What is late by more than late was held up: readers then get a moment to hand over what has come meanwhile, because adverts that
// wait are heard before the clock is looked at.
const (
	late   = 20 * time.Millisecond
	moment = 2 * time.Millisecond
)

func (r *Runner) tick() {
	if time.Since(r.nextDue()) > late {
		time.Sleep(moment)
	}
	for range len(r.datagrams) {
		r.hear(<-r.datagrams)
	}
	now := time.Now()
	for _, x := range r.routers {
		x.machine.Tick(now)
	}
	r.act()
}

// act does what the machines want done.
func (r *Runner) act() {
	for _, x := range r.routers {
		for _, act := range x.machine.Take() {
			switch act.Kind {
			case Send:
				r.send(x, act.Priority)
			case Announce:
				r.options.Again(x.Name)
			case Become:
				r.become(x, act)
			}
		}
	}
	r.settleGroups()
}

func (r *Runner) become(x *router, act Act) {
	x.since = time.Now()
	if act.To == Master {
		x.stats.BecameMaster++
	} else if act.From == Master {
		x.stats.ReleasedMaster++
	}
	r.options.Own(x.Name, act.To == Master)
	r.options.Tell(Change{At: x.since, Name: x.Name, From: act.From, To: act.To, Priority: x.machine.Priority(), Why: act.Why})
}

func (r *Runner) settleGroups() {
	for _, name := range slices.Sorted(maps.Keys(r.groups)) {
		g := r.groups[name]
		if state := g.State(); state != g.state {
			r.options.Tell(Change{At: time.Now(), Name: name, Group: true, From: g.state, To: state})
			g.state = state
		}
	}
}

// do has Run call f, and waits until it has. After Run it does nothing.
func (r *Runner) do(f func()) {
	finished := make(chan struct{})
	select {
	case r.requests <- func() { defer close(finished); f() }:
		<-finished
	case <-r.done:
	}
}

// Status gives what is known of each virtual router, in the order of Set.
func (r *Runner) Status() []Status {
	var all []Status
	r.do(func() {
		for _, x := range r.routers {
			s := Status{
				Instance: x.Instance, State: x.machine.State(), Since: x.since, Priority: x.machine.Priority(),
				Faults: slices.Sorted(maps.Values(x.faults)), Rival: x.machine.Rival(), Stats: x.stats,
			}
			s.Stats.Faults = maps.Clone(x.stats.Faults)
			s.Source = r.source(x)
			all = append(all, s)
		}
	})
	return all
}
