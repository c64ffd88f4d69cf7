//go:build kernel61

package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/lab"
)

// tunnels are ipvsadm's ways to tunnel, each with the families that differ most in the code: what a VIP's packet is
// put into. The plain ones are those of TestRealServer. The servers take them off with the kernel's own devices.
var tunnels = []struct {
	name, how, info string
	vip6, over6     bool
}{
	{"IPIP, IPv4 in IPv6", "-i", "ipip", false, true},
	{"IPIP, IPv6 in IPv4", "-i", "ipip", true, false},
	{"GUE with checksum, IPv6 in IPv6", "-i --tun-type gue --tun-port 6080 --tun-csum", "gue:6080:+c", true, true},
	{"GUE with remote checksum, IPv4 in IPv4", "-i --tun-type gue --tun-port 6080 --tun-remcsum", "gue:6080:r+c", false, false},
	{"GRE with checksum, IPv4 in IPv4", "-i --tun-type gre --tun-csum", "gre:+c", false, false},
	{"GRE with checksum, IPv6 in IPv6", "-i --tun-type gre --tun-csum", "gre:+c", true, true},
}

// TestTunnels sends real HTTP through tunnels of both families, for VIPs of both families.
func TestTunnels(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, module := range []string{"ipip", "sit", "ip6_tunnel", "ip_gre", "ip6_gre", "fou", "fou6"} {
		if output, err := exec.Command("modprobe", module).CombinedOutput(); err != nil {
			t.Fatalf("modprobe %s: %v: %s", module, err, output)
		}
	}
	cluster := labUp(ctx, t, lab.DR)
	eachServer(cluster, func(node string, addrs []netip.Prefix) { takeTunnelsOff(ctx, t, cluster, node, addrs) })
	for _, row := range tunnels {
		t.Run(row.name, func(t *testing.T) {
			vip := vipOf(cluster, row.vip6)
			tunnel(ctx, t, cluster, vip, row.over6, strings.Fields(row.how))
			checkAnswers(t, ask(ctx, t, cluster, vip))
			listing := run(ctx, t, cluster, lab.Director, "ipvsadm", "-L", "-n", "--tun-info")
			if n := strings.Count(listing, " "+row.info+" "); n != len(lab.Servers) {
				t.Errorf("%d destinations are listed as %s:\n%s", n, row.info, listing)
			}
		})
	}
}

// vipOf gives the lab's VIP of a family.
func vipOf(cluster *lab.Lab, v6 bool) netip.Addr {
	i := slices.IndexFunc(cluster.Topology.VIPs, func(vip netip.Addr) bool { return vip.Is6() == v6 })
	return cluster.Topology.VIPs[i]
}

// takeTunnelsOff sets up the devices of Linux that take the tunnels of both families off: of GRE those with a
// checksum, as one device takes those or the others.
func takeTunnelsOff(ctx context.Context, t *testing.T, cluster *lab.Lab, node string, addrs []netip.Prefix) {
	t.Helper()
	lines := []string{
		"ip link set tunl0 up", "ip link set sit0 up",
		"ip fou add port 6080 gue", "ip -6 fou add port 6080 gue",
	}
	devices := []string{"tunl0", "sit0"}
	for _, prefix := range addrs {
		local := prefix.Addr()
		if local.Is6() { // ip6tnl0 takes no IPv4 off
			lines = append(lines, fmt.Sprintf("ip link add t6 type ip6tnl mode any local %s remote ::", local), "ip link set t6 up",
				fmt.Sprintf("ip link add g6 type ip6gre local %s csum", local), "ip link set g6 up")
			devices = append(devices, "t6", "g6")
			continue
		}
		lines = append(lines, fmt.Sprintf("ip link add g4 type gre local %s csum", local), "ip link set g4 up")
		devices = append(devices, "g4")
	}
	for _, device := range append(devices, "all") {
		lines = append(lines, fmt.Sprintf("echo 0 >/proc/sys/net/ipv4/conf/%s/rp_filter", device))
	}
	run(ctx, t, cluster, node, "sh", "-ec", strings.Join(lines, "\n"))
}

// eachServer runs f for every server of the lab.
func eachServer(cluster *lab.Lab, f func(node string, addrs []netip.Prefix)) {
	for _, port := range cluster.Topology.Ports {
		if strings.HasPrefix(port.Node, "rs") {
			f(port.Node, port.Addrs)
		}
	}
}

// tunnel makes the only service, at the VIP with the lab's servers, by their addresses of one family.
func tunnel(ctx context.Context, t *testing.T, cluster *lab.Lab, vip netip.Addr, over6 bool, how []string) {
	t.Helper()
	service := netip.AddrPortFrom(vip, 80).String()
	rules := fmt.Sprintf("-C\n-A -t %s -s rr\n", service)
	eachServer(cluster, func(_ string, addrs []netip.Prefix) {
		for _, prefix := range addrs {
			if prefix.Addr().Is6() == over6 {
				server := netip.AddrPortFrom(prefix.Addr(), 80).String()
				rules += fmt.Sprintf("-a -t %s -r %s %s\n", service, server, strings.Join(how, " "))
			}
		}
	})
	run(ctx, t, cluster, lab.Director, "sh", "-ec", "printf %s '"+rules+"' | ipvsadm -R")
}
