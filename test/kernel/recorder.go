package kernel

import (
	"io"
	"net/netip"
	"strings"

	"drover/internal/ipvsadm"
	"drover/internal/lvs"
)

// A call is what a command asks of the table.
type call struct {
	op      string // "add service", "edit service", "add server", "edit server", "start daemon", or "" for others
	service lvs.Service
	server  lvs.Destination
}

// calls tells what a command asks of the table, by carrying it out on one that does nothing. A command that
// ipvsadm itself refuses asks for nothing.
func calls(s step) []call {
	var r recorder
	ipvsadm.Run(ipvsadm.Env{
		Stdin: strings.NewReader(s.stdin), Stdout: io.Discard, Stderr: io.Discard,
		Open:  func(ipvsadm.Mode) (ipvsadm.Table, error) { return &r, nil },
		Hosts: noHosts{}, Ports: ports,
	}, s.program, s.args)
	return r.calls
}

// ports are read once: there is a command for each line of a case.
var ports = ipvsadm.NewPorts("/etc/services")

// A recorder is a table that notes what it is asked for.
type recorder struct{ calls []call }

func (r *recorder) note(op string, s lvs.Service, d lvs.Destination) error {
	r.calls = append(r.calls, call{op, s, d})
	return nil
}

func (r *recorder) noteKey(op string, k lvs.ServiceKey, d lvs.Destination) error {
	return r.note(op, lvs.Service{ServiceKey: k}, d)
}

func (r *recorder) AddService(s lvs.Service) error {
	return r.note("add service", s, lvs.Destination{})
}

func (r *recorder) EditService(s lvs.Service) error {
	return r.note("edit service", s, lvs.Destination{})
}

func (r *recorder) AddDestination(k lvs.ServiceKey, d lvs.Destination) error {
	return r.noteKey("add server", k, d)
}

func (r *recorder) EditDestination(k lvs.ServiceKey, d lvs.Destination) error {
	return r.noteKey("edit server", k, d)
}

func (r *recorder) DeleteDestination(k lvs.ServiceKey, a netip.AddrPort) error {
	return r.noteKey("", k, lvs.Destination{Addr: a})
}

func (r *recorder) Service(k lvs.ServiceKey) (lvs.ServiceState, error) {
	return lvs.ServiceState{Service: lvs.Service{ServiceKey: k, Scheduler: "rr"}}, r.noteKey("", k, lvs.Destination{})
}

func (r *recorder) DeleteService(k lvs.ServiceKey) error { return r.noteKey("", k, lvs.Destination{}) }

func (r *recorder) StartDaemon(lvs.SyncDaemon) error {
	return r.note("start daemon", lvs.Service{}, lvs.Destination{})
}

func (r *recorder) Services() ([]lvs.ServiceState, error)  { return nil, nil }
func (r *recorder) Flush() error                           { return nil }
func (r *recorder) Zero(*lvs.ServiceKey) error             { return nil }
func (r *recorder) Connections() ([]lvs.Connection, error) { return nil, nil }
func (r *recorder) Size() (int, error)                     { return 0, nil }
func (r *recorder) Timeouts() (lvs.Timeouts, error)        { return lvs.Timeouts{}, nil }
func (r *recorder) SetTimeouts(lvs.Timeouts) error         { return nil }
func (r *recorder) Daemons() ([]lvs.SyncDaemon, error)     { return nil, nil }
func (r *recorder) StopDaemon(lvs.SyncRole) error {
	return r.note("", lvs.Service{}, lvs.Destination{})
}
func (r *recorder) Close() error { return nil }

// Begin, Commit and Keeps are for tables that make one change of a restore.
func (r *recorder) Begin() error  { return nil }
func (r *recorder) Commit() error { return nil }
func (r *recorder) Keeps() bool   { return true }

// noHosts knows the one name that the guest knows.
type noHosts struct{}

func (noHosts) Addr(name string) (netip.Addr, bool) {
	return netip.AddrFrom4([4]byte{127, 0, 0, 1}), name == "localhost"
}

func (noHosts) Name(netip.Addr) (string, bool) { return "", false }
