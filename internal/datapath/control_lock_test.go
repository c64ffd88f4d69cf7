package datapath

import (
	"errors"
	"testing"
	"time"
)

// TestCloseGivesTheLockBack: who opened the data path to change it keeps others out until Close; who only
// reads keeps nobody out.
func TestCloseGivesTheLockBack(t *testing.T) {
	f := mountedFolder(t)
	addVeth(t, frontName, "peer")
	_, err := Load(Options{Interfaces: []string{frontName}, Connections: minConnections})
	must(t, err)
	t.Cleanup(func() { must(t, Unload()) })
	reader, err := Open(false)
	must(t, err)
	defer reader.Close() //nolint:errcheck // only read
	writer, err := Open(true)
	must(t, err)
	if unlock, err := lockFolder(f.path(), 20*time.Millisecond); !errors.Is(err, errLocked) {
		t.Errorf("a second writer: %v, want %v", err, errLocked)
		if err == nil {
			unlock()
		}
	}
	must(t, writer.Close())
	unlock, err := lockFolder(f.path(), 0)
	must(t, err)
	unlock()
}
