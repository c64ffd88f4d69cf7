package lab

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"drover/internal/realserver"
)

// address gives the nodes their addresses and routes, the director the VIPs, and in modes DR and TUN the
// servers theirs.
func (l *Lab) address(context.Context) error {
	for _, p := range l.Topology.Ports {
		if err := l.Do(p.Node, func() error { return l.addressPort(p) }); err != nil {
			return fmt.Errorf("address %s: %w", p.Node, err)
		}
	}
	for _, r := range l.Topology.routes {
		if err := l.Do(r.node, r.add); err != nil {
			return fmt.Errorf("route %v on %s: %w", r.to, r.node, err)
		}
	}
	if err := l.Do(Director, l.addVIPs); err != nil {
		return fmt.Errorf("VIP on %s: %w", Director, err)
	}
	if l.Config.Mode == NAT {
		return nil
	}
	for _, rs := range Servers {
		if err := l.Do(rs, l.upServer); err != nil {
			return fmt.Errorf("VIP on %s: %w", rs, err)
		}
	}
	return nil
}

// upServer gives a server the VIPs and, in mode TUN, what takes packets out of tunnels.
func (l *Lab) upServer() error {
	// The record is where `drover realserver` looks for it.
	record, err := realserver.DefaultRecord()
	if err != nil {
		return err
	}
	cfg := realserver.Config{VIPs: l.Topology.VIPs, Record: record}
	if l.Config.Mode == TUN {
		cfg.Tunnel, cfg.Ports, cfg.Interfaces = realserver.XDP, []uint16{TunnelPort}, []string{"eth0"}
	}
	_, err = realserver.Up(cfg) // its warnings are about the mode of XDP, which veth has natively
	return err
}

func (l *Lab) addressPort(p Port) error {
	link, err := netlink.LinkByName(p.Interface)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for _, prefix := range p.Addrs {
		addr := addrOf(prefix)
		if l.Topology.offlink && slices.Contains(Servers, p.Node) {
			addr.Flags |= unix.IFA_F_NOPREFIXROUTE
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %v: %w", prefix, err)
		}
	}
	return nil
}

// addVIPs puts the VIPs on the director's first interface, where it answers ARP for them. The IPv6
// one is deprecated (RFC 4862, Section 5.5.4) so that it is no source of the director's own packets.
func (l *Lab) addVIPs() error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, vip := range l.Topology.VIPs {
		addr := addrOf(netip.PrefixFrom(vip, vip.BitLen()))
		if vip.Is6() {
			addr.ValidLft, addr.PreferedLft = math.MaxUint32, 0
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %v: %w", vip, err)
		}
	}
	return nil
}

func (r route) add() error {
	link, err := netlink.LinkByName(r.iface)
	if err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       ipNet(r.to),
		Gw:        r.via.AsSlice(),
		Flags:     int(netlink.FLAG_ONLINK), // servers without a route to their own network
	})
}

func addrOf(prefix netip.Prefix) *netlink.Addr {
	addr := &netlink.Addr{IPNet: ipNet(prefix)}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return addr
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}
}
