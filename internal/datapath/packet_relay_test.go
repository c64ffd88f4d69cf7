package datapath

import (
	"testing"

	"drover/internal/lvs"
)

// quoteOf cuts a packet to what a router quotes of it: the header and 64 bits, or more.
func (f family) quoteOf(t testing.TB, s ipPacket, payload int) []byte {
	t.Helper()
	return s.packet(t)[:f.header+payload]
}

// quotes are the lengths of what is quoted behind the IP header: RFC 792's least, and more.
var quotes = []struct {
	name  string
	bytes int
}{{"shortest quote", 8}, {"longer quote", 60}}

// errors of a family that follow connections.
func (f family) errors() map[string]icmpError {
	if f.name == "IPv4" {
		return map[string]icmpError{
			"unreachable": {kind: 3, code: 1}, "fragmentation needed": {kind: 3, code: 4, mtu: 1280},
			"time exceeded": {kind: 11}, "parameter problem": {kind: 12}, "source quench": {kind: 4},
		}
	}
	return map[string]icmpError{
		"unreachable": {kind: 1, code: 3}, "packet too big": {kind: 2, mtu: 1280},
		"time exceeded": {kind: 3}, "parameter problem": {kind: 4},
	}
}

// eachError runs f for every kind of error and length of quote.
func (r *rig) eachError(t *testing.T, f func(name string, fam family, p lvs.Protocol, e icmpError, quote int)) {
	t.Helper()
	r.each(t, func(_ *testing.T, fam family, p lvs.Protocol) {
		for kind, e := range fam.errors() {
			for _, q := range quotes {
				f(kind+", "+q.name, fam, p, e, q.bytes)
			}
		}
	})
}

// TestErrorFromOutsideByRoute: a router on the client's way complains about a reply of the VIP, which
// the server must hear of. By direct routing only the MACs and the hops change.
func TestErrorFromOutsideByRoute(t *testing.T) {
	r := newScene(t)
	r.eachError(t, func(name string, f family, p lvs.Protocol, e icmpError, quote int) {
		request := f.request(p, routePort)
		r.receive(r.front, request.frame(r.t))
		e.source, e.destination, e.hops = routerMAC, frontMAC, 50
		e.from, e.to = f.router, f.vip
		e.quote = f.quoteOf(r.t, turned(request), quote)
		r.counted(map[string]uint64{"forward icmp": 1}, func() {
			r.wants(name, r.front, e.frame(r.t), xdpRedirect, e.sent(backMAC, serverMAC(2)).frame(r.t))
		})
	})
}

// turned is a packet that goes the other way.
func turned(s ipPacket) ipPacket {
	s.from, s.to = s.to, s.from
	return s
}

// TestErrorFromOutsideByMasq: by NAT the server must find its own address and port in the error, as the
// packet that is quoted left it.
func TestErrorFromOutsideByMasq(t *testing.T) {
	r := newScene(t)
	r.eachError(t, func(name string, f family, p lvs.Protocol, e icmpError, quote int) {
		r.receive(r.front, f.request(p, masqPort).frame(r.t))
		reply := f.reply(p)
		e.source, e.destination, e.hops = routerMAC, frontMAC, 50
		e.from, e.to = f.router, f.vip
		e.quote = f.quoteOf(r.t, f.toClient(reply), quote)
		want := e.sent(backMAC, serverMAC(2))
		want.to = f.server
		want.quote = f.translated(r.t, e.quote, f.toClient(reply).snat(reply.from))
		r.wants(name, r.front, e.frame(r.t), xdpRedirect, want.frame(r.t))
	})
}

// TestErrorFromInside: the server, or a router on its side, complains about what it got from the client,
// who must hear of it from the VIP and find the VIP in it.
func TestErrorFromInside(t *testing.T) {
	r := newScene(t)
	r.eachError(t, func(name string, f family, p lvs.Protocol, e icmpError, quote int) {
		request := f.request(p, masqPort)
		r.receive(r.front, request.frame(r.t))
		received := f.toServer(request, lvs.Masquerade)
		e.source, e.destination, e.hops = serverMAC(2), backMAC, 64
		e.to = f.client
		e.quote = f.quoteOf(r.t, received, quote)
		want := e.sent(frontMAC, routerMAC)
		want.from = f.vip
		want.quote = f.translated(r.t, e.quote, received.dnat(request.to))
		e.from = f.server
		r.wants(name+", from the server", r.back, e.frame(r.t), xdpRedirect, want.frame(r.t))
		e.from = f.backRouter
		r.wants(name+", from a router", r.back, e.frame(r.t), xdpRedirect, want.frame(r.t))
	})
}

// translated gives a quote with the addresses and ports of another packet, and with the IP header's
// checksum anew. The checksum of TCP or UDP stays, as ip_vs leaves it: not every quote holds it.
func (f family) translated(t testing.TB, quote []byte, to ipPacket) []byte {
	t.Helper()
	headerAndPorts := to.packet(t)[:f.header+4]
	return append(headerAndPorts[:len(headerAndPorts):len(headerAndPorts)], quote[len(headerAndPorts):]...)
}

// TestErrorThatPasses: what belongs to no connection is the host's.
func TestErrorThatPasses(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		request := f.request(p, routePort)
		r.receive(r.front, request.frame(t))
		e := f.unreachable
		e.source, e.destination, e.hops = routerMAC, frontMAC, 50
		e.from, e.to = f.router, f.vip
		e.quote = f.quoteOf(t, turned(request), 8)
		rows := map[string]func(e icmpError) icmpError{
			"another client's": func(e icmpError) icmpError {
				e.quote = f.quoteOf(t, turned(f.otherClient(p, routePort)), 8)
				return e
			},
			"a request quoted":  func(e icmpError) icmpError { e.quote = f.quoteOf(t, request, 8); return e },
			"ports not quoted":  func(e icmpError) icmpError { e.quote = e.quote[:f.header+3]; return e },
			"header cut off":    func(e icmpError) icmpError { e.quote = e.quote[:f.header-1]; return e },
			"nothing quoted":    func(e icmpError) icmpError { e.quote = nil; return e },
			"no hop left":       func(e icmpError) icmpError { e.hops = 1; return e },
			"for another's MAC": func(e icmpError) icmpError { e.destination = serverMAC(9); return e },
			"not an error":      func(e icmpError) icmpError { e.kind = 200; return e },
		}
		for name, change := range rows {
			r.passes(name, r.front, change(e).frame(t))
		}
	})
}
