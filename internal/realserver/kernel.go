package realserver

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernel is the host of the calling thread's network namespace: /proc/sys/net and netlink both
// answer for the namespace of the thread that asks.
type kernel struct{}

func (kernel) sysctl(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc/sys", name))
	if err != nil {
		return "", fmt.Errorf("read sysctl: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (kernel) setSysctl(name, value string) error {
	if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set sysctl %s to %s: %w", name, value, err)
	}
	return nil
}

func (kernel) vips() ([]netip.Addr, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("find lo: %w", err)
	}
	addrs, err := netlink.AddrList(lo, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses of lo: %w", err)
	}
	var vips []netip.Addr
	for _, a := range addrs {
		vip, ok := netip.AddrFromSlice(a.IP)
		if ones, bits := a.Mask.Size(); ok && ones == bits && !vip.Unmap().IsLoopback() {
			vips = append(vips, vip.Unmap())
		}
	}
	return vips, nil
}

func (kernel) addVIP(vip netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.AddrAdd(lo, vipAddr(vip)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %v to lo: %w", vip, err)
	}
	return nil
}

func (kernel) deleteVIP(vip netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.AddrDel(lo, vipAddr(vip)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("delete %v from lo: %w", vip, err)
	}
	return nil
}

// vipAddr is the VIP as a host prefix. An IPv6 VIP is deprecated at once (RFC 4862, Section 5.5.4):
// it is answered from, but never chosen as the source of the server's own connections.
func vipAddr(vip netip.Addr) *netlink.Addr {
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP:   vip.AsSlice(),
		Mask: net.CIDRMask(vip.BitLen(), vip.BitLen()),
	}}
	if vip.Is6() {
		addr.Flags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
		addr.ValidLft, addr.PreferedLft = math.MaxUint32, 0
	}
	return addr
}
