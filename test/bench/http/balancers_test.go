//go:build bench

package http

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/lab"
)

// A balancer is one row: a way from the client to the first server, in a lab of its own.
type balancer struct {
	name  string
	label string // in the lab's name
	mode  lab.Mode
	start func(ctx context.Context, t *testing.T, cluster *lab.Lab) error // nil: the client asks the server itself
	may   bool                                                            // be missing: in this kernel, or in this Drover
}

// balancers are in the order of the table. All send every connection to the same one server, so that
// what differs is the way there.
var balancers = []balancer{
	{"direct to the server", "direct", lab.DR, nil, false},
	{"Drover, DR", "dr", lab.DR, drover("-g"), false},
	{"Drover, NAT", "nat", lab.NAT, drover("-m"), false},
	{"Drover, TUN", "tun", "tun", drover("-i"), true},
	{"nftables, DNAT", "nft", lab.NAT, nftables, true},
	{"HAProxy, TCP mode", "haproxy", lab.NAT, haproxy, false},
	{"nginx, stream", "nginx", lab.NAT, nginx, false},
}

// up makes the balancer's lab and starts it, and gives the lab and the URL that the client asks.
func (b balancer) up(ctx context.Context, t *testing.T) (cluster *lab.Lab, url string, err error) {
	t.Helper()
	cluster, err = lab.Up(ctx, lab.Config{
		Name: fmt.Sprintf("b%d-%s", os.Getpid(), b.label), Mode: b.mode, Family: lab.V4,
		Server: lab.Nginx, Program: os.Getenv("DROVER"),
	})
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() {
		if err := cluster.Down(); err != nil {
			t.Error(err)
		}
	})
	asked := serverOf(cluster)
	if b.start != nil {
		asked = cluster.Topology.VIP(lab.V4)
		err = b.start(ctx, t, cluster)
	}
	return cluster, fmt.Sprintf("http://%v/", asked), err
}

func serverOf(cluster *lab.Lab) netip.Addr { return cluster.Topology.Addr(lab.Servers[0], lab.V4) }

// drover balances by the data path, with ipvsadm's option for the forwarding.
func drover(forwarding string) func(context.Context, *testing.T, *lab.Lab) error {
	return func(ctx context.Context, _ *testing.T, cluster *lab.Lab) error {
		service, server := cluster.Topology.VIP(lab.V4).String()+":80", serverOf(cluster).String()+":80"
		for _, command := range [][]string{
			{"drover", "datapath", "load"},
			{"ipvsadm", "-A", "-t", service, "-s", "rr"},
			{"ipvsadm", "-a", "-t", service, "-r", server, forwarding},
		} {
			if _, err := cluster.Exec(ctx, lab.Director, command...); err != nil {
				return err
			}
		}
		return nil
	}
}

// nftables rewrites the destination in the kernel.
func nftables(ctx context.Context, _ *testing.T, cluster *lab.Lab) error {
	for _, command := range []string{
		"add table ip balancer",
		"add chain ip balancer prerouting { type nat hook prerouting priority dstnat; }",
		fmt.Sprintf("add rule ip balancer prerouting ip daddr %v tcp dport 80 dnat to %v",
			cluster.Topology.VIP(lab.V4), serverOf(cluster)),
	} {
		if _, err := cluster.Exec(ctx, lab.Director, "nft", command); err != nil {
			return err
		}
	}
	return nil
}

// haproxy accepts connections and makes others to the server.
func haproxy(ctx context.Context, t *testing.T, cluster *lab.Lab) error {
	config := fmt.Sprintf(`defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen web
  bind %v:80
  maxconn 4000
  server rs1 %v:80
`, cluster.Topology.VIP(lab.V4), serverOf(cluster))
	return run(ctx, t, cluster, config, "haproxy", "-db", "-f")
}

// nginx does the same by its stream module, with a worker for each CPU as Debian configures it.
func nginx(ctx context.Context, t *testing.T, cluster *lab.Lab) error {
	config := fmt.Sprintf(`load_module %s;
daemon off;
user root;
pid %s;
worker_processes auto;
events { worker_connections 4096; }
stream {
  server {
    listen %v:80;
    proxy_pass %v:80;
  }
}
`, streamModule, filepath.Join(t.TempDir(), "pid"), cluster.Topology.VIP(lab.V4), serverOf(cluster))
	return run(ctx, t, cluster, config, "nginx", "-e", "stderr", "-c")
}

// streamModule is where Debian's libnginx-mod-stream has it.
const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

// run starts a program on the director, its configuration in a file that is its last argument, and waits
// until it accepts connections. It ends with the test, before the lab.
func run(ctx context.Context, t *testing.T, cluster *lab.Lab, config string, command ...string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	cmd := cluster.Command(running, command[0], append(command[1:], file)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for us to hand on
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cluster.Start(lab.Director, cmd); err != nil {
		stop()
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // that it does not answer is told below, with what it said
	}()
	end := func() {
		stop()
		<-ended
	}
	t.Cleanup(end)
	url := fmt.Sprintf("http://%v/", cluster.Topology.VIP(lab.V4))
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		answer, err := cluster.Curl(ctx, url)
		if err == nil && !answer.Failed() {
			return nil
		}
		if time.Now().After(deadline) {
			end()
			return fmt.Errorf("%s does not answer: %v %s\n%s", command[0], err, answer.Error, said.String())
		}
	}
}
