// Package pool decides who serves: from a virtual server of the configuration, the verdicts of its checks and the
// overrides of its operator to the services of the data path. It has no clock and no sockets, and keeps nothing.
package pool

import (
	"drover/internal/config"
)

// maxWeight is the largest weight that keepalived gives ip_vs.
const maxWeight = 65535

// A Verdict is what is known of one real server.
type Verdict struct {
	Alive    bool // none of its checks fails
	Delta    int  // what FILE_CHECKs add to its weight
	Absolute *int // the weight that a MISC_CHECK with misc_dynamic names, in place of the configured one
	// Ramp is the part of its weight that a server gets while it starts slowly, in thousandths; 0: all.
	Ramp     int
	Override Override
}

// An Override is what the operator has said of a real server at run time.
type Override struct {
	Disabled bool   // it gets no new connections, and does not count for the quorum
	Weight   *int32 // in place of every other weight, but not of 0 by a failed check
}

// A State is what a pool has come to.
//
//	            sum >= quorum + hysteresis
//	   +------------------------------------+
//	   |                                    v
//	[no quorum]                          [quorum]
//	   ^                                    |
//	   +------------------------------------+
//	      sum == 0 or sum < quorum - hysteresis
//
// A pool begins without quorum. Without quorum the sorry server stands in for the real servers; where there is none
// they go on serving.
type State struct {
	Quorum  bool
	Sum     int // weights of the servers that are alive
	Servers []Standing
	Sorry   bool // the sorry server serves
}

// A Standing is a real server's place in its pool.
type Standing struct {
	Alive  bool
	Known  bool  // it was looked at before
	Weight int32 // that it has while it is alive and the pool serves
}

// Begin is the state of a pool that nobody has looked at.
func Begin(vs *config.VirtualServer) State {
	return State{Servers: make([]Standing, len(vs.RealServers))}
}

// Next gives the state after the verdicts, which are in the order of the real servers, and what has changed, in the
// order in which it is to be told.
func Next(vs *config.VirtualServer, was State, verdicts []Verdict) (State, []Change) {
	is := State{Quorum: was.Quorum, Servers: make([]Standing, len(verdicts))}
	var changes []Change
	for i, v := range verdicts {
		is.Servers[i] = stand(&vs.RealServers[i], v)
		is.Sum += is.Servers[i].counts(v.Override)
		changes = append(changes, compare(i, was.Servers[i], is.Servers[i])...)
	}
	quorum, hysteresis := thresholds(vs)
	switch {
	case !is.Quorum && is.Sum >= quorum+hysteresis:
		is.Quorum = true
		changes = append(changes, Change{Kind: QuorumUp, Server: -1, Sum: is.Sum, Quorum: quorum, Hysteresis: hysteresis})
	case is.Quorum && (is.Sum == 0 || is.Sum < quorum-hysteresis):
		is.Quorum = false
		changes = append(changes, Change{Kind: QuorumDown, Server: -1, Sum: is.Sum, Quorum: quorum, Hysteresis: hysteresis})
	}
	is.Sorry = vs.Sorry != nil && !is.Quorum
	if is.Sorry != was.Sorry {
		kind := SorryOut
		if is.Sorry {
			kind = SorryIn
		}
		changes = append(changes, Change{Kind: kind, Server: -1})
	}
	return is, changes
}

func stand(rs *config.RealServer, v Verdict) Standing {
	weight := int(rs.Destination.Weight)
	if v.Absolute != nil {
		weight = *v.Absolute
	}
	weight += v.Delta
	if v.Override.Weight != nil {
		weight = int(*v.Override.Weight)
	}
	weight = min(max(weight, 0), maxWeight)
	if v.Ramp > 0 && weight > 0 {
		weight = max(1, weight*min(v.Ramp, 1000)/1000)
	}
	if v.Override.Disabled {
		weight = 0
	}
	return Standing{Alive: v.Alive, Known: true, Weight: int32(weight)}
}

// counts is what a server adds to the sum that the quorum is held against.
func (s Standing) counts(o Override) int {
	if !s.Alive || o.Disabled {
		return 0
	}
	return int(s.Weight)
}

func compare(server int, was, is Standing) []Change {
	switch {
	case !was.Known:
		return nil // it begins as it is
	case was.Alive != is.Alive:
		kind := ServerDown
		if is.Alive {
			kind = ServerUp
		}
		return []Change{{Kind: kind, Server: server}}
	case was.Weight != is.Weight:
		return []Change{{Kind: WeightChanged, Server: server, From: was.Weight, To: is.Weight}}
	}
	return nil
}

// thresholds gives quorum and hysteresis in weights. What is said in percent is of the configured weights of all
// servers, rounded up.
func thresholds(vs *config.VirtualServer) (quorum, hysteresis int) {
	quorum, hysteresis = vs.Quorum, vs.Hysteresis
	total := 0
	for i := range vs.RealServers {
		total += int(vs.RealServers[i].Destination.Weight)
	}
	if vs.QuorumPercent > 0 {
		quorum = (total*vs.QuorumPercent + 99) / 100
	}
	if vs.HysteresisPercent > 0 {
		hysteresis = (total*vs.HysteresisPercent + 99) / 100
	}
	quorum = max(quorum, 1)
	return quorum, min(hysteresis, quorum-1)
}
