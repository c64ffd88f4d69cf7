package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"drover/internal/lvs"
)

var (
	ruleVIP    = netip.MustParseAddrPort("192.0.2.100:80")
	ruleKey    = lvs.ServiceKey{Protocol: lvs.TCP, Addr: ruleVIP, Family: lvs.IPv4}
	ruleKey6   = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("[2001:db8:9::1]:80"), Family: lvs.IPv6}
	ruleNoKey  = lvs.ServiceKey{Protocol: lvs.UDP, Addr: ruleVIP, Family: lvs.IPv4}
	ruleServer = netip.MustParseAddrPort("198.51.100.10:80")

	compareAddrs = cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{})
)

// with gives a service of a key and scheduler, changed by f.
func with(k lvs.ServiceKey, scheduler string, f ...func(*lvs.Service)) lvs.Service {
	s := lvs.Service{ServiceKey: k, Scheduler: scheduler}
	for _, change := range f {
		change(&s)
	}
	return s
}

// at gives a server with NAT and weight 1, changed by f.
func at(addr string, f ...func(*lvs.Destination)) lvs.Destination {
	d := lvs.Destination{Addr: netip.MustParseAddrPort(addr), Forwarding: lvs.Masquerade, Weight: 1}
	for _, change := range f {
		change(&d)
	}
	return d
}

func tunnelled(d *lvs.Destination) { d.Forwarding = lvs.Tunnel }
func negative(d *lvs.Destination)  { d.Weight = -1 }
func inverted(d *lvs.Destination)  { d.Upper, d.Lower = 1, 2 }

// errUnsupported is any lvs.UnsupportedError.
var errUnsupported = errors.New("unsupported")

// TestRules: what is refused, with which of the errors when there are several reasons, as ip_vs does; and
// nothing changes by it.
func TestRules(t *testing.T) {
	r := newRig(t, 64)
	must(t, r.table.AddService(with(ruleKey, "rr")))
	must(t, r.table.AddService(with(ruleKey6, "rr")))
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.10:80")))
	before := r.listing()
	engine := func(name string) func(*lvs.Service) { return func(s *lvs.Service) { s.PE = name } }
	marked := lvs.ServiceKey{Mark: 1, Family: lvs.IPv4}
	sctp := lvs.ServiceKey{Protocol: lvs.SCTP, Addr: ruleVIP, Family: lvs.IPv4}
	c := r.table
	for _, test := range []struct {
		name string
		err  error
		want error
	}{
		{"add a service twice", c.AddService(with(ruleKey, "rr")), lvs.ErrServiceExists},
		{"... with an unknown scheduler", c.AddService(with(ruleKey, "random")), lvs.ErrServiceExists},
		{"unknown scheduler", c.AddService(with(ruleNoKey, "random")), lvs.ErrNoScheduler},
		{"unknown engine", c.AddService(with(ruleNoKey, "rr", engine("ftp"))), lvs.ErrNoScheduler},
		{"unknown scheduler, unsupported engine", c.AddService(with(ruleNoKey, "random", engine("sip"))), lvs.ErrNoScheduler},
		{"engine", c.AddService(with(ruleNoKey, "rr", engine("sip"))), errUnsupported},
		{"SCTP", c.AddService(with(sctp, "rr")), errUnsupported},
		{"edit no service", c.EditService(with(ruleNoKey, "rr")), lvs.ErrNoService},
		{"... to an unknown scheduler", c.EditService(with(ruleNoKey, "random")), lvs.ErrNoService},
		{"edit to an unknown scheduler", c.EditService(with(ruleKey, "random")), lvs.ErrNoScheduler},
		{"edit to an engine", c.EditService(with(ruleKey, "rr", engine("sip"))), errUnsupported},
		{"delete no service", c.DeleteService(ruleNoKey), lvs.ErrNoService},
		{"delete a mark", c.DeleteService(marked), lvs.ErrNoService},
		{"zero no service", c.Zero(&ruleNoKey), lvs.ErrNoService},

		{"server of no service", c.AddDestination(ruleNoKey, at("198.51.100.11:80")), lvs.ErrServiceNotDefined},
		{"... of negative weight", c.AddDestination(ruleNoKey, at("198.51.100.11:80", negative)), lvs.ErrServiceNotDefined},
		{"negative weight", c.AddDestination(ruleKey, at("198.51.100.11:80", negative)), lvs.ErrRange},
		{"-x below -y", c.AddDestination(ruleKey, at("198.51.100.11:80", inverted)), lvs.ErrRange},
		{"... of a server that is there", c.AddDestination(ruleKey, at("198.51.100.10:80", inverted)), lvs.ErrRange},
		{"... of no unicast address", c.AddDestination(ruleKey, at("224.0.0.1:80", inverted)), lvs.ErrRange},
		{"add a server twice", c.AddDestination(ruleKey, at("198.51.100.10:80")), lvs.ErrDestinationExists},
		{"... tunnelled", c.AddDestination(ruleKey, at("198.51.100.10:80", tunnelled)), lvs.ErrDestinationExists},
		{"any address", c.AddDestination(ruleKey, at("0.0.0.0:80")), lvs.ErrInvalidDestination},
		{"multicast", c.AddDestination(ruleKey, at("224.0.0.1:80", tunnelled)), lvs.ErrInvalidDestination},
		{"broadcast", c.AddDestination(ruleKey, at("255.255.255.255:80")), lvs.ErrInvalidDestination},
		{"any IPv6 address", c.AddDestination(ruleKey6, at("[::]:80")), lvs.ErrInvalidDestination},
		{"IPv6 multicast", c.AddDestination(ruleKey6, at("[ff02::1]:80")), lvs.ErrInvalidDestination},
		{"link-local", c.AddDestination(ruleKey6, at("[fe80::1]:80")), lvs.ErrInvalidDestination},
		{"of the other family", c.AddDestination(ruleKey, at("[2001:db8:3::10]:80")), lvs.ErrInvalidDestination},
		{"... and of negative weight", c.AddDestination(ruleKey6, at("198.51.100.11:80", negative)), lvs.ErrInvalidDestination},
		{"edit a server of no service", c.EditDestination(ruleNoKey, at("198.51.100.10:80")), lvs.ErrServiceNotDefined},
		{"edit no server", c.EditDestination(ruleKey, at("198.51.100.11:80")), lvs.ErrNoDestination},
		{"... of another port", c.EditDestination(ruleKey, at("198.51.100.10:81")), lvs.ErrNoDestination},
		{"... to -x below -y", c.EditDestination(ruleKey, at("198.51.100.11:80", inverted)), lvs.ErrRange},
		{"edit to negative weight", c.EditDestination(ruleKey, at("198.51.100.10:80", negative)), lvs.ErrRange},
		{"delete a server of no service", c.DeleteDestination(ruleNoKey, ruleServer), lvs.ErrServiceNotDefined},
		{"delete no server", c.DeleteDestination(ruleKey, netip.MustParseAddrPort("198.51.100.11:80")), lvs.ErrNoDestination},
	} {
		var u *lvs.UnsupportedError
		if ok := errors.Is(test.err, test.want) || test.want == errUnsupported && errors.As(test.err, &u); !ok { //nolint:errorlint // a mark
			t.Errorf("%s: %v, want %v", test.name, test.err, test.want)
		}
	}
	if diff := cmp.Diff(before, r.listing(), compareAddrs); diff != "" {
		t.Errorf("refused, and changed all the same (-before +after):\n%s", diff)
	}
	if wrong := r.auditControl(); wrong != nil {
		t.Error(wrong)
	}
}

// listing gives all services.
func (r *rig) listing() []lvs.ServiceState {
	r.t.Helper()
	all, err := r.table.Services()
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// TestListOrder: services are listed in the order in which they were made, servers with the newest first;
// an edit moves nothing, and replaces what it can.
func TestListOrder(t *testing.T) {
	r := newRig(t, 64)
	later := lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80"), Family: lvs.IPv4}
	must(t, r.table.AddService(with(ruleKey, "rr")))
	must(t, r.table.AddService(with(later, "wlc")))
	for i := range 4 {
		must(t, r.table.AddDestination(ruleKey, at(fmt.Sprintf("198.51.100.%d:80", 10+i))))
	}
	must(t, r.table.EditDestination(ruleKey, at("198.51.100.11:80", func(d *lvs.Destination) {
		d.Weight, d.Forwarding = 0, lvs.DirectRoute
	})))
	must(t, r.table.DeleteDestination(ruleKey, netip.MustParseAddrPort("198.51.100.12:80")))
	must(t, r.table.EditService(with(ruleKey, "sh", func(s *lvs.Service) { s.Flags = lvs.SchedFlag1 })))
	want := []lvs.ServiceState{
		{
			Service: with(ruleKey, "sh", func(s *lvs.Service) { s.Flags = lvs.SchedFlag1 }),
			Destinations: []lvs.Destination{
				at("198.51.100.13:80"),
				{Addr: netip.MustParseAddrPort("198.51.100.11:80"), Forwarding: lvs.DirectRoute},
				at("198.51.100.10:80"),
			},
		},
		{Service: with(later, "wlc")},
	}
	if diff := cmp.Diff(want, r.listing(), compareAddrs); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}
