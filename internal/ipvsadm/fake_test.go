package ipvsadm

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"drover/internal/lvs"
)

// fakeTable is a table in memory with ip_vs's rules.
type fakeTable struct {
	services    []lvs.ServiceState
	connections []lvs.Connection
	timeouts    lvs.Timeouts
	daemons     []lvs.SyncDaemon
	order       map[lvs.ServiceKey]int // place in the hash table; those not in it come last
	mtu         map[string]int         // of the interfaces that there are, bytes
	unsupported string                 // a scheduler that is not supported
	daemonless  bool                   // the sync daemon is not supported
	calls       []string               // Begin and Commit, and listings
	commitErr   error
}

func newFake() *fakeTable {
	return &fakeTable{timeouts: lvs.DefaultTimeouts, mtu: map[string]int{"br0": 1500, "lo": 0}}
}

var schedulers = strings.Fields("rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh")

func (t *fakeTable) find(key lvs.ServiceKey) int {
	return slices.IndexFunc(t.services, func(s lvs.ServiceState) bool { return s.ServiceKey == key })
}

func (t *fakeTable) Services() ([]lvs.ServiceState, error) {
	t.calls = append(t.calls, "list")
	services := slices.Clone(t.services)
	slices.SortStableFunc(services, func(a, b lvs.ServiceState) int { return cmp.Compare(t.place(a), t.place(b)) })
	return services, nil
}

func (t *fakeTable) place(s lvs.ServiceState) int {
	if place, ok := t.order[s.ServiceKey]; ok {
		return place
	}
	return len(t.order)
}

func (t *fakeTable) Service(key lvs.ServiceKey) (lvs.ServiceState, error) {
	if i := t.find(key); i >= 0 {
		return t.services[i], nil
	}
	return lvs.ServiceState{}, lvs.ErrNoService
}

func (t *fakeTable) checkService(svc lvs.Service) error {
	if svc.Scheduler == t.unsupported {
		return &lvs.UnsupportedError{What: "the scheduler " + svc.Scheduler}
	}
	if !slices.Contains(schedulers, svc.Scheduler) || svc.PE != "" && svc.PE != "sip" {
		return lvs.ErrNoScheduler
	}
	return nil
}

func (t *fakeTable) AddService(svc lvs.Service) error {
	if t.find(svc.ServiceKey) >= 0 {
		return lvs.ErrServiceExists
	}
	if err := t.checkService(svc); err != nil {
		return err
	}
	t.services = append(t.services, lvs.ServiceState{Service: svc})
	return nil
}

func (t *fakeTable) EditService(svc lvs.Service) error {
	i := t.find(svc.ServiceKey)
	if i < 0 {
		return lvs.ErrNoService
	}
	if err := t.checkService(svc); err != nil {
		return err
	}
	svc.Stats = t.services[i].Stats
	t.services[i].Service = svc
	return nil
}

func (t *fakeTable) DeleteService(key lvs.ServiceKey) error {
	i := t.find(key)
	if i < 0 {
		return lvs.ErrNoService
	}
	t.services = slices.Delete(t.services, i, i+1)
	return nil
}

func (t *fakeTable) Flush() error {
	t.services = nil
	return nil
}

func (t *fakeTable) Zero(key *lvs.ServiceKey) error {
	if key != nil && t.find(*key) < 0 {
		return lvs.ErrNoService
	}
	for i := range t.services {
		if svc := &t.services[i]; key == nil || svc.ServiceKey == *key {
			svc.Stats = lvs.Stats{}
			for j := range svc.Destinations {
				svc.Destinations[j].Stats = lvs.Stats{}
			}
		}
	}
	return nil
}

// destination finds a service and a server of it: index -1 if there is no such server.
func (t *fakeTable) destination(key lvs.ServiceKey, addr netip.AddrPort) (*lvs.ServiceState, int, error) {
	i := t.find(key)
	if i < 0 {
		return nil, -1, lvs.ErrServiceNotDefined
	}
	svc := &t.services[i]
	return svc, slices.IndexFunc(svc.Destinations, func(d lvs.Destination) bool { return d.Addr == addr }), nil
}

func checkDestination(d lvs.Destination) error {
	switch {
	case d.Lower > d.Upper:
		return lvs.ErrRange
	case d.Addr.Addr().IsUnspecified() || d.Addr.Addr().IsMulticast():
		return lvs.ErrInvalidDestination
	}
	return nil
}

func (t *fakeTable) AddDestination(key lvs.ServiceKey, d lvs.Destination) error {
	svc, i, err := t.destination(key, d.Addr)
	if err != nil {
		return err
	}
	if err := checkDestination(d); err != nil {
		return err
	}
	if i >= 0 {
		return lvs.ErrDestinationExists
	}
	svc.Destinations = slices.Insert(svc.Destinations, 0, d) // the newest first
	return nil
}

func (t *fakeTable) EditDestination(key lvs.ServiceKey, d lvs.Destination) error {
	svc, i, err := t.destination(key, d.Addr)
	if err != nil {
		return err
	}
	if err := checkDestination(d); err != nil {
		return err
	}
	if i < 0 {
		return lvs.ErrNoDestination
	}
	svc.Destinations[i] = d
	return nil
}

func (t *fakeTable) DeleteDestination(key lvs.ServiceKey, addr netip.AddrPort) error {
	svc, i, err := t.destination(key, addr)
	if err != nil {
		return err
	}
	if i < 0 {
		return lvs.ErrNoDestination
	}
	svc.Destinations = slices.Delete(svc.Destinations, i, i+1)
	return nil
}

func (t *fakeTable) Connections() ([]lvs.Connection, error) { return t.connections, nil }
func (t *fakeTable) Size() (int, error)                     { return 4096, nil }
func (t *fakeTable) Timeouts() (lvs.Timeouts, error)        { return t.timeouts, nil }

func (t *fakeTable) SetTimeouts(set lvs.Timeouts) error {
	for _, p := range []struct{ to, from *time.Duration }{
		{&t.timeouts.TCP, &set.TCP}, {&t.timeouts.TCPFin, &set.TCPFin}, {&t.timeouts.UDP, &set.UDP},
	} {
		if *p.from != 0 {
			*p.to = *p.from
		}
	}
	return nil
}

func (t *fakeTable) Daemons() ([]lvs.SyncDaemon, error) {
	if t.daemonless {
		return nil, &lvs.UnsupportedError{What: "the sync daemon"}
	}
	return t.daemons, nil
}

func (t *fakeTable) StartDaemon(d lvs.SyncDaemon) error {
	mtu, ok := t.mtu[d.Interface]
	switch {
	case !ok && d.Interface == "eth0":
		return lvs.ErrNoDevice
	case !ok || mtu == 0: // no multicast
		return lvs.ErrInvalidDestination
	}
	if !d.Group.IsValid() {
		d.Group = netip.AddrFrom4([4]byte{224, 0, 0, 81})
	}
	headers := uint16(28) // of IPv4 and UDP
	if d.Group.Is6() {
		headers = 48
	}
	d.MaxLen = cmp.Or(d.MaxLen, uint16(mtu)-headers)
	d.Port, d.TTL = cmp.Or(d.Port, 8848), cmp.Or(d.TTL, 1)
	t.daemons = append(t.daemons, d)
	slices.SortFunc(t.daemons, func(a, b lvs.SyncDaemon) int { return cmp.Compare(a.Role, b.Role) })
	return nil
}

func (t *fakeTable) StopDaemon(role lvs.SyncRole) error {
	before := len(t.daemons)
	t.daemons = slices.DeleteFunc(t.daemons, func(d lvs.SyncDaemon) bool { return d.Role == role })
	if len(t.daemons) == before {
		return lvs.ErrNoDaemon
	}
	return nil
}

func (t *fakeTable) Close() error { return nil }
func (t *fakeTable) Keeps() bool  { return true }

func (t *fakeTable) Begin() error {
	t.calls = append(t.calls, "begin")
	return nil
}

func (t *fakeTable) Commit() error {
	t.calls = append(t.calls, "commit")
	return t.commitErr
}

// fakeHosts are names and addresses, the names that addresses are listed by first.
type fakeHosts []struct{ name, addr string }

func (h fakeHosts) Addr(name string) (netip.Addr, bool) {
	for _, host := range h {
		if addr := netip.MustParseAddr(host.addr); host.name == name && addr.Is4() {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

func (h fakeHosts) Name(addr netip.Addr) (string, bool) {
	for _, host := range h {
		if host.addr == addr.String() {
			return host.name, true
		}
	}
	return "", false
}

var errBroken = errors.New("broken")
