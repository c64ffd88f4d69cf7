package realserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// TestDecapsulate: every tunnel, of every family in every family, and lengths about those at which the
// sums are taken in pieces.
func TestDecapsulate(t *testing.T) {
	for _, w := range tunnels {
		for _, out := range families {
			for _, in := range families {
				t.Run(fmt.Sprintf("%s, %s in %s", w.name, in.name, out.name), func(t *testing.T) {
					r := newRig(t)
					payloads := []int{0, 1, 2, 3, 439, 440, 441, 512, 1000, 1399}
					for _, payload := range payloads {
						packet := inner(t, in, in.vip, 0, payload)
						verdict, got := r.run(w.wrap(t, out, in, 0, packet))
						check(t, "verdict", uint32(xdpPass), verdict)
						check(t, fmt.Sprintf("%d bytes", payload), frame(t, in, packet), got)
					}
					check(t, "counters", map[string]uint64{"decap " + w.counter: uint64(len(payloads))}, r.counted())
				})
			}
		}
	}
}

// frame is what the host is given: the packet behind the Ethernet header that the outer one had.
func frame(t testing.TB, f family, packet []byte) []byte {
	t.Helper()
	header := serialize(t, ethernet(f))[:14] // without the padding
	return slices.Concat(header, packet)
}

// TestECN holds RFC 6040, Figure 4, as the kernel implements it: Not-ECT inside and CE outside is
// dropped, and of the combinations that are there for a strange router the inner field is kept.
func TestECN(t *testing.T) {
	const none, ect1, ect0, ce, drop = 0, 1, 2, 3, 9
	want := [4][4]int{ // by the inner field, then by the outer one
		none: {none: none, ect1: none, ect0: none, ce: drop},
		ect1: {none: ect1, ect1: ect1, ect0: ect1, ce: ce},
		ect0: {none: ect0, ect1: ect1, ect0: ect0, ce: ce},
		ce:   {none: ce, ect1: ce, ect0: ce, ce: ce},
	}
	const dscp = 0xb8
	r := newRig(t)
	for _, in := range families {
		for _, out := range families {
			for inside := range want {
				for outside, result := range want[inside] {
					packet := inner(t, in, in.vip, dscp|uint8(inside), 10)
					verdict, got := r.run(tunnels[0].wrap(t, out, in, uint8(outside), packet))
					name := fmt.Sprintf("%s in %s, %d in %d", in.name, out.name, inside, outside)
					if result == drop {
						check(t, name, uint32(xdpDrop), verdict)
						continue
					}
					check(t, name, uint32(xdpPass), verdict)
					check(t, name, frame(t, in, inner(t, in, in.vip, dscp|uint8(result), 10)), got)
				}
			}
		}
	}
	check(t, "counters", map[string]uint64{"decap ipip": 60, "drop ecn": 4}, r.counted())
}

// TestLeftAlone: what is not ours reaches the host as it came; what only claims to be is dropped.
func TestLeftAlone(t *testing.T) {
	gue, greSum := tunnels[2], tunnels[5]
	other := family{"v4", v4.vip, addr("198.51.100.12"), v4.director, v4.client}
	for _, row := range []struct {
		name, counter string
		frame         func(t *testing.T) []byte
	}{
		{"ARP", "pass other", func(t *testing.T) []byte {
			f := frame(t, v4, make([]byte, 46))
			f[12], f[13] = 8, 6
			return f
		}},
		{"plain TCP", "pass other", func(t *testing.T) []byte { return frame(t, v4, inner(t, v4, v4.vip, 0, 10)) }},
		{"another port", "pass other", func(t *testing.T) []byte {
			return edit(gue.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 36, 1)
		}},
		{"options in the outer header", "pass other", func(t *testing.T) []byte {
			return edit(tunnels[0].wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 14, 0x46)
		}},
		{"another server's", "pass not_ours", func(t *testing.T) []byte {
			return gue.wrap(t, other, v4, 0, inner(t, v4, v4.vip, 0, 10))
		}},
		{"no VIP inside", "pass not_vip", func(t *testing.T) []byte {
			return gue.wrap(t, v4, v6, 0, inner(t, v6, v6.server, 0, 10))
		}},
		{"a first fragment", "pass fragment", func(t *testing.T) []byte {
			return edit(tunnels[0].wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 20, 0x20)
		}},
		{"a later fragment", "pass fragment", func(t *testing.T) []byte {
			return edit(gue.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 21, 7)
		}},
		{"a fragment of IPv6", "pass fragment", func(t *testing.T) []byte {
			return edit(tunnels[0].wrap(t, v6, v4, 0, inner(t, v4, v4.vip, 0, 10)), 20, 44)
		}},
		{"GRE with a key", "pass options", func(t *testing.T) []byte {
			return edit(greSum.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 34, 0x20)
		}},
		{"GRE with Ethernet", "pass options", func(t *testing.T) []byte {
			return edit(greSum.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 36, 0x65)
		}},
		{"GUE version 1", "pass options", func(t *testing.T) []byte {
			return edit(gue.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 42, 0x40)
		}},
		{"GUE control", "pass options", func(t *testing.T) []byte {
			return edit(gue.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 42, 0x20)
		}},
		{"GUE with an unknown flag", "pass options", func(t *testing.T) []byte {
			return edit(gue.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 44, 0x80)
		}},
		{"GUE with another protocol", "pass options", func(t *testing.T) []byte {
			return edit(gue.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 43, 6)
		}},
		{"the inner packet is longer", "pass malformed", func(t *testing.T) []byte {
			return edit(gue.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 49, 200)
		}},
		{"the inner version is wrong", "pass malformed", func(t *testing.T) []byte {
			return edit(tunnels[0].wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 34, 0x65)
		}},
		{"the outer packet is cut", "pass malformed", func(t *testing.T) []byte {
			f := gue.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10))
			return f[:len(f)-1]
		}},
		{"UDP is longer than IP", "pass malformed", func(t *testing.T) []byte {
			return edit(gue.wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 38, 9)
		}},
		{"a remote checksum beyond the packet", "pass malformed", func(t *testing.T) []byte {
			return edit(tunnels[3].wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 52, 4)
		}},
		{"a remote checksum before its start", "pass malformed", func(t *testing.T) []byte {
			return edit(tunnels[3].wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)), 53, 8)
		}},
		{"a remote checksum in the address", "pass malformed", func(t *testing.T) []byte {
			f := tunnels[3].wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10))
			return edit(edit(withoutSum(f), 51, 16), 53, 16)
		}},
		{"a remote checksum in the address of IPv6", "pass malformed", func(t *testing.T) []byte {
			f := tunnels[3].wrap(t, v4, v6, 0, inner(t, v6, v6.vip, 0, 10))
			return edit(edit(withoutSum(f), 51, 38), 53, 38)
		}},
		{"wrong checksum of UDP", "drop checksum", func(t *testing.T) []byte {
			return edit(gue.wrap(t, v6, v4, 0, inner(t, v4, v4.vip, 0, 10)), 60, 1)
		}},
		{"wrong checksum of GRE", "drop checksum", func(t *testing.T) []byte {
			return edit(greSum.wrap(t, v4, v6, 0, inner(t, v6, v6.vip, 0, 10)), 38, 1)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t)
			in := row.frame(t)
			verdict, out := r.run(in)
			if row.counter[:4] == "drop" {
				check(t, "verdict", uint32(xdpDrop), verdict)
			} else {
				check(t, "verdict", uint32(xdpPass), verdict)
				check(t, "frame", in, out)
			}
			check(t, "counters", map[string]uint64{row.counter: 1}, r.counted())
		})
	}
}

// edit sets or flips a byte: the upper values as they are, so that a field gets a value of its own.
func edit(frame []byte, at int, value byte) []byte {
	frame[at] = value
	return frame
}

// withoutSum takes the checksum out of the UDP header behind an IPv4 header.
func withoutSum(frame []byte) []byte { return edit(edit(frame, 40, 0), 41, 0) }

// TestSources: only the directors of the list may tunnel, once there is one.
func TestSources(t *testing.T) {
	r := newRig(t)
	cfg := Config{VIPs: []netip.Addr{v4.vip}, Ports: []uint16{guePort}}
	in := tunnels[1].wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10))
	for _, step := range []struct {
		sources []netip.Addr
		want    uint32
	}{
		{nil, xdpPass},
		{[]netip.Addr{v4.client, v6.director}, xdpDrop},
		{[]netip.Addr{v4.director}, xdpPass},
	} {
		cfg.Sources = step.sources
		r.set(cfg)
		verdict, _ := r.run(in)
		check(t, fmt.Sprint(step.sources), step.want, verdict)
	}
	check(t, "counters", map[string]uint64{"decap gue": 2, "drop source": 1}, r.counted())
	cfg.VIPs, cfg.Ports = []netip.Addr{v6.vip}, []uint16{guePort + 1}
	r.set(cfg)
	r.run(in)
	r.run(tunnels[0].wrap(t, v4, v4, 0, inner(t, v4, v4.vip, 0, 10)))
	check(t, "counters after another Config",
		map[string]uint64{"decap gue": 2, "drop source": 1, "pass other": 1, "pass not_vip": 1}, r.counted())
}

// TestPadding: an Ethernet frame is at least 60 bytes long; the checksums do not cover what fills it.
func TestPadding(t *testing.T) {
	r := newRig(t)
	packet := inner(t, v4, v4.vip, 0, 0)
	for _, w := range []tunnel{tunnels[2], tunnels[3], tunnels[5]} {
		padding := bytes.Repeat([]byte{0xaa}, 9)
		verdict, got := r.run(append(w.wrap(t, v4, v4, 0, packet), padding...))
		check(t, w.name, uint32(xdpPass), verdict)
		check(t, w.name, slices.Concat(frame(t, v4, packet), padding), got)
	}
}

// TestUDPInside: a completed checksum that comes out as zero is written as 0xffff (RFC 768).
func TestUDPInside(t *testing.T) {
	r := newRig(t)
	header := ip(v4, v4.client, v4.vip, layers.IPProtocolUDP, 0)
	udp := &layers.UDP{SrcPort: 40000, DstPort: 53}
	if err := udp.SetNetworkLayerForChecksum(header.(gopacket.NetworkLayer)); err != nil {
		t.Fatal(err)
	}
	data := []byte{0, 0}
	probe := serialize(t, header, udp, gopacket.Payload(data))
	binary.BigEndian.PutUint16(data, binary.BigEndian.Uint16(probe[26:])) // the sum becomes 0xffff
	packet := serialize(t, header, plainUDP{udp}, gopacket.Payload(data))
	length := len(packet) - 20
	pseudo := append(slices.Clone(packet[12:20]), 0, 17, byte(length>>8), byte(length))
	binary.BigEndian.PutUint16(packet[26:], sumOf(pseudo))
	gue := []byte{2, 4, 0, 1, 0x80, 0, 0, 0, 0, 20, 0, 26}
	outer := &layers.UDP{SrcPort: 0xc123, DstPort: guePort}
	verdict, got := r.run(serialize(t, ethernet(v4), ip(v4, v4.director, v4.server, layers.IPProtocolUDP, 0),
		plainUDP{outer}, gopacket.Payload(slices.Concat(gue, packet))))
	check(t, "verdict", uint32(xdpPass), verdict)
	check(t, "checksum", uint16(0xffff), binary.BigEndian.Uint16(got[14+26:]))
}
