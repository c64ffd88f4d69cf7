package realserver

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"drover/internal/datapath"
)

// newServer is a network namespace with an interface eth0, and a run folder of its own.
func newServer(t *testing.T) Config {
	t.Helper()
	inNewNamespace(t)
	t.Setenv("DROVER_RUN", filepath.Join(t.TempDir(), "run"))
	addLink(t, "eth0", "198.51.100.11/24", "2001:db8:3::11/64")
	record, err := DefaultRecord()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(Down(Config{Record: record}), datapath.UnmountPins()); err != nil {
			t.Error(err)
		}
	})
	return Config{
		VIPs: []netip.Addr{vip4, vip6}, Record: record,
		Tunnel: XDP, Ports: []uint16{guePort}, Interfaces: []string{"eth0"},
	}
}

func addLink(t *testing.T, name string, addrs ...string) netlink.Link {
	t.Helper()
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: name, TxQLen: -1})
	veth.PeerName = name + "_peer"
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	device, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range addrs {
		addr, err := netlink.ParseAddr(text)
		if err == nil {
			addr.Flags = 0x02 // IFA_F_NODAD
			err = netlink.AddrAdd(device, addr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := netlink.LinkSetUp(device); err != nil {
		t.Fatal(err)
	}
	return device
}

func up1(t *testing.T, cfg Config) *Status {
	t.Helper()
	if _, err := Up(cfg); err != nil {
		t.Fatal(err)
	}
	s, err := ReadStatus(cfg.Record)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestUpByXDP: up, up again, another Config, down; the programs are where the Config wants them.
func TestUpByXDP(t *testing.T) {
	cfg := newServer(t)
	for range 2 {
		s := up1(t, cfg)
		check(t, "VIPs", cfg.VIPs, s.VIPs)
		check(t, "tunnel", XDP, s.Tunnel)
		check(t, "ports", []uint16{guePort}, s.Ports)
		check(t, "interfaces", []string{"eth0 native"}, attachedTo(s))
		check(t, "segment size", uint32(0), s.MSS4)
		check(t, "clamped interfaces", []string(nil), clampedOn(t))
	}
	addLink(t, "eth1.5", "198.51.100.12/32")
	cfg.Interfaces, cfg.ClampMSS, cfg.Ports = []string{"eth1.5"}, true, nil
	s := up1(t, cfg)
	check(t, "interfaces", []string{"eth1.5 native"}, attachedTo(s))
	check(t, "segment sizes", [2]uint32{1412, 1392}, [2]uint32{s.MSS4, s.MSS6})
	check(t, "clamped interfaces", []string{"eth1.5"}, clampedOn(t))
	check(t, "ports", 0, len(s.Ports))
	cfg.Tunnel = None
	s = up1(t, cfg)
	check(t, "interfaces", []string(nil), attachedTo(s))
	check(t, "clamped interfaces", []string{"eth1.5"}, clampedOn(t))
	cfg.ClampMSS, cfg.Interfaces = false, nil
	s = up1(t, cfg)
	check(t, "VIPs", cfg.VIPs, s.VIPs)
	check(t, "pins", []string(nil), pinsLeft(t))
	check(t, "clamped interfaces", []string(nil), clampedOn(t))
}

// TestDownTakesAllAway: what up attached is gone after down, also twice.
func TestDownTakesAllAway(t *testing.T) {
	cfg := newServer(t)
	cfg.ClampMSS = true
	up1(t, cfg)
	for range 2 {
		if err := Down(Config{Record: cfg.Record}); err != nil {
			t.Fatal(err)
		}
		s, err := ReadStatus(cfg.Record)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "VIPs", 0, len(s.VIPs))
		check(t, "tunnel", None, s.Tunnel)
		check(t, "pins", []string(nil), pinsLeft(t))
		check(t, "clamped interfaces", []string(nil), clampedOn(t))
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		if xdp := eth0.Attrs().Xdp; xdp != nil && xdp.Attached {
			t.Errorf("eth0 still has the XDP program %d", xdp.ProgId)
		}
	}
}

// TestUpRefused: nothing is changed by what is refused, and the director's program is told by its name.
func TestUpRefused(t *testing.T) {
	cfg := newServer(t)
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: datapath.DirectorProgram, Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	attached, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: eth0.Attrs().Index})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	for want, change := range map[string]func(*Config){
		"interface eth0 has the director's data path": func(*Config) {},
		`interface "eth9" does not exist`:             func(c *Config) { c.Interfaces = []string{"eth9"} },
		"wrong configuration of the real server":      func(c *Config) { c.Tunnel = "gre" },
	} {
		wrong := cfg
		change(&wrong)
		_, err := Up(wrong)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Up: %v, want %s", err, want)
		}
		s, err := ReadStatus(cfg.Record)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "VIPs", 0, len(s.VIPs))
		check(t, "pins", []string(nil), pinsLeft(t))
	}
}

// TestFailedUpLeavesNothing: what fails late, after the programs are attached or the first VIP is there, is
// undone, but for what was there before.
func TestFailedUpLeavesNothing(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(Config) error
		mend  func(Config) error
		want  string
	}{
		{
			"no record can be written",
			func(c Config) error { return os.MkdirAll(c.Record+".new", 0o755) },
			func(c Config) error { return os.Remove(c.Record + ".new") },
			"write record: ",
		},
		{
			"lo takes no IPv6",
			func(Config) error { return kernel{}.setSysctl("net/ipv6/conf/lo/disable_ipv6", "1") },
			func(Config) error { return kernel{}.setSysctl("net/ipv6/conf/lo/disable_ipv6", "0") },
			"add 2001:db8:2::100 to lo: ",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := newServer(t)
			cfg.VIPs, cfg.ClampMSS = []netip.Addr{vip4, other, vip6}, true
			if err := errors.Join(kernel{}.addVIP(vip4), row.spoil(cfg)); err != nil {
				t.Fatal(err)
			}
			before := dump(t)
			_, err := Up(cfg)
			if err == nil || !strings.HasPrefix(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Up: %v, want %s...", err, row.want)
			}
			check(t, "host", before, dump(t))
			check(t, "pins", []string(nil), pinsLeft(t))
			check(t, "clamped interfaces", []string(nil), clampedOn(t))
			if _, err := os.Stat(cfg.Record); !os.IsNotExist(err) {
				t.Errorf("record: %v, want none", err)
			}
			if err := row.mend(cfg); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestUpByKernel makes the devices of the kernel and removes them. Where it has none, Up says so and leaves
// nothing; that they carry packets is seen on a kernel that has them all, in test/kernel.
func TestUpByKernel(t *testing.T) {
	cfg := newServer(t)
	cfg.Tunnel, cfg.ClampMSS, cfg.Ports, cfg.Interfaces = Kernel, true, nil, nil
	links := linkNames(t)
	warnings, err := Up(cfg)
	if err != nil {
		check(t, "error", "the kernel has no tunnel devices at all: use the tunnel xdp", err.Error())
		t.Logf("NOT RUN on this host: packets through the kernel's devices: %v", err)
	}
	for _, warning := range warnings {
		t.Logf("NOT RUN on this host: %s", warning)
	}
	s, err2 := ReadStatus(cfg.Record)
	if err2 != nil {
		t.Fatal(err2)
	}
	check(t, "devices are made", err == nil, len(s.Devices) > 0)
	if err == nil {
		if err := Down(Config{Record: cfg.Record}); err != nil {
			t.Fatal(err)
		}
	}
	check(t, "pins", []string(nil), pinsLeft(t))
	check(t, "links", links, linkNames(t))
	t.Log("NOT RUN on this host: GUE by the kernel's module fou; see TestRealServer of test/kernel")
}

// linkNames are those of all devices but those that a module brings to each namespace by itself.
func linkNames(t *testing.T) []string {
	t.Helper()
	devices, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, device := range devices {
		if name := device.Attrs().Name; name != "sit0" && name != "tunl0" && !strings.HasPrefix(name, "ip6tnl") &&
			!strings.HasPrefix(name, "gre") && !strings.HasPrefix(name, "erspan") && !strings.HasPrefix(name, "ip6gre") {
			names = append(names, name)
		}
	}
	return names
}

// TestUpKernelAfterXDP: the programs go when the kernel's devices are there. Where the kernel has none, or no
// fou, the programs stay.
func TestUpKernelAfterXDP(t *testing.T) {
	cfg := newServer(t)
	before := up1(t, cfg)
	wanted := cfg
	wanted.Tunnel, wanted.Interfaces, wanted.VIPs = Kernel, nil, []netip.Addr{other}
	_, refused := Up(wanted)
	s, err := ReadStatus(cfg.Record)
	if err != nil {
		t.Fatal(err)
	}
	if refused != nil {
		t.Logf("this kernel: %v", refused)
		check(t, "status", before, s)
		return
	}
	check(t, "tunnel", Kernel, s.Tunnel)
	check(t, "ports", wanted.Ports, s.Ports)
	check(t, "interfaces", []string(nil), attachedTo(s))
	check(t, "ports of the same Up", wanted.Ports, up1(t, wanted).Ports)
	wanted.Ports = nil
	check(t, "ports of another Up", 0, len(up1(t, wanted).Ports))
}

// TestStatusOfAnotherRecord: a lab keeps the record elsewhere, and the status tells of its programs too.
func TestStatusOfAnotherRecord(t *testing.T) {
	cfg := newServer(t)
	want := up1(t, cfg)
	s, err := ReadStatus(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "status", want, s)
}

func attachedTo(s *Status) []string {
	var all []string
	for _, i := range s.Interfaces {
		all = append(all, i.Name+" "+i.Mode)
	}
	return all
}

// pinsLeft are the folders of pins.
func pinsLeft(t *testing.T) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(datapath.RunFolder(), "bpf", pinKind+"_*"))
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// clampedOn are the interfaces with the program that lowers segment sizes, by TCX or clsact.
func clampedOn(t *testing.T) []string {
	t.Helper()
	devices, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, device := range devices {
		result, err := link.QueryPrograms(link.QueryOptions{Target: device.Attrs().Index, Attach: ebpf.AttachTCXEgress})
		if err == nil && len(result.Programs) > 0 {
			names = append(names, device.Attrs().Name)
		}
		filters, err := netlink.FilterList(device, netlink.HANDLE_MIN_EGRESS)
		if err == nil && len(filters) > 0 {
			names = append(names, device.Attrs().Name)
		}
	}
	return names
}

// TestFilter attaches and removes as kernels before 6.6 need it; a filter of somebody else's stays, and so
// does clsact with it.
func TestFilter(t *testing.T) {
	inNewNamespace(t)
	device := addLink(t, "eth0")
	r := newRig(t)
	index := device.Attrs().Index
	for range 2 {
		if err := datapath.AddTCFilter(r.clampFilter(index)); err != nil {
			t.Fatal(err)
		}
		check(t, "clamped interfaces", []string{"eth0"}, clampedOn(t))
	}
	foreign := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 1, Protocol: 3},
		Fd:          r.objects.DroverClamp.FD(), Name: "another", DirectAction: true,
	}
	if err := netlink.FilterAdd(foreign); err != nil {
		t.Fatal(err)
	}
	for _, qdiscs := range []int{1, 0} {
		if err := datapath.RemoveTCFilters(clampProgram, nil); err != nil {
			t.Fatal(err)
		}
		check(t, "clamped interfaces", []string(nil), clampedOn(t))
		check(t, "clsact", qdiscs, clsacts(t))
		if qdiscs == 1 {
			if err := errors.Join(netlink.FilterDel(foreign), datapath.AddTCFilter(r.clampFilter(index))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func clsacts(t *testing.T) int {
	t.Helper()
	qdiscs, err := netlink.QdiscList(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, qdisc := range qdiscs {
		if qdisc.Type() == "clsact" {
			n++
		}
	}
	return n
}

func (r *rig) clampFilter(index int) datapath.TCHook {
	return datapath.TCHook{Program: r.objects.DroverClamp, Name: clampProgram, To: datapath.Interface{Index: index}}
}
