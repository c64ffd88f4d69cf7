package ipvsadm

import (
	"net/netip"

	"drover/internal/lvs"
)

// Mode says what a command is about to do with the table, so that a data path is loaded only by
// a command that needs one.
type Mode int

// The modes, each including those before it. Reading or changing a table that is not loaded is
// reading or changing an empty one.
const (
	Read   Mode = iota // list, save
	Change             // edit, delete, zero, daemons
	Add                // add a service, set timeouts: what must be kept
)

// A Table holds the virtual services, their servers and their connections, with ip_vs's rules.
// Its methods return the errors of package lvs, which are printed as they are.
type Table interface {
	ServiceTable
	DestinationTable
	ConnectionTable
	DaemonTable
	Transactions
	Close() error
}

// Transactions make one change of many: nobody sees half of it.
type Transactions interface {
	Begin() error  // what follows is put in force by Commit, though it is answered at once
	Commit() error // on an error nothing is changed
	Keeps() bool   // false: it keeps nothing that is added, and is to be opened anew to Add
}

// ServiceTable holds virtual services.
type ServiceTable interface {
	Services() ([]lvs.ServiceState, error) // in the table's own order, which --nosort shows
	Service(lvs.ServiceKey) (lvs.ServiceState, error)
	AddService(lvs.Service) error
	EditService(lvs.Service) error
	DeleteService(lvs.ServiceKey) error
	Flush() error               // deletes every service
	Zero(*lvs.ServiceKey) error // zeroes the counters of a service, or with nil of all
}

// DestinationTable holds the servers of virtual services.
type DestinationTable interface {
	AddDestination(lvs.ServiceKey, lvs.Destination) error
	EditDestination(lvs.ServiceKey, lvs.Destination) error
	DeleteDestination(lvs.ServiceKey, netip.AddrPort) error
}

// ConnectionTable holds connections and their timeouts.
type ConnectionTable interface {
	Connections() ([]lvs.Connection, error)
	Size() (int, error) // of the hash table, for the header of a listing
	Timeouts() (lvs.Timeouts, error)
	SetTimeouts(lvs.Timeouts) error // leaves alone what is zero
}

// DaemonTable holds the connection sync daemons.
type DaemonTable interface {
	Daemons() ([]lvs.SyncDaemon, error) // the master first
	StartDaemon(lvs.SyncDaemon) error
	StopDaemon(lvs.SyncRole) error
}
