package system

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"drover/internal/lab"
)

// An outcome is all that a command leaves its user with.
type outcome struct {
	Status         int
	Stdout, Stderr string
}

// typed runs a command line on the director, as a user with that number.
func (c *cluster) typed(user uint32, line string) outcome {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	fields := strings.Fields(line)
	cmd := c.Command(c.t.Context(), fields[0], fields[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	err := c.Start(lab.Director, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	exit := (*exec.ExitError)(nil)
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatalf("%s: %v", line, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

const (
	root   = 0
	nobody = 65534
)

// footprint is what a data path changes on its machine.
type footprint struct {
	XDP        []string // interfaces
	Neighbours []string // that the kernel is told to manage
	Forwarding []string // of lo
	Pinned     bool
}

func (c *cluster) footprint() footprint {
	c.t.Helper()
	var found footprint
	err := c.Do(lab.Director, func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			if xdp := l.Attrs().Xdp; xdp != nil && xdp.Attached {
				found.XDP = append(found.XDP, l.Attrs().Name)
			}
		}
		for _, version := range []string{"ipv4", "ipv6"} {
			text, errRead := os.ReadFile("/proc/sys/net/" + version + "/conf/lo/forwarding")
			found.Forwarding = append(found.Forwarding, strings.TrimSpace(string(text)))
			err = errors.Join(err, errRead)
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(c.run(lab.Director, "ip neigh show")) {
		if fields := strings.Fields(line); slices.Contains(fields, "managed") {
			found.Neighbours = append(found.Neighbours, fields[0])
		}
	}
	slices.Sort(found.Neighbours)
	found.Pinned = len(pinFolders(c.t)) > 0
	return found
}

// TestLoadAndUnload goes through the life of a data path: commands that read leave no trace, the first
// that adds loads it and says so once, unload takes everything away. It runs alone, so that the pins are
// this test's.
func TestLoadAndUnload(t *testing.T) {
	c := newCluster(t, lab.Config{Layout: lab.TwoInterface})
	c.stopForwarding()
	untouched := c.footprint()
	check(t, "footprint of a fresh director", footprint{Forwarding: []string{"0", "0"}}, untouched)
	for _, line := range []string{
		"ipvsadm", "ipvsadm -Ln", "ipvsadm -Lnc", "ipvsadm -Ln --stats", "ipvsadm -Sn", "ipvsadm-save -n", "ipvsadm -Z", "ipvsadm -C",
	} {
		if got := c.typed(root, line); got.Status != 0 || got.Stderr != "" {
			t.Errorf("%s: %+v", line, got)
		}
		check(t, "footprint after "+line, untouched, c.footprint())
	}

	service := "-t " + c.vip(lab.V4, httpPort)
	loaded := "drover: data path loaded on eth0 (native), eth1 (native)\n"
	check(t, "first command that adds", outcome{Stderr: loaded}, c.typed(root, "ipvsadm -A "+service))
	for _, f := range families {
		if f == lab.V6 {
			check(t, "second one", outcome{}, c.typed(root, "ipvsadm -A -t "+c.vip(f, httpPort)))
		}
		c.addServer(f, "rs1")
		c.addServer(f, "rs2")
	}
	working := footprint{XDP: []string{"eth0", "eth1", "drover1"}, Forwarding: []string{"1", "1"}, Pinned: true}
	for _, f := range families {
		for _, rs := range []string{"rs1", "rs2"} {
			working.Neighbours = append(working.Neighbours, c.Topology.Addr(rs, f).String())
		}
	}
	slices.Sort(working.Neighbours)
	check(t, "footprint while loaded", working, c.footprint())
	check(t, "servers", []string{"rs1", "rs2"}, c.servers(lab.V4, 4))

	check(t, "unload", outcome{Stdout: "The data path is unloaded.\n"}, c.typed(root, "drover datapath unload"))
	check(t, "footprint after unload", untouched, c.footprint())
	if _, _, err := c.ask("GET", c.url(lab.V4, "/"), nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("request to the VIP after unload: %v, want the host's refusal", err)
	}
	notLoaded := `drover: the data path is not loaded in this network namespace ("drover datapath load" does it)` + "\n"
	check(t, "second unload", outcome{1, "", notLoaded}, c.typed(root, "drover datapath unload"))
	check(t, "upgrade of nothing", outcome{1, "", notLoaded}, c.typed(root, "drover datapath upgrade"))
	t.Logf("loaded by the first -A alone; while loaded: %+v", working)
}

// TestLoadRefused: what cannot be loaded is refused in one line, and nothing is half-loaded.
func TestLoadRefused(t *testing.T) {
	c := newCluster(t, lab.Config{Layout: lab.TwoInterface, Family: lab.V4})
	c.stopForwarding()
	fresh := footprint{Forwarding: []string{"0", "0"}}
	const lacking = "the data path needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and CAP_SYS_ADMIN to mount its pins"
	for _, row := range []struct {
		name   string
		user   uint32
		line   string
		status int
		stderr string // a part of its one line
	}{
		{"unknown interface", root, "drover datapath load --interface eth9", 1, `drover: interface "eth9" does not exist`},
		{"one of two unknown", root, "drover datapath load -i eth0,eth9", 1, `drover: interface "eth9" does not exist`},
		{"no privileges, load", nobody, "drover datapath load", 1, lacking},
		{"no privileges, unload", nobody, "drover datapath unload", 1, lacking},
		{"no privileges, add", nobody, "ipvsadm -A -t 192.0.2.100:80", 2, lacking},
		{"no privileges, list", nobody, "ipvsadm -Ln", 2, lacking},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := c.typed(row.user, row.line)
			if got.Status != row.status || strings.Count(got.Stderr, "\n") != 1 || !strings.Contains(got.Stderr, row.stderr) {
				t.Errorf("%s: %+v, want status %d and one line with %q", row.line, got, row.status, row.stderr)
			}
			check(t, "footprint", fresh, c.footprint())
			t.Logf("%s", strings.TrimSpace(got.Stderr))
		})
	}
	t.Run("foreign program", func(t *testing.T) {
		id := c.attachForeign("eth1")
		fresh.XDP = []string{"eth1"}
		want := fmt.Sprintf("drover: interface eth1 already has an XDP program that is not Drover's, %q (id %d): "+
			"it is left alone; remove it, or choose other interfaces\n", "theirs", id)
		check(t, "load", outcome{1, "", want}, c.typed(root, "drover datapath load"))
		check(t, "footprint", fresh, c.footprint())
		got := c.typed(root, "ipvsadm -A -t "+c.vip(lab.V4, httpPort))
		if got.Status != 2 || strings.Count(got.Stderr, "\n") != 1 || !strings.Contains(got.Stderr, "theirs") {
			t.Errorf("ipvsadm -A: %+v", got)
		}
		check(t, "footprint", fresh, c.footprint())
		t.Logf("%s", strings.TrimSpace(got.Stderr))
	})
}

// attachForeign puts somebody else's XDP program on an interface of the director; it ends with the lab.
func (c *cluster) attachForeign(name string) uint32 {
	c.t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "theirs", Type: ebpf.XDP, License: "GPL", Flags: unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	if err != nil {
		c.t.Fatal(err)
	}
	defer program.Close()
	err = c.Do(lab.Director, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetXdpFdWithFlags(link, program.FD(), unix.XDP_FLAGS_DRV_MODE)
	})
	if err != nil {
		c.t.Fatal(err)
	}
	info, err := program.Info()
	if err != nil {
		c.t.Fatal(err)
	}
	id, _ := info.ID()
	return uint32(id)
}
