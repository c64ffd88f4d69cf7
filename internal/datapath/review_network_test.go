package datapath

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"

	"github.com/vishvananda/netlink"

	"drover/internal/lvs"
)

// TestForwardingSwitchedOff: to write 0 to ip_forward, as the tutorials of direct routing say, switches
// forwarding off on lo too, and the kernel then tells no next hop. Servers and clients that have one keep
// it.
func TestForwardingSwitchedOff(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		off := map[string]string{"net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0"}
		on := map[string]string{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}
		must(t, writeSettings(on))
		in, out := f.request(p, masqPort), f.reply(p)
		for _, when := range []string{"on", "off"} {
			if when == "off" {
				must(t, writeSettings(off))
				for _, name := range forwardingSettings {
					if value, err := readSetting(name); err != nil || value != "0" {
						t.Fatalf("%s is %q, %v: the kernel does not carry the switch over to lo", name, value, err)
					}
				}
			}
			r.turn(60_000 / 2) // all hops are old
			r.wants("request, "+when, r.front, in.frame(t), xdpRedirect, f.toServer(in, lvs.Masquerade).frame(t))
			r.wants("reply, "+when, r.back, out.frame(t), xdpRedirect, f.toClient(out).frame(t))
		}
	})
}

// TestDirectorsMACChanges: an interface's new MAC (a bond that changes its active port, `ip link set
// address`) is followed with no command of ours.
func TestDirectorsMACChanges(t *testing.T) {
	r := newScene(t)
	newMAC := net.HardwareAddr{2, 0, 0, 0, 2, 0x77}
	front := device(t, frontName)
	must(t, netlink.LinkSetHardwareAddr(front, newMAC))
	// The kernel forgets the neighbours with it, and has them back when they ask for the new MAC.
	permanent(t, r.front, "192.0.2.254", routerMAC)
	permanent(t, r.front, "2001:db8:2::fe", routerMAC)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		in := f.request(p, routePort)
		foreign := in
		foreign.destination = net.HardwareAddr{2, 0, 0, 0, 2, 0x99}
		r.passes("another machine's", r.front, foreign.frame(t))
		in.destination = newMAC
		r.wants("the new MAC", r.front, in.frame(t), xdpRedirect, f.toServer(in, lvs.DirectRoute).frame(t))
		r.passes("another machine's, later", r.front, foreign.frame(t))
	})
}

// TestServerIdleForWeeks: a server without a packet for so long that the clock is more than half its
// range further on still has its next hop looked up.
func TestServerIdleForWeeks(t *testing.T) {
	r := newScene(t)
	f := families[0]
	in := f.request(lvs.UDP, routePort)
	moved := net.HardwareAddr{2, 0, 0, 0, 3, 0x77}
	r.wants("first", r.front, in.frame(t), xdpRedirect, f.toServer(in, lvs.DirectRoute).frame(t))
	permanent(t, r.back, f.server.String(), moved)
	for range 30 {
		r.turn(24 * 3600 * 1000) // the connection expires at one of them
	}
	r.wants("weeks later", r.front, in.frame(t), xdpRedirect, in.sent(backMAC, moved).frame(t))
}

// TestHeaderBehindThePacket: an IP packet that ends before its TCP or UDP header does has none, whatever
// the Ethernet frame is padded with.
func TestHeaderBehindThePacket(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		whole := f.request(p, routePort).frame(t)
		minimum := map[lvs.Protocol]int{lvs.TCP: 20, lvs.UDP: 8}[p]
		for _, length := range []int{0, minimum - 1} {
			frame := append([]byte(nil), whole...)
			ip := frame[14:]
			if f.header == 20 {
				binary.BigEndian.PutUint16(ip[2:], uint16(20+length))
			} else {
				binary.BigEndian.PutUint16(ip[4:], uint16(length))
			}
			r.counted(map[string]uint64{"pass malformed": 1}, func() {
				r.passes(fmt.Sprintf("%d bytes of %s", length, p), r.front, frame)
			})
		}
	})
}
