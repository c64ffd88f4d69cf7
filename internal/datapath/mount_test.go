package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"drover/internal/namespace"
)

// privateRun gives the test a run folder of its own, with nothing mounted.
func privateRun(t *testing.T) {
	t.Helper()
	needRoot(t)
	t.Setenv("DROVER_RUN", t.TempDir())
	t.Cleanup(func() {
		for pinsMounted() { // what is mounted would stay, and hold all that is pinned
			if err := unix.Unmount(pinRoot(), unix.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", pinRoot(), err)
				return
			}
		}
	})
}

func TestMountPins(t *testing.T) {
	privateRun(t)
	if pinsMounted() {
		t.Fatal("mounted before")
	}
	done := make(chan error)
	for range 4 {
		go func() { done <- mountPins() }()
	}
	for range 4 {
		must(t, <-done)
	}
	if !pinsMounted() {
		t.Fatal("not mounted")
	}
	mounts, err := os.ReadFile("/proc/thread-self/mounts")
	must(t, err)
	if n := strings.Count(string(mounts), " "+pinRoot()+" bpf "); n != 1 {
		t.Errorf("%d file systems are mounted at the pin root, one over the other", n)
	}
}

// inPrivateMounts runs f on a thread in a mount namespace of its own, as a command under
// `ip netns exec` is. Nothing that it mounts gets out.
func inPrivateMounts(t *testing.T, f func() error) {
	t.Helper()
	must(t, onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
			return err
		}
		return f()
	}))
}

func TestMountsFromPrivateNamespace(t *testing.T) {
	privateRun(t)
	enterNamespace(t)
	outside := fmt.Sprintf("/proc/self/task/%d/ns/mnt", unix.Gettid())
	want, err := namespace.Cookie()
	must(t, err)
	inPrivateMounts(t, func() error {
		err := inMounts(outside, func() error {
			if cookie, err := namespace.Cookie(); err != nil || cookie != want {
				t.Errorf("network namespace %d (%v) in there, want %d", cookie, err, want)
			}
			return mountPins()
		})
		return err
	})
	if !pinsMounted() {
		t.Error("what was mounted from the private mount namespace is not seen outside")
	}
}

func TestMountsInPlace(t *testing.T) {
	needRoot(t)
	ran := false
	own := fmt.Sprintf("/proc/self/task/%d/ns/mnt", unix.Gettid())
	must(t, inMounts(own, func() error { ran = true; return nil }))
	if !ran {
		t.Error("did not run")
	}
	failure := errors.New("as asked")
	if err := inMounts(own, func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("error %v, want %v", err, failure)
	}
}

func TestMountsRefused(t *testing.T) {
	privateRun(t)
	missing := filepath.Join(t.TempDir(), "mnt") // a namespace that can't be opened
	inPrivateMounts(t, func() error {
		ran := false
		err := inMounts(missing, func() error { ran = true; return nil })
		if ran || !errors.Is(err, errMountsRefused) {
			t.Errorf("ran %v, error %v; want errMountsRefused alone", ran, err)
		} else if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "mount -t bpf bpf "+pinRoot()) {
			t.Errorf("the error is no line that says what to do: %q", text)
		}
		// Once somebody has mounted the pins, they are used.
		if err := mountPins(); err != nil {
			return err
		}
		if err := inMounts(missing, func() error { ran = true; return nil }); err != nil || !ran {
			t.Errorf("with the pins mounted: ran %v, error %v", ran, err)
		}
		return nil
	})
	if pinsMounted() {
		t.Error("the private mount got out")
	}
}

func TestRunFolder(t *testing.T) {
	t.Setenv("DROVER_RUN", "")
	if got := pinRoot(); got != "/run/drover/bpf" {
		t.Errorf("pin root %q", got)
	}
	t.Setenv("DROVER_RUN", "/elsewhere")
	if got := pinRoot(); got != "/elsewhere/bpf" {
		t.Errorf("pin root %q with DROVER_RUN", got)
	}
}
