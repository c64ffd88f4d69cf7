package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"drover/internal/lab"
)

// serveOn answers HTTP in a node as the lab's servers do, by its name, until the test ends.
func (c *cluster) serveOn(node string, port uint16) {
	c.t.Helper()
	var listener net.Listener
	err := c.Do(node, func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	server := &http.Server{Handler: lab.Handler(node), ReadHeaderTimeout: limit}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	c.t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			c.t.Error(err)
		}
	})
}

// askFrom asks an address from a node, and gives the server that answered.
func (c *cluster) askFrom(node, address string, timeout time.Duration) (server string, err error) {
	return c.askFromPort(node, 0, address, timeout)
}

// askFromPort asks from a port of the client's; 0 is any.
func (c *cluster) askFromPort(node string, port int, address string, timeout time.Duration) (server string, err error) {
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = c.Do(node, func() error {
			conn, err = (&net.Dialer{LocalAddr: &net.TCPAddr{Port: port}}).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+address+"/bytes/100000", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || len(body) != 100_000 {
		return "", fmt.Errorf("%d bytes of 100000: %w", len(body), err)
	}
	return response.Header.Get(lab.ServerHeader), nil
}

// TestLocalServer: a server on the director's own address, that of the loopback included, in the form of direct
// routing and of NAT with another port; clients elsewhere and on the director itself.
func TestLocalServer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		port   uint16 // where it listens
		server func(c *cluster, f lab.Family) string
		how    string
		remote bool // it serves clients elsewhere
	}{
		{"loopback, direct routing", 80, loopback(80), "-g", true},
		{"own address, direct routing", 80, own(80), "-g", true},
		{"own address, tunnel", 80, own(80), "-i", true},
		{"own address, NAT to another port", 8099, own(8099), "-m", true},
		{"loopback, NAT", 8099, loopback(8099), "-m", false}, // as with ip_vs
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, lab.Config{Mode: lab.DR})
			c.serveOn(lab.Director, test.port)
			for _, f := range families {
				c.ipvsadm("-A -t " + c.vip(f, 80) + " -s rr")
				c.ipvsadm("-a -t " + c.vip(f, 80) + " -r " + test.server(c, f) + " " + test.how)
				for _, node := range []string{lab.Client, lab.Director} {
					timeout := limit
					if node == lab.Client && !test.remote {
						timeout = time.Second
					}
					server, err := c.askFrom(node, c.vip(f, 80), timeout)
					if want := node == lab.Director || test.remote; (err == nil) != want || want && server != lab.Director {
						t.Errorf("%s from the %s: %q, %v, want an answer: %t", f, node, server, err, want)
					}
				}
			}
			if !test.remote && c.counter("drop", "loopback") == 0 {
				t.Error("no packet is counted as for a loopback address")
			}
			if how := map[string]string{"-g": "Route", "-m": "Masq", "-i": "Tunnel"}[test.how]; !strings.Contains(c.ipvsadm("-Ln"), how) {
				t.Errorf("it is not listed as %s", how)
			}
		})
	}
}

func own(port uint16) func(*cluster, lab.Family) string {
	return func(c *cluster, f lab.Family) string { return c.rip(lab.Director, f, port) }
}

func loopback(port uint16) func(*cluster, lab.Family) string {
	return func(_ *cluster, f lab.Family) string {
		if f == lab.V6 {
			return fmt.Sprintf("[::1]:%d", port)
		}
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
}

// TestLocalClient: a client on the director reaches servers elsewhere by NAT, also with the strictest reverse
// path filter; without a server it is told so; and unloading leaves nothing.
func TestLocalClient(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Mode: lab.NAT})
	before := c.run(lab.Director, "ip -br link") + c.run(lab.Director, "sysctl -a -r ^net.ipv[46].conf.lo")
	c.run(lab.Director, "sysctl -w net.ipv4.conf.all.rp_filter=1")
	for _, f := range families {
		c.balance(f, "rs1", "rs2")
		seen := map[string]bool{}
		for range 4 {
			server, err := c.askFrom(lab.Director, c.vip(f, 80), limit)
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			seen[server] = true
		}
		if len(seen) != 2 {
			t.Errorf("%s: answers of %v, want of two servers", f, seen)
		}
		if server, err := c.download(f, 100_000); err != nil || server == "" {
			t.Errorf("%s: the client elsewhere: %v", f, err)
		}
		c.ipvsadm("-A -t " + c.vip(f, 81))
		if _, err := c.askFrom(lab.Director, c.vip(f, 81), limit); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: a service without servers: %v, want refused", f, err)
		}
	}
	c.run(lab.Director, "drover datapath unload")
	after := c.run(lab.Director, "ip -br link") + c.run(lab.Director, "sysctl -a -r ^net.ipv[46].conf.lo")
	check(t, "interfaces and settings after the unload", before, after)
}
