package datapath

import "drover/internal/lvs"

// noDaemons is a table without connection synchronisation: it runs no daemon and starts none.
type noDaemons struct{}

// Daemons gives none.
func (noDaemons) Daemons() ([]lvs.SyncDaemon, error) { return nil, nil }

// StartDaemon is refused.
func (noDaemons) StartDaemon(lvs.SyncDaemon) error {
	return &lvs.UnsupportedError{What: "the connection sync daemon (--start-daemon)"}
}

// StopDaemon says that none is running.
func (noDaemons) StopDaemon(lvs.SyncRole) error { return lvs.ErrNoDaemon }
