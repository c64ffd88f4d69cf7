//go:build kernel61

package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"drover/internal/lab"
)

// tunnels are ipvsadm's ways to tunnel. The servers take them off with the kernel's own devices.
var tunnels = []struct{ name, how, info string }{
	{"IPIP", "-i", "ipip"},
	{"GUE", "-i --tun-type gue --tun-port 6080 --tun-nocsum", "gue:6080:-c"},
	{"GUE with checksum", "-i --tun-type gue --tun-port 6080 --tun-csum", "gue:6080:+c"},
	{"GUE with remote checksum", "-i --tun-type gue --tun-port 6080 --tun-remcsum", "gue:6080:r+c"},
	{"GRE", "-i --tun-type gre --tun-nocsum", "gre:-c"},
	{"GRE with checksum", "-i --tun-type gre --tun-csum", "gre:+c"},
}

// TestTunnels sends real HTTP to servers of both families, each for VIPs of both families.
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
		if strings.HasPrefix(row.name, "GRE") {
			eachServer(cluster, func(node string, addrs []netip.Prefix) {
				takeGREOff(ctx, t, cluster, node, addrs, strings.Contains(row.how, "--tun-csum"))
			})
		}
		for _, vip := range cluster.Topology.VIPs {
			for _, over6 := range []bool{false, true} {
				name := fmt.Sprintf("%s from %s, over IPv6: %t", row.name, vip, over6)
				t.Run(name, func(t *testing.T) {
					tunnel(ctx, t, cluster, vip, over6, strings.Fields(row.how))
					checkAnswers(t, ask(ctx, t, cluster, vip))
					listing := run(ctx, t, cluster, lab.Director, "ipvsadm", "-L", "-n", "--tun-info")
					if n := strings.Count(listing, " "+row.info+" "); n != len(lab.Servers) {
						t.Errorf("%d destinations are listed as %s:\n%s", n, row.info, listing)
					}
				})
			}
		}
	}
}

// takeTunnelsOff sets up the devices of Linux that take the tunnels of both families off.
func takeTunnelsOff(ctx context.Context, t *testing.T, cluster *lab.Lab, node string, addrs []netip.Prefix) {
	t.Helper()
	lines := []string{
		"ip link set tunl0 up", "ip link set sit0 up",
		"ip fou add port 6080 gue", "ip -6 fou add port 6080 gue",
	}
	devices := []string{"tunl0", "sit0"}
	for _, prefix := range addrs {
		if prefix.Addr().Is6() { // ip6tnl0 takes no IPv4 off
			lines = append(lines, fmt.Sprintf("ip link add t6 type ip6tnl mode any local %s remote ::", prefix.Addr()), "ip link set t6 up")
			devices = append(devices, "t6")
		}
	}
	for _, device := range append(devices, "all") {
		lines = append(lines, fmt.Sprintf("echo 0 >/proc/sys/net/ipv4/conf/%s/rp_filter", device))
	}
	run(ctx, t, cluster, node, "sh", "-ec", strings.Join(lines, "\n"))
}

// takeGREOff sets up the devices for GRE: one takes packets with a checksum off, or those without.
func takeGREOff(ctx context.Context, t *testing.T, cluster *lab.Lab, node string, addrs []netip.Prefix, checksum bool) {
	t.Helper()
	option := ""
	if checksum {
		option = " csum"
	}
	for _, prefix := range addrs {
		device, kind := "g4", "gre"
		if prefix.Addr().Is6() {
			device, kind = "g6", "ip6gre"
		}
		run(ctx, t, cluster, node, "sh", "-ec", fmt.Sprintf("ip link del %[1]s 2>/dev/null || true\n"+
			"ip link add %[1]s type %[2]s local %[3]s%[4]s\nip link set %[1]s up\n"+
			"echo 0 >/proc/sys/net/ipv4/conf/%[1]s/rp_filter", device, kind, prefix.Addr(), option))
	}
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
	run(ctx, t, cluster, lab.Director, "ipvsadm", "-C")
	run(ctx, t, cluster, lab.Director, "ipvsadm", "-A", "-t", service, "-s", "rr")
	eachServer(cluster, func(_ string, addrs []netip.Prefix) {
		for _, prefix := range addrs {
			if prefix.Addr().Is6() == over6 {
				server := netip.AddrPortFrom(prefix.Addr(), 80).String()
				run(ctx, t, cluster, lab.Director, append([]string{"ipvsadm", "-a", "-t", service, "-r", server}, how...)...)
			}
		}
	})
}
