package datapath

import (
	"testing"

	"github.com/vishvananda/netlink"

	"drover/internal/lvs"
)

// A frame of 9,000 bytes comes in several buffers: the program sees the first, and the checksums must
// come out right all the same.

func jumbo(t *testing.T, s ipPacket) ipPacket {
	t.Helper()
	s.payload = nil
	s.payload = pattern(9000 - len(s.packet(t)))
	return s
}

// newJumboScene is one with that MTU towards the servers and the client.
func newJumboScene(t *testing.T, mtu int) *rig {
	t.Helper()
	r := newScene(t)
	must(t, netlink.LinkSetMTU(device(t, backName), mtu))
	must(t, netlink.LinkSetMTU(device(t, frontName), mtu))
	return r
}

func TestJumboForwarded(t *testing.T) {
	r := newJumboScene(t, 9000)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for forwarding, port := range forwardings {
			in := jumbo(t, f.request(p, port))
			r.wants(forwarding.String(), r.front, in.frame(t), xdpRedirect, f.toServer(in, forwarding).frame(t))
		}
		reply := jumbo(t, f.reply(p))
		r.wants("reply", r.back, reply.frame(t), xdpRedirect, f.toClient(reply).frame(t))
		r.passes("not ours", r.front, jumbo(t, f.request(p, sshPort)).frame(t))
	})
}

func TestJumboAnswered(t *testing.T) {
	r := newJumboScene(t, 8999)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for forwarding, port := range forwardings {
			in := jumbo(t, f.request(p, port))
			tooBig := f.tooBig
			tooBig.mtu = 8999
			r.wants(forwarding.String()+", too big", r.front, in.frame(t), xdpRedirect, f.answer(t, in, tooBig).frame(t))
			in.hops = 1
			r.wants(forwarding.String()+", time exceeded", r.front, in.frame(t), xdpRedirect, f.answer(t, in, f.exceeded).frame(t))
		}
		in := jumbo(t, f.request(p, emptyPort))
		r.wants("unreachable", r.front, in.frame(t), xdpRedirect, f.answer(t, in, f.unreachable).frame(t))
	})
}
