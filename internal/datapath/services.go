package datapath

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
	"drover/internal/schedule"
)

// Services gives all services with their servers, in the order in which they were added.
func (t *Table) Services() ([]lvs.ServiceState, error) {
	type row struct {
		key   directorServiceKey
		value directorService
	}
	var rows []row
	var r row
	all := t.maps.Services.Iterate()
	for all.Next(&r.key, &r.value) {
		rows = append(rows, r)
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("read the services: %w", err)
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.value.Created, b.value.Created) })
	states := make([]lvs.ServiceState, 0, len(rows))
	for _, r := range rows {
		state, err := t.state(r.key, r.value)
		if errors.Is(err, lvs.ErrNoService) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		states = append(states, state)
	}
	return states, nil
}

// Service gives one service with its servers, or lvs.ErrNoService.
func (t *Table) Service(k lvs.ServiceKey) (lvs.ServiceState, error) {
	key, s, err := t.find(k)
	if err != nil {
		return lvs.ServiceState{}, err
	}
	return t.state(key, s)
}

// find looks a service up: lvs.ErrNoService if it is not there.
func (t *Table) find(k lvs.ServiceKey) (directorServiceKey, directorService, error) {
	var s directorService
	if k.Mark != 0 || k.Protocol == lvs.SCTP {
		return directorServiceKey{}, s, lvs.ErrNoService // never let in
	}
	key := keyOf(k)
	err := t.maps.Services.Lookup(key, &s)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return key, s, lvs.ErrNoService
	}
	if err != nil {
		return key, s, fmt.Errorf("look up service %s: %w", k, err)
	}
	return key, s, nil
}

// state reads a service's servers. A reader holds no lock: if the list was swapped while it was read, its
// chunks may have been used for another, and it is read again.
func (t *Table) state(key directorServiceKey, s directorService) (lvs.ServiceState, error) {
	for {
		state, err := t.stateOf(key, s)
		if err != nil {
			return state, err
		}
		_, now, err := t.find(keyFrom(key))
		if err != nil || now.Block == s.Block && now.Id == s.Id {
			return state, err
		}
		s = now
	}
}

func (t *Table) stateOf(key directorServiceKey, s directorService) (lvs.ServiceState, error) {
	state := lvs.ServiceState{Service: lvs.Service{
		ServiceKey: keyFrom(key),
		Scheduler:  schedulerName(s.Scheduler),
		Flags:      lvs.ServiceFlags(s.Flags),
	}}
	counted := *t.carried.at(s.Id)
	var rates directorStats
	for _, e := range t.list(s.Block) {
		own, err := t.sumDest(e.slot())
		if err != nil {
			return lvs.ServiceState{}, err
		}
		counted = counted.plus(own)
		rates = rates.plus(t.destRates.at(e.slot()).Average)
		state.Destinations = append(state.Destinations, t.destination(e.slot(), own))
	}
	state.Stats = counted.public()
	state.Stats.Rate = rates.rate()
	return state, nil
}

// checkService refuses what ip_vs would refuse, and what the programs cannot do yet.
func checkService(s lvs.Service) error {
	if !schedule.Known(s.Scheduler) || s.PE != "" && s.PE != "sip" {
		return lvs.ErrNoScheduler
	}
	for _, missing := range []struct {
		wanted bool
		what   string
	}{
		{s.Mark != 0, "firewall-mark services (-f)"},
		{s.Protocol == lvs.SCTP, "SCTP services (--sctp-service)"},
		{s.Flags&lvs.Persistent != 0, "persistence (-p)"},
		{s.PE != "", "persistence engines (--pe)"},
		{s.Flags&lvs.OnePacket != 0, "one-packet scheduling (-o)"},
	} {
		if missing.wanted {
			return &lvs.UnsupportedError{What: missing.what}
		}
	}
	return nil
}

// AddService adds a service without servers.
func (t *Table) AddService(s lvs.Service) error {
	key, _, err := t.find(s.ServiceKey)
	if err == nil {
		return lvs.ErrServiceExists
	}
	if !errors.Is(err, lvs.ErrNoService) {
		return err
	}
	if err := checkService(s); err != nil {
		return err
	}
	if err := t.takeStock(); err != nil {
		return err
	}
	id, ok := t.ids.take(1)
	if !ok {
		return lvs.ErrMemory
	}
	block, err := t.writeBlock(version{scheduler: s.Scheduler, fresh: true, maglev: t.maglev(key, s.Scheduler, nil)}.words())
	if err != nil {
		t.ids.free(id, 1)
		return err
	}
	*t.carried.at(id) = directorStats{}
	t.created++
	err = t.putService(key, directorService{
		Id: id, Block: block, Flags: uint32(s.Flags),
		Scheduler: uint8(schedulers[s.Scheduler].number), Created: t.created,
	})
	if err != nil {
		t.ids.free(id, 1)
		t.chunks.free(block, t.head(block).Chunks)
		return err
	}
	return t.countVirtual(key.Addr, +1)
}

func (t *Table) putService(key directorServiceKey, s directorService) error {
	if err := t.maps.Services.Put(key, s); err != nil {
		if errors.Is(err, unix.E2BIG) {
			return lvs.ErrMemory
		}
		return fmt.Errorf("write service: %w", err)
	}
	return nil
}

// EditService changes scheduler and flags. A scheduler that is new to the service begins anew.
func (t *Table) EditService(to lvs.Service) error {
	key, s, err := t.find(to.ServiceKey)
	if err != nil {
		return err
	}
	if err := checkService(to); err != nil {
		return err
	}
	before := schedulerName(s.Scheduler)
	s.Flags = uint32(to.Flags)
	s.Scheduler = uint8(schedulers[to.Scheduler].number)
	if before == to.Scheduler {
		return t.putService(key, s)
	}
	return t.swapList(key, s, slotsOf(t.list(s.Block)), true)
}

// swapList gives a service a new version of its list: made aside, put in place by the one write of the
// service, and the old one freed.
func (t *Table) swapList(key directorServiceKey, s directorService, slots []uint32, fresh bool) error {
	if err := t.takeStock(); err != nil {
		return err
	}
	old, oldChunks := s.Block, t.head(s.Block).Chunks
	v := version{
		scheduler: schedulerName(s.Scheduler), fresh: fresh,
		slots: slots, before: slotsOf(t.list(old)), cursor: t.cursor(old),
	}
	for _, slot := range slots {
		v.weights = append(v.weights, int32(t.dests.at(slot).Weight))
	}
	v.maglev = t.maglev(key, v.scheduler, slots)
	block, err := t.writeBlock(v.words())
	if err != nil {
		return err
	}
	for i, slot := range slots {
		t.dests.at(slot).Group = uint32(i / groupServers)
	}
	s.Block = block
	if err := t.putService(key, s); err != nil {
		t.chunks.free(block, t.head(block).Chunks)
		return err
	}
	t.lookAnew(s.Id) // the new list has no minima yet
	t.chunks.free(old, oldChunks)
	return nil
}

// maglev fills the table of mh for these servers; it is nil for any other scheduler.
func (t *Table) maglev(key directorServiceKey, scheduler string, slots []uint32) *schedule.MaglevTable {
	if scheduler != "mh" {
		return nil
	}
	servers := make([]schedule.Server, 0, len(slots))
	for _, slot := range slots {
		d := t.dests.at(slot)
		addr := addrPort(d.Addr, d.Port, d.Family)
		servers = append(servers, schedule.Server{
			Addr:       netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), // a tunnel's may be IPv4 behind IPv6
			LastWeight: int32(d.LastWeight),
		})
	}
	return schedule.NewMaglevTable(servers, lvs.Family(key.Family))
}

func slotsOf(list []element) []uint32 {
	slots := make([]uint32, 0, len(list))
	for _, e := range list {
		slots = append(slots, e.slot())
	}
	return slots
}

// DeleteService deletes a service; its servers go to the trash, with their connections.
func (t *Table) DeleteService(k lvs.ServiceKey) error {
	key, s, err := t.find(k)
	if err != nil {
		return err
	}
	if err := t.takeStock(); err != nil {
		return err
	}
	if err := t.maps.Services.Delete(key); err != nil {
		return fmt.Errorf("delete service %s: %w", k, err)
	}
	for _, e := range t.list(s.Block) {
		t.discard(e.slot())
	}
	t.disown(s.Id)
	t.chunks.free(s.Block, t.head(s.Block).Chunks)
	t.ids.free(s.Id, 1)
	return t.countVirtual(key.Addr, -1)
}

// Flush deletes every service.
func (t *Table) Flush() error {
	var keys []directorServiceKey
	var key directorServiceKey
	var s directorService
	all := t.maps.Services.Iterate()
	for all.Next(&key, &s) {
		keys = append(keys, key)
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read the services: %w", err)
	}
	for _, key := range keys {
		if err := t.DeleteService(keyFrom(key)); err != nil {
			return err
		}
	}
	return nil
}

// countVirtual counts the services of a VIP: a fragment without ports is for a VIP or it is not.
func (t *Table) countVirtual(vip directorAddr, change int) error {
	var n uint32
	err := t.maps.Virtuals.Lookup(vip, &n)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("look up VIP: %w", err)
	}
	return t.setVirtual(vip, uint32(int(n)+change))
}

func (t *Table) setVirtual(vip directorAddr, n uint32) (err error) {
	if n == 0 {
		err = t.maps.Virtuals.Delete(vip)
	} else {
		err = t.maps.Virtuals.Put(vip, n)
	}
	if err != nil {
		return fmt.Errorf("count VIP: %w", err)
	}
	return nil
}
