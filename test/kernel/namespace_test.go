//go:build kernel61

package kernel

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A namespace is a network namespace, held by the one thread that is in it and does all that is done there.
// Programs started from that thread are in it too.
type namespace struct {
	do chan func()
}

// newNamespace makes one that ends with the test.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	n := &namespace{do: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ready <- nil
			for f := range n.do {
				f()
			}
			return
		}
		ready <- fmt.Errorf("make a network namespace: %w", err)
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(n.do) })
	return n
}

// run runs f in the namespace.
func (n *namespace) run(f func() error) error {
	done := make(chan error)
	n.do <- func() { done <- f() }
	return <-done
}
