package datapath

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// stateFormat grows by one when what is in the maps changes its meaning in a way that their types do
// not show: the hash of the connection table, the bits of a state word, flags.
const stateFormat = 1

// objectSum is the beginning of the SHA-256 of the director's object: equal sums, equal maps.
func objectSum() uint64 {
	sum := sha256.Sum256(_DirectorBytes)
	return binary.LittleEndian.Uint64(sum[:])
}

func readOrigin(m *ebpf.Map) (directorOrigin, error) {
	var o directorOrigin
	if err := m.Lookup(uint32(0), &o); err != nil {
		return o, fmt.Errorf("read where the maps come from: %w", err)
	}
	return o, nil
}

func writeOrigin(m *ebpf.Map, o directorOrigin) error {
	if err := m.Put(uint32(0), o); err != nil {
		return fmt.Errorf("note where the maps come from: %w", err)
	}
	return nil
}

// copyOrigin copies where the maps come from, with another object's sum.
func copyOrigin(to, from *ebpf.Map, object uint64) error {
	o, err := readOrigin(from)
	if err != nil {
		return err
	}
	o.Object = object
	return writeOrigin(to, o)
}

// An OtherVersionError says that the data path was loaded by another version of Drover, whose maps this
// one would misread.
type OtherVersionError struct{ Difference string }

// Error names the difference and what to do.
func (e *OtherVersionError) Error() string {
	return fmt.Sprintf("the data path is another version's (%s): "+
		`run "drover datapath upgrade", or the drover that loaded it`, e.Difference)
}

// checkVersion gives an OtherVersionError unless the pinned maps are laid out as this program's own.
// The maps are looked at one by one only if another build made them.
func (f folder) checkVersion() error {
	if origins, err := ebpf.LoadPinnedMap(f.pin(directorMapOrigins), nil); err == nil {
		defer origins.Close()
		if int(origins.ValueSize()) == binary.Size(directorOrigin{}) {
			o, err := readOrigin(origins)
			if err != nil {
				return err
			}
			if o.Object == objectSum() {
				return nil
			}
		}
	}
	running, err := f.pinnedMaps()
	if err != nil {
		return err
	}
	defer closeMaps(running)
	spec, err := loadDirector()
	if err != nil {
		return fmt.Errorf("read the director's object: %w", err)
	}
	changes, err := compareMaps(running, spec)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.isDifferent() {
			return &OtherVersionError{fmt.Sprintf("map %s: %s", c.Name, c.Why)}
		}
	}
	return nil
}

// runsThisVersion tells whether every pinned program is this object's, by tag, and there is no other.
func (f folder) runsThisVersion(spec *ebpf.CollectionSpec) (bool, error) {
	running, err := f.pinnedPrograms()
	if err != nil {
		return false, err
	}
	defer closePrograms(running)
	for name, wanted := range spec.Programs {
		program, ok := running[name]
		if !ok {
			return false, nil
		}
		info, err := program.Info()
		if err != nil {
			return false, fmt.Errorf("look at program %s: %w", name, err)
		}
		same, err := hasTag(wanted.Instructions, info.Tag)
		if err != nil {
			return false, fmt.Errorf("compare program %s: %w", name, err)
		}
		if !same {
			return false, nil
		}
	}
	return len(running) == len(spec.Programs), nil
}

// hasTag tells whether the kernel gives instructions this tag.
func hasTag(instructions asm.Instructions, tag string) (bool, error) {
	resolved := slices.Clone(instructions)
	// Writing them out fills in where their functions are, as loading does.
	if err := resolved.Marshal(io.Discard, binary.LittleEndian); err != nil {
		return false, err
	}
	return resolved.HasTag(tag, binary.LittleEndian)
}
