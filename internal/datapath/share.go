package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
)

// What other programs than the director's need of this package: a folder for their pins, and a way to
// attach. internal/realserver is the one that does.

// WithPins calls f in the initial mount namespace and the caller's network namespace, with the folder
// where this network namespace keeps its pins of a kind: <run folder>/bpf/<kind>_<cookie>. The folder
// exists and is locked; it is removed afterwards if it is empty. With create it is made, and those whose
// network namespaces are gone are collected; without it the error is fs.ErrNotExist where there is none.
func WithPins(kind string, create bool, f func(folder string) error) error {
	if err := probePrivileges(); err != nil {
		return err
	}
	return inInitialMounts(func() error {
		own, err := ownFolder()
		if err != nil {
			return err
		}
		path := filepath.Join(pinRoot(), kind+"_"+strconv.FormatUint(own.cookie, 10))
		unlock, err := lockPins(kind, path, create)
		if err != nil {
			return err
		}
		defer unlock()
		err = f(path)
		_ = os.Remove(path) // unless something is pinned
		return err
	})
}

func lockPins(kind, path string, create bool) (unlock func(), err error) {
	if !create {
		if !pinsMounted() {
			return nil, fmt.Errorf("lock %s: %w", path, fs.ErrNotExist)
		}
		return lockFolder(path, lockWait)
	}
	if err := mountPins(); err != nil {
		return nil, err
	}
	if err := collectDeadPins(kind, path); err != nil {
		return nil, err
	}
	for range 10 { // another process may remove the folder between our two steps
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make the pin folder: %w", err)
		}
		if unlock, err = lockFolder(path, lockWait); !errors.Is(err, fs.ErrNotExist) {
			return unlock, err
		}
	}
	return nil, err
}

// collectDeadPins removes the folders of a kind whose network namespaces are gone.
func collectDeadPins(kind, own string) error {
	paths, err := filepath.Glob(filepath.Join(pinRoot(), kind+"_[0-9]*"))
	if err != nil {
		return err
	}
	var live map[uint64]bool
	for _, path := range paths {
		cookie, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(path), kind+"_"), 10, 64)
		if err != nil || path == own || leadsSomewhere(path) {
			continue
		}
		if live == nil {
			if live, err = liveNamespaces(); err != nil {
				return err
			}
		}
		if live[cookie] {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("collect the pins of a deleted network namespace: %w", err)
		}
	}
	return nil
}

// leadsSomewhere tells whether a folder has a pinned XDP link whose interface is there.
func leadsSomewhere(path string) bool {
	pins, _ := filepath.Glob(filepath.Join(path, linkPrefix+"*")) // the pattern is well-formed
	for _, pin := range pins {
		if index, _, err := linkTarget(pin); err != nil || index != 0 {
			return true
		}
	}
	return false
}

// ChooseInterfaces gives those named; else those of DROVER_INTERFACE; else the physical and veth
// interfaces that are up and have a global address. ErrNoInterface if there is none.
func ChooseInterfaces(named []string) ([]Interface, error) { return chooseInterfaces(named) }

// AttachProgram makes sure that an interface runs an XDP program, and that its link is pinned in the
// folder: a link that is there gets the program without a gap. The mode is native, else generic with a
// warning. A *ForeignProgramError says that another program is there.
func AttachProgram(program *ebpf.Program, to Interface, folder string) (warning string, err error) {
	pin := filepath.Join(folder, linkName(to.Name))
	index, _, err := linkTarget(pin)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	case index == to.Index:
		return "", updateLink(pin, program)
	default: // another interface has come under the name
		if err := DetachProgram(pin); err != nil {
			return "", err
		}
	}
	return attachOne(program, to, false, pin)
}

// DetachProgram detaches a pinned link and unpins it. It is no error if there is none.
func DetachProgram(pin string) error { return detachPin(pin) }

// Attached gives the interfaces of the pinned XDP links in a folder, by their pins.
func Attached(folder string) (map[string]Interface, error) {
	pins, err := filepath.Glob(filepath.Join(folder, linkPrefix+"*"))
	if err != nil {
		return nil, err
	}
	attached := map[string]Interface{}
	for _, pin := range pins {
		a, err := attachmentOf(pin)
		if err != nil {
			return nil, err
		}
		attached[pin] = a.Interface
	}
	return attached, nil
}

// pinFolders are the folders of all kinds, the director's too. The file system has files of its own besides.
func pinFolders() ([]string, error) {
	entries, err := os.ReadDir(pinRoot())
	if err != nil {
		return nil, fmt.Errorf("list the pin folders: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// RunFolder holds all that Drover keeps until the next boot; DROVER_RUN moves it.
func RunFolder() string { return runFolder() }
