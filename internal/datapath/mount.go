package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// errMountsRefused says that pins can be neither made nor found, because this process is in a mount
// namespace of its own (as under `ip netns exec`) and may not enter the initial one.
var errMountsRefused = errors.New("may not enter the initial mount namespace")

const (
	initialMounts = "/proc/1/ns/mnt"
	// initialMountsInode is the initial mount namespace's from Linux 6.18 on (MNT_NS_INIT_INO in
	// linux/nsfs.h). It tells where we are even if the first process may not be looked at.
	initialMountsInode = 0xEFFFFFF8
)

// runFolder holds all that Drover keeps until the next boot. DROVER_RUN moves it, for tests that
// must not meet a real installation.
func runFolder() string {
	if run := os.Getenv("DROVER_RUN"); run != "" {
		return run
	}
	return "/run/drover"
}

// pinRoot is where the BPF file system is mounted.
func pinRoot() string { return filepath.Join(runFolder(), "bpf") }

// inInitialMounts runs f in the initial mount namespace and the caller's network namespace. All that
// opens, pins or unlinks under the run folder is done in such an f: what is mounted inside
// `ip netns exec` is hidden from everybody else and ends with the command.
// Where the initial namespace can't be entered, f runs in this one if a BPF file system is mounted
// here, else the error is errMountsRefused. f may run on another thread. Who lacks privileges is told
// so better by probePrivileges, which is called first.
func inInitialMounts(f func() error) error { return inMounts(initialMounts, f) }

// inMounts is inInitialMounts with the path of the namespace.
func inMounts(namespace string, f func() error) error {
	target, err := namespaceInode(namespace)
	own, ownErr := namespaceInode("/proc/thread-self/ns/mnt")
	switch {
	case ownErr != nil:
		return ownErr
	case err == nil && own == target, err != nil && own == initialMountsInode:
		return f()
	case err != nil:
		return withoutMounts(err, f)
	}
	var refused error
	err = onOwnThread(func() error {
		if refused = enterMounts(namespace); refused != nil {
			return nil
		}
		return f()
	})
	if refused != nil {
		return withoutMounts(refused, f)
	}
	return err
}

// enterMounts takes the calling thread, which must be locked and thrown away afterwards, into a
// mount namespace.
func enterMounts(namespace string) error {
	file, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer file.Close()
	// A thread that shares its working directory with others may not change its mounts.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare the working directory: %w", err)
	}
	return unix.Setns(int(file.Fd()), unix.CLONE_NEWNS)
}

// withoutMounts runs f here if somebody has mounted the pins here, as a lab does before it enters its
// namespaces. why is the reason for not going to the initial namespace.
func withoutMounts(why error, f func() error) error {
	if pinsMounted() {
		return f()
	}
	return fmt.Errorf("%w (%w), and what is pinned in this one ends with the command: "+
		"first, outside of `ip netns exec`, mkdir -p %[3]s && mount -t bpf bpf %[3]s",
		errMountsRefused, why, pinRoot())
}

func namespaceInode(path string) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return 0, fmt.Errorf("look at %s: %w", path, err)
	}
	return stat.Ino, nil
}

// MountPins mounts the BPF file system that the pins live in, unless it is mounted. Load does it too;
// whoever makes namespaces and enters them later (a lab) does it before. Where the initial mount
// namespace can't be entered it mounts in the caller's own, which commands inside a namespace see if
// they are started from here.
func MountPins() error {
	err := inInitialMounts(mountPins)
	if errors.Is(err, errMountsRefused) {
		return mountPins()
	}
	return err
}

// mountPins is MountPins for those who are in the initial mount namespace.
func mountPins() error {
	if pinsMounted() {
		return nil
	}
	root := pinRoot()
	if err := os.MkdirAll(runFolder(), 0o755); err != nil {
		return fmt.Errorf("make the run folder: %w", err)
	}
	// Two that mount at once would lay one file system over the other, pins and all.
	unlock, err := lockFolder(runFolder(), lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	if pinsMounted() {
		return nil
	}
	if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the pin folder: %w", err)
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("bpf", root, "bpf", flags, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF file system at %s: %w", root, err)
	}
	return nil
}

// UnmountPins undoes MountPins when nothing is pinned any more, in any network namespace; else it does
// nothing. The run folder goes too if it is empty.
func UnmountPins() error {
	err := inInitialMounts(unmountPins)
	if errors.Is(err, errMountsRefused) {
		return nil // not mounted here
	}
	return err
}

func unmountPins() error {
	if !pinsMounted() {
		return nil
	}
	unlock, err := lockFolder(runFolder(), lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	if used, err := pinFolders(); err != nil || len(used) > 0 {
		return err
	}
	if err := unix.Unmount(pinRoot(), 0); err != nil {
		return fmt.Errorf("unmount %s: %w", pinRoot(), err)
	}
	for _, path := range []string{pinRoot(), filepath.Join(runFolder(), "state"), runFolder()} {
		_ = os.Remove(path) // unless something else is in it
	}
	return nil
}

// pinsMounted tells whether a BPF file system is at the pin root, in the caller's mount namespace.
func pinsMounted() bool {
	var stat unix.Statfs_t
	return unix.Statfs(pinRoot(), &stat) == nil && stat.Type == unix.BPF_FS_MAGIC
}
