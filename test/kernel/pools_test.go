//go:build kernel61

package kernel

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// poolServers are real servers that keepalived and Drover check in their namespaces.
var poolServers = []string{"203.0.113.211", "203.0.113.212", "203.0.113.213"}

const sorryServer = "203.0.113.219"

// A farm is the real servers of one namespace: they listen or not, and answer with a status.
type farm struct {
	*namespace
	status    [3]atomic.Int32
	listeners [3][]net.Listener
	identity  tls.Certificate
}

// set has a server serve or not.
func (f *farm) set(server int, serves bool) error {
	for _, l := range f.listeners[server] {
		if err := l.Close(); err != nil {
			return err
		}
	}
	f.listeners[server] = nil
	if !serves {
		return nil
	}
	return f.run(func() error {
		for _, port := range []string{"80", "443"} {
			l, err := net.Listen("tcp", poolServers[server]+":"+port)
			if err != nil {
				return err
			}
			if port == "443" {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{f.identity}})
			}
			f.listeners[server] = append(f.listeners[server], l)
			go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:errcheck,gosec // it ends with the listener
				w.WriteHeader(int(f.status[server].Load()))
				fmt.Fprint(w, "page\n")
			}))
		}
		return nil
	})
}

func newFarm(t *testing.T, n *namespace, identity tls.Certificate) *farm {
	t.Helper()
	f := &farm{namespace: n, identity: identity}
	must(t, n.run(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, address := range append(poolServers, sorryServer) {
			if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(address), Mask: net.CIDRMask(32, 32)}}); err != nil {
				return err
			}
		}
		return nil
	}))
	for i := range poolServers {
		f.status[i].Store(200)
		must(t, f.set(i, true))
	}
	t.Cleanup(func() {
		for i := range poolServers {
			must(t, f.set(i, false))
		}
	})
	return f
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"www.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// poolsConfig is one virtual server for each thing that is compared, all of the same three servers.
func poolsConfig(folder string) string {
	var out strings.Builder
	out.WriteString("global_defs {\n router_id pools\n script_user root\n}\n")
	for i := range poolServers {
		fmt.Fprintf(&out, "track_file number%d {\n file %s/number%d\n}\n", i, folder, i)
	}
	vip := 0
	add := func(options, check string, port int, perServer string) {
		vip++
		fmt.Fprintf(&out, "virtual_server 192.0.2.%d %d {\n delay_loop 1\n warmup 0\n lvs_sched wrr\n lvs_method NAT\n protocol TCP\n %s\n", vip, port, options)
		for i, server := range poolServers {
			misc := filepath.Join(folder, fmt.Sprintf("program%d", i))
			fmt.Fprintf(&out, " real_server %s %d {\n weight %d\n %s\n %s\n }\n", server, port, i+1, perServer, strings.NewReplacer("PROGRAM", misc, "NUMBER", fmt.Sprintf("number%d", i)).Replace(check))
		}
		out.WriteString("}\n")
	}
	connect := "connect_timeout 2\n retry 1\n delay_before_retry 0.3\n"
	tcp := "TCP_CHECK {\n" + connect + "}\n"
	sorry := " sorry_server " + sorryServer + " 80\n"
	add("", tcp, 80, "")
	add("", "HTTP_GET {\n url {\n path /\n status_code 200\n }\n"+connect+"}\n", 80, "")
	add("", "SSL_GET {\n url {\n path /\n digest eee39d4b1c13bbae5c1cc1c2a0a0ee4b\n }\n"+connect+"}\n", 443, "") // never the page's
	add("", "SSL_GET {\n url {\n path /\n status_code 200\n }\n"+connect+"}\n", 443, "")
	add("", "MISC_CHECK {\n misc_path PROGRAM\n misc_timeout 5\n}\n", 80, "")
	add("", "MISC_CHECK {\n misc_path PROGRAM\n misc_timeout 5\n misc_dynamic\n}\n", 80, "")
	add("", "FILE_CHECK {\n track_file NUMBER\n weight 2\n dynamic\n}\n", 80, "")
	add("", "FILE_CHECK {\n track_file NUMBER\n weight 2\n}\n", 80, "")
	add("", "FILE_CHECK {\n track_file NUMBER\n weight 0\n}\n", 80, "inhibit_on_failure")
	add("quorum 4\n hysteresis 1\n"+sorry, tcp, 80, "")
	add("quorum 3\n", tcp, 80, "")
	add("", tcp, 80, "inhibit_on_failure")
	add(sorry+" sorry_server_inhibit\n", tcp, 80, "")
	add("quorum 5\n"+sorry, tcp, 80, "inhibit_on_failure")
	add("alpha\n", tcp, 80, "")
	add("alpha\n"+sorry, tcp, 80, "inhibit_on_failure")
	add("persistence_timeout 120\n ", tcp+" HTTP_GET {\n url {\n path /\n status_code 200\n }\n"+connect+"}\n", 80, "uthreshold 100\n lthreshold 50")
	return out.String()
}

// start runs a daemon in a namespace until the test ends; what it has said is shown when the test fails.
func (n *namespace) start(t *testing.T, program string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, n.run(cmd.Start))
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(program), said.String())
		}
	})
}

// poolStep is one change of the servers, alike in both namespaces.
type poolStep struct {
	name   string
	change func(p *pools) error
}

// pools are keepalived with ip_vs, and Drover, of the same file.
type pools struct {
	farms  [2]*farm
	folder string
}

func (p *pools) serve(server int, serves bool) error {
	return firstError(p.farms[0].set(server, serves), p.farms[1].set(server, serves))
}

func (p *pools) answer(server, status int) error {
	for _, f := range p.farms {
		f.status[server].Store(int32(status))
	}
	return nil
}

// number writes a server's track_file.
func (p *pools) number(server, n int) error {
	path := filepath.Join(p.folder, fmt.Sprintf("number%d", server))
	return os.WriteFile(path, fmt.Append(nil, n), 0o644)
}

// exit has the program of a server end with a status.
func (p *pools) exit(server, status int) error {
	path := filepath.Join(p.folder, fmt.Sprintf("status%d", server))
	if err := os.WriteFile(path+".new", fmt.Append(nil, status), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

var poolSteps = []poolStep{
	{"nothing yet", func(*pools) error { return nil }},
	{"the first server is gone", func(p *pools) error { return p.serve(0, false) }},
	{"the third is gone too", func(p *pools) error { return p.serve(2, false) }},
	{"the second says 503", func(p *pools) error { return p.answer(1, 503) }},
	{"the first is back", func(p *pools) error { return p.serve(0, true) }},
	{"all are back", func(p *pools) error { return firstError(p.serve(2, true), p.answer(1, 200)) }},
	{"programs name weights, files add to them", func(p *pools) error {
		return firstError(p.exit(0, 12), p.exit(1, 2), p.exit(2, 1), p.number(0, 7), p.number(1, -1), p.number(2, 0))
	}},
	{"and others", func(p *pools) error {
		return firstError(p.exit(0, 20), p.exit(1, 0), p.exit(2, 0), p.number(0, 0), p.number(1, 3), p.number(2, -7))
	}},
	{"and none", func(p *pools) error { return firstError(p.exit(0, 0), p.number(1, 0), p.number(2, 0)) }},
	{"all are gone", func(p *pools) error {
		return firstError(p.serve(0, false), p.serve(1, false), p.serve(2, false))
	}},
	{"the third is back alone", func(p *pools) error { return p.serve(2, true) }},
	{"the others are back", func(p *pools) error { return firstError(p.serve(0, true), p.serve(1, true)) }},
}

// TestPools: keepalived with ip_vs and Drover, with the same file and the same servers failing and returning, come to the same pools
// after each step.
func TestPools(t *testing.T) {
	kernel, drover := newKernel(t), newDrover(t, 1<<16)
	folder := t.TempDir()
	identity := selfSigned(t)
	p := &pools{folder: folder, farms: [2]*farm{newFarm(t, kernel.namespace, identity), newFarm(t, drover.namespace, identity)}}
	for i := range poolServers {
		must(t, firstError(p.exit(i, 0), p.number(i, 0)))
		program := fmt.Sprintf("#!/bin/sh\nexit $(cat %s/status%d)\n", folder, i)
		must(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("program%d", i)), []byte(program), 0o755))
	}
	file := filepath.Join(folder, "keepalived.conf")
	must(t, os.WriteFile(file, []byte(poolsConfig(folder)), 0o644))
	kernel.start(t, "keepalived", "-n", "-l", "-C", "-f", file, "-p", filepath.Join(folder, "pid"), "-c", filepath.Join(folder, "checkers"))
	drover.start(t, os.Getenv("DROVER"), "director", "-l", "-f", file)
	var before string
	for _, step := range poolSteps {
		must(t, step.change(p))
		got := settled(t, kernel, drover)
		if diff := cmp.Diff(got[0], got[1]); diff != "" {
			t.Errorf("%s (-keepalived and ip_vs, +drover):\n%s", step.name, diff)
		}
		if got[0] == before {
			t.Errorf("%s: nothing has changed: nothing was compared", step.name)
		}
		before = got[0]
	}
}

// settleTime is how long the pools are to stay as they are to count, and patience how long they have to become so.
const (
	settleTime = 4 * time.Second // of a check, its retry, and a slow machine
	patience   = 40 * time.Second
)

// settled waits until neither pool has changed for a while, and gives both as ipvsadm -Sn.
func settled(t *testing.T, directors ...*director) (texts [2]string) {
	t.Helper()
	since := time.Now()
	for begin := since; time.Since(begin) < patience && time.Since(since) < settleTime; time.Sleep(200 * time.Millisecond) {
		for i, d := range directors {
			var r result
			must(t, d.run(func() (err error) {
				r, err = d.command("ipvsadm", []string{"-Sn"}, "")
				return err
			}))
			if r.Stdout != texts[i] {
				texts[i], since = r.Stdout, time.Now()
			}
		}
	}
	return texts
}
