package datapath

import (
	"time"

	"drover/internal/lvs"
)

// ServiceTimeouts gives a service's own, or lvs.ErrNoService.
func (t *Table) ServiceTimeouts(k lvs.ServiceKey) (lvs.ServiceTimeouts, error) {
	_, s, err := t.find(k)
	if err != nil || s.Timeouts == 0 {
		return lvs.ServiceTimeouts{}, err
	}
	return timeoutsFrom(*t.timeoutSets.at(s.Timeouts)), nil
}

// SetServiceTimeouts replaces a service's own: whole seconds, zero takes that of all. A connection takes the
// new one with its next packet. They stay through edits of the service, and go with it. Errors:
// lvs.ErrNoService; lvs.ErrRange; lvs.ErrMemory if there are too many different ones.
func (t *Table) SetServiceTimeouts(k lvs.ServiceKey, to lvs.ServiceTimeouts) error {
	for _, d := range append(to.TCP[:], to.UDP) {
		if d < 0 || d/time.Second > maxTimeout {
			return lvs.ErrRange
		}
	}
	return t.change(func(tx *transaction) error {
		s, err := tx.find(k)
		if err != nil {
			return err
		}
		if _, err := tx.servers(s); err != nil {
			return err
		}
		row, err := tx.timeoutRow(to)
		if err != nil {
			return err
		}
		s.now.Timeouts, s.changed = row, true
		return nil
	})
}

// timeoutRow gives the row of timeout_sets with these: one that is in use, or a free one, which it writes.
func (tx *transaction) timeoutRow(to lvs.ServiceTimeouts) (uint32, error) {
	if to == (lvs.ServiceTimeouts{}) {
		return 0, nil
	}
	if err := tx.findTimeoutRows(); err != nil {
		return 0, err
	}
	values, sets := timeoutsOf(to), tx.table.timeoutSets
	if row, found := tx.timeoutRows[values]; found {
		return row, nil
	}
	for row := uint32(1); row < uint32(len(sets.elements)); row++ {
		if !tx.timeoutsTaken[row] {
			*sets.at(row) = values
			tx.timeoutRows[values], tx.timeoutsTaken[row] = row, true
			return row, nil
		}
	}
	return 0, lvs.ErrMemory
}

// findTimeoutRows finds the rows in use: those of services in force, and those that this transaction took.
func (tx *transaction) findTimeoutRows() error {
	if tx.timeoutRows != nil {
		return nil
	}
	if err := tx.table.takeStock(); err != nil {
		return err
	}
	tx.timeoutRows, tx.timeoutsTaken = map[directorTimeouts]uint32{}, map[uint32]bool{}
	for _, s := range tx.table.stored {
		if s.Timeouts != 0 {
			tx.timeoutRows[*tx.table.timeoutSets.at(s.Timeouts)], tx.timeoutsTaken[s.Timeouts] = s.Timeouts, true
		}
	}
	return nil
}

// follow gives a server the timeouts of its service.
func (d *directorDest) follow(s directorService) {
	d.Timeouts = s.Timeouts
	if s.Timeouts != 0 {
		d.Flags |= destTimeouts
	} else {
		d.Flags &^= destTimeouts
	}
}

func timeoutsOf(t lvs.ServiceTimeouts) directorTimeouts {
	row := directorTimeouts{Udp: uint32(t.UDP / time.Second)}
	for state, d := range t.TCP {
		row.Tcp[state] = uint32(d / time.Second)
	}
	return row
}

func timeoutsFrom(row directorTimeouts) lvs.ServiceTimeouts {
	t := lvs.ServiceTimeouts{UDP: time.Duration(row.Udp) * time.Second}
	for state := range t.TCP {
		t.TCP[state] = time.Duration(row.Tcp[state]) * time.Second
	}
	return t
}

// MaxTimeout is the longest that a connection can have.
const MaxTimeout = maxTimeout * time.Second

// CommonTimeouts are those of services that have none of their own.
func (t *Table) CommonTimeouts() lvs.ServiceTimeouts {
	c := t.control.at(0)
	return timeoutsFrom(directorTimeouts{Udp: c.Udp, Tcp: c.Tcp})
}
