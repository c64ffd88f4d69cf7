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

func (t *Table) sumDest(slot uint32) (directorStats, error) { return sum(t.maps.DestStats, slot) }

// plus and minus count modulo 2^64, so that a carry may be below zero.
func (s directorStats) plus(o directorStats) directorStats {
	return directorStats{
		Conns:      s.Conns + o.Conns,
		InPackets:  s.InPackets + o.InPackets,
		OutPackets: s.OutPackets + o.OutPackets,
		InBytes:    s.InBytes + o.InBytes,
		OutBytes:   s.OutBytes + o.OutBytes,
	}
}

func (s directorStats) minus(o directorStats) directorStats {
	return directorStats{
		Conns:      s.Conns - o.Conns,
		InPackets:  s.InPackets - o.InPackets,
		OutPackets: s.OutPackets - o.OutPackets,
		InBytes:    s.InBytes - o.InBytes,
		OutBytes:   s.OutBytes - o.OutBytes,
	}
}

// rateShift is RATE_SHIFT of bpf/types.h.
const rateShift = 10

// rate gives estimates as ipvsadm prints them, rounded to the nearest.
func (s directorStats) rate() lvs.Rate {
	round := func(v uint64) uint64 { return (v + 1<<(rateShift-1)) >> rateShift }
	return lvs.Rate{
		CPS: round(s.Conns), InPPS: round(s.InPackets), OutPPS: round(s.OutPackets),
		InBPS: round(s.InBytes), OutBPS: round(s.OutBytes),
	}
}

func (s directorStats) public() lvs.Stats {
	return lvs.Stats{
		Conns: s.Conns, InPkts: s.InPackets, OutPkts: s.OutPackets, InBytes: s.InBytes, OutBytes: s.OutBytes,
	}
}

// zeroDest makes a server's counters begin at what they are.
func (t *Table) zeroDest(slot uint32) (err error) {
	t.destRates.at(slot).Average = directorStats{}
	*t.destZero.at(slot), err = t.sumDest(slot)
	return err
}

// carry adds to what a service's counters have beside its servers': what a server had counted before it
// came goes out, and what one has counted that goes stays in.
func (t *Table) carry(service uint32, more directorStats) {
	*t.carried.at(service) = t.carried.at(service).plus(more)
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

func (t *Table) zeroService(s directorService) error {
	*t.carried.at(s.Id) = directorStats{}
	for _, e := range t.list(s.Block) {
		if err := t.zeroDest(e.slot()); err != nil {
			return err
		}
		t.carry(s.Id, directorStats{}.minus(*t.destZero.at(e.slot())))
	}
	return nil
}
