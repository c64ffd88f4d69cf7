package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"drover/internal/lab"
)

// A duo is two hosts at one segment, each a network namespace: the hosts of virtual routers.
type duo struct {
	t      *testing.T
	name   string
	folder string
	runs   map[string]*exec.Cmd // by host
}

// The two hosts.
const (
	high = "high" // of higher priority, 192.0.2.1 and fe80::1
	low  = "low"  // 192.0.2.2 and fe80::2
)

const duoVIP, duoVIP6 = "192.0.2.100", "2001:db8::100"

func newDuo(t *testing.T) *duo {
	t.Helper()
	name := labPrefix() + strings.ToLower(strings.NewReplacer("/", "", "_", "", ",", "", " ", "").Replace(strings.TrimPrefix(t.Name(), "Test")))
	d := &duo{t: t, name: name, folder: t.TempDir(), runs: map[string]*exec.Cmd{}}
	for _, n := range []string{"segment", high, low} {
		ip(t, "netns add "+d.node(n))
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", d.node(n)).Run() })
		ip(t, "-n "+d.node(n)+" link set lo up")
	}
	t.Cleanup(d.stopAll)
	segment := d.node("segment")
	ip(t, "-n "+segment+" link add br0 type bridge mcast_snooping 0")
	ip(t, "-n "+segment+" link set br0 up")
	for i, n := range []string{high, low} {
		ip(t, fmt.Sprintf("-n %s link add eth0 type veth peer name to-%s netns %s", d.node(n), n, segment))
		ip(t, fmt.Sprintf("-n %s link set to-%s master br0 up", segment, n))
		ip(t, fmt.Sprintf("-n %s link set eth0 addrgenmode none", d.node(n)))
		ip(t, fmt.Sprintf("-n %s link set eth0 up", d.node(n)))
		ip(t, fmt.Sprintf("-n %s address add 192.0.2.%d/24 dev eth0", d.node(n), i+1))
		ip(t, fmt.Sprintf("-n %s address add fe80::%d/64 dev eth0 nodad", d.node(n), i+1))
	}
	return d
}

func (d *duo) node(n string) string { return d.name + n }

// start runs a director or keepalived on a host, with a vrrp_instance that has more in it.
func (d *duo) start(n, who, more string, priority int) {
	d.t.Helper()
	file := filepath.Join(d.folder, n+".conf")
	text := fmt.Sprintf("global_defs {\n router_id %s\n}\nvrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority %d\n%s\n}\n", n, priority, more)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.run(n, who, file)
}

func (d *duo) run(n, who, file string) {
	d.t.Helper()
	line := []string{"netns", "exec", d.node(n), program, "director", "-l", "-P", "-f", file}
	if who == "keepalived" {
		pid := func(kind string) string { return filepath.Join(d.folder, n+"."+kind) }
		line = []string{"netns", "exec", d.node(n), "keepalived", "-n", "-l", "-P", "-f", file, "-p", pid("pid"), "-r", pid("vrrp")}
	}
	log, err := os.OpenFile(filepath.Join(d.folder, n+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("ip", line...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "DROVER_RUN="+filepath.Join(d.folder, "run"))
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.runs[n] = cmd
}

// end ends a host's program with a signal; with SIGKILL all of its processes at once.
func (d *duo) end(n string, s unix.Signal) {
	d.t.Helper()
	cmd := d.runs[n]
	delete(d.runs, n)
	all := []string{strconv.Itoa(cmd.Process.Pid)}
	if s == unix.SIGKILL {
		out, err := exec.Command("ip", "netns", "pids", d.node(n)).Output()
		if err != nil {
			d.t.Error(err)
		}
		all = strings.Fields(string(out))
	}
	for _, text := range all {
		pid, err := strconv.Atoi(text)
		if err == nil {
			err = unix.Kill(pid, s)
		}
		if err != nil {
			d.t.Error(err)
		}
	}
	_ = cmd.Wait()
	if s == unix.SIGKILL { // keepalived would take a child that nobody has waited for yet for one that runs
		for _, kind := range []string{"pid", "vrrp"} {
			_ = os.Remove(filepath.Join(d.folder, n+"."+kind))
		}
	}
}

func (d *duo) stopAll() {
	for n := range d.runs {
		d.end(n, unix.SIGTERM)
	}
	if d.t.Failed() {
		for _, n := range []string{high, low} {
			log, _ := os.ReadFile(filepath.Join(d.folder, n+".log"))
			d.t.Logf("%s:\n%s", n, log)
		}
	}
}

// masters gives the hosts that have the VIP.
func (d *duo) masters(vip string) string {
	d.t.Helper()
	var all []string
	for _, n := range []string{high, low} {
		out, err := exec.Command("ip", "-n", d.node(n), "-o", "address", "show", "dev", "eth0", "to", vip).CombinedOutput()
		if err != nil {
			d.t.Fatalf("%v: %s", err, out)
		}
		if len(out) > 0 {
			all = append(all, n)
		}
	}
	return strings.Join(all, " ")
}

// wants waits until a host, and it alone, has the VIP.
func (d *duo) wants(vip, want, when string) {
	d.t.Helper()
	eventually(d.t, 20*time.Second, func() string {
		if got := d.masters(vip); got != want {
			return fmt.Sprintf("%s: the VIP is on %q, want it on %q", when, got, want)
		}
		return ""
	})
}

// vrrpForms are what two hosts can speak with each other.
var vrrpForms = []struct {
	name, vip  string
	more, peer string // of each host; peer has the other's address in the place of %s
}{
	{"v2", duoVIP, "advert_int 1\n authentication {\n auth_type PASS\n auth_pass secret12\n }\n virtual_ipaddress {\n 192.0.2.100/32\n }", ""},
	{"v3", duoVIP, "version 3\n advert_int 0.1\n virtual_ipaddress {\n 192.0.2.100/32\n 192.0.2.101/32\n }", ""},
	{"v3 without a pseudo header", duoVIP, "version 3\n advert_int 0.2\n v3_checksum_as_v2\n virtual_ipaddress {\n 192.0.2.100/32\n }", ""},
	{"v6", duoVIP6, "version 3\n advert_int 0.2\n virtual_ipaddress {\n fe80::100/64\n 2001:db8::100/128\n }", ""},
	{"unicast", duoVIP, "version 3\n advert_int 0.2\n virtual_ipaddress {\n 192.0.2.100/32\n }", "unicast_src_ip %s\n unicast_peer {\n %s\n }"},
}

// TestVRRPPairs has Drover and Debian's keepalived share a virtual router, each with the higher priority once, and two of Drover's:
// election, stop and return, death and return, priorities that are equal.
func TestVRRPPairs(t *testing.T) {
	t.Parallel()
	for _, form := range vrrpForms {
		pairs := [][2]string{{"drover", "keepalived"}, {"keepalived", "drover"}, {"drover", "drover"}}
		if strings.Contains(form.more, "v3_checksum_as_v2") { // keepalived 2.2.7 does not know it, and accepts no such advert
			pairs = pairs[2:]
		}
		for _, pair := range pairs {
			t.Run(form.name+" "+pair[0]+" "+pair[1], func(t *testing.T) {
				t.Parallel()
				d := newDuo(t)
				more := map[string]string{high: form.more, low: form.more}
				if form.peer != "" {
					more[high] += "\n " + fmt.Sprintf(form.peer, "192.0.2.1", "192.0.2.2")
					more[low] += "\n " + fmt.Sprintf(form.peer, "192.0.2.2", "192.0.2.1")
				}
				d.start(low, pair[1], more[low], 100)
				d.wants(form.vip, low, "alone")
				d.start(high, pair[0], more[high], 150)
				d.wants(form.vip, high, "the higher has come")
				d.end(high, unix.SIGTERM)
				d.wants(form.vip, low, "the higher was stopped")
				d.start(high, pair[0], more[high], 150)
				d.wants(form.vip, high, "the higher is back")
				d.end(low, unix.SIGKILL)
				d.start(low, pair[1], more[low], 100)
				d.end(high, unix.SIGKILL)
				eventually(t, 20*time.Second, func() string { // the dead one has the VIP still
					if got := d.masters(form.vip); got != "high low" && got != low {
						return "the higher was killed: the VIP is on " + got
					}
					return ""
				})
				d.start(high, pair[0], more[high], 100)
				d.wants(form.vip, low, "the killed one is back, with an equal priority")
			})
		}
	}
}

// TestDumps: at keepalived's signals the director writes what keepalived writes, but for times and counts.
func TestDumps(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	text := "global_defs {\n router_id dumps\n script_user root\n}\nvrrp_script good {\n script \"/usr/bin/true\"\n interval 1\n}\n" +
		"vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority 150\n advert_int 1\n authentication {\n auth_type PASS\n auth_pass secret12\n }\n" +
		" track_script {\n good\n }\n preempt_delay 5\n virtual_ipaddress {\n 192.0.2.100/24\n 192.0.2.101 dev eth0 label eth0:1\n }\n virtual_ipaddress_excluded {\n 192.0.2.102\n }\n}\n" +
		"vrrp_instance VI_2 {\n interface eth0\n virtual_router_id 52\n version 3\n advert_int 0.5\n nopreempt\n virtual_ipaddress {\n 192.0.2.103\n }\n}\n"
	file := filepath.Join(d.folder, "dumps.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	volatile := regexp.MustCompile(`"last_transition":[0-9.]+|"advert_(sent|rcvd)":[0-9]+|(Sent|Received): \d+`)
	// written gives both files.
	written := func(who string) (json, stats string) {
		d.run(high, who, file)
		d.wants("192.0.2.103", high, who)
		d.wants("192.0.2.101", high, who)
		to := d.runs[high].Process.Pid
		if who == "keepalived" {
			pid, err := os.ReadFile(filepath.Join(d.folder, "high.vrrp"))
			if err != nil {
				t.Fatal(err)
			}
			if to, err = strconv.Atoi(strings.TrimSpace(string(pid))); err != nil {
				t.Fatal(err)
			}
		}
		read := func(path string, s unix.Signal) string {
			_ = os.Remove(path)
			if err := unix.Kill(to, s); err != nil {
				t.Fatal(err)
			}
			var text []byte
			eventually(t, 10*time.Second, func() string {
				var err error
				if text, err = os.ReadFile(path); err != nil || len(text) == 0 {
					return fmt.Sprintf("%s: %v", path, err)
				}
				return ""
			})
			time.Sleep(200 * time.Millisecond) // keepalived writes it piece by piece
			text, _ = os.ReadFile(path)
			_ = os.Remove(path)
			return strings.TrimSpace(volatile.ReplaceAllString(strings.ReplaceAll(string(text), `\/`, "/"), "…")) // JSON has both forms
		}
		json, stats = read("/tmp/keepalived.json", 36), read("/tmp/keepalived.stats", unix.SIGUSR2)
		d.end(high, unix.SIGTERM)
		return json, stats
	}
	kj, ks := written("keepalived")
	dj, ds := written("drover")
	if diff := gocmp.Diff(strings.Split(kj, ","), strings.Split(dj, ",")); diff != "" {
		t.Errorf("JSON (-keepalived +drover):\n%s", diff)
	}
	if diff := gocmp.Diff(ks, ds); diff != "" {
		t.Errorf("counters (-keepalived +drover):\n%s", diff)
	}
}

// TestVRRPGroup: two virtual routers in a sync group, one of IPv6, are MASTER together, with routes, rules and programs; a script that
// fails takes both away, and back.
func TestVRRPGroup(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	bad, told := filepath.Join(d.folder, "bad"), filepath.Join(d.folder, "told")
	program := filepath.Join(d.folder, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$*\" >> "+told+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "global_defs {\n script_user root\n}\nvrrp_script good {\n script \"/usr/bin/test ! -e " + bad + "\"\n interval 1\n fall 2\n}\n" +
		"vrrp_sync_group VG {\n group {\n VI_1\n VI_2\n }\n notify " + program + "\n}\n" +
		"vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n version 3\n advert_int 0.1\n track_script {\n good\n }\n notify " + program + "\n" +
		" virtual_ipaddress {\n 192.0.2.100/32\n }\n virtual_routes {\n 198.51.100.0/24 via 192.0.2.254 dev eth0 no_track\n }\n" +
		" virtual_rules {\n from 192.0.2.100 table 100 priority 1234\n }\n}\n" +
		"vrrp_instance VI_2 {\n interface eth0\n virtual_router_id 52\n version 3\n advert_int 0.1\n virtual_ipaddress {\n fe80::100/64\n 2001:db8::100/128\n }\n" +
		" virtual_routes {\n 2001:db8:9::/64 via fe80::9 dev eth0\n }\n}\n"
	file := filepath.Join(d.folder, "group.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	has := func(want bool, when string) {
		t.Helper()
		for _, line := range []string{"-o address show to 192.0.2.100", "-o address show to 2001:db8::100", "route show 198.51.100.0/24", "rule show priority 1234", "-6 route show 2001:db8:9::/64"} {
			eventually(t, 15*time.Second, func() string {
				out, err := exec.Command("ip", append([]string{"-n", d.node(high)}, strings.Fields(line)...)...).CombinedOutput()
				if err != nil || (len(out) > 0) != want {
					return fmt.Sprintf("%s: ip %s: %v, %q", when, line, err, out)
				}
				return ""
			})
		}
	}
	d.run(high, "drover", file)
	has(true, "MASTER")
	if err := os.WriteFile(bad, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	has(false, "the script fails")
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	has(true, "it is well again")
	d.end(high, unix.SIGTERM)
	has(false, "stopped")
	got, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"INSTANCE VI_1 MASTER 100\n", "INSTANCE VI_1 FAULT 100\n", "GROUP VG MASTER 0\n", "GROUP VG FAULT 0\n", "INSTANCE VI_1 STOP 100\n"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the programs were not told %q:\n%s", want, got)
		}
	}
}

// hangs has a director stand still: after a down interval it answers nobody who asks for its VIP's MAC, and it forwards what comes
// all the same. When it goes on, it answers again.
func (c *cluster) hangs(p lab.Process) {
	c.t.Helper()
	s := c.openAll(lab.V4, 1)[0]
	c.signal(p, unix.SIGSTOP)
	defer c.signal(p, unix.SIGCONT)
	time.Sleep(time.Second) // the down interval is 0.7 s
	if err := s.post(1000); err != nil {
		c.t.Errorf("a session while the director stands still: %v", err)
	}
	before := c.counter("drop", "lease")
	c.run(lab.Gate, "ip neigh flush to 192.0.2.100")
	if server, err := c.askFrom(lab.Client, c.vip(lab.V4, 80), 2*time.Second); err == nil {
		c.t.Errorf("the VIP was found while the director stood still: %s answers", server)
	}
	if n := c.counter("drop", "lease") - before; n == 0 {
		c.t.Error("no question was dropped")
	}
	c.signal(p, unix.SIGCONT)
	eventually(c.t, 5*time.Second, func() string {
		if _, err := c.askFrom(lab.Client, c.vip(lab.V4, 80), time.Second); err != nil {
			return "the director goes on: " + err.Error()
		}
		return ""
	})
}

// TestVIPByVRRP: a director with a virtual router has the VIP, and balances its packets, only while it is MASTER.
func TestVIPByVRRP(t *testing.T) {
	t.Parallel()
	cfg := lab.Config{Mode: lab.DR}
	instance := "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority 150\n version 3\n advert_int 0.2\n" +
		" track_file {\n maintenance\n }\n virtual_ipaddress {\n 192.0.2.100/32\n }\n}\n"
	number := filepath.Join(t.TempDir(), "maintenance")
	if err := os.WriteFile(number, []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, _ := directed(t, cfg, "track_file maintenance {\n file "+number+"\n weight 0\n}\n"+instance+pool(cfg, "", 1, 2, 3))
	state := func(want string) {
		t.Helper()
		eventually(t, 10*time.Second, func() string {
			s := c.snapshot()
			if len(s.VRRP) != 1 || s.VRRP[0].State != want {
				return fmt.Sprintf("virtual routers %+v, want %s", s.VRRP, want)
			}
			return ""
		})
	}
	standby := func() string { return c.run(lab.Director, "drover datapath vip") }
	state("MASTER")
	eventually(t, 5*time.Second, func() string {
		if _, _, err := c.ask("GET", c.url(lab.V4, "/"), nil); err != nil {
			return err.Error()
		}
		return ""
	})
	if text := standby(); strings.Contains(text, "standby") {
		t.Errorf("MASTER, and the data path says:\n%s", text)
	}
	if err := os.WriteFile(number, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	state("FAULT")
	eventually(t, 5*time.Second, func() string {
		if text := standby(); !strings.Contains(text, "standby") {
			return "in FAULT, and the data path says:\n" + text
		}
		if out := c.run(lab.Director, "ip -o address show dev eth0 to 192.0.2.100"); out != "" {
			return "in FAULT, with the VIP: " + out
		}
		return ""
	})
	c.run(lab.Director, "drover datapath unload")
	eventually(t, 15*time.Second, func() string { // the director puts its services back, and says again who has the VIP
		if text, err := c.try(lab.Director, "drover datapath vip"); err != nil || !strings.Contains(text, "standby") {
			return fmt.Sprintf("the data path was made anew, and says %q, %v", text, err)
		}
		return ""
	})
	why := c.run(lab.Director, "drover vrrp")
	if !strings.Contains(why, "says 1") || !strings.Contains(c.run(lab.Director, "drover logs"), "(VI_1) Entering FAULT STATE") {
		t.Errorf("drover vrrp says:\n%s", why)
	}
	if err := os.WriteFile(number, []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	state("MASTER")
	c.hangs(c.process(lab.Director))
	c.signal(c.process(lab.Director), unix.SIGTERM)
	eventually(t, 5*time.Second, func() string {
		return c.run(lab.Director, "ip -o address show dev eth0 to 192.0.2.100")
	})
}
