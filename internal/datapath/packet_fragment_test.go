package datapath

import (
	"net/netip"
	"sync/atomic"
	"testing"

	"drover/internal/lvs"
)

// datagram is a request that is cut into three.
func (f family) datagram(p lvs.Protocol, port uint16) ipPacket {
	in := f.request(p, port)
	in.payload = pattern(300)
	return in
}

var cuts = []int{64, 128}

// eachFragment gives the fragments one after the other, and wants each of them forwarded.
func (r *rig) eachFragment(t *testing.T, name string, port int, in, want ipPacket) {
	t.Helper()
	out := want.fragments(t, cuts...)
	for i, frame := range in.fragments(t, cuts...) {
		r.wants(name+", fragment "+string(rune('1'+i)), port, frame, xdpRedirect, out[i])
	}
}

func TestFragments(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for forwarding, port := range forwardings {
			in := f.datagram(p, port)
			first := "forward route"
			if forwarding == lvs.Masquerade {
				first = "forward masq_in"
			}
			for _, when := range []string{"new connection", "known connection"} {
				r.counted(map[string]uint64{first: 1, "forward fragment": 2}, func() {
					r.eachFragment(t, forwarding.String()+", "+when, r.front, in, f.toServer(in, forwarding))
				})
			}
		}
		reply := f.reply(p)
		reply.payload = pattern(300)
		r.counted(map[string]uint64{"forward masq_out": 1, "forward fragment": 2}, func() {
			r.eachFragment(t, "reply", r.back, reply, f.toClient(reply))
		})
	})
}

// TestLaterFragmentAlone: it is never passed when it is for a VIP, as the host would put it together.
func TestLaterFragmentAlone(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for _, later := range f.datagram(p, routePort).fragments(t, cuts...)[1:] {
			r.counted(map[string]uint64{"drop fragment": 1}, func() { r.drops("to a VIP", r.front, later) })
		}
		elsewhere := f.datagram(p, routePort).dnat(netip.AddrPortFrom(f.server, routePort))
		for _, frame := range elsewhere.fragments(t, cuts...) {
			r.counted(map[string]uint64{"pass not_ours": 1}, func() { r.passes("elsewhere", r.front, frame) })
		}
		another := f.datagram(p, routePort)
		another.destination = serverMAC(9)
		for _, later := range another.fragments(t, cuts...)[1:] {
			r.counted(map[string]uint64{"pass other_host": 1}, func() { r.passes("for another's MAC", r.front, later) })
		}
	})
}

// TestFragmentOfAnother: a datagram is its addresses, protocol and identification.
func TestFragmentOfAnother(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		in := f.datagram(p, masqPort)
		frames := in.fragments(t, cuts...)
		r.receive(r.front, frames[0])
		id := map[string]int{"IPv4": 14 + 4, "IPv6": 14 + 40 + 4}[f.name]
		r.drops("another identification", r.front, changed(frames[1], id, 0x11, 0x22))
		other := f.otherClient(p, masqPort)
		other.payload = in.payload
		r.drops("another client", r.front, other.fragments(t, cuts...)[1])
		r.wants("its own", r.front, frames[1], xdpRedirect,
			f.toServer(in, lvs.Masquerade).fragments(t, cuts...)[1])
	})
}

// TestFragmentOfExpired: the connection is gone, and the entry is perhaps another's.
func TestFragmentOfExpired(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		frames := f.datagram(p, routePort).fragments(t, cuts...)
		r.receive(r.front, frames[0])
		for range 5 {
			r.turn(310_000)
		}
		r.drops("expired", r.front, frames[1])
		r.receive(r.front, f.otherClient(p, routePort).frame(t)) // may get the same entry
		r.drops("used again", r.front, frames[1])
	})
}

// TestFragmentWithoutHops: IPv4 answers the first fragment alone (RFC 1122, Section 3.2.2); IPv6 has no
// such rule.
func TestFragmentWithoutHops(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		in := f.datagram(p, routePort)
		r.receive(r.front, in.fragments(t, cuts...)[0])
		in.hops = 1
		for i, frame := range in.fragments(t, cuts...) {
			want := f.exceeded
			want.source, want.destination, want.hops = frontMAC, routerMAC, 64
			want.from, want.to = f.vip, f.client
			want.quote = frame[14 : 14+f.header+f.quoted]
			if i > 0 && f.name == "IPv4" {
				r.drops("later fragment", r.front, frame)
				continue
			}
			r.wants("fragment "+string(rune('1'+i)), r.front, frame, xdpRedirect, want.frame(t))
		}
	})
}

// TestFragmentFlood: many times more fragments without their firsts, and firsts without more, than there is room for:
// each is held or forwarded, and datagrams in order are still carried whole.
func TestFragmentFlood(t *testing.T) {
	r := newScene(t)
	control := r.table.control.at(0)
	atomic.StoreUint32(&control.Outer, 1) // as with a pair, which this rig has not got
	defer atomic.StoreUint32(&control.Outer, 0)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		in := f.datagram(p, routePort)
		frames := in.fragments(t, cuts...)
		id := map[string]int{"IPv4": 14 + 4, "IPv6": 14 + 40 + 4}[f.name]
		const flood = 4 * 256
		r.counted(map[string]uint64{"hold fragment": flood, "forward route": flood}, func() {
			for i := range flood {
				r.drops("a later one", r.front, changed(frames[1], id, byte(0x80|i>>8), byte(i)))
				verdict, _ := r.receive(r.front, changed(frames[0], id, byte(0x40|i>>8), byte(i)))
				if verdict != xdpRedirect {
					t.Fatalf("first fragment %d: verdict %d", i, verdict)
				}
			}
		})
		r.eachFragment(t, "in order, after the flood", r.front, in, f.toServer(in, lvs.DirectRoute))
	})
}
