// Package director is the daemon: one event loop joins what the configuration wants, what the checks find and what
// the operator says, and puts the services that come of it into the data path. The data path forwards on its own:
// when the director ends, by will or not, nothing is lost but the checks.
package director

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"drover/internal/checker"
	"drover/internal/config"
	"drover/internal/lvs"
	"drover/internal/pool"
	"drover/internal/vrrp"
)

// Options are what a director stands on.
type Options struct {
	// Load reads the configuration, at start and at each reload. An error says why it is not to be used.
	Load func() (*config.Config, error)
	// Open opens the table of services for one change, which Close ends.
	Open func() (Table, error)
	// Look tells whether a service is in the data path: lvs.ErrNoService if it is not, as when the data path was unloaded
	// behind the director's back; nil: nobody looks.
	Look func(lvs.ServiceKey) error
	// Keep is where what must outlive the director is kept.
	Keep Store
	// Router keeps the virtual routers; nil: there are none. Its changes come to Changed.
	Router Router
	// Tell is called with each event, in order, and must not wait; nil: nobody is told. Set tells it of a
	// configuration that is in force.
	Tell Teller
	Log  *slog.Logger
	Now  func() time.Time // nil: time.Now
}

// A Table is what the director needs of the data path: datapath.Table has it.
type Table interface {
	Begin() error
	Commit() error
	Service(lvs.ServiceKey) (lvs.ServiceState, error)
	AddService(lvs.Service) error
	EditService(lvs.Service) error
	DeleteService(lvs.ServiceKey) error
	AddDestination(lvs.ServiceKey, lvs.Destination) error
	EditDestination(lvs.ServiceKey, lvs.Destination) error
	DeleteDestination(lvs.ServiceKey, destinationAddr) error
	SetTimeouts(lvs.Timeouts) error
	Flush() error
	Close() error
}

// A Router keeps virtual routers: router.Router is one.
type Router interface {
	Run(context.Context)
	Set(*config.Config)
	Status() []vrrp.Status
	// Refresh is called when the data path was made anew: it knows of no VIP then.
	Refresh()
}

// A Teller tells others of events: programs, pipes, mail, web hooks.
type Teller interface {
	Set(*config.Config)
	Tell(Event)
}

// Director is a running daemon. Its methods may be called from any goroutine while Run runs; the state is the loop's
// alone.
type Director struct {
	options  Options
	reports  chan checker.Report
	changes  chan vrrp.Change
	requests chan func()
	done     chan struct{} // closed when the loop has ended
	events   *journal

	// What follows belongs to the loop.
	checks    *checker.Runner
	config    *config.Config
	pools     []*poolState
	byCheck   map[checker.Key][]place
	known     map[checker.Key]checker.State
	overrides map[ServerID]Override
	managed   map[lvs.ServiceKey][]destinationAddr // what is in the data path because of us
	restored  kept                                 // by an earlier director, until the first configuration is in use
	holding   pool.Holding
	failed    error     // why the data path is not as it should be; nil: it is
	retryAt   time.Time // of the next try, where failed
	lookedAt  time.Time // whether the services are there
	reloaded  Reloaded
	unsaved   bool
	saveError error
	startedAt time.Time
}

// New gives a director that has not begun.
func New(o Options) *Director {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Director{
		options:   o,
		reports:   make(chan checker.Report, 1024),
		changes:   make(chan vrrp.Change, 1024),
		requests:  make(chan func()),
		done:      make(chan struct{}),
		events:    newJournal(),
		byCheck:   map[checker.Key][]place{},
		known:     map[checker.Key]checker.State{},
		overrides: map[ServerID]Override{},
		managed:   map[lvs.ServiceKey][]destinationAddr{},
	}
}

// Run loads the configuration, and then keeps the data path to it until ctx ends. ready is called when the services
// are in force; beat each time the loop has gone round, at least every second. The error is that of a configuration
// which can't be used at start; later ones are told and survived.
func (d *Director) Run(ctx context.Context, ready, beat func()) error {
	d.startedAt = d.options.Now()
	if err := d.begin(); err != nil {
		close(d.done)
		return err
	}
	d.checks = checker.New(d.report)
	defer d.checks.Close()
	defer close(d.done) // before that, or a check that reports would wait for the loop
	d.startChecks()
	stopRouter := d.startRouter(ctx)
	ready()
	d.loop(ctx, beat)
	stopRouter()
	d.end()
	return nil
}

// report is called by the checks. It waits for the loop, which never waits for the checks.
func (d *Director) report(r checker.Report) {
	select {
	case d.reports <- r:
	case <-d.done:
	}
}

// do has the loop call f, and waits until it has.
func (d *Director) do(ctx context.Context, f func()) error {
	finished := make(chan struct{})
	select {
	case d.requests <- func() { defer close(finished); f() }:
	case <-d.done:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-finished:
		return nil
	case <-d.done:
		return ErrEnded
	}
}

// tick is how often the loop looks at what time alone changes: overrides that expire, servers that start slowly,
// a data path that is to be tried again.
const tick = time.Second

func (d *Director) loop(ctx context.Context, beat func()) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		beat()
		select {
		case <-ctx.Done():
			return
		case r := <-d.reports:
			d.takeReports(r)
		case c := <-d.changes:
			d.tellRouter(c)
		case f := <-d.requests:
			f()
		case <-ticker.C:
			d.pass()
		}
	}
}

// takeReports takes a report and those that wait behind it: what fails together is judged together, and reaches the
// data path in one change.
func (d *Director) takeReports(r checker.Report) {
	d.take(r)
	for range len(d.reports) {
		d.take(<-d.reports)
	}
	d.settle()
}

func (d *Director) take(r checker.Report) {
	places := d.byCheck[r.Key]
	if len(places) == 0 {
		return // of a check that has gone while its report waited
	}
	was := d.known[r.Key]
	d.known[r.Key] = r.State
	for _, at := range places {
		p := d.pools[at.pool]
		d.tellCheck(p, at, was, r)
		p.touched = p.touched || r.Changed
	}
	d.unsaved = d.unsaved || r.Changed
}

// pass does what time alone asks for.
func (d *Director) pass() {
	now := d.options.Now()
	d.expireOverrides(now)
	for _, p := range d.pools {
		p.touched = p.touched || p.ramping
	}
	if d.holding.Held() {
		d.touchAll()
	}
	if d.failed != nil && !now.Before(d.retryAt) {
		d.touchAll()
	}
	d.look(now)
	d.settle()
	d.save()
}

// lookEvery is how often the director looks whether its services are there.
const lookEvery = 5 * time.Second

// look has the services put back if they have gone, as when the data path was unloaded.
func (d *Director) look(now time.Time) {
	if d.options.Look == nil || now.Sub(d.lookedAt) < lookEvery {
		return
	}
	d.lookedAt = now
	for _, p := range d.pools {
		if len(p.applied) == 0 {
			continue
		}
		if err := d.options.Look(p.applied[0].ServiceKey); errors.Is(err, lvs.ErrNoService) {
			d.log(slog.LevelWarn, Event{Kind: KindDataPath, State: "GONE", Message: "The services have gone from the data path: they are put back"})
			for _, p := range d.pools {
				p.applied = nil
			}
			d.managed = map[lvs.ServiceKey][]destinationAddr{}
			d.touchAll()
			d.settle()
			if d.options.Router != nil {
				d.options.Router.Refresh()
			}
		}
		return // one stands for all
	}
}

func (d *Director) touchAll() {
	for _, p := range d.pools {
		p.touched = true
	}
}

// begin takes over what an earlier director has left, and puts the configuration's services into the data path.
func (d *Director) begin() error {
	c, err := d.options.Load()
	if err != nil {
		return err
	}
	kept, err := d.options.Keep.read()
	if err != nil {
		d.options.Log.Warn("what the last director has kept cannot be read: every server counts as it would at a first start", "error", err)
	}
	d.restore(kept)
	d.use(c)
	if c.Global.Flush {
		if err := d.flush(); err != nil {
			d.dataPathFailed(err)
		}
	}
	d.initFiles()
	d.setTimeouts()
	d.settle()
	d.options.Log.Info("the director has begun", "config", c.File, "virtual_servers", len(d.pools), "checks", len(d.byCheck))
	return nil
}

// setTimeouts sets lvs_timeouts; what it does not name is left as it is.
func (d *Director) setTimeouts() {
	if d.config.Global.Timeouts == (lvs.Timeouts{}) {
		return
	}
	t, err := d.options.Open()
	if err == nil {
		err = joinClose(t.SetTimeouts(d.config.Global.Timeouts), t)
	}
	if err != nil {
		d.options.Log.Error("lvs_timeouts are not set", "error", err)
	}
}

// initFiles writes the track_files that are to have a number from the start.
func (d *Director) initFiles() {
	for _, f := range d.config.Files {
		mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
		if f.Overwrite {
			mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		}
		file, err := os.OpenFile(f.Path, mode, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			_, err = fmt.Fprintln(file, f.Number)
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			d.options.Log.Error("a track_file can't be written", "file", f.Path, "error", err)
		}
	}
}

func (d *Director) flush() error {
	t, err := d.options.Open()
	if err != nil {
		return err
	}
	d.managed = map[lvs.ServiceKey][]destinationAddr{}
	return joinClose(t.Flush(), t)
}

// end leaves the services as they are, unless the configuration says otherwise.
func (d *Director) end() {
	d.farewell()
	if d.config.Global.FlushOnStop != config.FlushNothing {
		if err := d.clear(); err != nil {
			d.options.Log.Error("the services stay in the data path", "error", err)
		}
	}
	d.unsaved = true
	d.save()
	d.options.Log.Info("the director has ended", "ran", d.options.Now().Sub(d.startedAt).Round(time.Second))
}

// clear takes all that the director has put into the data path out of it.
func (d *Director) clear() error {
	if err := removeAll(d.options.Open, d.managed); err != nil {
		return err
	}
	d.managed = map[lvs.ServiceKey][]destinationAddr{}
	return nil
}

// removeAll takes services out of the data path, all in one change.
func removeAll(open func() (Table, error), gone map[lvs.ServiceKey][]destinationAddr) error {
	t, err := open()
	if err != nil {
		return err
	}
	if err := t.Begin(); err != nil {
		return joinClose(err, t)
	}
	if err := remove(t, gone); err != nil {
		return joinClose(err, t)
	}
	return joinClose(t.Commit(), t)
}

func joinClose(err error, t Table) error {
	if closing := t.Close(); err == nil && closing != nil {
		return fmt.Errorf("close the table: %w", closing)
	}
	return err
}
