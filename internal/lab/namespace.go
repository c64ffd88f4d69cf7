package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"drover/internal/namespace"
)

// netnsFolder is where `ip netns` looks for names (ip-netns(8)).
const netnsFolder = "/run/netns"

// createNamespace makes a named network namespace and returns its cookie. It wraps fs.ErrExist if
// there is one of that name.
func createNamespace(name string) (cookie uint64, err error) {
	if err := shareNamespaces(); err != nil {
		return 0, err
	}
	err = namespace.OnOwnThread(func() error {
		ns, err := netns.NewNamed(name) // moves this thread into it
		if err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
		defer ns.Close()
		cookie, err = namespace.Cookie()
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
	return namespace.OnOwnThread(func() error {
		err := enterNamespace(name)
		// EINVAL: a name without its mount, as after a boot where /run is on disk.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EINVAL) {
			return nil
		}
		if err != nil {
			return err
		}
		found, err := namespace.Cookie()
		if err != nil || found != made {
			return err
		}
		return fn()
	})
}

// inNamespace runs fn on a thread inside the named namespace. It wraps fs.ErrNotExist if there is none.
func inNamespace(name string, fn func() error) error {
	return namespace.OnOwnThread(func() error {
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
