package realserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"drover/internal/namespace"
)

var (
	vip4  = netip.MustParseAddr("192.0.2.100")
	vip6  = netip.MustParseAddr("2001:db8:2::100")
	other = netip.MustParseAddr("192.0.2.101")
)

// fakeHost keeps a machine in memory and notes every change in order.
type fakeHost struct {
	values  map[string]string
	onLo    []netip.Addr
	changes []string
	refuse  string // the change that fails
}

func newFakeHost() *fakeHost {
	return &fakeHost{values: map[string]string{
		"net/ipv4/conf/all/arp_ignore": "0", "net/ipv4/conf/all/arp_announce": "0",
	}}
}

func (f *fakeHost) sysctl(name string) (string, error) { return f.values[name], nil }

func (f *fakeHost) setSysctl(name, value string) error {
	f.values[name] = value
	return f.note(filepath.Base(name) + "=" + value)
}

func (f *fakeHost) vips() ([]netip.Addr, error) { return slices.Clone(f.onLo), nil }

func (f *fakeHost) addVIP(vip netip.Addr) error {
	f.onLo = append(f.onLo, vip)
	return f.note("add " + vip.String())
}

func (f *fakeHost) deleteVIP(vip netip.Addr) error {
	if err := f.note("delete " + vip.String()); err != nil {
		return err
	}
	f.onLo = slices.DeleteFunc(f.onLo, func(a netip.Addr) bool { return a == vip })
	return nil
}

func (f *fakeHost) note(change string) error {
	f.changes = append(f.changes, change)
	if change == f.refuse {
		return errors.New("refused")
	}
	return nil
}

// taken gives the changes since the last call.
func (f *fakeHost) taken() []string {
	changes := f.changes
	f.changes = nil
	return changes
}

func check(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestOrder(t *testing.T) {
	h, cfg := newFakeHost(), Config{VIPs: []netip.Addr{vip4, vip6}, Record: filepath.Join(t.TempDir(), "record")}
	if err := up(h, cfg); err != nil {
		t.Fatal(err)
	}
	check(t, "up", []string{
		"arp_ignore=1", "arp_announce=2", "add 192.0.2.100", "add 2001:db8:2::100",
	}, h.taken())
	if err := down(h, cfg); err != nil {
		t.Fatal(err)
	}
	check(t, "down", []string{
		"delete 192.0.2.100", "delete 2001:db8:2::100", "arp_announce=0", "arp_ignore=0",
	}, h.taken())
	if err := down(h, cfg); err != nil {
		t.Fatal(err)
	}
	check(t, "down again", []string(nil), h.taken())
}

func TestUpAgainReplacesVIPsAndKeepsTheFirstValues(t *testing.T) {
	h, cfg := newFakeHost(), Config{VIPs: []netip.Addr{vip4}, Record: filepath.Join(t.TempDir(), "record")}
	h.values["net/ipv4/conf/all/arp_ignore"] = "2"
	if err := up(h, cfg); err != nil {
		t.Fatal(err)
	}
	h.taken()
	cfg.VIPs = []netip.Addr{other}
	if err := up(h, cfg); err != nil {
		t.Fatal(err)
	}
	check(t, "second up", []string{
		"arp_ignore=1", "arp_announce=2", "delete 192.0.2.100", "add 192.0.2.101",
	}, h.taken())
	if err := down(h, Config{Record: cfg.Record}); err != nil {
		t.Fatal(err)
	}
	check(t, "down", []string{"delete 192.0.2.101", "arp_announce=0", "arp_ignore=2"}, h.taken())
}

func TestDownKeepsARPSuppressedWhileAVIPStays(t *testing.T) {
	h, cfg := newFakeHost(), Config{VIPs: []netip.Addr{vip4}, Record: filepath.Join(t.TempDir(), "record")}
	if err := up(h, cfg); err != nil {
		t.Fatal(err)
	}
	h.taken()
	h.refuse = "delete 192.0.2.100"
	err := down(h, cfg)
	if err == nil {
		t.Fatal("down succeeded although the VIP could not be deleted")
	}
	check(t, "error", "ARP stays suppressed: refused", err.Error())
	check(t, "changes", []string{"delete 192.0.2.100"}, h.taken())
	if _, err := os.Stat(cfg.Record); err != nil {
		t.Errorf("the record is needed for another try: %v", err)
	}
}

// TestKernel shows the effect on a real network namespace as text.
func TestKernel(t *testing.T) {
	inNewNamespace(t)
	cfg := Config{VIPs: []netip.Addr{vip4, vip6}, Record: filepath.Join(t.TempDir(), "record")}
	before := dump(t)
	wantUp := `arp_ignore 1
arp_announce 2
lo 127.0.0.1/8
lo 192.0.2.100/32
lo 2001:db8:2::100/128 nodad noprefixroute deprecated
lo ::1/128
`
	for _, round := range []string{"up", "up again"} {
		if _, err := Up(cfg); err != nil {
			t.Fatal(err)
		}
		check(t, round, wantUp, dump(t))
	}
	for _, round := range []string{"down", "down again"} {
		if err := Down(cfg); err != nil {
			t.Fatal(err)
		}
		check(t, round, before, dump(t))
	}
	if _, err := os.Stat(cfg.Record); !os.IsNotExist(err) {
		t.Errorf("record after down: %v, want it gone", err)
	}
}

// inNewNamespace moves the test's thread into a network namespace of its own until the test ends.
func inNewNamespace(t *testing.T) {
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace (needs root): %v", err)
	}
	t.Cleanup(func() {
		fresh.Close()
		if err := netns.Set(old); err != nil {
			t.Error(err) // the thread stays locked and dies with the test
			return
		}
		old.Close()
		runtime.UnlockOSThread()
	})
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
}

// dump gives the ARP sysctls and the addresses of lo, a line each.
func dump(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, name := range []string{"arp_ignore", "arp_announce"} {
		value, err := kernel{}.sysctl("net/ipv4/conf/all/" + name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s %s\n", name, value)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		addrs, err := netlink.AddrList(lo, family)
		if err != nil {
			t.Fatal(err)
		}
		lines = lines[:0]
		for _, a := range addrs {
			lines = append(lines, "lo "+a.IPNet.String()+flagWords(a.Flags))
		}
		slices.Sort(lines)
		for _, line := range lines {
			text.WriteString(line + "\n")
		}
	}
	return text.String()
}

// flagWords names the address flags of linux/if_addr.h that matter to a VIP.
func flagWords(flags int) string {
	var words string
	for _, f := range []struct {
		bit  int
		word string
	}{{0x02, " nodad"}, {0x200, " noprefixroute"}, {0x20, " deprecated"}} {
		if flags&f.bit != 0 {
			words += f.word
		}
	}
	return words
}

// TestStatusOfNone: where nothing was set up, lists are empty in JSON, and nothing is written.
func TestStatusOfNone(t *testing.T) {
	inNewNamespace(t)
	run := filepath.Join(t.TempDir(), "run")
	t.Setenv("DROVER_RUN", run)
	path, err := DefaultRecord()
	if err != nil {
		t.Fatal(err)
	}
	status, err := ReadStatus(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "status", `{"vips":[],"tunnel":"none","ports":[],"devices":[],"interfaces":[],"mss4":0,"mss6":0,`+
		`"clamped":0,"counters":[]}`, string(text))
	if _, err := os.Stat(run); !os.IsNotExist(err) {
		t.Errorf("run folder: %v, want none", err)
	}
}

// TestForget removes the record of a namespace and the folders that it was alone in.
func TestForget(t *testing.T) {
	inNewNamespace(t)
	run := filepath.Join(t.TempDir(), "run")
	t.Setenv("DROVER_RUN", run)
	path, err := DefaultRecord()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Up(Config{VIPs: []netip.Addr{vip4}, Record: path}); err != nil {
		t.Fatal(err)
	}
	cookie, err := namespace.Cookie()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing
		if err := Forget(cookie); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(run); !os.IsNotExist(err) {
		t.Errorf("run folder: %v, want none", err)
	}
}
