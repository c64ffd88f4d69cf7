package datapath

import (
	"net/netip"
	"sync/atomic"

	"drover/internal/lvs"
)

const stateReset = 1 << 7 // STATE_FLAG_RESET of bpf/types.h

// GoingOn gives the connections of a server that somebody still uses: TCP until both sides have closed or, where
// only the client's packets are seen (direct routing, tunnels), the client has; UDP until its time is over.
// lvs.ErrServiceNotDefined, lvs.ErrNoDestination.
func (t *Table) GoingOn(k lvs.ServiceKey, server netip.AddrPort) ([]lvs.Connection, error) {
	return t.eachGoingOn(k, server, func(*directorConn, uint64) bool { return true })
}

// Reset has the connections that are going on ended: the next packet of each is answered with RST, of UDP
// scheduled anew. It gives those that it reached.
func (t *Table) Reset(k lvs.ServiceKey, server netip.AddrPort) ([]lvs.Connection, error) {
	return t.eachGoingOn(k, server, func(c *directorConn, state uint64) bool {
		// Programs change the word meanwhile; another generation in it is another connection.
		for range 8 {
			if atomic.CompareAndSwapUint64(&c.State, state, state|stateReset) {
				return true
			}
			now := atomic.LoadUint64(&c.State)
			if now>>stateGenerationShift != state>>stateGenerationShift || lifeOf(now) != directorLifeLIFE_LIVE {
				return false
			}
			state = now
		}
		return false
	})
}

func (t *Table) eachGoingOn(k lvs.ServiceKey, server netip.AddrPort, take func(c *directorConn, state uint64) bool) ([]lvs.Connection, error) {
	slot, err := t.slotOf(k, server)
	if err != nil {
		return nil, err
	}
	var all []lvs.Connection
	err = t.eachConnection(func(c *directorConn, entry directorConn, now uint32) {
		if entry.Dest == slot && isGoingOn(&entry) && take(c, entry.State) {
			all = append(all, t.connection(&entry, now))
		}
	})
	return all, err
}

// LastWeight gives the last weight of a server that was not 0, since it was added; 0: it had none.
func (t *Table) LastWeight(k lvs.ServiceKey, server netip.AddrPort) (int32, error) {
	slot, err := t.slotOf(k, server)
	if err != nil {
		return 0, err
	}
	return int32(t.dests.at(slot).LastWeight), nil
}

// slotOf finds a service's server.
func (t *Table) slotOf(k lvs.ServiceKey, server netip.AddrPort) (uint32, error) {
	_, s, err := t.find(k)
	if err != nil {
		return 0, lvs.ErrServiceNotDefined
	}
	for _, e := range t.list(s.Block) {
		d := t.dests.at(e.slot())
		if addrPort(d.Addr, d.Port, d.RipFamily) == server {
			return e.slot(), nil
		}
	}
	return 0, lvs.ErrNoDestination
}

func isGoingOn(c *directorConn) bool {
	if c.Family&familyTemplate != 0 {
		return false
	}
	if lvs.Protocol(c.Protocol) != lvs.TCP {
		return true
	}
	switch lvs.State(c.State & stateMask) {
	case lvs.StateTimeWait, lvs.StateClose, lvs.StateLastAck:
		return false
	case lvs.StateFinWait:
		return lvs.Forwarding(c.State>>stateForwardShift&stateForwardMask) == lvs.Masquerade
	}
	return true
}
