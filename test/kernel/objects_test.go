//go:build kernel61

package kernel

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"drover/internal/datapath"
	"drover/internal/realserver"
)

// maxVerified bounds the instructions that the verifier walks through for one program. It gives up at
// 1,000,000 (BPF_COMPLEXITY_LIMIT_INSNS, linux/bpf.h), and what a compiler's next version adds must fit.
const maxVerified = 400_000

// TestObjects loads every program of every object and reports how hard it is to verify. Each is loaded
// alone, so that one that fails does not hide the others; TestConnections loads them together.
func TestObjects(t *testing.T) {
	specs, err := datapath.Specs()
	if err != nil {
		t.Fatal(err)
	}
	servers, err := realserver.Specs()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(specs, servers)
	if len(specs) == 0 {
		t.Fatal("the data path has no objects")
	}
	for _, object := range slices.Sorted(maps.Keys(specs)) {
		if len(specs[object].Programs) == 0 {
			t.Errorf("object %s has no programs", object)
		}
		for _, program := range slices.Sorted(maps.Keys(specs[object].Programs)) {
			t.Run(object+"/"+program, func(t *testing.T) { testProgram(t, specs[object], program) })
		}
	}
}

func testProgram(t *testing.T, object *ebpf.CollectionSpec, name string) {
	loaded, err := ebpf.NewCollection(alone(object, name))
	if verifier := (*ebpf.VerifierError)(nil); errors.As(err, &verifier) {
		t.Fatalf("%v\n%-20v", err, verifier)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	verified := verifiedInstructions(t, loaded.Programs[name])
	t.Logf("%7d verified instructions", verified)
	if verified >= maxVerified {
		t.Errorf("%d verified instructions, want fewer than %d", verified, maxVerified)
	}
}

// alone is the object with one of its programs, and with nothing that outlives the test.
func alone(object *ebpf.CollectionSpec, program string) *ebpf.CollectionSpec {
	spec := object.Copy()
	spec.Programs = map[string]*ebpf.ProgramSpec{program: spec.Programs[program]}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
		if m.Type == ebpf.Array { // clearing the memory takes longer than verifying
			m.MaxEntries = min(m.MaxEntries, 1<<12)
		}
		if m.Type == ebpf.ProgramArray {
			m.Contents = nil // the programs that are left out
		}
	}
	return spec
}

func verifiedInstructions(t *testing.T, program *ebpf.Program) uint32 {
	t.Helper()
	info, err := program.Info()
	if err != nil {
		t.Fatalf("read program info: %v", err)
	}
	verified, ok := info.VerifiedInstructions()
	if !ok || verified == 0 {
		t.Fatalf("the kernel does not tell the verified instructions of %v", program)
	}
	return verified
}
