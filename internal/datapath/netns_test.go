package datapath

import (
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"drover/internal/namespace"
)

// needRoot fails a test that makes namespaces, and says why.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root, to make network namespaces")
	}
}

// enterNamespace moves the test, on a thread of its own, into a new network namespace with lo up, until
// it ends.
func enterNamespace(t *testing.T) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	created, err := netns.New() // and enters it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		created.Close()
		if err := netns.Set(before); err != nil {
			t.Errorf("leave the namespace: %v", err) // the thread stays locked and is thrown away
			return
		}
		before.Close()
		runtime.UnlockOSThread()
	})
	setUp(t)
}

// setUp readies a new namespace. Link-local addresses are usable at once, not after a second or two of
// duplicate address detection, and the kernel asks for no routers by itself.
func setUp(t *testing.T) {
	t.Helper()
	must(t, writeSettings(map[string]string{
		"net/ipv6/conf/default/dad_transmits":        "0",
		"net/ipv6/conf/default/router_solicitations": "0",
	}))
	must(t, netlink.LinkSetUp(device(t, "lo")))
}

// otherNamespace makes a second namespace, which f runs in now and then.
func otherNamespace(t *testing.T) (in func(f func())) {
	t.Helper()
	here, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	other, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	must(t, netns.Set(here))
	t.Cleanup(func() { other.Close(); here.Close() })
	in = func(f func()) {
		t.Helper()
		must(t, netns.Set(other))
		defer func() { must(t, netns.Set(here)) }()
		f()
	}
	in(func() { setUp(t) })
	return in
}

// addVeth makes a veth pair, both ends up and in this namespace.
func addVeth(t *testing.T, name, peer string) {
	t.Helper()
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer}))
	must(t, netlink.LinkSetUp(device(t, name)))
	must(t, netlink.LinkSetUp(device(t, peer)))
}

// addVethTo makes a veth pair with its second end in another namespace, both up.
func addVethTo(t *testing.T, name, peer string, in func(func())) {
	t.Helper()
	addVeth(t, name, peer)
	end := device(t, peer)
	var fd netns.NsHandle
	in(func() { fd, _ = netns.Get() })
	defer fd.Close()
	must(t, netlink.LinkSetNsFd(end, int(fd)))
	in(func() { must(t, netlink.LinkSetUp(device(t, peer))) })
}

func device(t *testing.T, name string) netlink.Link {
	t.Helper()
	found, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("interface %s: %v", name, err)
	}
	return found
}

// addAddress adds an address such as 192.0.2.1/24, without duplicate address detection.
func addAddress(t *testing.T, name, cidr string) {
	t.Helper()
	address, err := netlink.ParseAddr(cidr)
	if err != nil {
		t.Fatal(err)
	}
	if address.IP.To4() == nil {
		address.Flags = unix.IFA_F_NODAD
	}
	must(t, netlink.AddrAdd(device(t, name), address))
}

func addRoute(t *testing.T, destination, gateway string) {
	t.Helper()
	_, network, err := net.ParseCIDR(destination)
	if err != nil {
		t.Fatal(err)
	}
	must(t, netlink.RouteAdd(&netlink.Route{Dst: network, Gw: net.ParseIP(gateway)}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls for a condition, up to a deadline.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func TestOnOwnThread(t *testing.T) {
	enterNamespace(t)
	own, err := namespace.Cookie()
	must(t, err)
	var seen uint64
	thread := unix.Gettid()
	failure := errors.New("as asked")
	err = onOwnThread(func() (err error) {
		if unix.Gettid() == thread {
			t.Error("ran on the caller's thread")
		}
		if seen, err = namespace.Cookie(); err != nil {
			return err
		}
		if _, err := netns.New(); err != nil { // must not reach the caller
			return err
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("error %v, want %v", err, failure)
	}
	after, err := namespace.Cookie()
	must(t, err)
	if seen != own || after != own {
		t.Errorf("cookie on the thread %d, afterwards %d, want %d", seen, after, own)
	}
}

func TestLiveNamespaces(t *testing.T) {
	enterNamespace(t)
	own, err := namespace.Cookie()
	must(t, err)
	mounted := mountedNamespace(t, func() error { return nil })
	live, err := liveNamespaces()
	must(t, err)
	if !live[own] {
		t.Error("the namespace of this thread is not found")
	}
	if !live[mounted] {
		t.Error("a namespace that only a mount holds is not found")
	}
	if live[0] || live[^uint64(0)] {
		t.Error("namespaces are found that are not there")
	}
}

// mountedNamespace makes a namespace that only a bind mount holds, as `ip netns add` does, runs f in it,
// and gives its cookie.
func mountedNamespace(t *testing.T, f func() error) (cookie uint64) {
	t.Helper()
	path := t.TempDir() + "/held"
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, onOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if cookie, err = namespace.Cookie(); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	}))
	t.Cleanup(func() { must(t, unix.Unmount(path, 0)) })
	return cookie
}

func TestNamespaceMounts(t *testing.T) {
	mountinfo := `22 27 0:21 / /proc rw,relatime - proc proc rw
40 27 0:4 net:[4026532240] /run/netns/director rw shared:3 - nsfs nsfs rw
41 27 0:4 net:[4026532300] /run/netns/two\040words rw - nsfs nsfs rw
42 27 0:4 mnt:[4026532241] /run/mounts rw - nsfs nsfs rw
`
	want := []string{"/run/netns/director", "/run/netns/two words"}
	if diff := cmp.Diff(want, namespaceMounts(mountinfo)); diff != "" {
		t.Errorf("mount points (-want +got):\n%s", diff)
	}
}
