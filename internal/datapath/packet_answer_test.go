package datapath

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// answer is an error that the director sends about a packet: from the VIP, back the way that the packet
// came, quoting its beginning as it was.
func (f family) answer(t *testing.T, about ipPacket, kind icmpError) icmpError {
	t.Helper()
	kind.source, kind.destination = about.destination, about.source
	kind.from, kind.to = f.vip, about.from.Addr()
	kind.hops = 64
	quoted := f.quoted
	if len(about.packet(t)) < f.header+quoted {
		quoted = 8
	}
	kind.quote = f.quoteOf(t, about, quoted)
	return kind
}

// otherClient is a request of a client that has no connection.
func (f family) otherClient(p lvs.Protocol, port uint16) ipPacket {
	s := f.request(p, port)
	s.from = netip.AddrPortFrom(f.client.Next(), clientPort)
	return s
}

func TestTimeExceeded(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for forwarding, port := range forwardings {
			fresh, known := f.otherClient(p, port), f.request(p, port)
			r.receive(r.front, known.frame(t))
			for _, hops := range []uint8{1, 0} {
				fresh.hops, known.hops = hops, hops
				r.counted(map[string]uint64{"answer time_exceeded": 2}, func() {
					r.wants(forwarding.String()+", first packet", r.front, fresh.frame(t),
						xdpRedirect, f.answer(t, fresh, f.exceeded).frame(t))
					r.wants(forwarding.String()+", known connection", r.front, known.frame(t),
						xdpRedirect, f.answer(t, known, f.exceeded).frame(t))
				})
			}
		}
	})
}

// TestNoServer: port unreachable, for TCP too, as with ip_vs; nothing is left in the table.
func TestNoServer(t *testing.T) {
	r := newScene(t)
	ports := map[string]uint16{"no server": emptyPort, "all weights 0": drainedPort}
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for name, port := range ports {
			for _, row := range shapes[2:] {
				in := row.shape(f.request(p, port))
				r.counted(map[string]uint64{"answer unreachable": 1}, func() {
					r.wants(name+", "+row.name, r.front, in.frame(t), xdpRedirect,
						f.answer(t, in, f.unreachable).frame(t))
				})
			}
		}
	})
}

// TestQuoteOfShortPacket: no more is quoted than there was.
func TestQuoteOfShortPacket(t *testing.T) {
	r := newScene(t)
	for _, f := range families {
		r.subtest(t, f.name, func(t *testing.T) {
			in := f.request(lvs.UDP, emptyPort)
			in.payload = nil
			want := f.answer(t, in, f.unreachable)
			r.wants("UDP header alone", r.front, in.frame(t), xdpRedirect, want.frame(t))
			in.trailer = make([]byte, 18)
			r.wants("padded by Ethernet", r.front, in.frame(t), xdpRedirect, want.frame(t))
		})
	}
}

func TestTooBig(t *testing.T) {
	const mtu = 1400
	r := newScene(t)
	must(t, netlink.LinkSetMTU(device(t, backName), mtu))
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for forwarding, port := range forwardings {
			name := forwarding.String()
			fits := f.request(p, port)
			fits.payload = nil
			fits.payload = pattern(mtu - len(fits.packet(t)))
			r.wants(name+", fits", r.front, fits.frame(t), xdpRedirect, f.toServer(fits, forwarding).frame(t))
			in := fits
			in.payload = pattern(len(fits.payload) + 1)
			kind := f.tooBig
			kind.mtu = mtu
			r.counted(map[string]uint64{"answer too_big": 1}, func() {
				r.wants(name+", a byte more", r.front, in.frame(t), xdpRedirect, f.answer(t, in, kind).frame(t))
			})
		}
	})
}

// TestReplyTooBig: a reply that the client's side cannot take is answered to the server; a redirect of
// it would be lost without a word.
func TestReplyTooBig(t *testing.T) {
	const mtu = 1400
	r := newScene(t)
	must(t, netlink.LinkSetMTU(device(t, frontName), mtu))
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		r.receive(r.front, f.request(p, masqPort).frame(t))
		fits := f.reply(p)
		fits.payload = nil
		fits.payload = pattern(mtu - len(fits.packet(t)))
		r.wants("fits", r.back, fits.frame(t), xdpRedirect, f.toClient(fits).frame(t))
		in := fits
		in.payload = pattern(len(fits.payload) + 1)
		kind := f.tooBig
		kind.mtu = mtu
		r.counted(map[string]uint64{"answer too_big": 1}, func() {
			r.wants("a byte more", r.back, in.frame(t), xdpRedirect, f.answer(t, in, kind).frame(t))
		})
	})
}

// TestMTUFollowsTheRoute: the next refresh of the hop brings a new MTU.
func TestMTUFollowsTheRoute(t *testing.T) {
	r := newScene(t)
	for _, f := range families {
		r.subtest(t, f.name, func(t *testing.T) {
			must(t, netlink.LinkSetMTU(device(t, backName), 1500))
			r.turn(1000)
			in := f.request(lvs.TCP, routePort)
			in.payload = pattern(1350)
			want := f.toServer(in, lvs.DirectRoute).frame(t)
			r.wants("before", r.front, in.frame(t), xdpRedirect, want)
			must(t, netlink.LinkSetMTU(device(t, backName), 1300))
			r.turn(1000)
			kind := f.tooBig
			kind.mtu = 1300
			r.wants("after", r.front, in.frame(t), xdpRedirect, f.answer(t, in, kind).frame(t))
		})
	}
}

// TestAnswerRate: a flood of packets that must be answered is answered a thousand times a second on
// each CPU, and no more.
func TestAnswerRate(t *testing.T) {
	const limit, more = 1000, 7
	r := newScene(t)
	onOneCPU(t)
	f := families[0]
	in := f.request(lvs.UDP, emptyPort).frame(t)
	flood := func() {
		for range limit + more {
			r.receive(r.front, in)
		}
	}
	want := map[string]uint64{"answer unreachable": limit, "drop rate_limit": more}
	r.counted(want, flood)
	r.counted(map[string]uint64{"drop rate_limit": 1}, func() { r.drops("the same second", r.front, in) })
	r.turn(1000)
	r.counted(want, flood)
}

// onOneCPU keeps the thread, which the rig has locked, on one CPU.
func onOneCPU(t *testing.T) {
	t.Helper()
	var before unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &before))
	var one unix.CPUSet
	for cpu := 0; one.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	must(t, unix.SchedSetaffinity(0, &one))
	t.Cleanup(func() { must(t, unix.SchedSetaffinity(0, &before)) })
}
