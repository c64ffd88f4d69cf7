package datapath

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netns"

	"drover/internal/lvs"
)

// family is one of the two worlds that every packet test is played in.
type family struct {
	name                  string
	client, vip, server   netip.Addr
	router, backRouter    netip.Addr // one on the client's way, one on the servers' side
	unreachable, exceeded icmpError  // kinds alone
	tooBig                icmpError
	header                int // bytes of the IP header
	quoted                int // bytes behind it that the director's own errors quote, if there are as many
}

var families = []family{
	{
		name: "IPv4", header: 20, quoted: 8,
		client: netip.MustParseAddr("203.0.113.10"), vip: netip.MustParseAddr("192.0.2.100"),
		server: netip.MustParseAddr("198.51.100.2"), router: netip.MustParseAddr("192.0.2.254"),
		backRouter:  netip.MustParseAddr("198.51.100.250"),
		unreachable: icmpError{kind: 3, code: 3}, exceeded: icmpError{kind: 11}, tooBig: icmpError{kind: 3, code: 4},
	},
	{
		name: "IPv6", header: 40, quoted: 16,
		client: netip.MustParseAddr("2001:db8:1::10"), vip: netip.MustParseAddr("2001:db8:2::100"),
		server: netip.MustParseAddr("2001:db8:3::2"), router: netip.MustParseAddr("2001:db8:2::fe"),
		backRouter:  netip.MustParseAddr("2001:db8:3::fa"),
		unreachable: icmpError{kind: 1, code: 4}, exceeded: icmpError{kind: 3}, tooBig: icmpError{kind: 2},
	},
}

var protocols = []lvs.Protocol{lvs.TCP, lvs.UDP}

// The VIPs' ports, by what is behind them. NAT maps the port.
const (
	routePort   = 80
	masqPort    = 8000
	serverPort  = 8080
	emptyPort   = 81 // no server
	drainedPort = 82 // servers of weight 0 alone
	sshPort     = 22 // no service
	clientPort  = 40000
)

var forwardings = map[lvs.Forwarding]uint16{lvs.DirectRoute: routePort, lvs.Masquerade: masqPort}

// newScene is a rig with the services of every kind, in both families and protocols.
func newScene(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, 4096)
	for _, f := range families {
		for _, p := range protocols {
			r.addService(f.service(p, routePort), f.destination(routePort, lvs.DirectRoute, 1))
			r.addService(f.service(p, masqPort), f.destination(serverPort, lvs.Masquerade, 1))
			r.addService(f.service(p, emptyPort))
			r.addService(f.service(p, drainedPort), f.destination(drainedPort, lvs.DirectRoute, 0))
		}
	}
	return r
}

func (r *rig) addService(k lvs.ServiceKey, servers ...lvs.Destination) {
	r.t.Helper()
	check(r.t, r.table.AddService(lvs.Service{ServiceKey: k, Scheduler: "rr"}))
	for _, d := range servers {
		check(r.t, r.table.AddDestination(k, d))
	}
}

func (f family) service(p lvs.Protocol, port uint16) lvs.ServiceKey {
	return lvs.ServiceKey{Protocol: p, Addr: netip.AddrPortFrom(f.vip, port), Family: lvs.FamilyOf(f.vip)}
}

func (f family) destination(port uint16, forwarding lvs.Forwarding, weight int32) lvs.Destination {
	return lvs.Destination{Addr: netip.AddrPortFrom(f.server, port), Forwarding: forwarding, Weight: weight}
}

// request is a packet of the client to a port of the VIP; TCP's has SYN.
func (f family) request(p lvs.Protocol, port uint16) ipPacket {
	return ipPacket{
		source: routerMAC, destination: frontMAC, protocol: p, hops: 61, flags: "S",
		from: netip.AddrPortFrom(f.client, clientPort), to: netip.AddrPortFrom(f.vip, port),
		payload: pattern(64),
	}
}

// reply is a packet of the server to the client, through the director.
func (f family) reply(p lvs.Protocol) ipPacket {
	return ipPacket{
		source: serverMAC(2), destination: backMAC, protocol: p, hops: 64, flags: "SA",
		from: netip.AddrPortFrom(f.server, serverPort), to: netip.AddrPortFrom(f.client, clientPort),
		payload: pattern(64),
	}
}

// toServer is a request as the server must get it.
func (f family) toServer(s ipPacket, forwarding lvs.Forwarding) ipPacket {
	s = s.sent(backMAC, serverMAC(2))
	if forwarding == lvs.Masquerade {
		s = s.dnat(netip.AddrPortFrom(f.server, serverPort))
	}
	return s
}

// toClient is a reply as it must go out towards the client.
func (f family) toClient(s ipPacket) ipPacket {
	return s.sent(frontMAC, routerMAC).snat(netip.AddrPortFrom(f.vip, masqPort))
}

// subtest runs f on a thread of its own in the rig's namespace, where the interfaces are looked up. The
// thread is never unlocked, and so ends with the subtest.
func (r *rig) subtest(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	here, err := netns.Get()
	must(t, err)
	defer here.Close()
	defer func(before testing.TB) { r.t = before }(r.t)
	t.Run(name, func(t *testing.T) {
		runtime.LockOSThread()
		must(t, netns.Set(here))
		r.t = t
		f(t)
	})
}

// each runs f for both families and protocols.
func (r *rig) each(t *testing.T, f func(t *testing.T, f family, p lvs.Protocol)) {
	t.Helper()
	for _, fam := range families {
		for _, p := range protocols {
			r.subtest(t, fam.name+" "+p.String(), func(t *testing.T) { f(t, fam, p) })
		}
	}
}

// wants gives a frame to the program, and compares verdict and frame with what must come of it.
func (r *rig) wants(what string, port int, in []byte, verdict uint32, out []byte) {
	r.t.Helper()
	gotVerdict, got := r.receive(port, in)
	if gotVerdict != verdict {
		r.t.Errorf("%s: verdict %d, want %d (outcomes %v)", what, gotVerdict, verdict, r.outcomes())
		return
	}
	if diff := cmp.Diff(out, got); diff != "" {
		r.t.Errorf("%s: frame (-want +got):\n%.1500s", what, diff)
	}
}

// passes wants the frame to go to the host as it is.
func (r *rig) passes(what string, port int, in []byte) {
	r.t.Helper()
	r.wants(what, port, in, xdpPass, in)
}

// drops wants the frame to be dropped.
func (r *rig) drops(what string, port int, in []byte) {
	r.t.Helper()
	if verdict, _ := r.receive(port, in); verdict != xdpDrop {
		r.t.Errorf("%s: verdict %d, want a drop", what, verdict)
	}
}

// counted compares the outcomes that f adds.
func (r *rig) counted(want map[string]uint64, f func()) {
	r.t.Helper()
	before := r.outcomes()
	f()
	got := map[string]uint64{}
	for name, n := range r.outcomes() {
		if n != before[name] {
			got[name] = n - before[name]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}
