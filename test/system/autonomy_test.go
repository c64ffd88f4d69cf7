package system

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lab"
)

// TestNoProcess loads the data path with commands under `ip netns exec`, which have ended, and leaves it
// alone: it forwards, and connections expire.
func TestNoProcess(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{})
	for _, f := range families {
		for _, service := range []string{"-t " + c.vip(f, httpPort), "-u " + c.vip(f, echoPort)} {
			c.netnsExec("ipvsadm -A " + service + " -s rr")
			for _, rs := range lab.Servers {
				server := c.rip(rs, f, httpPort)
				if strings.HasPrefix(service, "-u") {
					server = c.rip(rs, f, echoPort)
				}
				c.netnsExec("ipvsadm -a " + service + " -r " + server + " -g")
			}
		}
	}
	c.netnsExec("ipvsadm --set 3 3 3")
	c.wantNoProcess()
	for _, f := range families {
		check(t, "servers", lab.Servers, c.servers(f, 6))
		if _, err := c.transfer(f); err != nil {
			t.Error(err)
		}
		if _, err := c.echo(f, "hello"); err != nil {
			t.Errorf("echo: %v", err)
		}
		c.openAll(f, 2)
	}
	const each = 6 + 2 + 1 + 2
	before := c.connections()
	check(t, "connections", len(families)*each, len(before))
	c.wantNoProcess()
	// Three seconds, at most two until the sweep comes by, and some for a busy machine.
	const expiry = 7 * time.Second
	wait(t, expiry)
	if left := c.connections(); len(left) > 0 {
		t.Errorf("connections after %v:\n%s", expiry, strings.Join(left, "\n"))
	}
	for _, f := range families {
		check(t, "counts", counts{}, sum(c.listed("-t "+c.vip(f, httpPort))))
		check(t, "servers after the expiry", lab.Servers, c.servers(f, 6))
	}
	t.Logf("%d connections expired within %v without a process", len(before), expiry)
}

// netnsExec runs drover on the director as an administrator would who has no lab.
func (c *cluster) netnsExec(line string) {
	c.t.Helper()
	ip(c.t, "netns exec "+c.Namespace(lab.Director)+" "+program+" "+line)
}

// connections are the lines of ipvsadm -Lnc.
func (c *cluster) connections() []string {
	c.t.Helper()
	lines := strings.Split(strings.TrimSpace(c.ipvsadm("-Lnc")), "\n")
	if len(lines) < 2 || !strings.HasPrefix(lines[1], "pro expire") {
		c.t.Fatalf("no headings in %q", lines)
	}
	return lines[2:]
}

// wantNoProcess looks for processes in the director's namespace.
func (c *cluster) wantNoProcess() {
	c.t.Helper()
	own, err := os.Stat(filepath.Join("/run/netns", c.Namespace(lab.Director)))
	if err != nil {
		c.t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(processes) == 0 {
		c.t.Fatalf("%d processes, %v", len(processes), err)
	}
	for _, p := range processes {
		if of, err := os.Stat(filepath.Join(p, "ns/net")); err == nil && os.SameFile(own, of) {
			name, _ := os.ReadFile(filepath.Join(p, "comm"))
			c.t.Errorf("%s (%s) runs on the director", p, strings.TrimSpace(string(name)))
		}
	}
}

// TestNamespaceMadeAgain deletes the director's namespace without unloading, and makes one of the same
// name: by hand, and then with a whole lab around it. It runs alone, because any other load would
// collect the old folder too.
func TestNamespaceMadeAgain(t *testing.T) {
	c := newCluster(t, lab.Config{Family: lab.V4})
	c.balance(lab.V4, lab.Servers...)
	check(t, "servers", lab.Servers, c.servers(lab.V4, 3))
	old := c.pinFolder()
	name := c.Namespace(lab.Director)
	ip(t, "netns del "+name)
	ip(t, "netns add "+name)
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join("/run/netns", name)); err == nil { // the test ended early
			_, _ = c.Exec(context.Background(), lab.Director, "drover", "datapath", "unload")
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	})
	check(t, "connections", []string{}, c.connections())
	check(t, "services", "", c.ipvsadm("-Sn"))
	if out, err := c.try(lab.Director, "drover datapath status"); err == nil || !strings.Contains(err.Error(), "not loaded") {
		t.Errorf("status of the new namespace: %v, %s", err, out)
	}
	check(t, "folders before the load", []string{old}, pinFolders(t))
	c.run(lab.Director, "ip link add eth0 type veth peer name peer")
	// The kernel takes a namespace down in its own time, and only then can a load see that it is gone.
	eventually(t, limit, func() string {
		c.run(lab.Director, "drover datapath load --interface eth0")
		return cmp.Diff([]string{c.pinFolder()}, pinFolders(t))
	})
	if states, err := filepath.Glob(filepath.Join(runFolder, "state", "*")); err != nil || len(states) != 1 {
		t.Errorf("saved settings %q, %v; want those of the new namespace alone", states, err)
	}
	c.run(lab.Director, "drover datapath unload")
	ip(t, "netns del "+name)
	if err := c.Down(); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	again, err := lab.Up(ctx, c.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := again.Down(); err != nil {
			t.Error(err)
		}
	})
	c = &cluster{Lab: again, t: t}
	c.balance(lab.V4, "rs2", "rs3")
	check(t, "servers in the third namespace", []string{"rs2", "rs3"}, c.servers(lab.V4, 4))
	t.Logf("%s, made again, begins without services, and its load collects the old folder", name)
}

// pinFolder is that of the director.
func (c *cluster) pinFolder() string {
	c.t.Helper()
	return filepath.Join(runFolder, "bpf", strconv.FormatUint(c.status().Namespace, 10))
}

// ip runs ip on the machine, not in a node.
func ip(t *testing.T, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", line, err, out)
	}
}
