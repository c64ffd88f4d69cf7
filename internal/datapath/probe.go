package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// feature is something of the kernel that the data path can't do without.
type feature struct {
	name, purpose string
	probe         func() error // ebpf.ErrNotSupported if the kernel lacks it
}

// kernelFeatures are probed by trying each, never read off a version: distributions port features
// back and build them out.
var kernelFeatures = []feature{
	{"XDP programs", "everything", func() error { return features.HaveProgramType(ebpf.XDP) }},
	{"BTF", "maps that hold timers", probeBTF},
	{"BPF timers", "expiry of connections", func() error {
		return features.HaveProgramHelper(ebpf.Syscall, asm.FnTimerInit)
	}},
	{"bpf_fib_lookup", "next hops", func() error {
		return features.HaveProgramHelper(ebpf.XDP, asm.FnFibLookup)
	}},
	{"tail calls", "schedulers", func() error { return features.HaveMapType(ebpf.ProgramArray) }},
	{"mmapable arrays", "listing connections", func() error {
		return features.HaveMapFlag(features.BPF_F_MMAPABLE)
	}},
	{"BPF atomics", "the connection table", probeAtomics},
	{"XDP fragments", "jumbo frames", probeFragments},
}

// probeKernel tells whether the data path can be loaded. Its error has one line for each thing that is
// missing; privileges come first, wrapping lvs.ErrPermission, and alone, since without them nothing
// can be probed.
func probeKernel() error {
	if err := probePrivileges(); err != nil {
		return err
	}
	return probeFeatures(kernelFeatures)
}

func probeFeatures(list []feature) error {
	var missing []error
	for _, f := range list {
		err := f.probe()
		switch {
		case err == nil:
		case errors.Is(err, ebpf.ErrNotSupported):
			missing = append(missing, fmt.Errorf("the kernel lacks %s (needed for %s); Linux 6.1 has it", f.name, f.purpose))
		case errors.Is(err, unix.EPERM):
			return fmt.Errorf("%w: the kernel does not let this process use %s", lvs.ErrPermission, f.name)
		default:
			missing = append(missing, fmt.Errorf("probe the kernel for %s (needed for %s): %w", f.name, f.purpose, err))
		}
	}
	return errors.Join(missing...)
}

// probePrivileges looks at the effective capabilities of the calling thread (capabilities(7)).
func probePrivileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // bits 0 to 31, and the rest
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	return allowed(uint64(sets[1].Effective)<<32 | uint64(sets[0].Effective))
}

// allowed judges a capability set. CAP_SYS_ADMIN contains CAP_BPF and CAP_PERFMON; that one lets the
// verifier take the loops and pointer comparisons of the programs.
func allowed(capabilities uint64) error {
	has := func(bit int) bool { return capabilities&(1<<bit) != 0 }
	bpf := has(unix.CAP_SYS_ADMIN) || has(unix.CAP_BPF) && has(unix.CAP_PERFMON)
	if bpf && has(unix.CAP_NET_ADMIN) {
		return nil
	}
	return fmt.Errorf("%w: the data path needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, "+
		"and CAP_SYS_ADMIN to mount its pins", lvs.ErrPermission)
}

// probeBTF loads the description of one integer.
func probeBTF() error {
	builder, err := btf.NewBuilder([]btf.Type{&btf.Int{Name: "probe", Size: 4}}, nil)
	if err != nil {
		return err
	}
	handle, err := btf.NewHandle(builder)
	if err != nil {
		return err
	}
	return handle.Close()
}

// probeAtomics loads a program that compares and swaps, and exchanges, 8 bytes of its stack.
func probeAtomics() error {
	return probeProgram(0, asm.Instructions{
		asm.Mov.Imm(asm.R0, 0),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
		asm.CmpXchg.Mem(asm.RFP, asm.R1, asm.DWord, -8),
		asm.Xchg.Mem(asm.RFP, asm.R1, asm.DWord, -8),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	})
}

// probeFragments loads a program that takes packets of several buffers (SEC("xdp.frags")).
func probeFragments() error { return probeFlag(unix.BPF_F_XDP_HAS_FRAGS) }

func probeFlag(flag uint32) error {
	return probeProgram(flag, asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()})
}

// probeProgram loads an XDP program. The kernel answers EINVAL for flags and instructions that it
// does not know.
func probeProgram(flags uint32, instructions asm.Instructions) error {
	spec := &ebpf.ProgramSpec{Type: ebpf.XDP, Flags: flags, License: "Dual BSD/GPL", Instructions: instructions}
	program, err := ebpf.NewProgramWithOptions(spec, ebpf.ProgramOptions{LogDisabled: true})
	if errors.Is(err, unix.EINVAL) {
		return ebpf.ErrNotSupported
	}
	if err != nil {
		return err
	}
	return program.Close()
}
