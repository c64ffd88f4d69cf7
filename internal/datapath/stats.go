package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"

	"drover/internal/lvs"
)

// sum adds up a row of counters over the CPUs.
func sum(m *ebpf.Map, row uint32) (directorStats, error) {
	var total directorStats
	var each []directorStats
	if err := m.Lookup(row, &each); err != nil {
		return total, fmt.Errorf("read counters: %w", err)
	}
	for _, s := range each {
		total.Conns += s.Conns
		total.InPackets += s.InPackets
		total.OutPackets += s.OutPackets
		total.InBytes += s.InBytes
		total.OutBytes += s.OutBytes
	}
	return total, nil
}

func (t *Table) sumService(id uint32) (directorStats, error) { return sum(t.maps.ServiceStats, id) }
func (t *Table) sumDest(slot uint32) (directorStats, error)  { return sum(t.maps.DestStats, slot) }

// since gives what was counted after zero.
func since(now, zero directorStats) lvs.Stats {
	return lvs.Stats{
		Conns:    now.Conns - zero.Conns,
		InPkts:   now.InPackets - zero.InPackets,
		OutPkts:  now.OutPackets - zero.OutPackets,
		InBytes:  now.InBytes - zero.InBytes,
		OutBytes: now.OutBytes - zero.OutBytes,
	}
}

func (t *Table) serviceStats(id uint32) (lvs.Stats, error) {
	now, err := t.sumService(id)
	return since(now, *t.serviceZero.at(id)), err
}

func (t *Table) destStats(slot uint32) (lvs.Stats, error) {
	now, err := t.sumDest(slot)
	return since(now, *t.destZero.at(slot)), err
}

func (t *Table) zeroDest(slot uint32) (err error) {
	*t.destZero.at(slot), err = t.sumDest(slot)
	return err
}

// Zero sets the counters of a service and its servers to zero, or with nil those of all.
func (t *Table) Zero(k *lvs.ServiceKey) error {
	if k != nil {
		_, s, err := t.find(*k)
		if err != nil {
			return err
		}
		return t.zeroService(s)
	}
	var key directorServiceKey
	var s directorService
	all := t.maps.Services.Iterate()
	for all.Next(&key, &s) {
		if err := t.zeroService(s); err != nil {
			return err
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read the services: %w", err)
	}
	return nil
}

func (t *Table) zeroService(s directorService) (err error) {
	for _, e := range t.list(s.Block) {
		if err := t.zeroDest(e.slot()); err != nil {
			return err
		}
	}
	*t.serviceZero.at(s.Id), err = t.sumService(s.Id)
	return err
}
