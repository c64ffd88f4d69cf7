package datapath

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"drover/internal/lvs"
)

// tunnelKinds are ipvsadm's ways to tunnel. The names are those of the recording.
var tunnelKinds = []struct {
	name, switches string
	kind           lvs.TunnelType
	port           uint16
	flags          lvs.TunnelFlags
}{
	{"ipip", "--tun-type ipip", lvs.IPIP, 0, 0},
	{"gue-nocsum", "--tun-type gue --tun-port 6080 --tun-nocsum", lvs.GUE, 6080, lvs.TunnelNoChecksum},
	{"gue-csum", "--tun-type gue --tun-port 6080 --tun-csum", lvs.GUE, 6080, lvs.TunnelChecksum},
	{"gue-remcsum", "--tun-type gue --tun-port 6080 --tun-remcsum", lvs.GUE, 6080, lvs.TunnelRemoteChecksum},
	{"gre-nocsum", "--tun-type gre --tun-nocsum", lvs.GRE, 0, lvs.TunnelNoChecksum},
	{"gre-csum", "--tun-type gre --tun-csum", lvs.GRE, 0, lvs.TunnelChecksum},
}

// A tunnelPool is a service with one server behind a tunnel, of the same family or of the other.
type tunnelPool struct {
	name         string
	inner, outer family
	switches     string
	port         uint16 // of the service
	host         byte   // of the server; each pool has one of its own
	server       lvs.Destination
}

// tunnelPools are those of every kind in every pair of families, in the order of the recording.
func tunnelPools() []tunnelPool {
	var all []tunnelPool
	for _, k := range tunnelKinds {
		for _, inner := range families {
			for _, outer := range families {
				p := tunnelPool{
					name: fmt.Sprintf("%s %s in %s", k.name, inner.name, outer.name), inner: inner, outer: outer,
					switches: k.switches, port: uint16(2000 + len(all)), host: byte(10 + len(all)),
				}
				p.server = lvs.Destination{
					Addr: netip.AddrPortFrom(outer.host(p.host), p.port), Forwarding: lvs.Tunnel, Weight: 1,
					TunnelType: k.kind, TunnelPort: k.port, TunnelFlags: k.flags,
				}
				all = append(all, p)
			}
		}
	}
	return all
}

// host gives the address of a server on back.
func (f family) host(number byte) netip.Addr {
	bytes := f.server.AsSlice()
	bytes[len(bytes)-1] = number
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

// director is its address on back, the source of the outer header.
func (f family) director() netip.Addr { return f.host(1) }

// withClass gives the frame another TOS or traffic class.
func withClass(frame []byte, class byte) []byte {
	frame = append([]byte(nil), frame...)
	if frame[12] == 0x86 {
		frame[14] = frame[14]&0xf0 | class>>4
		frame[15] = frame[15]&0x0f | class<<4
		return frame
	}
	frame[15] = class
	ip := frame[14:34]
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], ^onesSum(ip))
	return frame
}

// onesSum is the Internet checksum's sum (RFC 1071), not complemented.
func onesSum(data []byte) uint16 {
	var sum uint32
	for i, b := range data {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// A tunnelStep is a frame that came in, and those that went out for it, each with its interface.
type tunnelStep struct {
	name string
	in   wireFrame
	out  []wireFrame
}

type wireFrame struct {
	port  string // front | back
	bytes []byte
}

// tunnelRequests are the frames that a pool's client sends, each of a connection of its own.
func (p tunnelPool) tunnelRequests(t testing.TB) []tunnelStep {
	var all []tunnelStep
	add := func(name string, frame []byte) {
		all = append(all, tunnelStep{name: name, in: wireFrame{frontName, frame}})
	}
	for _, protocol := range protocols {
		base := p.inner.request(protocol, p.port)
		request := func() ipPacket {
			s := base
			s.from = netip.AddrPortFrom(p.inner.client, uint16(10000+len(all)))
			return s
		}
		for _, row := range shapes {
			if row.name != "full MTU" {
				add(protocol.String()+" "+row.name, row.shape(request()).frame(t))
			}
		}
		for _, class := range []byte{0, 0x29, 0x2a, 0x2b, 0xff} {
			add(fmt.Sprintf("%s class %#02x", protocol, class), withClass(request().frame(t), class))
		}
		for _, size := range []int{0, 1} { // of the inner packet, beyond what fits 1500
			s := request()
			s.payload = nil
			s.payload = pattern(1500 - p.overhead() + size - len(s.packet(t)))
			add(fmt.Sprintf("%s %d beyond the MTU", protocol, size), s.frame(t))
			s.mayFragment = true
			s.from = netip.AddrPortFrom(p.inner.client, uint16(10000+len(all)))
			if p.inner.name == "IPv4" {
				add(fmt.Sprintf("%s %d beyond the MTU, may be fragmented", protocol, size), s.frame(t))
			}
		}
	}
	s := p.inner.request(lvs.UDP, p.port)
	s.from = netip.AddrPortFrom(p.inner.client, uint16(10000+len(all)))
	s.noChecksum = true
	if p.inner.name == "IPv4" {
		add("UDP without checksum", s.frame(t))
	}
	s = p.inner.datagram(lvs.UDP, p.port)
	s.from = netip.AddrPortFrom(p.inner.client, uint16(10000+len(all)))
	for i, frame := range s.fragments(t, cuts...) {
		add(fmt.Sprintf("UDP fragment %d", i+1), frame)
	}
	return all
}

// overhead is what the tunnel adds to a packet, in bytes.
func (p tunnelPool) overhead() int {
	switch {
	case strings.HasPrefix(p.name, "gue"):
		return p.outer.header + 8 + 4
	case strings.HasPrefix(p.name, "gre-csum"):
		return p.outer.header + 8
	case strings.HasPrefix(p.name, "gre"):
		return p.outer.header + 4
	}
	return p.outer.header
}

// narrowMTU is such that 1280 bytes, which every path of IPv6 must carry, do not fit in a tunnel.
const narrowMTU = 1290

// narrow gives the route to the pool's server that MTU. It is locked: what is only set does not hold for
// packets that are forwarded (net.ipv4.ip_forward_use_pmtu), and so not for bpf_fib_lookup.
func (p tunnelPool) narrow(t *testing.T) {
	t.Helper()
	server := p.server.Addr.Addr()
	check(t, netlink.RouteReplace(&netlink.Route{
		LinkIndex: device(t, backName).Attrs().Index, MTU: narrowMTU, MTULock: true, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: server.AsSlice(), Mask: net.CIDRMask(server.BitLen(), server.BitLen())},
	}))
}
