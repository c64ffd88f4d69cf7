package datapath

import (
	"net/netip"
	"sync/atomic"

	"drover/internal/lvs"
)

// A Drift is a server whose counters are not what the connection table has.
type Drift struct {
	Service lvs.ServiceKey
	Server  netip.AddrPort
	Counted Held // what the counters say
	Found   Held // what the table has
}

// Held are a server's connections.
type Held struct {
	Active     uint32 `json:"active"`
	Inactive   uint32 `json:"inactive"`
	Persistent uint32 `json:"persistent"`
}

// Audited is what an audit looked at, and found.
type Audited struct {
	Connections int // and templates
	Servers     int // with connections, or counters that say so
	Drifts      []Drift
}

// auditTries is how often a difference must be found: packets move both sides meanwhile, one after the other.
const auditTries = 5

// Audit counts the connections of each server again. A server is a drift if every one of some counts differs from
// its counters, in the same way.
func (t *Table) Audit() (*Audited, error) {
	var suspects map[uint32]Drift
	var result Audited
	for try := range auditTries {
		counted := t.heldAll()
		found, n, err := t.recount()
		if err != nil {
			return nil, err
		}
		differ := map[uint32]Drift{}
		servers := 0
		for slot := uint32(1); slot <= t.control.at(0).LastDest; slot++ {
			if counted[slot] == (Held{}) && found[slot] == (Held{}) {
				continue
			}
			servers++
			if counted[slot] == found[slot] {
				continue
			}
			d := Drift{Counted: counted[slot], Found: found[slot]}
			if before, ok := suspects[slot]; try == 0 || ok && before.by() == d.by() {
				row := t.dests.at(slot)
				d.Service = keyFrom(directorServiceKey{Addr: row.Vaddr, Port: row.Vport, Protocol: row.Protocol, Family: row.Family})
				d.Server = addrPort(row.Addr, row.Port, row.RipFamily)
				differ[slot] = d
			}
		}
		suspects, result.Connections, result.Servers = differ, n, servers
		if len(suspects) == 0 {
			break
		}
	}
	for slot := uint32(1); slot <= t.control.at(0).LastDest; slot++ {
		if d, ok := suspects[slot]; ok {
			result.Drifts = append(result.Drifts, d)
		}
	}
	return &result, nil
}

// by is how far the counters are off.
func (d Drift) by() [3]int64 {
	return [3]int64{
		int64(d.Counted.Active) - int64(d.Found.Active), int64(d.Counted.Inactive) - int64(d.Found.Inactive),
		int64(d.Counted.Persistent) - int64(d.Found.Persistent),
	}
}

// heldAll reads all counters.
func (t *Table) heldAll() []Held {
	all := make([]Held, t.control.at(0).LastDest+1)
	for slot := range all {
		word := atomic.LoadUint64(&t.destConns.at(uint32(slot)).Word)
		all[slot] = Held{activeConns(word), inactiveConns(word), uint32(atomic.LoadUint64(t.destPersistent.at(uint32(slot))))}
	}
	return all
}

// recount counts the entries of the table by server.
func (t *Table) recount() (found []Held, n int, err error) {
	found = make([]Held, len(t.dests.elements))
	err = t.eachConnection(func(_ *directorConn, entry directorConn, _ uint32) {
		if entry.Dest >= uint32(len(found)) {
			return
		}
		n++
		switch held := &found[entry.Dest]; {
		case entry.Family&familyTemplate != 0:
			held.Persistent++
		case entry.State&stateInactive != 0:
			held.Inactive++
		default:
			held.Active++
		}
	})
	return found, n, err
}
