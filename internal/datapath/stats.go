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

// zeroDest makes a server's counters begin at its base.
func (t *Table) zeroDest(server *stagedServer) {
	t.destRates.at(server.slot).Average = directorStats{}
	*t.destZero.at(server.slot) = server.base
}
