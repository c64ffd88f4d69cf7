package system

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/director"
	"drover/internal/lab"
)

// pool is a virtual server of the lab's VIP, with a TCP_CHECK each second for each server.
func pool(c lab.Config, more string, servers ...int) string {
	kind := map[lab.Mode]string{lab.DR: "DR", lab.NAT: "NAT", lab.TUN: "TUN"}[c.Mode]
	var out strings.Builder
	fmt.Fprintf(&out, "virtual_server 192.0.2.100 80 {\n delay_loop 0.2\n lb_algo rr\n lb_kind %s\n protocol TCP\n %s\n", kind, more)
	for _, n := range servers {
		out.WriteString(realServer(n))
	}
	out.WriteString("}\n")
	return out.String()
}

func realServer(n int) string {
	return fmt.Sprintf(" real_server 192.0.2.1%d 80 {\n  TCP_CHECK {\n   connect_timeout 1\n   retry 1\n   delay_before_retry 0.1\n  }\n }\n", n)
}

// directed makes a lab whose director keeps a configuration, and gives the file.
func directed(t *testing.T, cfg lab.Config, text string) (*cluster, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.Keepalived, cfg.Family = file, lab.V4
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
func (c *cluster) serving() string {
	c.t.Helper()
	listing, err := c.try(lab.Director, "ipvsadm -Ln --sort -t "+c.vip(lab.V4, 80))
	if err != nil { // no such service
		return err.Error()
	}
	var words []string
	for line := range strings.Lines(listing) {
		if f := strings.Fields(line); len(f) == 6 && f[0] == "->" && strings.HasPrefix(f[1], "1") {
			host, _, _ := strings.Cut(f[1], ":")
			words = append(words, host[strings.LastIndexByte(host, '.')+1:]+"="+f[3])
		}
	}
	return strings.Join(words, " ")
}

func (c *cluster) serves(want string) {
	c.t.Helper()
	eventually(c.t, 10*time.Second, func() string {
		if got := c.serving(); got != want {
			return fmt.Sprintf("serving %q, want %q", got, want)
		}
		return ""
	})
}

// TestDirector: servers leave the pool when they fail and come back when they answer, in each mode, while clients ask. No request
// fails that was made when the failed server had left.
func TestDirector(t *testing.T) {
	t.Parallel()
	for _, mode := range []lab.Mode{lab.DR, lab.TUN} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			cfg := lab.Config{Mode: mode}
			text := pool(cfg, "", 1, 2, 3)
			if mode == lab.TUN {
				text = strings.NewReplacer("192.0.2.1", "198.51.100.1", "192.0.2.100 80", "192.0.2.100 80", "lb_kind TUN", "lb_kind TUN type gue port 6080").Replace(text)
				text = strings.Replace(text, "virtual_server 198.51.100.100", "virtual_server 192.0.2.100", 1)
			}
			c, _ := directed(t, cfg, text)
			c.serves("11=1 12=1 13=1")
			c.stopServer("rs1")
			c.serves("12=1 13=1")
			for range 100 {
				if _, _, err := c.ask("GET", c.url(lab.V4, "/"), nil); err != nil {
					t.Fatalf("a request after the check: %v", err)
				}
			}
			why := c.run(lab.Director, "drover checks --why 1"+strings.TrimPrefix(c.rip("rs1", lab.V4, 80), "1"))
			if !strings.Contains(why, "connection refused") {
				t.Errorf("checks --why says:\n%s", why)
			}
			if err := c.StartServer(t.Context(), "rs1"); err != nil {
				t.Fatal(err)
			}
			c.serves("11=1 12=1 13=1")
			check(t, "who answers", []string{"rs1", "rs2", "rs3"}, serverNames(c.servers(lab.V4, 9)))
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
		if got := c.serving(); got != "12=7 13=1" {
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
	check(t, "services after the end", "12=7 13=1", c.serving())
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
		check(t, "who serves after a file that is refused", "11=1 12=1", c.serving())
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
			check(t, "without quorum", "13=1", c.serving())
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
