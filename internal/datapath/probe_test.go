package datapath

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// This kernel has all, and finding out takes no time that a person would notice.
func TestProbeKernel(t *testing.T) {
	needRoot(t)
	start := time.Now()
	must(t, probeKernel())
	t.Logf("%v", time.Since(start))
}

func TestProbeFeatures(t *testing.T) {
	answer := func(err error) func() error { return func() error { return err } }
	tests := []struct {
		name string
		list []feature
		want string
	}{
		{"all there", []feature{{"A", "a", answer(nil)}}, ""},
		{"a line each", []feature{
			{"A", "a", answer(ebpf.ErrNotSupported)},
			{"B", "b", answer(nil)},
			{"C", "c", answer(fmt.Errorf("load: %w", ebpf.ErrNotSupported))},
		}, "the kernel lacks A (needed for a); Linux 6.1 has it\nthe kernel lacks C (needed for c); Linux 6.1 has it"},
		{
			"no answer",
			[]feature{{"A", "a", answer(unix.ENOMEM)}},
			"probe the kernel for A (needed for a): cannot allocate memory",
		},
		{
			"not allowed",
			[]feature{{"A", "a", answer(ebpf.ErrNotSupported)}, {"B", "b", answer(unix.EPERM)}},
			"Permission denied (you must be root): the kernel does not let this process use B",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if err := probeFeatures(test.list); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// What a kernel does not know must come out as not supported, whatever this one knows.
func TestProbeProgramOfUnknownFlag(t *testing.T) {
	needRoot(t)
	if err := probeFlag(1 << 30); !errors.Is(err, ebpf.ErrNotSupported) {
		t.Errorf("an unknown flag: %v", err)
	}
}

func TestAllowed(t *testing.T) {
	const net, bpf, perfmon, admin = 1 << unix.CAP_NET_ADMIN, 1 << unix.CAP_BPF, 1 << unix.CAP_PERFMON, 1 << unix.CAP_SYS_ADMIN
	tests := []struct {
		name         string
		capabilities uint64
		want         bool
	}{
		{"none", 0, false},
		{"all", ^uint64(0), true},
		{"the three", net | bpf | perfmon, true},
		{"administrator of old", net | admin, true},
		{"no network", bpf | perfmon | admin, false},
		{"no loops", net | bpf, false},
		{"network alone", net, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := allowed(test.capabilities)
			if (err == nil) != test.want || err != nil && !errors.Is(err, lvs.ErrPermission) {
				t.Errorf("got %v, want allowed %v", err, test.want)
			}
		})
	}
}
