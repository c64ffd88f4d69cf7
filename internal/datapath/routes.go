package datapath

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routes are the kernel's answers to where addresses are, each asked for once, over one socket. The zero
// value has asked for nothing yet.
type routes struct {
	handle  *netlink.Handle
	found   map[netip.Addr]foundRoute
	devices map[int]uint32 // flags (IFF_*) by interface index
}

type foundRoute struct {
	route *netlink.Route // nil: none
	err   error
}

// to gives the route to an address; nil if the kernel names none.
func (r *routes) to(addr netip.Addr) (*netlink.Route, error) {
	if known, ok := r.found[addr]; ok {
		return known.route, known.err
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	var known foundRoute
	list, err := r.handle.RouteGet(addr.AsSlice())
	if err != nil {
		known.err = fmt.Errorf("look up the route to %s: %w", addr, err)
	} else if len(list) > 0 {
		known.route = &list[0]
	}
	r.found[addr] = known
	return known.route, known.err
}

func (r *routes) open() (err error) {
	if r.handle != nil {
		return nil
	}
	if r.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("ask the kernel for routes: %w", err)
	}
	r.found, r.devices = map[netip.Addr]foundRoute{}, map[int]uint32{}
	return nil
}

// close forgets the answers.
func (r *routes) close() {
	if r.handle != nil {
		r.handle.Close()
	}
	*r = routes{}
}

// flags are those of an interface.
func (r *routes) flags(index int) (uint32, error) {
	if flags, ok := r.devices[index]; ok {
		return flags, nil
	}
	device, err := r.handle.LinkByIndex(index)
	if err != nil {
		return 0, err
	}
	r.devices[index] = device.Attrs().RawFlags
	return device.Attrs().RawFlags, nil
}

// nextHopTo asks the kernel for the route to an address; nil if there is nobody to resolve.
func (r *routes) nextHopTo(addr netip.Addr) (*nextHop, error) {
	route, err := r.to(addr)
	if err != nil || route == nil || route.Type != unix.RTN_UNICAST {
		return nil, err
	}
	flags, err := r.flags(route.LinkIndex)
	if err != nil {
		return nil, fmt.Errorf("look up the route to %s: %w", addr, err)
	}
	if flags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0 {
		return nil, nil
	}
	hop := &nextHop{addr: addr, link: route.LinkIndex}
	if via, ok := route.Via.(*netlink.Via); ok { // an IPv4 route over an IPv6 gateway, RFC 5549
		hop.addr, _ = netip.AddrFromSlice(via.Addr)
	} else if gateway, ok := netip.AddrFromSlice(route.Gw); ok {
		hop.addr = gateway.Unmap()
	}
	return hop, nil
}

// isLocal tells whether the kernel takes packets for an address in itself: one of the localAddresses, or of
// a local route (`ip route add local 192.0.2.0/24 dev lo`).
func (r *routes) isLocal(addr netip.Addr) bool {
	route, err := r.to(addr)
	return err == nil && route != nil && route.Type == unix.RTN_LOCAL
}

// source gives the address that the kernel prefers for sending to another; the zero Addr when there is none.
func (r *routes) source(addr netip.Addr) netip.Addr {
	route, err := r.to(addr)
	if err != nil || route == nil || route.Type != unix.RTN_UNICAST {
		return netip.Addr{}
	}
	source, _ := netip.AddrFromSlice(route.Src)
	return source.Unmap()
}
