package datapath

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// Upgraded is what an upgrade did.
type Upgraded struct {
	Already  bool            `json:"already"` // the programs were this version's; nothing was done
	Programs []ProgramChange `json:"programs"`
	Maps     []MapChange     `json:"maps"`
}

// ProgramChange is one program's tag, the kernel's hash of its instructions, before and after.
type ProgramChange struct {
	Name string `json:"name"`
	Old  string `json:"old"` // empty: it is new
	New  string `json:"new"` // empty: it is not in this version
}

// Upgrade puts this version's programs in the place of those that run in the calling thread's network
// namespace. They go on with the same maps, without a packet passing by. Errors: ErrNotLoaded; a
// LayoutError if this version can't take a map over. Where the programs are this version's already,
// nothing is done, unless by force.
func Upgrade(force bool) (*Upgraded, error) {
	if err := probeKernel(); err != nil {
		return nil, err
	}
	var done *Upgraded
	err := whereLoaded(func(f folder) error {
		unlock, err := f.lockLoaded()
		if err != nil {
			return err
		}
		defer unlock()
		if !f.ready() {
			return ErrNotLoaded
		}
		spec, err := loadDirector()
		if err != nil {
			return fmt.Errorf("read the director's object: %w", err)
		}
		done, err = successor{folder: f}.upgrade(spec, force)
		return err
	})
	return done, err
}

// upgrade does it under the lock.
func (s successor) upgrade(spec *ebpf.CollectionSpec, force bool) (*Upgraded, error) {
	if err := s.mend(); err != nil {
		return nil, err
	}
	if err := s.dropNext(); err != nil {
		return nil, err
	}
	running, err := s.pinnedMaps()
	if err != nil {
		return nil, err
	}
	defer closeMaps(running)
	changes, err := planUpgrade(running, spec)
	if err != nil {
		return nil, err
	}
	same, err := s.runsThisVersion(spec)
	if err != nil {
		return nil, err
	}
	done := &Upgraded{Already: same && !force && !slices.ContainsFunc(changes, MapChange.isDifferent), Maps: changes}
	if !done.Already {
		if done.Programs, err = s.replace(running, spec, changes); err != nil {
			return nil, err
		}
	}
	return done, s.settle(running, spec)
}

// replace loads the new programs over the running maps and switches to them.
func (s successor) replace(running map[string]*ebpf.Map, spec *ebpf.CollectionSpec, changes []MapChange) ([]ProgramChange, error) {
	objects, err := loadOver(running, spec, changes)
	if err != nil {
		return nil, err
	}
	defer objects.Close() //nolint:errcheck // the pins keep what is needed
	if err := s.fill(objects, running, spec, changes); err != nil {
		return nil, err
	}
	programs, err := s.comparePrograms(objects)
	if err != nil {
		return nil, err
	}
	// From here on nobody trusts the sum of the old object.
	if err := copyOrigin(running[directorMapOrigins], running[directorMapOrigins], 0); err != nil {
		return nil, err
	}
	if err := s.prepare(objects, changes); err != nil {
		return nil, errors.Join(err, s.dropNext())
	}
	if err := s.activate(); err != nil {
		return nil, errors.Join(err, s.revert())
	}
	return programs, s.adopt()
}

// loadOver loads the programs with the running maps, as large as those are, where they are reused.
func loadOver(running map[string]*ebpf.Map, spec *ebpf.CollectionSpec, changes []MapChange) (*directorObjects, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("lift the limit on locked memory: %w", err)
	}
	reused := map[string]*ebpf.Map{}
	for _, c := range changes {
		if c.Action == mapReused {
			reused[c.Name] = running[c.Name]
			spec.Maps[c.Name].MaxEntries = running[c.Name].MaxEntries()
		}
	}
	origin, err := readOrigin(running[directorMapOrigins])
	if err != nil {
		return nil, err
	}
	if err := setConstants(spec, origin.HashSeed); err != nil {
		return nil, err
	}
	var objects directorObjects
	if err := spec.LoadAndAssign(&objects, &ebpf.CollectionOptions{MapReplacements: reused}); err != nil {
		return nil, fmt.Errorf("load the programs: %w", err)
	}
	return &objects, nil
}

// fill gives the maps that were made their content.
func (s successor) fill(objects *directorObjects, running map[string]*ebpf.Map, spec *ebpf.CollectionSpec, changes []MapChange) error {
	if err := linkStages(objects); err != nil {
		return err
	}
	made := map[string]string{}
	for _, c := range changes {
		made[c.Name] = c.Action
	}
	err := eachTagged(&objects.directorMaps, func(name string, m **ebpf.Map) error {
		if made[name] == mapConverted {
			return convertMap(name, *m, running, spec)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if made[directorMapControls] == mapMade {
		if err := setDefaults(objects.Controls); err != nil {
			return err
		}
	}
	if err := addTunes(objects.Controls); err != nil {
		return err
	}
	return s.describeDevices(&objects.directorMaps)
}

// comparePrograms gives the tags of the pinned programs and of the new ones, in the order of their names.
func (s successor) comparePrograms(objects *directorObjects) ([]ProgramChange, error) {
	old, err := s.pinnedPrograms()
	if err != nil {
		return nil, err
	}
	defer closePrograms(old)
	changes := map[string]ProgramChange{}
	for name, p := range old {
		info, err := p.Info()
		if err != nil {
			return nil, fmt.Errorf("look at program %s: %w", name, err)
		}
		changes[name] = ProgramChange{Name: name, Old: info.Tag}
	}
	err = eachTagged(&objects.directorPrograms, func(name string, p **ebpf.Program) error {
		info, err := (*p).Info()
		if err != nil {
			return fmt.Errorf("look at program %s: %w", name, err)
		}
		changes[name] = ProgramChange{name, changes[name].Old, info.Tag}
		return nil
	})
	var sorted []ProgramChange
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		sorted = append(sorted, changes[name])
	}
	return sorted, err
}

// settle unpins what this version has no more, and notes whose layout the maps have now.
func (s successor) settle(running map[string]*ebpf.Map, spec *ebpf.CollectionSpec) error {
	names, err := s.pinNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		program, isProgram := strings.CutPrefix(name, programPrefix)
		gone := isProgram && spec.Programs[program] == nil || running[name] != nil && spec.Maps[name] == nil
		if !gone {
			continue
		}
		if err := os.Remove(s.pin(name)); err != nil {
			return fmt.Errorf("unpin %s: %w", name, err)
		}
		s.did("unpin " + name)
	}
	origins, err := ebpf.LoadPinnedMap(s.pin(directorMapOrigins), nil)
	if err != nil {
		return fmt.Errorf("open the pinned map %s: %w", directorMapOrigins, err)
	}
	defer origins.Close()
	return copyOrigin(origins, origins, objectSum())
}
