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

// TestRealServer has the servers take packets out of tunnels by Drover's program, and by the devices of the
// kernel, which this one has as modules. The segment sizes are lowered by a filter of clsact: 6.1 has no TCX.
func TestRealServer(t *testing.T) {
	tunnels := []string{"-i", "-i --tun-type gue --tun-port " + strconv.Itoa(lab.TunnelPort), "-i --tun-type gre"}
	for _, tunnel := range []realserver.Tunnel{realserver.XDP, realserver.Kernel} {
		t.Run(string(tunnel), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			cluster := labUp(ctx, t, lab.TUN)
			for _, rs := range lab.Servers {
				upServer(ctx, t, cluster, rs, tunnel)
			}
			for _, how := range tunnels {
				t.Run(how, func(t *testing.T) {
					run(ctx, t, cluster, lab.Director, "ipvsadm", "-C")
					for _, vip := range cluster.Topology.VIPs {
						balance(ctx, t, cluster, vip, strings.Fields(how)...)
						checkAnswers(t, ask(ctx, t, cluster, vip))
					}
				})
			}
			for _, rs := range lab.Servers {
				checkServer(ctx, t, cluster, rs, tunnel)
			}
		})
	}
}

// upServer makes a server take tunnels in another way than the lab chose, and has it undone with the test.
func upServer(ctx context.Context, t *testing.T, cluster *lab.Lab, rs string, tunnel realserver.Tunnel) {
	t.Helper()
	args := []string{
		"drover", "realserver", "up", "--interface", "eth0", "--clamp-mss=1200",
		"--tunnel", string(tunnel), "--tunnel-port", strconv.Itoa(lab.TunnelPort),
	}
	for _, vip := range cluster.Topology.VIPs {
		args = append(args, "--vip", vip.String())
	}
	t.Cleanup(func() {
		down := []string{"drover", "realserver", "down"}
		if _, err := cluster.Exec(context.Background(), rs, down...); err != nil {
			t.Errorf("%s: %v", rs, err)
		}
		links := run(context.Background(), t, cluster, rs, "ip", "-o", "link")
		if strings.Contains(links, "drover_") || strings.Contains(links, "xdp") {
			t.Errorf("%s: left behind:\n%s", rs, links)
		}
	})
	t.Log(run(ctx, t, cluster, rs, args...))
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
