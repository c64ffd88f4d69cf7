package datapath

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// persistScene is a rig with a persistent service of three servers, rr.
type persistScene struct {
	*rig
	family  family
	service lvs.Service
	ports   uint16
}

func newPersistScene(t *testing.T, fam family, change func(*lvs.Service)) *persistScene {
	t.Helper()
	p := &persistScene{rig: newRig(t, 4096), family: fam, ports: 1024}
	p.service = lvs.Service{
		ServiceKey: fam.service(lvs.TCP, 80), Scheduler: "rr", Flags: lvs.Persistent, Timeout: 360 * time.Second,
	}
	if change != nil {
		change(&p.service)
	}
	must(t, p.table.AddService(p.service))
	for n := range 3 {
		must(t, p.table.AddDestination(p.service.ServiceKey, p.server(n)))
	}
	return p
}

func (p *persistScene) server(n int) lvs.Destination {
	port := p.service.Addr.Port() // 0 of a mark's
	addr := p.family.server.As16()
	addr[15] += byte(n)
	return lvs.Destination{
		Addr: netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), port), Weight: 1, Forwarding: lvs.Masquerade,
	}
}

// client is the n-th of a network.
func (p *persistScene) client(n int) netip.Addr {
	addr := p.family.client.As16()
	addr[15] = byte(n)
	return netip.AddrFrom16(addr).Unmap()
}

// connect opens a connection from a port of its own, and gives the server's host.
func (p *persistScene) connect(client netip.Addr, port uint16) string {
	p.ports++
	f := flow{lvs.TCP, netip.AddrPortFrom(client, p.ports), netip.AddrPortFrom(p.family.vip, port)}
	server, ok := p.rig.connect(f)
	if !ok {
		return "none"
	}
	return server.Addr().String()
}

// servers gives who gets the connections of some clients.
func (p *persistScene) servers(port uint16, clients ...int) (all []string) {
	for _, n := range clients {
		all = append(all, p.connect(p.client(n), port))
	}
	return all
}

// TestPersistence: a client's connections go to one server, for as long as -p says.
func TestPersistence(t *testing.T) {
	for _, fam := range families {
		t.Run(fam.name, func(t *testing.T) {
			p := newPersistScene(t, fam, nil)
			got := p.servers(80, 1, 2, 3)
			if slices.Sort(slices.Clone(got)); got[0] == got[1] || got[1] == got[2] || got[0] == got[2] {
				t.Fatalf("three clients went to %v, want three servers", got)
			}
			for range 5 {
				if again := p.servers(80, 1, 2, 3); !slices.Equal(got, again) {
					t.Fatalf("their next connections went to %v, want %v", again, got)
				}
			}
			p.turn(300_000) // the connections are over, the templates are not
			p.sweep()
			if again := p.servers(80, 3, 2, 1); !slices.Equal([]string{got[2], got[1], got[0]}, again) {
				t.Fatalf("after 300 s they went to %v, want %v backwards", again, got)
			}
		})
	}
}

// sweep has the timer go round the table.
func (r *rig) sweep() {
	for range 4 {
		r.turn(1)
	}
}

// TestTemplateLife: a template outlives -p while one of its connections is there, a minute at a time, and with
// a minute from then on.
func TestTemplateLife(t *testing.T) {
	p := newPersistScene(t, families[0], func(s *lvs.Service) { s.Timeout = 30 * time.Second })
	f := flow{lvs.TCP, netip.AddrPortFrom(p.client(1), 5000), p.service.Addr}
	p.rig.connect(f)
	for _, step := range []struct {
		seconds uint32
		act     func()
		want    string
	}{
		{0, nil, "NONE 30"},
		{0, func() { p.establish(f) }, "ASSURED 30"},
		{29, nil, "ASSURED 1"},
		{2, nil, "ASSURED 60"},
		{61, nil, "ASSURED 60"},
		{10, func() { p.reset(f) }, "ASSURED 50"},
		{49, nil, "ASSURED 1"},
		{2, nil, ""},
	} {
		p.turn(step.seconds * 1000)
		p.sweep()
		if step.act != nil {
			step.act()
		}
		if got := p.templates(); !slices.Equal(got, compact(step.want)) {
			t.Fatalf("after %d s more: templates %q, want %q", step.seconds, got, step.want)
		}
	}
}

func compact(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// templates gives state and whole seconds of each, rounded as a person would.
func (r *rig) templates() (all []string) {
	connections, err := r.table.Connections()
	check(r.t, err)
	for _, c := range connections {
		if c.Template {
			state := map[lvs.State]string{0: "NONE", 1: "ASSURED"}[c.State]
			all = append(all, fmt.Sprintf("%s %.0f", state, c.Expires.Seconds()))
		}
	}
	return all
}

// TestTemplateKeys: what connections share a template, by the service's form; and how it is listed.
func TestTemplateKeys(t *testing.T) {
	type key struct{ Protocol, Client, Virtual, Destination string }
	for _, test := range []struct {
		name    string
		family  family
		change  func(*lvs.Service)
		ports   []uint16 // of connections of one client
		servers int      // how many they go to
		want    key      // of the first template
	}{
		{"a port", families[0], nil, []uint16{80}, 1, key{"TCP", "203.0.113.1:0", "192.0.2.100:80", "198.51.100.4:80"}},
		{
			"a network", families[0], func(s *lvs.Service) { s.Netmask = netip.MustParseAddr("255.255.255.0") },
			[]uint16{80},
			1,
			key{"TCP", "203.0.113.0:0", "192.0.2.100:80", "198.51.100.4:80"},
		},
		{
			"bits of a mask", families[0], func(s *lvs.Service) { s.Netmask = netip.MustParseAddr("255.0.255.0") },
			[]uint16{80},
			1,
			key{"TCP", "203.0.113.0:0", "192.0.2.100:80", "198.51.100.4:80"},
		},
		{
			"a prefix", families[1], func(s *lvs.Service) { s.PrefixLen = 60 },
			[]uint16{80},
			1,
			key{"TCP", "[2001:db8:1::]:0", "[2001:db8:2::100]:80", "[2001:db8:3::4]:80"},
		},
		{
			"all ports", families[0], func(s *lvs.Service) { s.Addr = netip.AddrPortFrom(s.Addr.Addr(), 0) },
			[]uint16{80, 443, 8080},
			1,
			key{"TCP", "203.0.113.1:0", "192.0.2.100:0", "198.51.100.4:0"},
		},
		{
			"FTP", families[0], func(s *lvs.Service) { s.Addr = netip.AddrPortFrom(s.Addr.Addr(), 21) },
			[]uint16{21, 20, 50000},
			1,
			key{"TCP", "203.0.113.1:0", "192.0.2.100:0", "198.51.100.4:0"},
		},
		{
			"FTP of IPv6", families[1], func(s *lvs.Service) { s.Addr = netip.AddrPortFrom(s.Addr.Addr(), 21) },
			[]uint16{21, 20, 50000},
			1,
			key{"TCP", "[2001:db8:1::1]:0", "[2001:db8:2::100]:0", "[2001:db8:3::4]:0"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPersistScene(t, test.family, test.change)
			servers := map[string]bool{}
			for _, port := range test.ports {
				servers[p.connect(p.client(1), port)] = true
			}
			if len(servers) != test.servers || servers["none"] {
				t.Errorf("connections to %v went to %v, want %d servers", test.ports, servers, test.servers)
			}
			connections, err := p.table.Connections()
			must(t, err)
			var got []key
			for _, c := range connections {
				if c.Template {
					got = append(got, key{c.Protocol.String(), c.Client.String(), c.Virtual.String(), c.Destination.String()})
				}
			}
			if diff := cmp.Diff([]key{test.want}, got); diff != "" {
				t.Errorf("templates (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOtherPorts: a port that FTP's data do not come to is the host's, and one without a service too.
func TestOtherPorts(t *testing.T) {
	p := newPersistScene(t, families[0], func(s *lvs.Service) { s.Addr = netip.AddrPortFrom(s.Addr.Addr(), 21) })
	for _, port := range []uint16{22, 80, 1023} {
		p.passes(fmt.Sprintf("a SYN to port %d", port), p.front, p.family.request(lvs.TCP, port).frame(t))
	}
	active := p.family.request(lvs.TCP, 50000) // the server's own data connection, seen by accident
	active.from = netip.AddrPortFrom(p.family.client, 20)
	p.passes("a SYN from port 20", p.front, active.frame(t))
}

// TestTemplateOfDeleted: a deleted server's clients are scheduled anew; the old template stays listed with
// ports that nobody has.
func TestTemplateOfDeleted(t *testing.T) {
	p := newPersistScene(t, families[0], nil)
	first := p.connect(p.client(1), 80)
	must(t, p.table.DeleteDestination(p.service.ServiceKey, netip.AddrPortFrom(netip.MustParseAddr(first), 80)))
	if again := p.connect(p.client(1), 80); again == first || again == "none" {
		t.Errorf("the client of a deleted server %s went to %s", first, again)
	}
	connections, err := p.table.Connections()
	must(t, err)
	var old int
	for _, c := range connections {
		if c.Template && c.Virtual.Port() == 65535 && c.Destination.Port() == 65535 {
			old++
		}
	}
	if old != 1 {
		t.Errorf("%d templates with port 65535, want 1: %v", old, connections)
	}
	if state, err := p.table.Service(p.service.ServiceKey); err != nil || state.Destinations[0].PersistConns+state.Destinations[1].PersistConns != 1 {
		t.Errorf("%v, %v: want one persistent connection", state, err)
	}
}

// TestQuiescent: clients of a server of weight 0 stay, unless expire_quiescent_template is set.
func TestQuiescent(t *testing.T) {
	p := newPersistScene(t, families[0], nil)
	first := p.connect(p.client(1), 80)
	for n := range 3 {
		if d := p.server(n); d.Addr.Addr().String() == first {
			d.Weight = 0
			must(t, p.table.EditDestination(p.service.ServiceKey, d))
		}
	}
	if again := p.connect(p.client(1), 80); again != first {
		t.Errorf("the client went from %s, of weight 0, to %s", first, again)
	}
	p.table.control.at(0).Tune[directorTuneTUNE_EXPIRE_QUIESCENT_TEMPLATE] = 1
	if again := p.connect(p.client(1), 80); again == first || again == "none" {
		t.Errorf("with expire_quiescent_template the client of %s went to %s", first, again)
	}
}

// TestOnePacket: each datagram is scheduled, and none leaves an entry.
func TestOnePacket(t *testing.T) {
	for _, fam := range families {
		t.Run(fam.name, func(t *testing.T) {
			r := newRig(t, 4096)
			k := fam.service(lvs.UDP, 53)
			must(t, r.table.AddService(lvs.Service{ServiceKey: k, Scheduler: "rr", Flags: lvs.OnePacket}))
			for n := range 2 {
				addr := fam.server.As16()
				addr[15] += byte(n)
				must(t, r.table.AddDestination(k, lvs.Destination{
					Addr: netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), 5353), Weight: 1, Forwarding: lvs.Masquerade,
				}))
			}
			request := fam.request(lvs.UDP, 53)
			for i := range 6 {
				mac := serverMAC(byte(3 - i%2))
				server := fam.server.As16()
				server[15] += byte(1 - i%2)
				want := request.sent(backMAC, mac).dnat(netip.AddrPortFrom(netip.AddrFrom16(server).Unmap(), 5353))
				r.wants(fmt.Sprintf("datagram %d", i), r.front, request.frame(t), xdpRedirect, want.frame(t))
			}
			if all, err := r.table.Connections(); err != nil || len(all) != 0 {
				t.Errorf("connections %v, %v: want none", all, err)
			}
			state, err := r.table.Service(k)
			must(t, err)
			if state.Stats.Conns != 6 || state.Stats.InPkts != 6 {
				t.Errorf("counted %+v, want 6 connections and packets", state.Stats)
			}
		})
	}
}
