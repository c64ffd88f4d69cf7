package announce

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host is the Kernel of this host, in the network namespace of the calling thread.
type Host struct{}

// Add adds an address that is not there. There is no duplicate address detection: who had it before may have it still for a moment.
func (Host) Add(a Address) (added bool, err error) {
	link, err := netlink.LinkByName(a.Device)
	if err != nil {
		return false, fmt.Errorf("add %s: interface %s: %w", a.Prefix, a.Device, err)
	}
	there, err := has(link, a.Prefix)
	if err != nil || there {
		return false, err
	}
	err = netlink.AddrAdd(link, a.netlink())
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return false, fmt.Errorf("add %s to %s: %w", a.Prefix, a.Device, err)
	}
	return err == nil, nil
}

func has(link netlink.Link, p netip.Prefix) (bool, error) {
	family := netlink.FAMILY_V4
	if p.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := netlink.AddrList(link, family)
	if err != nil {
		return false, fmt.Errorf("list the addresses of %s: %w", link.Attrs().Name, err)
	}
	for _, a := range all {
		if ones, _ := a.Mask.Size(); ones == p.Bits() && a.IP.Equal(p.Addr().AsSlice()) {
			return true, nil
		}
	}
	return false, nil
}

func (a *Address) netlink() *netlink.Addr {
	n := &netlink.Addr{IPNet: ipNet(a.Prefix), Label: a.Label, Scope: a.Scope}
	if a.Broadcast.IsValid() {
		n.Broadcast = a.Broadcast.AsSlice()
	}
	if a.Peer.IsValid() {
		n.Peer = ipNet(netip.PrefixFrom(a.Peer, a.Prefix.Bits()))
	}
	if a.Prefix.Addr().Is6() {
		n.Flags = unix.IFA_F_NODAD
		if a.Prefix.IsSingleIP() { // never the source of this host's own connections
			n.PreferedLft, n.ValidLft = 0, forever
		}
	}
	return n
}

// forever is the lifetime that does not end, as the kernel has it (INFINITY_LIFE_TIME).
const forever = 1<<32 - 1

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Delete takes an address away if it is there.
func (Host) Delete(a Address) error {
	link, err := netlink.LinkByName(a.Device)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete %s: interface %s: %w", a.Prefix, a.Device, err)
	}
	err = netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(a.Prefix)})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete %s from %s: %w", a.Prefix, a.Device, err)
	}
	return nil
}

// Route adds or deletes a route: the words are those of ip route, which knows them all.
func (Host) Route(words []string, add bool) error {
	if add {
		return ip(append([]string{"route", "replace"}, words...), "")
	}
	return ip(append([]string{"route", "del"}, words...), "No such process")
}

// Rule adds or deletes a rule of policy routing.
func (Host) Rule(words []string, add bool) error {
	if add {
		return ip(append([]string{"rule", "add"}, words...), "File exists")
	}
	return ip(append([]string{"rule", "del"}, words...), "No such file or directory")
}

// ip runs iproute2. What says that it is done already is no failure.
func ip(words []string, done string) error {
	if slices.ContainsFunc(words, isIPv6) {
		words = append([]string{"-6"}, words...)
	}
	out, err := exec.Command("ip", words...).CombinedOutput()
	if err == nil || done != "" && strings.Contains(string(out), done) {
		return nil
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return fmt.Errorf("ip %s: %w: %s", strings.Join(words, " "), err, text)
}

// isIPv6 tells of a word whether it is an address or prefix of IPv6: ip takes others for IPv4.
func isIPv6(word string) bool {
	addr, _, _ := strings.Cut(word, "/")
	a, err := netip.ParseAddr(addr)
	return err == nil && a.Is6()
}

// Announce sends a gratuitous ARP or an unsolicited neighbour advertisement.
func (Host) Announce(a Address) error {
	device, err := net.InterfaceByName(a.Device)
	if err != nil {
		return fmt.Errorf("announce %s: %w", a.Prefix.Addr(), err)
	}
	if len(device.HardwareAddr) != len(broadcast) {
		return nil // no Ethernet, and nobody who has to learn
	}
	addr := a.Prefix.Addr()
	frame, to, kind := garp(device.HardwareAddr, addr), broadcast, etherARP
	if addr.Is6() {
		frame, to, kind = advertisement(device.HardwareAddr, addr, isRouter(a.Device)), allNodes6, etherIPv6
	}
	conn, err := packet.Listen(device, packet.Raw, kind, nil)
	if err != nil {
		return fmt.Errorf("announce %s: %w", addr, err)
	}
	defer conn.Close()
	if _, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: to}); err != nil {
		return fmt.Errorf("announce %s: %w", addr, err)
	}
	return nil
}

// isRouter tells whether the host forwards IPv6 there: others would strike a router that says it is none (RFC 4861,
// Section 7.2.5).
func isRouter(device string) bool {
	text, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + device + "/forwarding")
	return err == nil && strings.TrimSpace(string(text)) != "0"
}
