package datapath

import (
	"sync/atomic"
	"time"

	"drover/internal/lvs"
)

// Parts of a connection's state word: STATE_* in bpf/types.h.
const (
	stateMask         = 0xf
	stateOwnPort      = 1 << 4
	stateInactive     = 1 << 8
	stateForwardShift = 10
	stateForwardMask  = 3
	stateLifeShift    = 12
	stateLifeMask     = 7
	stateTimeoutShift = 16
	stateTimeoutMask  = 1<<24 - 1

	stateGenerationShift = 40
)

// familyTemplate is FAMILY_TEMPLATE in bpf/types.h.
const familyTemplate = 0x80

func lifeOf(word uint64) directorLife {
	return directorLife(word >> stateLifeShift & stateLifeMask)
}

// Connections gives the live connections, and persistence's templates, in no order that means anything.
func (t *Table) Connections() ([]lvs.Connection, error) {
	var all []lvs.Connection
	err := t.eachConnection(func(_ *directorConn, entry directorConn, now uint32) {
		all = append(all, t.connection(&entry, now))
	})
	return all, err
}

// eachConnection calls f with each live entry: where it is, and a copy that is whole.
func (t *Table) eachConnection(f func(c *directorConn, entry directorConn, now uint32)) error {
	conns, err := mapArray[directorConn](t.maps.Conns)
	if err != nil {
		return err
	}
	defer conns.close() //nolint:errcheck // nothing to lose
	pool, err := mapArray[directorPool](t.maps.Pool)
	if err != nil {
		return err
	}
	defer pool.close() //nolint:errcheck // only read
	used := min(atomic.LoadUint32(&pool.at(0).Fresh), uint32(len(conns.elements)-1))
	now := atomic.LoadUint32(&t.control.at(0).Now)
	for i := uint32(1); i <= used; i++ {
		if entry, live := readConn(conns.at(i)); live {
			f(conns.at(i), entry, now)
		}
	}
	return nil
}

// readConn copies an entry while programs use it. A change of its state word meanwhile may be the end
// of one connection and the beginning of another, so it is read again.
func readConn(c *directorConn) (entry directorConn, live bool) {
	for range 3 {
		before := atomic.LoadUint64(&c.State)
		if lifeOf(before) != directorLifeLIFE_LIVE {
			return entry, false
		}
		entry = *c
		if atomic.LoadUint64(&c.State) == before {
			entry.State = before
			return entry, true
		}
	}
	return entry, lifeOf(entry.State) == directorLifeLIFE_LIVE
}

func (t *Table) connection(c *directorConn, now uint32) lvs.Connection {
	var server directorDest
	if c.Dest < uint32(len(t.dests.elements)) {
		server = *t.dests.at(c.Dest)
	}
	template := c.Family&familyTemplate != 0
	c.Family &^= familyTemplate
	timeout := time.Duration(c.State>>stateTimeoutShift&stateTimeoutMask) * time.Second
	idle := time.Duration(max(int32(now-c.Seen), 0)) * time.Millisecond
	port := server.Port
	if c.State&stateOwnPort != 0 {
		port = c.Vport
	}
	return lvs.Connection{
		Protocol:    lvs.Protocol(c.Protocol),
		Client:      addrPort(c.Client, c.Cport, c.Family),
		Virtual:     addrPort(c.Vaddr, c.Vport, c.Family),
		Destination: addrPort(server.Addr, port, server.RipFamily),
		State:       lvs.State(c.State & stateMask),
		Template:    template,
		Expires:     max(timeout-idle, 0),
		Forwarding:  lvs.Forwarding(c.State >> stateForwardShift & stateForwardMask),
		Active:      c.State&stateInactive == 0,
	}
}
