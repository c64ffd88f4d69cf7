package director

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"drover/internal/lvs"
	"drover/internal/pool"
)

// retryPause is how long a data path that could not be changed is left alone.
const retryPause = 2 * time.Second

// apply puts the services of pools, and no others, into the data path: all in one change, which packets meet as a
// whole. What fails is told, shown and tried again; meanwhile the data path goes on with what it has.
func (d *Director) apply(pools []*poolState) {
	if d.failed != nil {
		pools = d.pools // none of them can be relied on
	}
	wanted := make([][]lvs.ServiceState, len(pools))
	same := true
	for i, p := range pools {
		wanted[i] = append(pool.Services(p.vs, p.state, p.verdicts), pool.Via(p.vs)...)
		same = same && equalServices(p.applied, wanted[i])
	}
	gone := d.unwanted()
	if same && len(gone) == 0 && d.failed == nil {
		return
	}
	managed, err := d.change(wanted, gone)
	if err != nil {
		d.dataPathFailed(err)
		return
	}
	if d.failed != nil {
		d.failed = nil
		d.options.Log.Info("the data path is as it should be again")
	}
	for i, p := range pools {
		p.applied = wanted[i]
	}
	d.managed = managed
}

// unwanted gives the services that are ours and of no pool any more.
func (d *Director) unwanted() map[lvs.ServiceKey][]destinationAddr {
	gone := maps.Clone(d.managed)
	if len(gone) == 0 {
		return nil
	}
	for _, p := range d.pools {
		for _, key := range p.vs.Services {
			delete(gone, key)
		}
		for _, s := range pool.Via(p.vs) {
			delete(gone, s.ServiceKey)
		}
	}
	return gone
}

func (d *Director) dataPathFailed(err error) {
	if d.failed == nil || d.failed.Error() != err.Error() {
		d.options.Log.Error("the data path cannot be changed: it goes on as it is, and is tried again", "error", err)
		d.record(Event{Kind: KindDataPath, State: "FAILED", Message: "The data path cannot be changed", Reason: err.Error()})
	}
	d.failed = err
	d.retryAt = d.options.Now().Add(retryPause)
}

// change is one transaction. It returns what is managed after it.
func (d *Director) change(wanted [][]lvs.ServiceState, gone map[lvs.ServiceKey][]destinationAddr) (managed map[lvs.ServiceKey][]destinationAddr, err error) {
	t, err := d.options.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, t) }()
	managed = maps.Clone(d.managed)
	if err := t.Begin(); err != nil {
		return nil, err
	}
	if err := remove(t, gone); err != nil {
		return nil, err
	}
	for key := range gone {
		delete(managed, key)
	}
	for _, services := range wanted {
		for i := range services {
			if err := put(t, &services[i], d.managed[services[i].ServiceKey]); err != nil {
				return nil, fmt.Errorf("%s: %w", services[i].ServiceKey, err)
			}
			managed[services[i].ServiceKey] = addresses(services[i].Destinations)
		}
	}
	return managed, t.Commit()
}

// remove takes services out of the table. One that somebody else has removed is gone all the same.
func remove(t Table, gone map[lvs.ServiceKey][]destinationAddr) error {
	for key := range gone {
		if err := t.DeleteService(key); err != nil && !errors.Is(err, lvs.ErrNoService) {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// put brings one service to what it is to be. Servers that others have added to it by ipvsadm stay; ours are those
// that we put there before.
func put(t Table, want *lvs.ServiceState, ours []destinationAddr) error {
	is, err := t.Service(want.ServiceKey)
	switch {
	case isNoService(err):
		if err := t.AddService(want.Service); err != nil {
			return err
		}
	case err != nil:
		return err
	case !sameService(&is.Service, &want.Service):
		if err := t.EditService(want.Service); err != nil {
			return err
		}
	}
	for _, d := range is.Destinations {
		if slices.Contains(ours, d.Addr) && !slices.ContainsFunc(want.Destinations, at(d.Addr)) {
			if err := t.DeleteDestination(want.ServiceKey, d.Addr); err != nil {
				return fmt.Errorf("server %s: %w", d.Addr, err)
			}
		}
	}
	for _, d := range want.Destinations {
		if err := putServer(t, want.ServiceKey, is.Destinations, d); err != nil {
			return fmt.Errorf("server %s: %w", d.Addr, err)
		}
	}
	return nil
}

func putServer(t Table, key lvs.ServiceKey, there []lvs.Destination, want lvs.Destination) error {
	i := slices.IndexFunc(there, at(want.Addr))
	switch {
	case i < 0:
		return t.AddDestination(key, want)
	case !sameServer(&there[i], &want):
		return t.EditDestination(key, want)
	}
	return nil
}

func isNoService(err error) bool {
	return errors.Is(err, lvs.ErrNoService) || errors.Is(err, lvs.ErrServiceNotDefined)
}

func at(a destinationAddr) func(lvs.Destination) bool {
	return func(d lvs.Destination) bool { return d.Addr == a }
}

func addresses(list []lvs.Destination) []destinationAddr {
	addrs := make([]destinationAddr, len(list))
	for i, d := range list {
		addrs[i] = d.Addr
	}
	return addrs
}

// sameServer compares what is configured of two servers.
func sameServer(a, b *lvs.Destination) bool {
	return a.Addr == b.Addr && a.Forwarding == b.Forwarding && a.Weight == b.Weight && a.Upper == b.Upper && a.Lower == b.Lower &&
		a.Drain == b.Drain && a.TunnelType == b.TunnelType && a.TunnelPort == b.TunnelPort && a.TunnelFlags == b.TunnelFlags
}

// sameService compares what is configured of two services.
func sameService(a, b *lvs.Service) bool {
	return a.ServiceKey == b.ServiceKey && a.Scheduler == b.Scheduler && a.Flags == b.Flags && a.Timeout == b.Timeout &&
		a.PE == b.PE && mask(a) == mask(b)
}

// mask gives the persistence mask as a number of bits: what is not set means one client each.
func mask(s *lvs.Service) int {
	if s.Flags&lvs.Persistent == 0 {
		return 0
	}
	if s.Family == lvs.IPv6 {
		if s.PrefixLen == 0 {
			return 128
		}
		return s.PrefixLen
	}
	if !s.Netmask.IsValid() {
		return 32
	}
	bits := 0
	for _, b := range s.Netmask.AsSlice() {
		for ; b != 0; b <<= 1 {
			bits++
		}
	}
	return bits
}

func equalServices(a, b []lvs.ServiceState) bool {
	return slices.EqualFunc(a, b, func(a, b lvs.ServiceState) bool {
		return sameService(&a.Service, &b.Service) && slices.EqualFunc(a.Destinations, b.Destinations, func(a, b lvs.Destination) bool {
			return sameServer(&a, &b)
		})
	})
}
