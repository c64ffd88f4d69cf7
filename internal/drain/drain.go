// Package drain takes real servers out of service without ending what they are doing, and brings them back
// slowly.
package drain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"drover/internal/datapath"
	"drover/internal/lvs"
)

// Errors returned by Run and Start.
var (
	// ErrLast says that no other server of the service takes connections.
	ErrLast = errors.New("it is the last server that takes connections")
	// ErrTakenBack says that somebody else gave the server a weight meanwhile.
	ErrTakenBack = errors.New("somebody else has changed its weight meanwhile: it is left as it is")
)

// Config says what to drain.
type Config struct {
	Service  lvs.ServiceKey
	Server   netip.AddrPort
	Deadline time.Duration  // after which what is left is reset; 0: never
	Last     bool           // also the last server that takes connections
	Progress func(left int) // connections that are going on; called when it has changed
	Interval time.Duration  // between two looks; 0: a second
}

// Result tells how it ended.
type Result struct {
	Left  int // connections that go on all the same, of UDP or of clients that are not there
	Reset int // connections that were reset at the deadline
}

// patience is how often clients that have not heard of the reset are asked for a packet.
const patience = 5

// Run has the server take no new connections, also none of its persistent clients once their last connection
// has ended, and returns when none goes on: by then, or at the deadline. When ctx ends first the server stays as
// it is, and Run can be called again.
func Run(ctx context.Context, c Config) (Result, error) {
	c.Interval = cmpOr(c.Interval, time.Second)
	if err := change(func(t *datapath.Table) error { return stop(t, c) }); err != nil {
		return Result{}, err
	}
	var deadline <-chan time.Time
	if c.Deadline > 0 {
		timer := time.NewTimer(c.Deadline)
		defer timer.Stop()
		deadline = timer.C
	}
	tick := time.NewTicker(c.Interval)
	defer tick.Stop()
	for told := -1; ; {
		left, err := c.left()
		if err != nil {
			return Result{}, err
		}
		if left != told && c.Progress != nil {
			c.Progress(left)
		}
		if told = left; left == 0 {
			return Result{}, nil
		}
		select {
		case <-ctx.Done():
			return Result{Left: left}, ctx.Err()
		case <-deadline:
			return c.reset(ctx, tick.C)
		case <-tick.C:
		}
	}
}

func cmpOr(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// change opens the table for one change.
func change(f func(t *datapath.Table) error) error {
	t, err := datapath.Open(true)
	if err != nil {
		return err
	}
	return errors.Join(f(t), t.Close())
}

// server finds a service's server, and the others.
func server(t *datapath.Table, k lvs.ServiceKey, addr netip.AddrPort) (lvs.Destination, []lvs.Destination, error) {
	s, err := t.Service(k)
	if err != nil {
		return lvs.Destination{}, nil, fmt.Errorf("%s: %w", k, err)
	}
	i := slices.IndexFunc(s.Destinations, func(d lvs.Destination) bool { return d.Addr == addr })
	if i < 0 {
		return lvs.Destination{}, nil, fmt.Errorf("%s: server %s: %w", k, addr, lvs.ErrNoDestination)
	}
	return s.Destinations[i], slices.Delete(slices.Clone(s.Destinations), i, i+1), nil
}

// stop gives the server weight 0.
func stop(t *datapath.Table, c Config) error {
	d, others, err := server(t, c.Service, c.Server)
	if err != nil {
		return err
	}
	takes := func(d lvs.Destination) bool { return d.Weight > 0 }
	if takes(d) && !c.Last && !slices.ContainsFunc(others, takes) {
		return fmt.Errorf("%s: server %s: %w", c.Service, c.Server, ErrLast)
	}
	d.Weight, d.Drain = 0, true
	return t.EditDestination(c.Service, d)
}

// left is how many connections go on. A server that was deleted has none to speak of.
func (c Config) left() (n int, err error) {
	t, err := datapath.Open(false)
	if err != nil {
		return 0, err
	}
	defer t.Close() //nolint:errcheck // only read
	d, _, err := server(t, c.Service, c.Server)
	if err != nil {
		return 0, err
	}
	if d.Weight != 0 {
		return 0, ErrTakenBack
	}
	going, err := t.GoingOn(c.Service, c.Server)
	return len(going), err
}

// reset ends what is left. Clients that say nothing are asked for a packet, which is then answered.
func (c Config) reset(ctx context.Context, tick <-chan time.Time) (Result, error) {
	var result Result
	for try := range patience {
		var left []lvs.Connection
		err := change(func(t *datapath.Table) (err error) {
			left, err = t.Reset(c.Service, c.Server)
			return err
		})
		if err != nil {
			return result, err
		}
		if try == 0 {
			result.Reset = len(left)
		}
		if result.Left = len(left); len(left) == 0 {
			break
		}
		if err := probe(left); err != nil {
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-tick:
		}
	}
	left, err := c.left()
	result.Left = left
	result.Reset -= left
	if c.Progress != nil {
		c.Progress(left)
	}
	return result, err
}
