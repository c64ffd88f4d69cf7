package datapath

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"drover/internal/lvs"
)

// stateServer is the only server of each service of the state tests.
var stateServer = netip.MustParseAddrPort("198.51.100.10:8080")

// stateService adds a service with that server; direct routing keeps the service's port.
func (r *rig) stateService(vip string, p lvs.Protocol, f lvs.Forwarding) (lvs.ServiceKey, netip.AddrPort) {
	r.t.Helper()
	key := lvs.ServiceKey{Protocol: p, Addr: netip.MustParseAddrPort(vip), Family: lvs.IPv4}
	server := stateServer
	if f == lvs.DirectRoute {
		server = netip.AddrPortFrom(server.Addr(), key.Addr.Port())
	}
	if err := r.table.AddService(lvs.Service{ServiceKey: key, Scheduler: "rr"}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.table.AddDestination(key, lvs.Destination{Addr: server, Forwarding: f, Weight: 1}); err != nil {
		r.t.Fatal(err)
	}
	return key, server
}

// stateRun is one connection's random life, in the programs and in the model.
type stateRun struct {
	*rig
	key    lvs.ServiceKey
	server netip.AddrPort
	flow   flow
	model  connModel
}

// event sends a packet or lets time pass, as drawn.
func (s *stateRun) event(t *rapid.T) {
	flags := rapid.ByteRange(0, 0x3f).Draw(t, "flags")
	if rapid.Bool().Draw(t, "plain") {
		flags = rapid.SampledFrom([]byte{
			flagSYN, flagACK, flagACK | flagPSH, flagFIN | flagACK, flagRST, flagRST | flagACK, flagSYN | flagACK,
		}).Draw(t, "usual flags")
	}
	switch rapid.IntRange(0, 5).Draw(t, "what") {
	case 0:
		milliseconds := rapid.SampledFrom([]uint32{1, 1000, 9_999, 10_000, 60_000, 119_999, 120_000, 300_000, 900_000}).
			Draw(t, "milliseconds")
		s.turn(milliseconds)
		s.model.wait(milliseconds)
	case 1, 2:
		back := flow{protocol: s.flow.protocol, from: s.server, to: s.flow.from}
		want := uint32(xdpPass)
		if s.model.fromServer(flags) {
			want = xdpRedirect
		}
		if got, _ := s.receive(s.back, back.frame(backMAC, flags)); got != want {
			t.Fatalf("server's packet %#x: verdict %d, want %d", flags, got, want)
		}
	default:
		want := uint32(xdpPass)
		if s.model.fromClient(flags) {
			want = xdpRedirect
		}
		if got, _ := s.receive(s.front, s.flow.frame(frontMAC, flags)); got != want {
			t.Fatalf("client's packet %#x: verdict %d, want %d", flags, got, want)
		}
	}
}

// compare holds the listings of connections and servers against the model.
func (s *stateRun) compare(t *rapid.T) {
	var want []lvs.Connection
	var active, inactive uint32
	if s.model.lives {
		want = []lvs.Connection{{
			Protocol: s.flow.protocol, Client: s.flow.from, Virtual: s.flow.to, Destination: s.server,
			State: s.model.state, Expires: s.model.expires(), Forwarding: s.model.forwarding, Active: s.model.active(),
		}}
		if s.model.active() {
			active = 1
		} else {
			inactive = 1
		}
	}
	got, err := s.table.Connections()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("connections (-want +got):\n%s", diff)
	}
	service, err := s.table.Service(s.key)
	if err != nil {
		t.Fatal(err)
	}
	if d := service.Destinations[0]; d.ActiveConns != active || d.InactConns != inactive {
		t.Fatalf("ActiveConn %d, InActConn %d, want %d and %d", d.ActiveConns, d.InactConns, active, inactive)
	}
}

// TestStates: whatever flags come in whatever order from both sides, a connection's state, time to live
// and place in ActiveConn or InActConn are those of ip_vs's tables, and it ends when its time is up.
func TestStates(t *testing.T) {
	r := newRig(t, 64)
	for _, test := range []struct {
		vip        string
		protocol   lvs.Protocol
		forwarding lvs.Forwarding
	}{
		{"192.0.2.101:80", lvs.TCP, lvs.Masquerade},
		{"192.0.2.102:80", lvs.TCP, lvs.DirectRoute},
		{"192.0.2.103:53", lvs.UDP, lvs.Masquerade},
		{"192.0.2.104:53", lvs.UDP, lvs.DirectRoute},
	} {
		key, server := r.stateService(test.vip, test.protocol, test.forwarding)
		rapid.Check(t, func(t *rapid.T) {
			r.expireAll()
			s := stateRun{
				rig: r, key: key, server: server,
				flow:  flow{test.protocol, netip.MustParseAddrPort("203.0.113.7:1024"), key.Addr},
				model: connModel{protocol: test.protocol, forwarding: test.forwarding},
			}
			for range 50 {
				s.event(t)
				s.compare(t)
			}
		})
	}
}
