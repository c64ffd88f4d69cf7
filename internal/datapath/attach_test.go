package datapath

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// passProgram loads an XDP program that passes everything and takes no fragments.
func passProgram(t *testing.T, name string) *ebpf.Program {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.XDP, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	must(t, err)
	t.Cleanup(func() { program.Close() })
	return program
}

func programID(t *testing.T, program *ebpf.Program) uint32 {
	t.Helper()
	info, err := program.Info()
	must(t, err)
	id, _ := info.ID()
	return uint32(id)
}

// named gives interfaces as chooseInterfaces does.
func named(t *testing.T, names ...string) []Interface {
	t.Helper()
	found, err := namedInterfaces(names)
	must(t, err)
	return found
}

// xdpOn is the id of the program that an interface runs, 0 for none.
func xdpOn(t *testing.T, name string) uint32 {
	t.Helper()
	if xdp := device(t, name).Attrs().Xdp; xdp != nil && xdp.Attached {
		return xdp.ProgId
	}
	return 0
}

// wantAttached compares "name mode" of what is read back.
func wantAttached(t *testing.T, f folder, program uint32, want ...string) {
	t.Helper()
	all, err := f.attachments()
	must(t, err)
	var got []string
	for _, a := range all {
		got = append(got, a.Name+" "+a.Mode)
		if a.Index == 0 || a.program != program {
			t.Errorf("%s: index %d, program %d, want program %d", a.Name, a.Index, a.program, program)
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("attachments (-want +got):\n%s", diff)
	}
}

func TestAttach(t *testing.T) {
	f := mountedFolder(t)
	must(t, f.create())
	program := passProgram(t, "pass")
	id := programID(t, program)
	addVeth(t, "v0", "v1")
	addVeth(t, "v0.100", "v2") // a name that a pin can't have as it is
	addVeth(t, "v3", "v4")

	warnings, err := f.attach(program, named(t, "v0", "v0.100"), false)
	if err != nil || len(warnings) != 0 {
		t.Fatalf("attach: warnings %q, error %v", warnings, err)
	}
	wantAttached(t, f, id, "v0 native", "v0.100 native")

	if _, err := f.attach(program, named(t, "v0", "v3"), false); err != nil { // what is there stays
		t.Fatal(err)
	}
	wantAttached(t, f, id, "v0 native", "v0.100 native", "v3 native")

	held, err := link.LoadPinnedLink(f.pin(linkName("v0")), nil) // as `bpftool link` does for a moment
	must(t, err)
	defer held.Close()
	must(t, f.detach())
	wantAttached(t, f, id)
	for _, name := range []string{"v0", "v0.100", "v3"} {
		if left := xdpOn(t, name); left != 0 {
			t.Errorf("%s still runs program %d", name, left)
		}
	}
}

func TestAttachGeneric(t *testing.T) {
	f := mountedFolder(t)
	must(t, f.create())
	program := passProgram(t, "pass")
	addVeth(t, "v0", "v1")
	must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "b0"}})) // no native XDP

	warnings, err := f.attach(program, named(t, "v0"), true)
	must(t, err)
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "v0: ") || !strings.Contains(warnings[0], "as asked for") {
		t.Errorf("the warnings of what was asked for: %q", warnings)
	}
	warnings, err = f.attach(program, named(t, "b0"), false)
	must(t, err)
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "b0: ") || !strings.Contains(warnings[0], "generic") ||
		!strings.Contains(warnings[0], "slower") {
		t.Errorf("the fallback's warnings: %q", warnings)
	}
	wantAttached(t, f, programID(t, program), "b0 generic", "v0 generic")
}

// A driver that refuses native XDP says why, and the warning passes it on.
func TestAttachGivesDriversReason(t *testing.T) {
	f := mountedFolder(t)
	must(t, f.create())
	addVeth(t, "v0", "v1")
	must(t, netlink.LinkSetMTU(device(t, "v0"), 9000))
	must(t, netlink.LinkSetMTU(device(t, "v1"), 9000)) // too large for a program without fragments
	warnings, err := f.attach(passProgram(t, "pass"), named(t, "v0"), false)
	if err != nil {
		// Where generic mode can't take it either, the error has the reason.
		warnings = []string{err.Error()}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "MTU is too large") {
		t.Errorf("warnings %q, error %v; want the driver's words", warnings, err)
	}
}

func TestForeignProgramIsLeftAlone(t *testing.T) {
	f := mountedFolder(t)
	must(t, f.create())
	ours, theirs := passProgram(t, "ours"), passProgram(t, "theirs")
	addVeth(t, "v0", "v1")
	addVeth(t, "v2", "v3")
	addVeth(t, "v4", "v5")
	must(t, netlink.LinkSetXdpFdWithFlags(device(t, "v2"), theirs.FD(), unix.XDP_FLAGS_DRV_MODE))
	other, err := link.AttachXDP(link.XDPOptions{Program: theirs, Interface: device(t, "v4").Attrs().Index})
	must(t, err)
	defer other.Close()

	for _, name := range []string{"v2", "v4"} {
		_, err := f.attach(ours, named(t, "v0", name), false)
		var foreign *ForeignProgramError
		if !errors.As(err, &foreign) {
			t.Fatalf("%s: error %v, want a ForeignProgramError", name, err)
		}
		want := ForeignProgramError{Interface: name, Program: "theirs", ID: programID(t, theirs)}
		if diff := cmp.Diff(want, *foreign); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if xdpOn(t, name) != want.ID {
			t.Errorf("%s: their program is gone", name)
		}
		if xdpOn(t, "v0") != 0 {
			t.Error("v0 was attached to and not let go")
		}
		wantAttached(t, f, 0)
	}
}

func TestAttachOverDeletedInterface(t *testing.T) {
	f := mountedFolder(t)
	must(t, f.create())
	program := passProgram(t, "pass")
	addVeth(t, "v0", "v1")
	_, err := f.attach(program, named(t, "v0"), false)
	must(t, err)
	must(t, netlink.LinkDel(device(t, "v0")))
	all, err := f.attachments()
	must(t, err)
	if len(all) != 1 || all[0].Interface != (Interface{Name: "v0"}) {
		t.Errorf("attachments of a deleted interface: %+v", all)
	}
	addVeth(t, "v0", "v1")
	_, err = f.attach(program, named(t, "v0"), false)
	must(t, err)
	wantAttached(t, f, programID(t, program), "v0 native")
}

func TestReplaceProgram(t *testing.T) {
	f := mountedFolder(t)
	must(t, f.create())
	before, after := passProgram(t, "before"), passProgram(t, "after")
	addVeth(t, "v0", "v1")
	addVeth(t, "v2", "v3")
	addVeth(t, "v4", "v5")
	_, err := f.attach(before, named(t, "v0", "v2", "v4"), false)
	must(t, err)
	must(t, netlink.LinkDel(device(t, "v4"))) // no reason to fail
	must(t, f.replaceProgram(after, func(string) {}))
	for _, name := range []string{"v0", "v2"} {
		if got := xdpOn(t, name); got != programID(t, after) {
			t.Errorf("%s runs %d, want %d", name, got, programID(t, after))
		}
	}
}

func TestReplaceProgramIsAllOrNothing(t *testing.T) {
	f := mountedFolder(t)
	must(t, f.create())
	before, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "before", Type: ebpf.XDP, Flags: unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	must(t, err)
	id := programID(t, before)
	addVeth(t, "v0", "v1")
	addVeth(t, "v2", "v3")
	for _, name := range []string{"v2", "v3"} { // v2, the second, will refuse a program without fragments
		must(t, netlink.LinkSetMTU(device(t, name), 9000))
	}
	_, err = f.attach(before, named(t, "v0", "v2"), false)
	must(t, err)
	must(t, before.Close()) // the links alone hold it
	if err := f.replaceProgram(passProgram(t, "after"), func(string) {}); err == nil || !strings.Contains(err.Error(), "v2") {
		t.Errorf("error %v, want one that names v2", err)
	}
	wantAttached(t, f, id, "v0 native", "v2 native")
}
