package datapath

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"drover/internal/lvs"
)

// shapes are what a packet may be like. Its way is the same.
var shapes = []struct {
	name  string
	shape func(s ipPacket) ipPacket
}{
	{"as it is", func(s ipPacket) ipPacket { return s }},
	{"no payload", func(s ipPacket) ipPacket { s.payload = nil; return s }},
	{"one byte, padded by Ethernet", func(s ipPacket) ipPacket {
		s.payload, s.trailer = []byte{0xa5}, make([]byte, 18)
		return s
	}},
	{"odd length", func(s ipPacket) ipPacket { s.payload = pattern(333); return s }},
	{"full MTU", func(s ipPacket) ipPacket { s.payload = pattern(1400); return s }},
	{"last hop but one", func(s ipPacket) ipPacket { s.hops = 2; return s }},
	{"most hops", func(s ipPacket) ipPacket { s.hops = 255; return s }},
	{"may be fragmented", func(s ipPacket) ipPacket { s.mayFragment = true; return s }},
	{"two bytes of zero", func(s ipPacket) ipPacket { s.payload = []byte{0, 0}; return s }},
}

func TestForwardToServer(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for forwarding, port := range forwardings {
			for _, row := range shapes {
				in := row.shape(f.request(p, port))
				r.wants(forwarding.String()+", "+row.name, r.front, in.frame(t),
					xdpRedirect, f.toServer(in, forwarding).frame(t))
			}
		}
	})
}

func TestReplyToClient(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		r.receive(r.front, f.request(p, masqPort).frame(t))
		for _, row := range shapes {
			in := row.shape(f.reply(p))
			r.wants(row.name, r.back, in.frame(t), xdpRedirect, f.toClient(in).frame(t))
		}
	})
}

// TestReplyOfDirectRoute: replies of a server by direct routing go past the director, and one that
// comes by is none of its own: it is routed by the host, if at all.
func TestReplyOfDirectRoute(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		r.receive(r.front, f.request(p, routePort).frame(t))
		in := f.reply(p)
		for name, from := range map[string]netip.Addr{"from the VIP": f.vip, "from the server": f.server} {
			in.from = netip.AddrPortFrom(from, routePort)
			r.passes(name, r.back, in.frame(t))
		}
	})
}

// A UDP checksum of 0 means that there is none (RFC 768), so one that comes out as 0 is sent as 0xffff.
func TestUDPChecksum(t *testing.T) {
	r := newScene(t)
	f := families[0]
	r.subtest(t, "none stays none", func(t *testing.T) {
		in := f.request(lvs.UDP, masqPort)
		in.noChecksum = true
		r.wants("to the server", r.front, in.frame(t), xdpRedirect, f.toServer(in, lvs.Masquerade).frame(t))
		in = f.reply(lvs.UDP)
		in.noChecksum = true
		r.wants("to the client", r.back, in.frame(t), xdpRedirect, f.toClient(in).frame(t))
	})
	for _, f := range families {
		r.subtest(t, f.name+" zero becomes ones", func(t *testing.T) {
			in := f.request(lvs.UDP, masqPort)
			in.payload = zeroSum(t, f.toServer(in, lvs.Masquerade))
			want := f.toServer(in, lvs.Masquerade)
			wantChecksum(t, f, want, 0xffff)
			r.wants("to the server", r.front, in.frame(t), xdpRedirect, want.frame(t))
			in = f.reply(lvs.UDP)
			in.payload = zeroSum(t, f.toClient(in))
			want = f.toClient(in)
			wantChecksum(t, f, want, 0xffff)
			r.wants("to the client", r.back, in.frame(t), xdpRedirect, want.frame(t))
		})
	}
}

// zeroSum gives a payload with which the checksum is 0: what its checksum was with a 0 there.
func zeroSum(t *testing.T, s ipPacket) []byte {
	t.Helper()
	s.payload = []byte{0, 0}
	return s.transport(t)[6:8]
}

// wantChecksum makes sure that a row is what its name says.
func wantChecksum(t *testing.T, f family, s ipPacket, want uint16) {
	t.Helper()
	if got := binary.BigEndian.Uint16(s.packet(t)[f.header+6:]); got != want {
		t.Fatalf("checksum %#x, want %#x", got, want)
	}
}

// TestChecksumCorners sends every value of one word, so that every carry of the incremental checksums
// happens.
func TestChecksumCorners(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		in := f.request(p, masqPort)
		for word := 0; word < 1<<16 && !t.Failed(); word += 61 {
			in.payload = []byte{byte(word >> 8), byte(word)}
			r.wants("to the server", r.front, in.frame(t), xdpRedirect, f.toServer(in, lvs.Masquerade).frame(t))
		}
	})
}

// TestOneArm: what goes out by the interface that it came by is sent from there, where the device can.
func TestOneArm(t *testing.T) {
	r := newScene(t)
	check(t, r.objects.Devices.Put(uint32(2), directorDevice{
		Ifindex: uint32(r.back), Mac: macWord(backMAC), Flags: deviceTX,
	}))
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		in := f.request(p, masqPort)
		in.destination = backMAC
		r.wants("in by back", r.back, in.frame(t), xdpTX, f.toServer(in, lvs.Masquerade).frame(t))
		in.destination = frontMAC
		r.wants("in by front", r.front, in.frame(t), xdpRedirect, f.toServer(in, lvs.Masquerade).frame(t))
	})
}
