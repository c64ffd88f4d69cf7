package datapath

import (
	"fmt"
	"time"

	"drover/internal/lvs"
)

// maxTimeout is the longest that a connection's 24 bits hold, in seconds: 194 days.
const maxTimeout = 1<<24 - 1

// defaultSettings are the timeouts of a fresh ip_vs, in seconds.
func defaultSettings() directorSettings {
	s := directorSettings{Udp: uint32(lvs.DefaultTimeouts.UDP / time.Second)}
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
		s.Tcp[state] = seconds
	}
	return s
}

// Timeouts gives the three that --set changes.
func (t *Table) Timeouts() (lvs.Timeouts, error) {
	s, err := t.settings()
	if err != nil {
		return lvs.Timeouts{}, err
	}
	return lvs.Timeouts{
		TCP:    time.Duration(s.Tcp[lvs.StateEstablished]) * time.Second,
		TCPFin: time.Duration(s.Tcp[lvs.StateFinWait]) * time.Second,
		UDP:    time.Duration(s.Udp) * time.Second,
	}, nil
}

// SetTimeouts changes those that are not zero. A connection takes the new one with its next packet, as
// in ip_vs.
func (t *Table) SetTimeouts(to lvs.Timeouts) error {
	s, err := t.settings()
	if err != nil {
		return err
	}
	for _, change := range []struct {
		from time.Duration
		to   *uint32
	}{
		{to.TCP, &s.Tcp[lvs.StateEstablished]},
		{to.TCPFin, &s.Tcp[lvs.StateFinWait]},
		{to.UDP, &s.Udp},
	} {
		seconds := change.from / time.Second
		if seconds > maxTimeout {
			return lvs.ErrInvalidDestination
		}
		if seconds > 0 {
			*change.to = uint32(seconds)
		}
	}
	if err := t.maps.Settings.Put(uint32(0), s); err != nil {
		return fmt.Errorf("set the timeouts: %w", err)
	}
	return nil
}

func (t *Table) settings() (directorSettings, error) {
	var s directorSettings
	if err := t.maps.Settings.Lookup(uint32(0), &s); err != nil {
		return s, fmt.Errorf("read the timeouts: %w", err)
	}
	return s, nil
}
