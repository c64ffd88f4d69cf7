//go:build kernel61

package kernel

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"drover/internal/lab"
	"drover/internal/realserver"
)

// TestRealServer has the servers take packets out of tunnels by Drover's program, and then by the devices of the
// kernel, which this one has as modules. The segment sizes are lowered by a filter of clsact: 6.1 has no TCX.
func TestRealServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cluster := labUp(ctx, t, lab.TUN)
	tunnels := []string{"-i", "-i --tun-type gue --tun-port " + strconv.Itoa(lab.TunnelPort), "-i --tun-type gre"}
	for _, tunnel := range []realserver.Tunnel{realserver.XDP, realserver.Kernel} {
		for _, rs := range lab.Servers {
			upServer(ctx, t, cluster, rs, tunnel)
		}
		for i, how := range tunnels {
			t.Run(string(tunnel)+" "+how, func(t *testing.T) {
				run(ctx, t, cluster, lab.Director, "ipvsadm", "-C")
				vip := vipOf(cluster, i%2 == 1)
				balance(ctx, t, cluster, vip, strings.Fields(how)...)
				checkAnswers(t, ask(ctx, t, cluster, vip))
			})
		}
		for _, rs := range lab.Servers {
			checkServer(ctx, t, cluster, rs, tunnel)
		}
	}
	for _, rs := range lab.Servers {
		run(ctx, t, cluster, rs, "drover", "realserver", "down")
		links := run(ctx, t, cluster, rs, "ip", "-o", "link")
		if strings.Contains(links, "drover_") || strings.Contains(links, "xdp") {
			t.Errorf("%s: left behind:\n%s", rs, links)
		}
	}
}

// upServer makes a server take tunnels in another way than the lab or the last call chose.
func upServer(ctx context.Context, t *testing.T, cluster *lab.Lab, rs string, tunnel realserver.Tunnel) {
	t.Helper()
	args := []string{
		"drover", "realserver", "up", "--interface", "eth0", "--clamp-mss=1200",
		"--tunnel", string(tunnel), "--tunnel-port", strconv.Itoa(lab.TunnelPort),
	}
	for _, vip := range cluster.Topology.VIPs {
		args = append(args, "--vip", vip.String())
	}
	run(ctx, t, cluster, rs, args...)
}

func checkServer(ctx context.Context, t *testing.T, cluster *lab.Lab, rs string, tunnel realserver.Tunnel) {
	t.Helper()
	var s realserver.Status
	text := run(ctx, t, cluster, rs, "drover", "realserver", "status", "--json")
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if s.Tunnel != tunnel || s.Clamped == 0 || (tunnel == realserver.Kernel) != (len(s.Devices) > 0) {
		t.Errorf("%s: %s", rs, text)
	}
	t.Logf("%s: devices %v, %d SYN-ACKs clamped", rs, s.Devices, s.Clamped)
}
