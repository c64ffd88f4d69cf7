//go:build kernel61

package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// settings are the director's. Rate limits of ICMP would answer some packets and not others.
var settings = []struct{ name, value string }{
	{"net/ipv4/ip_forward", "1"},
	{"net/ipv6/conf/all/forwarding", "1"},
	{"net/ipv4/conf/all/rp_filter", "0"},
	{"net/ipv4/conf/default/rp_filter", "0"},
	{"net/ipv4/conf/all/send_redirects", "0"},
	{"net/ipv4/conf/default/send_redirects", "0"},
	{"net/ipv6/conf/default/accept_dad", "0"},
	{"net/ipv4/icmp_ratelimit", "0"},
	{"net/ipv6/icmp/ratelimit", "0"},
}

// wire makes the network of a director in its namespace, and gives the test's ends of it.
func wire(t *testing.T, n *namespace, name string) map[side]*port {
	t.Helper()
	must(t, n.run(func() error { return set(settings) }))
	ports := map[side]*port{
		front: connect(t, n, name+"f", string(front), frontMAC),
		back:  connect(t, n, name+"b", string(back), backMAC),
	}
	must(t, n.run(furnish))
	must(t, n.run(fillChecksums))
	return ports
}

func set(all []struct{ name, value string }) error {
	for _, s := range all {
		if err := os.WriteFile(filepath.Join("/proc/sys", s.name), []byte(s.value), 0o644); err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
	}
	return nil
}

// fillChecksums has the kernel fill in the checksums of what a tunnel puts around a packet: it leaves them to the
// device else, and a veth does nothing.
func fillChecksums() error {
	for _, s := range []side{front, back} {
		if output, err := exec.Command("ethtool", "-K", string(s), "tx", "off").CombinedOutput(); err != nil {
			return fmt.Errorf("switch checksum offload of %s off: %w: %s", s, err, output)
		}
	}
	return nil
}

// connect makes a veth pair: one end in the namespace, the other here, with a socket on it.
func connect(t *testing.T, n *namespace, outside, inside string, mac net.HardwareAddr) *port {
	t.Helper()
	tid := 0
	must(t, n.run(func() error { tid = unix.Gettid(); return nil }))
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: outside, TxQLen: -1})
	veth.PeerName, veth.PeerHardwareAddr = inside, mac
	veth.PeerNamespace = netlink.NsPid(tid)
	must(t, netlink.LinkAdd(veth))
	l, err := netlink.LinkByName(outside)
	must(t, err)
	t.Cleanup(func() { must(t, netlink.LinkDel(l)) })
	must(t, os.WriteFile("/proc/sys/net/ipv6/conf/"+outside+"/disable_ipv6", []byte("1"), 0o644))
	acceptRedirects(t, l.Attrs().Index)
	must(t, netlink.LinkSetUp(l))
	return openPort(t, l.Attrs().Index)
}

// acceptRedirects attaches a program that passes everything: without one, or GRO, a veth refuses the frames
// that another's program redirects to its peer.
func acceptRedirects(t *testing.T, index int) {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2 /* XDP_PASS */), asm.Return()},
	})
	must(t, err)
	defer program.Close()
	l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: index})
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
}

// furnish gives the namespace's interfaces their addresses, neighbours and routes.
func furnish() error {
	for _, name := range []string{"lo", string(front), string(back)} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		if err := furnishLink(l, side(name)); err != nil {
			return fmt.Errorf("furnish %s: %w", name, err)
		}
	}
	for network, router := range clientNetworks {
		_, to, _ := net.ParseCIDR(network)
		if err := netlink.RouteAdd(&netlink.Route{Dst: to, Gw: net.ParseIP(router)}); err != nil {
			return fmt.Errorf("route to %s: %w", network, err)
		}
	}
	return nil
}

func furnishLink(l netlink.Link, s side) error {
	if s == "lo" {
		return furnishVirtual(l)
	}
	for i, p := range directorAddresses {
		if (i < frontAddresses) != (s == front) {
			continue
		}
		address := &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrAdd(l, address); err != nil {
			return fmt.Errorf("address %s: %w", p, err)
		}
	}
	if s == front {
		for _, router := range clientNetworks {
			if err := neighbour(l, router, routerMAC); err != nil {
				return err
			}
		}
		return nil
	}
	for _, network := range serverNetworks {
		for n := byte(1); n <= servers; n++ {
			if err := neighbour(l, fmt.Sprintf("%s%d", network, n), serverMAC(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// furnishVirtual makes all addresses of the virtual networks the host's own.
func furnishVirtual(lo netlink.Link) error {
	for _, p := range virtualNetworks {
		r := netlink.Route{Dst: ipNet(p), LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}
		if err := netlink.RouteAdd(&r); err != nil {
			return fmt.Errorf("make %s local: %w", p, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func neighbour(l netlink.Link, address string, mac net.HardwareAddr) error {
	err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, IP: net.ParseIP(address), HardwareAddr: mac, State: unix.NUD_PERMANENT,
	})
	if err != nil {
		return fmt.Errorf("neighbour %s: %w", address, err)
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
