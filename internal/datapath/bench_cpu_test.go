//go:build bench

package datapath

import (
	"testing"

	"golang.org/x/sys/unix"
)

// pinToCPU keeps the calling thread, which the rig has locked or will lock, on one CPU.
func pinToCPU(t *testing.T, cpu int) {
	t.Helper()
	var set unix.CPUSet
	set.Set(cpu)
	must(t, unix.SchedSetaffinity(0, &set))
}
