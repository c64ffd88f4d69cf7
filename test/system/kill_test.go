package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"drover/internal/lab"
)

// stormTime is how long commands are killed under load.
const stormTime = 6 * time.Second

// fates is how many commands must be killed, and how many finish, for the storm to say something: a busy machine
// gets more time for that.
const fates = 10

// TestKill kills commands that read and change the table at random moments, under load. The director
// has no process that lasts, so these are all that can be killed. It runs alone, as TestNextHops does.
func TestKill(t *testing.T) {
	for _, row := range []struct {
		mode   lab.Mode
		family lab.Family
	}{{lab.DR, lab.V4}, {lab.NAT, lab.V6}} {
		t.Run(fmt.Sprintf("%s %s", row.mode, row.family), func(t *testing.T) {
			c := newCluster(t, lab.Config{Mode: row.mode, Family: row.family})
			c.balance(row.family, lab.Servers...)
			before := c.saved()
			sessions := c.openAll(row.family, 20)
			held, release := context.WithCancel(t.Context())
			lost := make(chan error, 1)
			go func() { lost <- hold(held, sessions) }()
			load := c.startLoop(row.family, patient)

			killed, finished := c.storm(row.family, stormTime)
			if killed < fates || finished < fates {
				t.Errorf("%d commands were killed and %d finished: too few to judge by", killed, finished)
			}
			begin := time.Now()
			for _, undo := range c.undo(row.family) { // refused where there is nothing to undo
				if _, err := c.try(lab.Director, undo); err != nil && !strings.Contains(err.Error(), "exit status 255") {
					t.Errorf("after the storm: %v", err)
				}
			}
			took := time.Since(begin)
			if took > 2*time.Second {
				t.Errorf("three commands after the storm took %v: is the table locked?", took)
			}
			check(t, "services after the storm", before, c.saved())

			loop := load.end()
			loop.within(t, 0)
			release()
			if err := <-lost; err != nil {
				t.Errorf("long-lived connections: %v", err)
			}
			c.ipvsadm("-C")
			left := map[string]uint32{}
			for _, m := range c.status().Maps {
				if m.Name == "services" || m.Name == "virtuals" {
					left[m.Name] = m.Entries
				}
			}
			check(t, "entries after -C", map[string]uint32{"services": 0, "virtuals": 0}, left)
			t.Logf("%d commands killed, %d finished; %s; %d connections went on; 3 commands afterwards in %v",
				killed, finished, loop, len(sessions), took.Round(time.Millisecond))
		})
	}
}

// saved gives the lines of ipvsadm -Sn.
func (c *cluster) saved() []string {
	c.t.Helper()
	return strings.Split(strings.TrimSpace(c.ipvsadm("-Sn")), "\n")
}

// extra is a server that takes no connections, and a service beside the one under load.
func (c *cluster) extra(f lab.Family) (server, service string) {
	address := map[lab.Family]string{lab.V4: "192.0.2.20:80", lab.V6: "[2001:db8:2::20]:80"}[f]
	return "-t " + c.vip(f, 80) + " -r " + address, "-t " + c.vip(f, 81)
}

// churn are the commands that are killed. The service under load has its list and its scheduler
// changed by them.
func (c *cluster) churn(f lab.Family) []string {
	server, service := c.extra(f)
	return []string{
		"ipvsadm -Ln",
		"ipvsadm -a " + server + " " + c.how() + " -w 0",
		"ipvsadm -E -s lc -t " + c.vip(f, 80),
		"ipvsadm -A -s wlc " + service,
		"ipvsadm -a " + service + " -r " + c.rip("rs1", f, 81) + " " + c.how(),
		"ipvsadm -Lnc",
		"ipvsadm -d " + server,
		"ipvsadm -E -s rr -t " + c.vip(f, 80),
		"ipvsadm -D " + service,
	}
}

// undo are the commands that take back what churn may have left.
func (c *cluster) undo(f lab.Family) []string {
	server, service := c.extra(f)
	return []string{"ipvsadm -d " + server, "ipvsadm -D " + service, "ipvsadm -E -s rr -t " + c.vip(f, 80)}
}

// storm runs the commands of churn and kills most of them, each at a random moment of its life. After
// each the table must be whole.
func (c *cluster) storm(f lab.Family, lasts time.Duration) (killed, finished int) {
	c.t.Helper()
	server, service := c.extra(f)
	whole := map[string]bool{} // line of ipvsadm -Sn to whether it is always there
	for _, line := range c.saved()[1:] {
		whole[line] = true
	}
	for _, line := range []string{
		"-A -t " + c.vip(f, 80) + " -s rr", "-A -t " + c.vip(f, 80) + " -s lc",
		"-a " + server + " " + c.how() + " -w 0",
		"-A " + service + " -s wlc", "-a " + service + " -r " + c.rip("rs1", f, 81) + " " + c.how() + " -w 1",
	} {
		whole[line] = false
	}
	commands := c.churn(f)
	life := 20 * time.Millisecond // of a command; measured below, as it depends on the machine
	begin := time.Now()
	for i := 0; time.Since(begin) < lasts || min(killed, finished) < fates && time.Since(begin) < 5*lasts; i++ {
		if c.killAtRandom(commands[i%len(commands)], life*3/2) {
			killed++
		} else {
			finished++
		}
		seen := map[string]bool{}
		started := time.Now()
		lines := c.saved()
		life = time.Since(started)
		for _, line := range lines {
			seen[line] = true
			if _, known := whole[line]; !known {
				c.t.Fatalf("after %q the table has %q", commands[i%len(commands)], line)
			}
		}
		for line, always := range whole {
			if always && !seen[line] {
				c.t.Fatalf("after %q the table lacks %q", commands[i%len(commands)], line)
			}
		}
	}
	return killed, finished
}

// killAtRandom runs a command on the director and kills it at some moment of that time, unless it is done
// before.
func (c *cluster) killAtRandom(line string, within time.Duration) (killed bool) {
	c.t.Helper()
	fields := strings.Fields(line)
	var stderr bytes.Buffer
	cmd := c.Command(c.t.Context(), fields[0], fields[1:]...)
	cmd.Stderr = &stderr
	if err := c.Start(lab.Director, cmd); err != nil {
		c.t.Fatal(err)
	}
	timer := time.AfterFunc(rand.N(within), func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) && err != nil {
		c.t.Fatal(err)
	}
	if exit == nil {
		return false
	}
	status, _ := exit.Sys().(syscall.WaitStatus)
	// 255: a command refused, because the one that it builds on was killed.
	if !status.Signaled() && status.ExitStatus() != 255 {
		c.t.Errorf("%s: %v: %s", line, exit, stderr.String())
	}
	return status.Signaled()
}

// hold uses connections until ctx ends: each sends a request about every 100 ms.
func hold(ctx context.Context, sessions []*session) error {
	failed := make([]error, len(sessions))
	var group sync.WaitGroup
	for i, s := range sessions {
		group.Go(func() {
			for failed[i] == nil {
				select {
				case <-ctx.Done():
					return
				case <-time.After(100 * time.Millisecond):
				}
				failed[i] = s.post(1000)
			}
		})
	}
	group.Wait()
	return errors.Join(failed...)
}
