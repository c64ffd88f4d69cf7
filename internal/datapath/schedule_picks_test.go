package datapath

import (
	"net/netip"

	"drover/internal/lvs"
)

// schedulePort is the port of every real server of the scheduler tests, unless there are more servers than
// addresses.
const schedulePort = 80

// connect sends a connection's first packet, and gives the server that a service with NAT sent it to; ok
// is false when the client was told that no server takes connections.
func (r *rig) connect(f flow) (server netip.AddrPort, ok bool) {
	r.t.Helper()
	verdict, out := r.receive(r.front, f.frame(frontMAC, flagSYN))
	if verdict != xdpRedirect {
		r.t.Fatalf("connection of %v: verdict %d; outcomes %v", f, verdict, r.outcomes())
	}
	sent, ok := flowOf(out)
	if ok && sent.from != f.from {
		r.t.Fatalf("connection of %v became %v", f, sent)
	}
	return sent.to, ok
}

// follow sends a packet of a connection that is there.
func (r *rig) follow(f flow, flags byte) {
	r.t.Helper()
	if verdict, _ := r.receive(r.front, f.frame(frontMAC, flags)); verdict != xdpRedirect {
		r.t.Fatalf("packet %#x of %v: verdict %d; outcomes %v", flags, f, verdict, r.outcomes())
	}
}

// establish opens a connection to the end of its handshake: it is active.
func (r *rig) establish(f flow) { r.follow(f, flagACK) }

// reset closes one at once: it is inactive, and the next SYN begins a new one.
func (r *rig) reset(f flow) { r.follow(f, flagRST) }

// realServer is number n of the servers that the rig knows, in the VIP's family.
func realServer(n int, family lvs.Family) netip.AddrPort {
	base := netip.MustParseAddr("198.51.100.100")
	if family == lvs.IPv6 {
		base = netip.MustParseAddr("2001:db8:3::64")
	}
	b := base.AsSlice()
	b[len(b)-1] += byte(n)
	addr, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr, schedulePort)
}
