package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// state is what another process needs to know to use a lab or take it down.
type state struct {
	Config     Config            `json:"config"`
	Namespaces map[string]uint64 `json:"namespaces"` // name to cookie
	Processes  []Process         `json:"processes"`
}

func (l *Lab) stateFile() string { return filepath.Join(l.folder, "state.json") }

func (l *Lab) save(context.Context) error {
	text, err := json.MarshalIndent(state{l.Config, l.namespaces, l.processes}, "", "  ")
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if err := os.WriteFile(l.stateFile()+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if err := os.Rename(l.stateFile()+".new", l.stateFile()); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// Open finds a lab that is up. Its error wraps ErrNotUp if there is none, and ErrConfig if the name
// cannot be a lab's.
func Open(name string) (*Lab, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	l := &Lab{Config: Config{Name: name}, folder: filepath.Join(stateRoot, name)}
	if _, err := os.Stat(l.folder); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("lab %q is %w", name, ErrNotUp)
	}
	text, err := os.ReadFile(l.stateFile())
	if errors.Is(err, fs.ErrNotExist) { // Up was killed before its first step
		l.Topology = &Topology{}
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read state %s: %w", l.stateFile(), err)
	}
	l.Config, l.namespaces, l.processes = s.Config, s.Namespaces, s.Processes
	l.Topology = plan(l.Config)
	return l, nil
}

// lockState lets one process at a time make or remove labs. It makes the root of the state folders;
// unlock removes it again where no lab is left.
func lockState() (unlock func(), err error) {
	for {
		if err := os.MkdirAll(stateRoot, 0o755); err != nil {
			return nil, fmt.Errorf("make state folder: %w", err)
		}
		folder, err := os.Open(stateRoot)
		if errors.Is(err, fs.ErrNotExist) { // its last owner has just removed it
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("lock state folder: %w", err)
		}
		if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
			folder.Close()
			return nil, fmt.Errorf("lock state folder: %w", err)
		}
		if !isAt(folder, stateRoot) { // the lock is on a folder that is gone
			folder.Close()
			continue
		}
		return func() {
			// Both refuse while something is in them, and that is wanted.
			_ = os.Remove(stateRoot)
			_ = os.Remove(filepath.Dir(stateRoot))
			folder.Close()
		}, nil
	}
}

func isAt(folder *os.File, path string) bool {
	opened, err := folder.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(opened, now)
}
