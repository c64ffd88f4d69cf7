package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsFolder is where `ip netns` looks for names (ip-netns(8)).
const netnsFolder = "/run/netns"

// createNamespace makes a named network namespace and returns its cookie. It wraps fs.ErrExist if
// there is one of that name.
func createNamespace(name string) (cookie uint64, err error) {
	if err := shareNamespaces(); err != nil {
		return 0, err
	}
	err = onOwnThread(func() error {
		ns, err := netns.NewNamed(name) // moves this thread into it
		if err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
		defer ns.Close()
		cookie, err = namespaceCookie()
		return err
	})
	return cookie, err
}

// shareNamespaces makes the folder of names a mount point of its own, as `ip netns add` does before its first
// name. If that did it later, it would put the new mount over the names that are there, and these could not
// be deleted any more. As there, it stays.
func shareNamespaces() error {
	if err := os.MkdirAll(netnsFolder, 0o755); err != nil {
		return fmt.Errorf("make the folder of namespaces: %w", err)
	}
	share := func() error { return unix.Mount("", netnsFolder, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err := share()
	if errors.Is(err, unix.EINVAL) { // it is no mount point yet
		err = unix.Mount(netnsFolder, netnsFolder, "none", unix.MS_BIND|unix.MS_REC, "")
		if err == nil {
			err = share()
		}
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", netnsFolder, err)
	}
	return nil
}

// ifOurs runs fn inside a namespace that the lab made. It does nothing if that one was deleted by
// hand, and perhaps made again by somebody else: the cookie tells.
func (l *Lab) ifOurs(name string, fn func() error) error {
	made, ok := l.namespaces[name]
	if !ok {
		return nil
	}
	return onOwnThread(func() error {
		err := enterNamespace(name)
		// EINVAL: a name without its mount, as after a boot where /run is on disk.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EINVAL) {
			return nil
		}
		if err != nil {
			return err
		}
		found, err := namespaceCookie()
		if err != nil || found != made {
			return err
		}
		return fn()
	})
}

// inNamespace runs fn on a thread inside the named namespace. It wraps fs.ErrNotExist if there is none.
func inNamespace(name string, fn func() error) error {
	return onOwnThread(func() error {
		if err := enterNamespace(name); err != nil {
			return err
		}
		return fn()
	})
}

func enterNamespace(name string) error {
	ns, err := netns.GetFromPath(filepath.Join(netnsFolder, name))
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", name, err)
	}
	defer ns.Close()
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	return nil
}

// onOwnThread runs fn on an operating system thread that may change its namespaces at will: the
// goroutine ends without unlocking it, so the runtime destroys the thread and no other goroutine
// ever runs on it.
func onOwnThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := errors.New("the function ended its goroutine")
		defer func() { done <- err }() // also after runtime.Goexit, as t.FailNow does it
		err = fn()
	}()
	return <-done
}

// namespaceCookie identifies the thread's network namespace. Unlike the inode number it is not used
// again before the next boot.
func namespaceCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("read namespace cookie: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("read namespace cookie: %w", err)
	}
	return cookie, nil
}

// ownSysfs gives the thread a mount namespace with the /sys of its network namespace, as `ip netns
// exec` does: otherwise /sys/class/net would list the interfaces of the machine. Later mounts of the
// machine still arrive (slave), none of ours leaves.
func ownSysfs() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount /sys: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return nil
}
