package datapath

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/cilium/ebpf"
)

// Status is what is loaded in a network namespace.
type Status struct {
	Namespace   uint64          `json:"namespace"` // its cookie
	Interfaces  []Interface     `json:"interfaces"`
	ThisVersion bool            `json:"this_version"` // the programs are this one's own
	Programs    []ProgramStatus `json:"programs"`
	Maps        []MapStatus     `json:"maps"`
	MemoryBytes uint64          `json:"memory_bytes"`
	Connections uint32          `json:"connections"` // entries of the table in use
	Capacity    uint32          `json:"capacity"`
	HasPair     bool            `json:"has_pair"` // of veth devices: for clients on this host and fragments out of order
	Counters    []Counter       `json:"counters"`
}

// ProgramStatus is one loaded program.
type ProgramStatus struct {
	Name                 string `json:"name"`
	ID                   uint32 `json:"id"`
	Tag                  string `json:"tag"`
	VerifiedInstructions uint32 `json:"verified_instructions"`
	RunCount             uint64 `json:"run_count"` // 0 unless kernel.bpf_stats_enabled
}

// MapStatus is one map.
type MapStatus struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	Entries    uint32 `json:"entries"` // in use, of hashes; all, of arrays
	MaxEntries uint32 `json:"max_entries"`
	Bytes      uint64 `json:"bytes"`
}

// ReadStatus reads the data path of the calling thread's network namespace; ErrNotLoaded if there is
// none.
func ReadStatus() (*Status, error) {
	if err := probePrivileges(); err != nil {
		return nil, err
	}
	var s *Status
	err := whereLoaded(func(f folder) (err error) {
		s, err = f.status()
		return err
	})
	return s, err
}

func (f folder) status() (*Status, error) {
	interfaces, err := f.attachedInterfaces()
	if err != nil {
		return nil, err
	}
	s := &Status{Namespace: f.cookie, Interfaces: interfaces}
	if err := f.addPrograms(s); err != nil {
		return nil, err
	}
	running, err := f.pinnedMaps()
	if err != nil {
		return nil, err
	}
	defer closeMaps(running)
	if s.Maps, err = mapStatuses(running); err != nil {
		return nil, err
	}
	for _, m := range s.Maps {
		s.MemoryBytes += m.Bytes
	}
	other := (*OtherVersionError)(nil)
	if err := f.checkVersion(); errors.As(err, &other) {
		return s, nil // what is in the maps is not for us to read
	} else if err != nil {
		return nil, err
	}
	s.Capacity = capacity(running[directorMapConns])
	if s.Connections, err = connectionsInUse(running[directorMapPool]); err != nil {
		return nil, err
	}
	if s.HasPair, err = hasPair(running[directorMapControls]); err != nil {
		return nil, err
	}
	s.Counters, err = readCounters(running[directorMapOutcomes])
	return s, err
}

func (f folder) addPrograms(s *Status) error {
	spec, err := loadDirector()
	if err != nil {
		return fmt.Errorf("read the director's object: %w", err)
	}
	if s.ThisVersion, err = f.runsThisVersion(spec); err != nil {
		return err
	}
	programs, err := f.pinnedPrograms()
	if err != nil {
		return err
	}
	defer closePrograms(programs)
	s.Programs, err = programStatuses(programs)
	return err
}

func hasPair(m *ebpf.Map) (bool, error) {
	control, err := mapArray[directorControl](m)
	if err != nil {
		return false, err
	}
	has := atomic.LoadUint32(&control.at(0).Outer) != 0
	return has, control.close()
}

func connectionsInUse(m *ebpf.Map) (uint32, error) {
	pool, err := mapArray[directorPool](m)
	if err != nil {
		return 0, err
	}
	live := uint32(atomic.LoadUint64(&pool.at(0).Live))
	return live, pool.close()
}

func programStatuses(programs map[string]*ebpf.Program) ([]ProgramStatus, error) {
	var all []ProgramStatus
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		info, err := programs[name].Info()
		if err != nil {
			return nil, fmt.Errorf("look at program %s: %w", name, err)
		}
		id, _ := info.ID()
		verified, _ := info.VerifiedInstructions()
		s := ProgramStatus{Name: name, ID: uint32(id), Tag: info.Tag, VerifiedInstructions: verified}
		if stats, err := programs[name].Stats(); err == nil {
			s.RunCount = stats.RunCount
		}
		all = append(all, s)
	}
	return all, nil
}

func mapStatuses(running map[string]*ebpf.Map) ([]MapStatus, error) {
	var all []MapStatus
	for _, name := range slices.Sorted(maps.Keys(running)) {
		info, err := running[name].Info()
		if err != nil {
			return nil, fmt.Errorf("look at map %s: %w", name, err)
		}
		memory, _ := info.Memlock()
		entries, err := entriesOf(running[name])
		if err != nil {
			return nil, err
		}
		all = append(all, MapStatus{
			Name: name, Type: info.Type.String(), Entries: entries, MaxEntries: info.MaxEntries, Bytes: memory,
		})
	}
	return all, nil
}

// entriesOf counts the keys of a hash; an array has all of its own.
func entriesOf(m *ebpf.Map) (uint32, error) {
	if m.Type() != ebpf.Hash && m.Type() != ebpf.LRUHash {
		return m.MaxEntries(), nil
	}
	var n uint32
	var key []byte
	for {
		next, err := m.NextKeyBytes(nilIfEmpty(key))
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return n, fmt.Errorf("count the entries of a map: %w", err)
		}
		if next == nil || n >= m.MaxEntries() {
			return n, nil
		}
		key = next
		n++
	}
}

// nilIfEmpty: the kernel's first key is asked for with none.
func nilIfEmpty(key []byte) any {
	if key == nil {
		return nil
	}
	return key
}
