package datapath

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"drover/internal/lvs"
)

// eachTunnel runs f for every pool.
func (r *rig) eachTunnel(t *testing.T, f func(t *testing.T, p tunnelPool)) {
	t.Helper()
	for _, p := range tunnelPools() {
		r.subtest(t, p.name, func(t *testing.T) { f(t, p) })
	}
}

// large is a request of so many bytes.
func (p tunnelPool) large(t testing.TB, bytes int) ipPacket {
	t.Helper()
	s := p.inner.request(lvs.TCP, p.port)
	s.payload = nil
	s.payload = pattern(bytes - len(s.packet(t)))
	return s
}

// about is an error of a router on the servers' side about a frame that was sent to one of them, and quotes
// so many bytes of it.
func (p tunnelPool) about(e icmpError, sent []byte, quoted int) icmpError {
	e.source, e.destination, e.hops = serverMAC(250), backMAC, 50
	e.from, e.to = p.outer.backRouter, p.outer.director()
	e.quote = sent[14:min(len(sent), 14+quoted)]
	return e
}

func (p tunnelPool) narrowError(mtu uint16) icmpError {
	e := p.outer.tooBig
	e.mtu = mtu
	return e
}

// answerOf is the director's error to the client about a request, as it left for the server: a hop less.
func (p tunnelPool) answerOf(t testing.TB, in ipPacket, kind icmpError, hops uint8) []byte {
	t.Helper()
	in.hops = hops
	e := kind
	e.source, e.destination, e.hops = frontMAC, routerMAC, 64
	e.from, e.to = p.inner.vip, p.inner.client
	packet := in.packet(t)
	e.quote = packet[:min(len(packet), p.inner.header+p.inner.quoted)]
	return e.frame(t)
}

// TestTunnelErrorReachesClient: an error about the outer packet becomes one about the packet inside. Of the
// other family, what is not about the MTU is an unreachable host.
func TestTunnelErrorReachesClient(t *testing.T) {
	r := newTunnelScene(t)
	r.eachTunnel(t, func(t *testing.T, p tunnelPool) {
		in := p.inner.request(lvs.TCP, p.port)
		_, sent := r.receive(r.front, in.frame(t))
		same := p.inner.name == p.outer.name
		hostUnreachable := map[string]icmpError{"IPv4": {kind: 3, code: 1}, "IPv6": {kind: 1, code: 3}}[p.inner.name]
		for _, kind := range []string{"unreachable", "time exceeded"} {
			e := p.outer.errors()[kind]
			want := hostUnreachable
			if same {
				want = e
			}
			r.counted(map[string]uint64{"forward icmp": 1}, func() {
				r.wants(kind, r.back, p.about(e, sent, 120).frame(t), xdpRedirect, p.answerOf(t, in, want, in.hops-1))
			})
		}
		want := p.inner.tooBig
		want.mtu = uint16(1400 - p.overhead())
		r.wants("too big", r.back, p.about(p.narrowError(1400), sent, 120).frame(t),
			xdpRedirect, p.answerOf(t, in, want, in.hops-1))
	})
}

// TestTunnelPathMTU: what an error tells holds for all packets to that server, also when it quotes too
// little to find the connection, and for ten minutes.
func TestTunnelPathMTU(t *testing.T) {
	r := newTunnelScene(t)
	r.eachTunnel(t, func(t *testing.T, p tunnelPool) {
		fits, fitted := p.large(t, 1400-p.overhead()), p.large(t, 1500-p.overhead())
		_, sent := r.receive(r.front, fitted.frame(t))
		r.counted(map[string]uint64{"drop tunnel_error": 1}, func() {
			r.drops("short quote", r.back, p.about(p.narrowError(1400), sent, p.outer.header+8).frame(t))
		})
		r.turn(250)
		want := p.inner.tooBig
		want.mtu = uint16(1400 - p.overhead())
		tooBig := func(name string) {
			t.Helper()
			r.wants(name, r.front, fitted.frame(t), xdpRedirect, p.answerOf(t, fitted, want, fitted.hops))
		}
		r.counted(map[string]uint64{"forward tunnel": 1, "answer too_big": 1}, func() {
			r.receive(r.front, fits.frame(t))
			tooBig("beyond the path MTU")
		})
		// A wider one changes nothing, and none is believed that is narrower than any link.
		r.receive(r.back, p.about(p.narrowError(1450), sent, 120).frame(t))
		tooBig("a wider path was told of")
		r.turn(599_000)
		r.receive(r.front, fits.frame(t)) // whatever has expired
		tooBig("after 9 minutes and 59 seconds")
		r.turn(1_000)
		r.counted(map[string]uint64{"forward tunnel": 1}, func() { r.receive(r.front, fitted.frame(t)) })
	})
}

// TestTunnelPathTooNarrow: of a path that is told to be narrower than may be, the least MTU is believed.
func TestTunnelPathTooNarrow(t *testing.T) {
	r := newTunnelScene(t)
	r.eachTunnel(t, func(t *testing.T, p tunnelPool) {
		fitted := p.large(t, 1500-p.overhead())
		_, sent := r.receive(r.front, fitted.frame(t))
		r.receive(r.back, p.about(p.narrowError(68), sent, 120).frame(t))
		r.turn(250)
		least := map[string]int{"IPv4": 552, "IPv6": 1280}[p.outer.name] - p.overhead()
		want := p.inner.tooBig
		want.mtu = uint16(least)
		r.wants("narrow", r.front, fitted.frame(t), xdpRedirect, p.answerOf(t, fitted, want, fitted.hops))
	})
}

// TestTunnelErrorTooLarge: an error for the server that does not fit into its tunnel quotes less.
func TestTunnelErrorTooLarge(t *testing.T) {
	r := newTunnelScene(t)
	r.eachTunnel(t, func(t *testing.T, p tunnelPool) {
		request := p.inner.request(lvs.TCP, p.port)
		r.receive(r.front, request.frame(t))
		p.narrow(t)
		e := p.inner.tooBig
		e.source, e.destination, e.hops = routerMAC, frontMAC, 50
		e.from, e.to, e.mtu = p.inner.router, p.inner.vip, 1280
		reply := turned(request)
		reply.payload = pattern(1400)
		most := (narrowMTU - p.overhead()) &^ 1
		for length := most; length <= 1281; length++ { // of even and odd length
			e.quote = reply.packet(t)[:length-p.inner.header-8]
			r.counted(map[string]uint64{"forward icmp": 1}, func() {
				_, out := r.receive(r.front, e.frame(t))
				want := e.sent(routerMAC, frontMAC)
				want.quote = e.quote[:most-p.inner.header-8]
				sameBytes(t, fmt.Sprintf("%d bytes", length), want.frame(t)[14:], maskTunnel(t, out)[14+p.overhead():])
			})
		}
	})
}

// TestTunnelErrorThatPasses: what is not about a tunnel of ours is the host's.
func TestTunnelErrorThatPasses(t *testing.T) {
	r := newTunnelScene(t)
	others := map[string]byte{}
	for _, p := range tunnelPools() {
		r.receive(r.front, p.inner.request(lvs.TCP, p.port).frame(t))
		others[p.outer.name] = p.host
	}
	r.eachTunnel(t, func(t *testing.T, p tunnelPool) {
		_, sent := r.receive(r.front, p.inner.request(lvs.TCP, p.port).frame(t))
		destination := map[string]int{"IPv4": 14 + 19, "IPv6": 14 + 39}[p.outer.name]
		source := destination - map[string]int{"IPv4": 4, "IPv6": 16}[p.outer.name]
		shim := 14 + p.outer.header
		e := p.narrowError(1400)
		for name, frame := range map[string][]byte{
			"another's tunnel":   p.about(e, changed(sent, destination, 200), 120).frame(t),
			"another director's": p.about(e, changed(sent, source, 250), 120).frame(t),
			"another protocol":   p.about(e, changed(sent, 14+map[string]int{"IPv4": 9, "IPv6": 6}[p.outer.name], 50), 120).frame(t),
			"header cut off":     p.about(e, sent, p.outer.header-1).frame(t),
			"parameter problem":  p.about(p.outer.errors()["parameter problem"], sent, 120).frame(t),
		} {
			r.passes(name, r.back, frame)
		}
		switch p.server.TunnelType {
		case lvs.GUE:
			r.passes("a datagram of the host's", r.back, p.about(e, changed(sent, shim+8, 0xff), 120).frame(t))
			r.passes("a datagram of the host's, nearly GUE", r.back, p.about(e, changed(sent, shim+9, 0), 120).frame(t))
			r.passes("a datagram, little quoted", r.back, p.about(p.outer.errors()["unreachable"], sent, p.outer.header+8).frame(t))
		case lvs.GRE:
			r.passes("GRE with a key", r.back, p.about(e, changed(sent, shim, 0x20), 120).frame(t))
			r.passes("GRE of something else", r.back, p.about(e, changed(sent, shim+2, 0x65), 120).frame(t))
		}
		elsewhere := p.about(e, sent, 120)
		elsewhere.destination = serverMAC(9)
		r.passes("for another's MAC", r.back, elsewhere.frame(t))
		if other := others[p.outer.name]; other != p.host {
			r.counted(map[string]uint64{"drop tunnel_error": 1}, func() {
				r.drops("another server's", r.back, p.about(e, changed(sent, destination, other), 120).frame(t))
			})
		}
		r.counted(map[string]uint64{"drop tunnel_error": 1}, func() {
			from := shim + p.overhead() - p.outer.header + map[string]int{"IPv4": 20, "IPv6": 40}[p.inner.name]
			r.drops("another connection", r.back, p.about(e, changed(sent, from, 1, 1), 120).frame(t))
		})
	})
}

// TestTunnelAnswers: a packet without a hop left, or too large, is answered; one without a source is not sent.
func TestTunnelAnswers(t *testing.T) {
	r := newTunnelScene(t)
	r.eachTunnel(t, func(t *testing.T, p tunnelPool) {
		last := p.inner.request(lvs.TCP, p.port)
		last.hops = 1
		r.counted(map[string]uint64{"answer time_exceeded": 1}, func() {
			r.wants("no hop left", r.front, last.frame(t), xdpRedirect, p.answerOf(t, last, p.inner.exceeded, 1))
		})
		service := p.inner.service(lvs.TCP, p.port)
		_, state, err := r.table.find(service)
		must(t, err)
		slot := r.table.list(state.Block)[0].slot()
		source := r.table.dests.at(slot).Source
		r.table.dests.at(slot).Source = directorAddr{}
		r.counted(map[string]uint64{"drop no_source": 1}, func() {
			r.drops("no source", r.front, p.inner.request(lvs.TCP, p.port).frame(t))
		})
		must(t, r.table.EditDestination(service, p.server))
		if got := r.table.dests.at(slot).Source; got != source {
			t.Errorf("source %v after an edit, want %v", got, source)
		}
	})
}

// TestTunnelEdited: a connection in a tunnel follows its server's options, and stays in the tunnel when the
// server's new connections take another way.
func TestTunnelEdited(t *testing.T) {
	r := newTunnelScene(t)
	pools := tunnelPools()
	first := pools[0] // ipip, IPv4 in IPv4
	in := first.inner.request(lvs.UDP, first.port)
	r.receive(r.front, in.frame(t))
	service := first.inner.service(lvs.UDP, first.port)
	for _, p := range pools {
		if p.inner.name != first.inner.name || p.outer.name != first.outer.name {
			continue
		}
		to := p.server
		to.Addr = netip.AddrPortFrom(first.server.Addr.Addr(), first.port)
		must(t, r.table.EditDestination(service, to))
		_, out := r.receive(r.front, in.frame(t))
		if want := 14 + len(in.packet(t)) + p.overhead(); len(out) != want {
			t.Errorf("%s: %d bytes sent, want %d", p.name, len(out), want)
		}
	}
	to := first.server
	to.Forwarding = lvs.DirectRoute
	must(t, r.table.EditDestination(service, to))
	r.counted(map[string]uint64{"forward tunnel": 1}, func() { r.receive(r.front, in.frame(t)) })
	in.from = netip.AddrPortFrom(first.inner.client, 999)
	r.counted(map[string]uint64{"forward route": 1}, func() { r.receive(r.front, in.frame(t)) })
}

// TestTunnelListed: what was added is what is listed, with the server's own family.
func TestTunnelListed(t *testing.T) {
	r := newTunnelScene(t)
	for _, p := range tunnelPools() {
		state, err := r.table.Service(p.inner.service(lvs.TCP, p.port))
		must(t, err)
		if got := state.Destinations[0]; got != p.server {
			t.Errorf("%s: listed %+v, want %+v", p.name, got, p.server)
		}
	}
	p := tunnelPools()[1] // an IPv6 server of an IPv4 service
	r.receive(r.front, p.inner.request(lvs.TCP, p.port).frame(t))
	all, err := r.table.Connections()
	must(t, err)
	if !slices.ContainsFunc(all, func(c lvs.Connection) bool {
		return c.Destination == p.server.Addr && c.Forwarding == lvs.Tunnel
	}) {
		t.Errorf("connections %+v, want one to %s", all, p.server.Addr)
	}
}

// TestTunnelJumbo: the checksum of a frame in several buffers, also where all of its bytes are summed up.
func TestTunnelJumbo(t *testing.T) {
	r := newTunnelScene(t)
	for _, name := range []string{frontName, backName} {
		must(t, netlink.LinkSetMTU(device(t, name), 9000))
	}
	r.eachTunnel(t, func(t *testing.T, p tunnelPool) {
		for _, protocol := range protocols {
			for _, noChecksum := range []bool{false, true} {
				in := p.inner.request(protocol, p.port)
				in.noChecksum = noChecksum
				in.payload = pattern(8000)
				verdict, out := r.receive(r.front, in.frame(t))
				if verdict != xdpRedirect {
					t.Fatalf("verdict %d (outcomes %v)", verdict, r.outcomes())
				}
				in.hops--
				inner := maskTunnel(t, out)[14+p.overhead():]
				sameBytes(t, protocol.String(), in.packet(t), inner)
			}
		}
	})
}

// TestTunnelWithoutEntry: when the table is full, connections go on in tunnels by hash.
func TestTunnelWithoutEntry(t *testing.T) {
	r := newTunnelScene(t)
	r.plug(0)
	r.eachTunnel(t, func(t *testing.T, p tunnelPool) {
		for _, protocol := range protocols {
			in := p.inner.request(protocol, p.port)
			r.counted(map[string]uint64{"forward stateless": 1}, func() {
				_, out := r.receive(r.front, in.frame(t))
				in.hops--
				sameBytes(t, "inside", in.packet(t), maskTunnel(t, out)[14+p.overhead():])
			})
		}
	})
}

// TestTunnelSource: the source follows the director's addresses with the next command that changes something.
func TestTunnelSource(t *testing.T) {
	r := newTunnelScene(t)
	p := tunnelPools()[0]
	_, state, err := r.table.find(p.inner.service(lvs.TCP, p.port))
	must(t, err)
	d := r.table.dests.at(r.table.list(state.Block)[0].slot())
	if want := mapped(p.outer.director()); d.Source != want {
		t.Fatalf("source %v, want %v", d.Source, want)
	}
	other := netip.MustParseAddr("198.51.100.251")
	addAddress(t, backName, other.String()+"/32")
	check(t, netlink.RouteReplace(&netlink.Route{
		LinkIndex: r.back, Scope: netlink.SCOPE_LINK, Src: other.AsSlice(),
		Dst: &net.IPNet{IP: p.server.Addr.Addr().AsSlice(), Mask: net.CIDRMask(32, 32)},
	}))
	r.table.chunks = nil // as a command finds it
	must(t, r.table.takeStock())
	if d.Source != mapped(other) {
		t.Errorf("source %v after the route changed, want %v", d.Source, other)
	}
}
