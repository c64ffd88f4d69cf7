package director

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/lvs"
)

// A fakeTable is a data path that is a list. What is changed is in force at Commit.
type fakeTable struct {
	services []lvs.ServiceState
	staged   []lvs.ServiceState
	broken   error // what Begin answers
	changes  int   // commits
	log      []string
}

func (t *fakeTable) Begin() error {
	t.staged = nil
	for _, s := range t.services {
		s.Destinations = slices.Clone(s.Destinations)
		t.staged = append(t.staged, s)
	}
	return t.broken
}

func (t *fakeTable) Commit() error {
	t.services = t.staged
	t.changes++
	return nil
}

func (t *fakeTable) find(k lvs.ServiceKey) *lvs.ServiceState {
	for i := range t.staged {
		if t.staged[i].ServiceKey == k {
			return &t.staged[i]
		}
	}
	return nil
}

func (t *fakeTable) Service(k lvs.ServiceKey) (lvs.ServiceState, error) {
	if s := t.find(k); s != nil {
		is := *s
		is.Destinations = slices.Clone(s.Destinations)
		return is, nil
	}
	return lvs.ServiceState{}, lvs.ErrNoService
}

func (t *fakeTable) did(format string, args ...any) {
	t.log = append(t.log, fmt.Sprintf(format, args...))
}

func (t *fakeTable) AddService(s lvs.Service) error {
	t.did("add %v", s.ServiceKey)
	t.staged = append(t.staged, lvs.ServiceState{Service: s})
	return nil
}

func (t *fakeTable) EditService(s lvs.Service) error {
	t.did("edit %v", s.ServiceKey)
	t.find(s.ServiceKey).Service = s
	return nil
}

func (t *fakeTable) DeleteService(k lvs.ServiceKey) error {
	t.did("delete %v", k)
	was := len(t.staged)
	t.staged = slices.DeleteFunc(t.staged, func(s lvs.ServiceState) bool { return s.ServiceKey == k })
	if len(t.staged) == was {
		return lvs.ErrNoService
	}
	return nil
}

func (t *fakeTable) AddDestination(k lvs.ServiceKey, d lvs.Destination) error {
	t.did("add %v %v", k, d.Addr)
	s := t.find(k)
	s.Destinations = slices.Insert(s.Destinations, 0, d) // as ip_vs does
	return nil
}

func (t *fakeTable) EditDestination(k lvs.ServiceKey, d lvs.Destination) error {
	t.did("edit %v %v", k, d.Addr)
	s := t.find(k)
	s.Destinations[slices.IndexFunc(s.Destinations, at(d.Addr))] = d
	return nil
}

func (t *fakeTable) DeleteDestination(k lvs.ServiceKey, a netip.AddrPort) error {
	t.did("delete %v %v", k, a)
	s := t.find(k)
	s.Destinations = slices.DeleteFunc(s.Destinations, at(a))
	return nil
}

func (t *fakeTable) SetTimeouts(to lvs.Timeouts) error { t.did("timeouts %v", to); return nil }

func (t *fakeTable) Flush() error {
	t.did("flush")
	t.services = nil
	return nil
}

func (t *fakeTable) Close() error { return nil }

// String gives a line for each service: "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.12:80=1".
func (t *fakeTable) String() string {
	var lines []string
	for _, s := range t.services {
		line := fmt.Sprintf("%v %s:", s.ServiceKey, s.Scheduler)
		for _, d := range slices.Backward(s.Destinations) {
			line += fmt.Sprintf(" %v=%d", d.Addr, d.Weight)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
