package datapath

import (
	"sync/atomic"
	"time"

	"drover/internal/lvs"
)

// maxTimeout is the longest that a connection's 24 bits hold, in seconds: 194 days.
const maxTimeout = 1<<24 - 1

// setDefaultTimeouts sets those of a fresh ip_vs.
func setDefaultTimeouts(c *directorControl) {
	c.Udp = uint32(lvs.DefaultTimeouts.UDP / time.Second)
	for state, seconds := range map[lvs.State]uint32{
		lvs.StateNone:        2,
		lvs.StateEstablished: 900,
		lvs.StateSynSent:     120,
		lvs.StateSynRecv:     60,
		lvs.StateFinWait:     120,
		lvs.StateTimeWait:    120,
		lvs.StateClose:       10,
		lvs.StateCloseWait:   60,
		lvs.StateLastAck:     30,
		lvs.StateListen:      120,
		lvs.StateSynAck:      120,
	} {
		c.Tcp[state] = seconds
	}
}

// Timeouts gives the three that --set changes.
func (t *Table) Timeouts() (lvs.Timeouts, error) {
	c := t.control.at(0)
	return lvs.Timeouts{
		TCP:    time.Duration(c.Tcp[lvs.StateEstablished]) * time.Second,
		TCPFin: time.Duration(c.Tcp[lvs.StateFinWait]) * time.Second,
		UDP:    time.Duration(c.Udp) * time.Second,
	}, nil
}

// SetTimeouts changes those that are not zero. A connection takes the new one with its next packet, as
// in ip_vs.
func (t *Table) SetTimeouts(to lvs.Timeouts) error {
	c := t.control.at(0)
	changes := []struct {
		from time.Duration
		to   *uint32
	}{
		{to.TCP, &c.Tcp[lvs.StateEstablished]},
		{to.TCPFin, &c.Tcp[lvs.StateFinWait]},
		{to.UDP, &c.Udp},
	}
	for _, change := range changes {
		if change.from/time.Second > maxTimeout {
			return lvs.ErrInvalidDestination
		}
	}
	for _, change := range changes {
		if seconds := change.from / time.Second; seconds > 0 {
			atomic.StoreUint32(change.to, uint32(seconds))
		}
	}
	return nil
}
