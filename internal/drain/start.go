package drain

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"drover/internal/datapath"
	"drover/internal/lvs"
)

// A Start brings a server back slowly: a cold one is not to get its whole share at once.
type Start struct {
	Service  lvs.ServiceKey
	Server   netip.AddrPort
	Weight   int32                  // to arrive at; 0: the last that it had
	Over     time.Duration          // 0: at once
	Progress func(weight, to int32) // called with each step
	Interval time.Duration          // between two steps; 0: a second
}

// Run raises the server's weight step by step, beginning with 1. When ctx ends first the server keeps the
// weight that it has. ErrTakenBack when somebody else changes it.
func (s Start) Run(ctx context.Context) error {
	s.Interval = cmpOr(s.Interval, time.Second)
	begin := time.Now()
	var is int32 // what we gave it; 0: nothing yet
	if err := s.begin(&is); err != nil {
		return err
	}
	tick := time.NewTicker(s.Interval)
	defer tick.Stop()
	for is < s.Weight {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if to := weightAt(s.Weight, time.Since(begin), s.Over); to != is {
			if err := s.set(&is, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin finds out the weight to arrive at, and takes the first step.
func (s *Start) begin(is *int32) error {
	return change(func(t *datapath.Table) error {
		d, _, err := server(t, s.Service, s.Server)
		if err != nil {
			return err
		}
		if s.Weight == 0 {
			if s.Weight, err = t.LastWeight(s.Service, s.Server); err != nil {
				return err
			}
		}
		if s.Weight <= 0 {
			return fmt.Errorf("%s: server %s: it never had a weight: say which", s.Service, s.Server)
		}
		*is = d.Weight
		return s.edit(t, d, is, weightAt(s.Weight, 0, s.Over))
	})
}

func (s *Start) set(is *int32, to int32) error {
	return change(func(t *datapath.Table) error {
		d, _, err := server(t, s.Service, s.Server)
		if err != nil {
			return err
		}
		return s.edit(t, d, is, to)
	})
}

func (s *Start) edit(t *datapath.Table, d lvs.Destination, is *int32, to int32) error {
	if d.Weight != *is {
		return fmt.Errorf("%s: server %s: %w", s.Service, s.Server, ErrTakenBack)
	}
	d.Weight, d.Drain = to, false
	if err := t.EditDestination(s.Service, d); err != nil {
		return err
	}
	*is = to
	if s.Progress != nil {
		s.Progress(to, s.Weight)
	}
	return nil
}

// weightAt is the share of a weight that a time is of the whole, from 1 on.
func weightAt(weight int32, passed, over time.Duration) int32 {
	if passed >= over {
		return weight
	}
	return max(1, int32(int64(weight)*int64(passed/time.Millisecond)/max(1, int64(over/time.Millisecond))))
}
