package datapath

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLockExcludes(t *testing.T) {
	path := t.TempDir()
	unlock, err := lockFolder(path, 0)
	must(t, err)
	start := time.Now()
	_, err = lockFolder(path, 30*time.Millisecond)
	if waited := time.Since(start); waited < 30*time.Millisecond {
		t.Errorf("gave up after %v", waited)
	}
	if !errors.Is(err, errLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want errLocked and the folder", err)
	}
	unlock()
	unlock, err = lockFolder(path, 0)
	if err != nil {
		t.Fatalf("after the unlock: %v", err)
	}
	unlock()
}

func TestLockWaits(t *testing.T) {
	path := t.TempDir()
	unlock, err := lockFolder(path, 0)
	must(t, err)
	got := make(chan error)
	go func() {
		second, err := lockFolder(path, 10*time.Second)
		if err == nil {
			second()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	unlock()
	must(t, <-got)
}

// Who has waited for a folder that the holder removed must not work in it, nor take a new one under the
// same name for it.
func TestLockOfRemovedFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	must(t, os.Mkdir(path, 0o700))
	opened, err := os.Open(path)
	must(t, err)
	defer opened.Close()
	if !isAt(opened, path) {
		t.Error("the folder is not at its path")
	}
	must(t, os.Remove(path))
	if isAt(opened, path) {
		t.Error("a removed folder counts as being there")
	}
	if _, err := lockFolder(path, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	must(t, os.Mkdir(path, 0o700))
	if isAt(opened, path) {
		t.Error("a new folder counts as the removed one")
	}
}
