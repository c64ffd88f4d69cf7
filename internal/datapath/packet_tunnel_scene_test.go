package datapath

import (
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
