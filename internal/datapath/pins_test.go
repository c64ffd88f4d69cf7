package datapath

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// mountedFolder gives the folder of a new network namespace, on a BPF file system of the test's own.
func mountedFolder(t *testing.T) folder {
	t.Helper()
	privateRun(t)
	enterNamespace(t)
	must(t, mountPins())
	f, err := ownFolder()
	must(t, err)
	return f
}

func exists(t *testing.T, f folder) bool {
	t.Helper()
	_, err := os.Stat(f.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func pinnedMap(t *testing.T, path string) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	must(t, err)
	defer m.Close()
	must(t, m.Pin(path))
}

func TestFolder(t *testing.T) {
	f := mountedFolder(t)
	if strings.Contains(filepath.Base(f.path()), ".") {
		t.Errorf("a dot in %s", f.path())
	}
	if exists(t, f) {
		t.Error("exists before")
	}
	if _, err := f.lock(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lock of no folder: %v", err)
	}
	unlock, err := f.createLocked()
	must(t, err)
	must(t, f.create()) // again
	if !exists(t, f) {
		t.Error("does not exist")
	}
	if all, err := folders(); err != nil || !slices.Contains(all, f) {
		t.Errorf("folders %v, %v", all, err)
	}
	if _, err := lockFolder(f.path(), 0); !errors.Is(err, errLocked) {
		t.Errorf("second lock: %v", err)
	}
	pinnedMap(t, f.pin("services"))
	must(t, os.Mkdir(f.pin("next"), 0o700))
	pinnedMap(t, f.pin("next/services"))
	must(t, f.remove())
	unlock()
	if exists(t, f) {
		t.Error("still exists")
	}
}

func TestFoldersOfNothing(t *testing.T) {
	privateRun(t)
	if all, err := folders(); err != nil || len(all) != 0 {
		t.Errorf("folders %v, %v; nothing is mounted", all, err)
	}
}

// A folder is collected when its namespace is gone, and only then.
func TestCollectDead(t *testing.T) {
	own := mountedFolder(t)
	must(t, own.create())
	pass := passProgram(t, "pass")

	live := foreignFolder(t, pass, true)
	var attached folder // in a namespace that neither a thread nor a mount holds
	otherNamespace(t)(func() { attached = attachedFolder(t, pass) })
	dead := foreignFolder(t, pass, false)
	busy := foreignFolder(t, pass, false)
	half := folder{cookie: ^uint64(0)} // a load that died before it pinned a link
	must(t, half.create())
	unlock, err := busy.lock()
	must(t, err)
	defer unlock()

	// The kernel takes a namespace apart some time after its last user has left.
	eventually(t, 5*time.Second, "the links of the dead namespaces let go", func() bool {
		return dead.unattached() && busy.unattached()
	})
	must(t, collectDead())
	got := map[string]bool{
		"own": exists(t, own), "attached": exists(t, attached),
		"live": exists(t, live), "dead": exists(t, dead), "busy": exists(t, busy), "half-made": exists(t, half),
	}
	want := map[string]bool{"own": true, "attached": true, "live": true, "dead": false, "busy": true, "half-made": false}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("the %s folder is there: %v, want %v", name, got[name], want[name])
		}
	}
}

// attachedFolder attaches in the present namespace.
func attachedFolder(t *testing.T, program *ebpf.Program) folder {
	t.Helper()
	addVeth(t, "v0", "v1")
	f, err := ownFolder()
	must(t, err)
	must(t, f.create())
	_, err = f.attach(program, named(t, "v0"), false)
	must(t, err)
	return f
}

// foreignFolder attaches in a new namespace. With hold the namespace lives on, but loses the interface.
func foreignFolder(t *testing.T, program *ebpf.Program, hold bool) (f folder) {
	t.Helper()
	if hold {
		mountedNamespace(t, func() error {
			f = attachedFolder(t, program)
			return netlink.LinkDel(device(t, "v0"))
		})
		return f
	}
	must(t, onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		f = attachedFolder(t, program)
		return nil
	}))
	return f
}
