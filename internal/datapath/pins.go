package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/link"

	"drover/internal/namespace"
)

// folder is where the data path of one network namespace is pinned: <run folder>/bpf/<cookie>.
// Its names have no dots, which a BPF file system refuses. All its methods are called in the initial
// mount namespace (see inInitialMounts).
type folder struct {
	cookie uint64 // of the network namespace
}

// ownFolder is that of the calling thread's network namespace, which may not exist.
func ownFolder() (folder, error) {
	cookie, err := namespace.Cookie()
	return folder{cookie}, err
}

func (f folder) path() string { return filepath.Join(pinRoot(), strconv.FormatUint(f.cookie, 10)) }

// pin is the path of one pinned map, program or link.
func (f folder) pin(name string) string { return filepath.Join(f.path(), name) }

// create makes the folder if it is not there. The BPF file system must be mounted.
func (f folder) create() error {
	if err := os.Mkdir(f.path(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the pin folder: %w", err)
	}
	return nil
}

// lock makes whoever changes the data path of this namespace the only one to do so.
// The folder must exist; fs.ErrNotExist if it does not, or was removed by who held the lock before.
func (f folder) lock() (unlock func(), err error) { return lockFolder(f.path(), lockWait) }

// createLocked makes the folder if needed and locks it.
func (f folder) createLocked() (unlock func(), err error) {
	for range 10 { // an unload may remove the folder between our two steps
		if err := f.create(); err != nil {
			return nil, err
		}
		if unlock, err = f.lock(); !errors.Is(err, fs.ErrNotExist) {
			return unlock, err
		}
	}
	return nil, err
}

// remove detaches the programs, then unpins everything and removes the folder, with the state that is
// kept beside it. The lock is held by the caller.
func (f folder) remove() error {
	if err := f.detach(); err != nil {
		return err
	}
	if err := os.RemoveAll(f.path()); err != nil {
		return fmt.Errorf("unpin the data path: %w", err)
	}
	if err := os.Remove(f.statePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the saved settings: %w", err)
	}
	return nil
}

// clear unpins everything and leaves the empty folder. The lock is held by the caller.
func (f folder) clear() error {
	entries, err := os.ReadDir(f.path())
	if err != nil {
		return fmt.Errorf("list the pins: %w", err)
	}
	for _, entry := range entries {
		if err := os.Remove(f.pin(entry.Name())); err != nil {
			return fmt.Errorf("unpin %s: %w", entry.Name(), err)
		}
	}
	return nil
}

// linkPins are the paths of the pinned links.
func (f folder) linkPins() ([]string, error) {
	entries, err := os.ReadDir(f.path())
	if err != nil {
		return nil, fmt.Errorf("list the pins: %w", err)
	}
	var paths []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), linkPrefix) {
			paths = append(paths, f.pin(entry.Name()))
		}
	}
	return paths, nil
}

// folders are those of all network namespaces, dead ones included; none if nothing is mounted.
func folders() ([]folder, error) {
	entries, err := os.ReadDir(pinRoot())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the pin folders: %w", err)
	}
	var all []folder
	for _, entry := range entries {
		if cookie, err := strconv.ParseUint(entry.Name(), 10, 64); err == nil && entry.IsDir() {
			all = append(all, folder{cookie})
		}
	}
	return all, nil
}

// collectDead removes the folders whose network namespaces are gone and which nobody is working on.
// Commands that change something call it.
func collectDead() error {
	own, err := ownFolder()
	if err != nil {
		return err
	}
	all, err := folders()
	if err != nil {
		return err
	}
	var live map[uint64]bool
	for _, f := range all {
		if f == own || !f.unattached() {
			continue
		}
		// The interfaces alone may have been deleted, so look for the namespace itself. That takes
		// milliseconds, and is done only if there is a suspect.
		if live == nil {
			if live, err = liveNamespaces(); err != nil {
				return err
			}
		}
		if live[f.cookie] {
			continue
		}
		if err := f.removeIfIdle(); err != nil {
			return fmt.Errorf("collect the data path of a deleted network namespace: %w", err)
		}
	}
	return nil
}

// removeIfIdle removes the folder unless somebody holds its lock or has removed it.
func (f folder) removeIfIdle() error {
	unlock, err := lockFolder(f.path(), 0)
	if errors.Is(err, errLocked) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	return f.remove()
}

// unattached tells whether no pinned link leads to an interface: the kernel reports interface 0 for
// one that is gone. What can't be read counts as attached.
func (f folder) unattached() bool {
	pins, err := f.linkPins()
	if err != nil {
		return false
	}
	for _, pin := range pins {
		if index, _, err := linkTarget(pin); err != nil || index != 0 {
			return false
		}
	}
	return true
}

// linkTarget reads from a pinned link the interface and the id of the program.
func linkTarget(pin string) (index int, program uint32, err error) {
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("open the pinned link %s: %w", filepath.Base(pin), err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, 0, fmt.Errorf("read the pinned link %s: %w", filepath.Base(pin), err)
	}
	xdp := info.XDP()
	if xdp == nil {
		return 0, 0, fmt.Errorf("the pinned link %s is not of XDP", filepath.Base(pin))
	}
	return int(xdp.Ifindex), uint32(info.Program), nil
}
