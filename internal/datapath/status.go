package datapath

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cilium/ebpf"
)

// Status is what is loaded in a network namespace.
type Status struct {
	Namespace   uint64          `json:"namespace"` // its cookie
	Interfaces  []Interface     `json:"interfaces"`
	Programs    []ProgramStatus `json:"programs"`
	Maps        []MapStatus     `json:"maps"`
	MemoryBytes uint64          `json:"memory_bytes"`
	Connections uint32          `json:"connections"` // entries of the table in use
	Capacity    uint32          `json:"capacity"`
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
	err := inInitialMounts(func() error {
		f, err := ownFolder()
		if err != nil {
			return err
		}
		if !pinsMounted() || !f.ready() {
			return ErrNotLoaded
		}
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
	programs, err := f.openPrograms()
	if err != nil {
		return nil, err
	}
	defer programs.Close() //nolint:errcheck // only read
	maps, err := f.openMaps()
	if err != nil {
		return nil, err
	}
	defer maps.Close() //nolint:errcheck // only read
	s := &Status{Namespace: f.cookie, Interfaces: interfaces, Capacity: capacity(maps.Conns)}
	if s.Programs, err = programStatuses(programs); err != nil {
		return nil, err
	}
	if s.Maps, err = mapStatuses(maps); err != nil {
		return nil, err
	}
	for _, m := range s.Maps {
		s.MemoryBytes += m.Bytes
	}
	if s.Connections, err = connectionsInUse(maps); err != nil {
		return nil, err
	}
	s.Counters, err = readCounters(maps.Outcomes)
	return s, err
}

func connectionsInUse(maps *directorMaps) (uint32, error) {
	pool, err := mapArray[directorPool](maps.Pool)
	if err != nil {
		return 0, err
	}
	live := uint32(atomic.LoadUint64(&pool.at(0).Live))
	return live, pool.close()
}

func programStatuses(programs *directorPrograms) ([]ProgramStatus, error) {
	var all []ProgramStatus
	err := eachTagged(programs, func(name string, p **ebpf.Program) error {
		info, err := (*p).Info()
		if err != nil {
			return fmt.Errorf("look at program %s: %w", name, err)
		}
		id, _ := info.ID()
		verified, _ := info.VerifiedInstructions()
		s := ProgramStatus{Name: name, ID: uint32(id), Tag: info.Tag, VerifiedInstructions: verified}
		if stats, err := (*p).Stats(); err == nil {
			s.RunCount = stats.RunCount
		}
		all = append(all, s)
		return nil
	})
	return all, err
}

func mapStatuses(maps *directorMaps) ([]MapStatus, error) {
	var all []MapStatus
	err := eachTagged(maps, func(name string, m **ebpf.Map) error {
		info, err := (*m).Info()
		if err != nil {
			return fmt.Errorf("look at map %s: %w", name, err)
		}
		memory, _ := info.Memlock()
		entries, err := entriesOf(*m)
		all = append(all, MapStatus{
			Name: name, Type: info.Type.String(), Entries: entries, MaxEntries: info.MaxEntries, Bytes: memory,
		})
		return err
	})
	return all, err
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
