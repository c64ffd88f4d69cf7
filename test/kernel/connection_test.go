//go:build kernel61

package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"drover/internal/lab"
)

// requests of one client are sent to a service with three servers, so that round robin has each of
// them answer twice.
const requests = 6

// TestConnections sends real HTTP through the data path, and once more after its upgrade.
func TestConnections(t *testing.T) {
	for _, row := range []struct {
		name  string
		mode  lab.Mode
		how   string // ipvsadm's option
		print string // ipvsadm's word
	}{
		{"direct routing", lab.DR, "-g", "Route"},
		{"NAT", lab.NAT, "-m", "Masq"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cluster := labUp(ctx, t, row.mode)
			for _, vip := range cluster.Topology.VIPs {
				balance(ctx, t, cluster, vip, row.how)
				checkAnswers(t, ask(ctx, t, cluster, vip))
			}
			stats := waitCounted(ctx, t, cluster)
			listing := run(ctx, t, cluster, lab.Director, "ipvsadm", "-L", "-n")
			if n := strings.Count(listing, row.print); n != len(lab.Servers)*len(cluster.Topology.VIPs) {
				t.Errorf("%d destinations are listed as %s", n, row.print)
			}
			t.Logf("\n%s%s", stats, listing)
			if row.mode == lab.NAT {
				checkUpgrade(ctx, t, cluster, cluster.Topology.VIPs[0])
			}
		})
	}
}

// labUp makes a lab that ends with the test, the data path first: its pins are the director's.
func labUp(ctx context.Context, t *testing.T, mode lab.Mode) *lab.Lab {
	t.Helper()
	cluster, err := lab.Up(ctx, lab.Config{Name: "kernel-" + string(mode), Mode: mode, Program: os.Getenv("DROVER")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Not the test's context: it has ended by now.
		if _, err := cluster.Exec(context.Background(), lab.Director, "drover", "datapath", "unload"); err != nil {
			t.Errorf("unload: %v", err)
		}
		if err := cluster.Down(); err != nil {
			t.Errorf("lab down: %v", err)
		}
	})
	return cluster
}

// balance makes a service at the VIP with the lab's servers, their addresses of the same family.
func balance(ctx context.Context, t *testing.T, cluster *lab.Lab, vip netip.Addr, how ...string) {
	t.Helper()
	service := netip.AddrPortFrom(vip, 80).String()
	rules := fmt.Sprintf("-A -t %s -s rr\n", service)
	for _, port := range cluster.Topology.Ports {
		if !strings.HasPrefix(port.Node, "rs") {
			continue
		}
		for _, prefix := range port.Addrs {
			if prefix.Addr().Is4() == vip.Is4() {
				server := netip.AddrPortFrom(prefix.Addr(), 80).String()
				rules += fmt.Sprintf("-a -t %s -r %s %s\n", service, server, strings.Join(how, " "))
			}
		}
	}
	run(ctx, t, cluster, lab.Director, "sh", "-ec", "printf %s '"+rules+"' | ipvsadm -R")
}

// ask gives the number of answers from each server.
func ask(ctx context.Context, t *testing.T, cluster *lab.Lab, vip netip.Addr) map[string]int {
	t.Helper()
	url := "http://" + netip.AddrPortFrom(vip, 80).String() + "/"
	answers := map[string]int{}
	for range requests {
		text := run(ctx, t, cluster, lab.Client, "curl", "-sS", "-g", "--noproxy", "*", "--max-time", "10", url)
		server, _, _ := strings.Cut(text, ":") // "rs1: client 203.0.113.10:49152, ..."
		answers[server]++
	}
	return answers
}

func checkAnswers(t *testing.T, answers map[string]int) {
	t.Helper()
	for _, server := range lab.Servers {
		if answers[server] != requests/len(lab.Servers) {
			t.Errorf("answers by server: %v, want %d of each", answers, requests/len(lab.Servers))
			return
		}
	}
}

// waitCounted gives ipvsadm's listing with --stats once each service has counted the connections: what
// it shows may be two seconds old, as in ip_vs.
func waitCounted(ctx context.Context, t *testing.T, cluster *lab.Lab) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		listing := run(ctx, t, cluster, lab.Director, "ipvsadm", "-L", "-n", "--stats")
		if servicesThatCounted(listing, requests) == len(cluster.Topology.VIPs) {
			return listing
		}
		if time.Now().After(deadline) {
			t.Errorf("not every service has counted %d connections", requests)
			return listing
		}
	}
}

// servicesThatCounted is the number of services whose Conns is n in a listing with --stats.
func servicesThatCounted(listing string, n int) int {
	services := 0
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		if len(fields) > 2 && fields[0] == "TCP" && fields[2] == strconv.Itoa(n) {
			services++
		}
	}
	return services
}

func run(ctx context.Context, t *testing.T, cluster *lab.Lab, node string, args ...string) string {
	t.Helper()
	output, err := cluster.Exec(ctx, node, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(output)
}
