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

// A timeoutChange is one of the three.
type timeoutChange struct {
	to   time.Duration // 0: left as it is
	from *uint32       // seconds
}

func timeoutChanges(c *directorControl, to lvs.Timeouts) []timeoutChange {
	return []timeoutChange{
		{to.TCP, &c.Tcp[lvs.StateEstablished]},
		{to.TCPFin, &c.Tcp[lvs.StateFinWait]},
		{to.UDP, &c.Udp},
	}
}

func (c timeoutChange) apply() {
	if seconds := c.to / time.Second; seconds > 0 {
		atomic.StoreUint32(c.from, uint32(seconds))
	}
}

// SetTimeouts changes those that are not zero. A connection takes the new one with its next packet, as
// in ip_vs.
func (t *Table) SetTimeouts(to lvs.Timeouts) error {
	for _, change := range timeoutChanges(t.control.at(0), to) {
		if change.to/time.Second > maxTimeout {
			return lvs.ErrInvalidDestination
		}
	}
	return t.change(func(tx *transaction) error {
		for _, both := range [][2]*time.Duration{
			{&tx.timeouts.TCP, &to.TCP}, {&tx.timeouts.TCPFin, &to.TCPFin}, {&tx.timeouts.UDP, &to.UDP},
		} {
			if *both[1] >= time.Second {
				*both[0] = *both[1]
			}
		}
		return nil
	})
}
