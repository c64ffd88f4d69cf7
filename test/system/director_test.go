package system

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"drover/internal/director"
	"drover/internal/lab"
)

// pool is a virtual server of the lab's VIP, with a TCP_CHECK each second for each server.
func pool(c lab.Config, more string, servers ...int) string {
	return poolOf(c, lab.V4, more, servers...)
}

func poolOf(c lab.Config, f lab.Family, more string, servers ...int) string {
	kind, back, port := "DR", map[lab.Family]string{lab.V4: "192.0.2.1", lab.V6: "2001:db8:2::1"}, 80
	switch c.Mode {
	case lab.NAT:
		kind, port = "NAT", 8080
	case lab.TUN:
		kind = "TUN type gue port 6080"
	}
	if c.Mode != lab.DR {
		back = map[lab.Family]string{lab.V4: "198.51.100.1", lab.V6: "2001:db8:3::1"}
	}
	vip := map[lab.Family]string{lab.V4: "192.0.2.100", lab.V6: "2001:db8:2::100"}[f]
	var out strings.Builder
	fmt.Fprintf(&out, "virtual_server %s 80 {\n delay_loop 0.2\n lb_algo rr\n lb_kind %s\n protocol TCP\n %s\n", vip, kind, more)
	for _, n := range servers {
		fmt.Fprintf(&out, " real_server %s%d %d {\n  TCP_CHECK {\n   connect_timeout 1\n   retry 1\n   delay_before_retry 0.1\n  }\n }\n", back[f], n, port)
	}
	out.WriteString("}\n")
	return out.String()
}

// directed makes a lab whose director keeps a configuration, and gives the file.
func directed(t *testing.T, cfg lab.Config, text string) (*cluster, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.Keepalived, cfg.Family = file, cmp.Or(cfg.Family, lab.V4)
	return newCluster(t, cfg), file
}

// process gives a node's process.
func (c *cluster) process(node string) lab.Process {
	c.t.Helper()
	for _, p := range c.Status().Processes {
		if p.Node == node && p.Alive {
			return p.Process
		}
	}
	c.t.Fatalf("no process on %s", node)
	return lab.Process{}
}

func (c *cluster) signal(p lab.Process, s unix.Signal) {
	c.t.Helper()
	if err := unix.Kill(p.PID, s); err != nil {
		c.t.Fatal(err)
	}
}

// stopServer ends a real server's web server.
func (c *cluster) stopServer(server string) {
	c.t.Helper()
	if err := c.StopServer(c.t.Context(), server); err != nil {
		c.t.Fatal(err)
	}
}

// direct starts a director, in the place of one that has ended, and waits until it answers. The result is ended with the test.
func (c *cluster) direct(file string) *exec.Cmd {
	c.t.Helper()
	cmd := c.Command(context.WithoutCancel(c.t.Context()), program, "director", "-l", "-f", file)
	if err := c.Start(lab.Director, cmd); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
	})
	eventually(c.t, limit, func() string {
		if _, err := c.try(lab.Director, "drover status"); err != nil {
			return err.Error()
		}
		return ""
	})
	return cmd
}

func (c *cluster) snapshot() director.Snapshot {
	c.t.Helper()
	var s director.Snapshot
	if err := json.Unmarshal([]byte(c.run(lab.Director, "drover status --json")), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// serving gives "11=1 12=1": the servers in the data path with their weights.
func (c *cluster) serving(f lab.Family) string {
	c.t.Helper()
	listing, err := c.try(lab.Director, "ipvsadm -Ln --sort -t "+c.vip(f, 80))
	if err != nil { // no such service
		return err.Error()
	}
	var words []string
	for line := range strings.Lines(listing) {
		if fields := strings.Fields(line); len(fields) == 6 && fields[0] == "->" {
			if at, err := netip.ParseAddrPort(fields[1]); err == nil {
				host := at.Addr().String()
				words = append(words, host[strings.LastIndexAny(host, ".:")+1:]+"="+fields[3])
			}
		}
	}
	return strings.Join(words, " ")
}

func (c *cluster) serves(want string) { c.t.Helper(); c.servesBy(lab.V4, want) }

func (c *cluster) servesBy(f lab.Family, want string) {
	c.t.Helper()
	eventually(c.t, 10*time.Second, func() string {
		if got := c.serving(f); got != want {
			return fmt.Sprintf("serving by %s %q, want %q", f, got, want)
		}
		return ""
	})
}

// TestDirector: servers leave the pool when they fail and come back when they answer, in each mode and family, while clients ask. No
// request fails that was made when the failed server had left.
func TestDirector(t *testing.T) {
	t.Parallel()
	families := []lab.Family{lab.V4, lab.V6}
	inBoth := func(f func(lab.Family)) {
		for _, family := range families {
			f(family)
		}
	}
	for _, mode := range []lab.Mode{lab.DR, lab.NAT, lab.TUN} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			cfg := lab.Config{Mode: mode, Family: lab.Both}
			c, _ := directed(t, cfg, poolOf(cfg, lab.V4, "", 1, 2, 3)+poolOf(cfg, lab.V6, "", 1, 2, 3))
			inBoth(func(f lab.Family) { c.servesBy(f, "11=1 12=1 13=1") })
			c.stopServer("rs1")
			inBoth(func(f lab.Family) { c.servesBy(f, "12=1 13=1") })
			inBoth(func(f lab.Family) {
				for range 100 {
					if _, _, err := c.ask("GET", c.url(f, "/"), nil); err != nil {
						t.Fatalf("a request by %s after the check: %v", f, err)
					}
				}
				why := c.run(lab.Director, "drover checks --why "+c.rip("rs1", f, c.serverPort()))
				if !strings.Contains(why, "connection refused") {
					t.Errorf("checks --why says:\n%s", why)
				}
			})
			if err := c.StartServer(t.Context(), "rs1"); err != nil {
				t.Fatal(err)
			}
			inBoth(func(f lab.Family) {
				c.servesBy(f, "11=1 12=1 13=1")
				check(t, "who answers", []string{"rs1", "rs2", "rs3"}, serverNames(c.servers(f, 9)))
			})
		})
	}
}

// TestDirectorRestart: a director that is killed, and begins again, loses no connection; a server that was down stays so until it
// is asked; overrides hold.
func TestDirectorRestart(t *testing.T) {
	t.Parallel()
	c, file := directed(t, lab.Config{Mode: lab.DR}, pool(lab.Config{Mode: lab.DR}, "", 1, 2, 3))
	sessions := c.openAll(lab.V4, 30)
	c.run(lab.Director, "drover server weight 192.0.2.12 7 --reason test")
	c.stopServer("rs1")
	c.serves("12=7 13=1")
	time.Sleep(1500 * time.Millisecond) // what must outlive it is written each second
	c.signal(c.process(lab.Director), unix.SIGKILL)
	rest := sessionsOf(sessions, "rs2", "rs3")
	post := func(when string) {
		t.Helper()
		for _, s := range rest {
			if err := s.post(100); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
	}
	post("without a director")
	again := c.direct(file)
	for range 10 {
		if got := c.serving(lab.V4); got != "12=7 13=1" {
			t.Errorf("after the restart %q serve", got)
		}
		time.Sleep(50 * time.Millisecond)
	}
	post("after the restart")
	if err := again.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, limit, func() string {
		if _, err := c.try(lab.Director, "drover status"); err == nil {
			return "it still answers"
		}
		return ""
	})
	check(t, "services after the end", "12=7 13=1", c.serving(lab.V4))
	post("after the end")
	if got := c.run(lab.Director, "drover director --clear"); got != "1 services removed\n" {
		t.Errorf("clear says %q", got)
	}
	check(t, "services after --clear", "", c.ipvsadm("-Sn"))
}

func sessionsOf(sessions []*session, servers ...string) []*session {
	var list []*session
	for _, s := range sessions {
		if strings.Contains(strings.Join(servers, " "), s.server) {
			list = append(list, s)
		}
	}
	return list
}

// TestDirectorReload: a bad file is refused and changes nothing; a good one changes what is other in it, and no connection is
// lost. What ipvsadm has made stays.
func TestDirectorReload(t *testing.T) {
	t.Parallel()
	cfg := lab.Config{Mode: lab.DR}
	c, file := directed(t, cfg, pool(cfg, "", 1, 2))
	c.ipvsadm("-A -t 192.0.2.200:80 -s wlc")
	sessions := c.openAll(lab.V4, 20)
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c.signal(c.process(lab.Director), unix.SIGHUP)
	}
	refused := func(reason string) {
		t.Helper()
		eventually(t, limit, func() string {
			if s := c.snapshot(); !strings.Contains(s.Reload.Error, reason) {
				return "the reload says: " + s.Reload.Error
			}
			return ""
		})
		check(t, "who serves after a file that is refused", "11=1 12=1", c.serving(lab.V4))
	}
	write("virtual_server 192.0.2.100 80 {\n") // half a file
	refused("its block is not closed")
	write(strings.Replace(pool(cfg, "", 1, 2), "lb_algo rr", "lb_algo rrr", 1))
	refused("did you mean rr?")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.signal(c.process(lab.Director), unix.SIGHUP)
	refused("no such file")
	write(pool(cfg, "", 1, 2, 3) + strings.Replace(pool(cfg, "", 1), "192.0.2.100 80", "192.0.2.100 8080", 1))
	c.serves("11=1 12=1 13=1")
	next := filepath.Join(t.TempDir(), "next.conf")
	if err := os.WriteFile(next, []byte(pool(cfg, "", 2, 3)), 0o644); err != nil {
		t.Fatal(err)
	}
	plan, err := c.try(lab.Director, "drover plan -f "+next)
	if err == nil || !strings.Contains(plan, "[192.0.2.11]:tcp:80 goes: 10 connections would end") || !strings.Contains(plan, "- [192.0.2.100]:tcp:8080") {
		t.Errorf("the plan says, with %v:\n%s", err, plan)
	}
	c.run(lab.Director, "drover plan --accept -f "+next)
	write(pool(cfg, "", 2, 3))
	c.serves("12=1 13=1")
	for _, s := range sessionsOf(sessions, "rs2") {
		if err := s.post(100); err != nil {
			t.Errorf("a connection over reloads: %v", err)
		}
	}
	if got := c.ipvsadm("-Sn"); !strings.Contains(got, "192.0.2.200:80 -s wlc") || strings.Contains(got, ":8080") {
		t.Errorf("services after the reloads:\n%s", got)
	}
	c.run(lab.Director, "drover datapath unload")
	c.serves("12=1 13=1")
	if second, err := c.try(lab.Director, program+" director -l -f "+file); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("a second director: %v, %s", err, second)
	}
}

// TestReloadUnderLoad: with ten thousand SYNs a second, and the file in force changed twenty times (scheduler, weight, another virtual
// server), every packet goes to a server. Only what a deleted server's clients send is lost, as with ip_vs.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	cfg := lab.Config{Mode: lab.DR}
	c, file := directed(t, cfg, pool(cfg, "", 1, 2, 3))
	c.serves("11=1 12=1 13=1")
	lost := func() map[string]uint64 {
		all := map[string]uint64{}
		for _, counter := range c.status().Counters {
			if counter.Verdict == "drop" || counter.Verdict == "answer" {
				all[counter.Verdict+" "+counter.Name] = counter.Value
			}
		}
		return all
	}
	before, forwarded := lost(), c.counter("forward", "route")
	stop, sent := c.steady(lab.V4, 10_000)
	for i := range 20 {
		text := pool(cfg, "", 1, 2, 3)
		if i%2 == 0 {
			text = strings.Replace(text, "lb_algo rr", "lb_algo wlc", 1) + strings.Replace(pool(cfg, "", 1), "192.0.2.100 80", "192.0.2.100 8080", 1)
			text = strings.Replace(text, "80 {\n  TCP", "80 {\n  weight 7\n  TCP", 1)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c.run(lab.Director, "drover reload")
	}
	stop()
	c.serves("11=1 12=1 13=1")
	if diff := gocmp.Diff(before, lost()); diff != "" {
		t.Errorf("of %d packets some were lost (-before +after):\n%s", sent.Load(), diff)
	}
	if n := c.counter("forward", "route") - forwarded; n < uint64(sent.Load()) || sent.Load() < 10_000 {
		t.Errorf("%d packets were forwarded of %d", n, sent.Load())
	}
	t.Logf("%d SYNs over 20 reloads", sent.Load())
}

// flips is how often the quorum is lost and won in TestSorryServer.
const flips = 100

// TestSorryServer: while the quorum flips, there is always somebody who serves: none of ten thousand SYNs a second is refused.
func TestSorryServer(t *testing.T) {
	t.Parallel()
	cfg := lab.Config{Mode: lab.DR}
	c, _ := directed(t, cfg, pool(cfg, "quorum 2\n sorry_server 192.0.2.13 80", 1, 2))
	c.serves("11=1 12=1")
	stop, sent := c.steady(lab.V4, 10_000)
	begin := time.Now()
	for i := range flips / 2 {
		c.run(lab.Director, "drover server disable 192.0.2.11")
		if i == 0 {
			check(t, "without quorum", "13=1", c.serving(lab.V4))
		}
		c.run(lab.Director, "drover server enable 192.0.2.11")
	}
	stop()
	took := time.Since(begin)
	t.Logf("%d SYNs in %v while the quorum changed %d times", sent.Load(), took.Round(time.Second), flips)
	if n := c.counter("answer", "unreachable"); n > 0 {
		t.Errorf("%d of them found no server", n)
	}
	if rate := float64(sent.Load()) / took.Seconds(); rate < 5000 {
		t.Errorf("%.0f SYNs a second: nothing was tested", rate)
	}
	events := c.run(lab.Director, "drover logs")
	if n := strings.Count(events, "Lost quorum"); n != flips/2 {
		t.Errorf("the quorum was lost %d times, want %d", n, flips/2)
	}
}

// TestCheckViaVIP: a check by the VIP goes the way that clients' packets go, so it finds a server without the VIP on lo, or by NAT
// one with another gateway, whose web server answers as before; one that asks the server itself does not.
func TestCheckViaVIP(t *testing.T) {
	t.Parallel()
	// What makes a server useless to clients, and what mends it.
	faults := map[lab.Mode][2]string{
		lab.DR:  {"ip address del 192.0.2.100/32 dev lo", "ip address add 192.0.2.100/32 dev lo"},
		lab.TUN: {"ip address del 192.0.2.100/32 dev lo", "ip address add 192.0.2.100/32 dev lo"},
		lab.NAT: {"ip route del default", "ip route add default via 198.51.100.1"},
	}
	for _, mode := range []lab.Mode{lab.DR, lab.NAT, lab.TUN} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			cfg := lab.Config{Mode: mode}
			c, _ := directed(t, cfg, strings.ReplaceAll(pool(cfg, "check_via vip", 1, 2, 3), "connect_timeout 1", "connect_timeout 0.5"))
			c.serves("11=1 12=1 13=1")
			c.run("rs2", faults[mode][0])
			c.serves("11=1 13=1")
			if server, err := c.askFrom(lab.Director, c.rip("rs2", lab.V4, c.serverPort()), limit); server != "rs2" {
				t.Errorf("asked itself, rs2 says %q, %v", server, err)
			}
			c.run("rs2", faults[mode][1])
			c.serves("11=1 12=1 13=1")
			c.stopServer("rs3")
			c.serves("11=1 12=1")
			if listing := c.ipvsadm("-Ln"); strings.Count(listing, "FWM") != 3 {
				t.Errorf("want a mark's service for each server:\n%s", listing)
			}
		})
	}
}
