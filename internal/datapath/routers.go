package datapath

import (
	"fmt"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	solicitations      = 3                      // MAX_RTR_SOLICITATIONS, RFC 4861, Section 10
	solicitationWait   = 700 * time.Millisecond // a router answers within 500 ms (MAX_RA_DELAY_TIME)
	solicitationPoll   = 10 * time.Millisecond
	routerSolicitation = 133 // ICMPv6 type, RFC 4861, Section 4.1
)

// keepDefaultRoutes runs change, which sets an IPv6 forwarding switch. As a side effect the kernel
// then forgets every default route that it had from router advertisements, in the whole namespace, and
// a router may be silent for minutes. So the routers are asked to advertise again.
// The warnings name the interfaces where none did.
func keepDefaultRoutes(change func() error) (warnings []string, err error) {
	before, err := advertisedDefaults()
	if err != nil {
		return nil, err
	}
	if err := change(); err != nil {
		return nil, err
	}
	lost, err := askRouters(before)
	if err != nil {
		return nil, err
	}
	for _, index := range lost {
		name := fmt.Sprintf("interface %d", index)
		if device, err := netlink.LinkByIndex(index); err == nil {
			name = device.Attrs().Name
		}
		warnings = append(warnings, fmt.Sprintf("%s: the kernel dropped the IPv6 default route that a router had "+
			"advertised, and the router has not answered yet; the route comes back with its next advertisement", name))
	}
	return warnings, nil
}

// advertisedDefaults are the interfaces with an IPv6 default route from a router advertisement.
func advertisedDefaults() ([]int, error) {
	filter := &netlink.Route{Protocol: unix.RTPROT_RA}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, filter, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("list the advertised IPv6 routes: %w", err)
	}
	var indexes []int
	for _, route := range routes {
		isDefault := route.Dst == nil || route.Dst.IP.IsUnspecified()
		if isDefault && !slices.Contains(indexes, route.LinkIndex) {
			indexes = append(indexes, route.LinkIndex)
		}
	}
	return indexes, nil
}

// askRouters solicits advertisements on those of the interfaces that have lost their default route,
// until all have one again. It returns those that still have none.
func askRouters(interfaces []int) (lost []int, err error) {
	for range solicitations {
		if lost, err = withoutDefault(interfaces); err != nil || len(lost) == 0 {
			return nil, err
		}
		for _, index := range lost {
			if err := solicitRouters(index); err != nil {
				return nil, err
			}
		}
		for deadline := time.Now().Add(solicitationWait); time.Now().Before(deadline); {
			if lost, err = withoutDefault(interfaces); err != nil || len(lost) == 0 {
				return nil, err
			}
			time.Sleep(solicitationPoll)
		}
	}
	return lost, nil
}

// withoutDefault gives those of the interfaces that have no advertised default route now.
func withoutDefault(interfaces []int) ([]int, error) {
	if len(interfaces) == 0 {
		return nil, nil
	}
	have, err := advertisedDefaults()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(interfaces), func(index int) bool {
		return slices.Contains(have, index)
	}), nil
}

// solicitRouters sends one router solicitation without options to all routers of a link (RFC 4861,
// Section 4.1). The kernel fills in its checksum and its link-local source.
func solicitRouters(index int) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return fmt.Errorf("solicit routers: %w", err)
	}
	defer unix.Close(fd)
	// Receivers drop neighbour discovery messages that have crossed a router.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return fmt.Errorf("solicit routers: %w", err)
	}
	routers := &unix.SockaddrInet6{Addr: [16]byte{0: 0xff, 1: 2, 15: 2}, ZoneId: uint32(index)} // ff02::2
	if err := unix.Sendto(fd, []byte{routerSolicitation, 7: 0}, 0, routers); err != nil {
		return fmt.Errorf("solicit routers on interface %d: %w", index, err)
	}
	return nil
}
