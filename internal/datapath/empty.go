package datapath

import (
	"net/netip"

	"drover/internal/lvs"
)

// EmptyTable is the table of a network namespace without a data path: what ip_vs is before the first
// service. It takes no changes but those that change nothing.
type EmptyTable struct{ noDaemons }

// Close does nothing.
func (EmptyTable) Close() error { return nil }

// Begin does nothing.
func (EmptyTable) Begin() error { return nil }

// Commit does nothing.
func (EmptyTable) Commit() error { return nil }

// Keeps is false: to add, the data path is loaded first.
func (EmptyTable) Keeps() bool { return false }

// Services gives none.
func (EmptyTable) Services() ([]lvs.ServiceState, error) { return nil, nil }

// Service is lvs.ErrNoService.
func (EmptyTable) Service(lvs.ServiceKey) (lvs.ServiceState, error) {
	return lvs.ServiceState{}, lvs.ErrNoService
}

// AddService is ErrNotLoaded: to add, the data path is loaded first.
func (EmptyTable) AddService(lvs.Service) error { return ErrNotLoaded }

// EditService is lvs.ErrNoService.
func (EmptyTable) EditService(lvs.Service) error { return lvs.ErrNoService }

// DeleteService is lvs.ErrNoService.
func (EmptyTable) DeleteService(lvs.ServiceKey) error { return lvs.ErrNoService }

// Flush finds nothing to delete.
func (EmptyTable) Flush() error { return nil }

// Zero finds nothing to zero, and a named service not at all.
func (EmptyTable) Zero(k *lvs.ServiceKey) error {
	if k != nil {
		return lvs.ErrNoService
	}
	return nil
}

// AddDestination is lvs.ErrServiceNotDefined.
func (EmptyTable) AddDestination(lvs.ServiceKey, lvs.Destination) error {
	return lvs.ErrServiceNotDefined
}

// EditDestination is lvs.ErrServiceNotDefined.
func (EmptyTable) EditDestination(lvs.ServiceKey, lvs.Destination) error {
	return lvs.ErrServiceNotDefined
}

// DeleteDestination is lvs.ErrServiceNotDefined.
func (EmptyTable) DeleteDestination(lvs.ServiceKey, netip.AddrPort) error {
	return lvs.ErrServiceNotDefined
}

// Connections gives none.
func (EmptyTable) Connections() ([]lvs.Connection, error) { return nil, nil }

// Size is that of the table which a load would make.
func (EmptyTable) Size() (int, error) { return int(bucketsFor(DefaultConnections)), nil }

// Timeouts are the defaults.
func (EmptyTable) Timeouts() (lvs.Timeouts, error) { return lvs.DefaultTimeouts, nil }

// ServiceTimeouts is lvs.ErrNoService.
func (EmptyTable) ServiceTimeouts(lvs.ServiceKey) (lvs.ServiceTimeouts, error) {
	return lvs.ServiceTimeouts{}, lvs.ErrNoService
}

// Tunes are the defaults.
func (EmptyTable) Tunes() []Tune { return DefaultTunes() }

// SetTimeouts is ErrNotLoaded: there is nothing yet to keep them.
func (EmptyTable) SetTimeouts(lvs.Timeouts) error { return ErrNotLoaded }

// Marks gives none.
func (EmptyTable) Marks() ([]lvs.MarkRule, error) { return nil, nil }

// Standby gives none.
func (EmptyTable) Standby() ([]netip.Addr, error) { return nil, nil }

// AccessRules gives none.
func (EmptyTable) AccessRules() ([]lvs.AccessRule, error) { return nil, nil }

// AccessLimit gives none.
func (EmptyTable) AccessLimit() (lvs.AccessLimit, error) { return lvs.AccessLimit{}, nil }
