package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// copyMaps loads the programs a second time, over maps of their own that hold what the running ones hold, but for
// counters and what is of one packet. The timer stands still. Nothing of it is attached or pinned.
func (t *Table) copyMaps() (*directorObjects, error) {
	spec, err := loadDirector()
	if err != nil {
		return nil, fmt.Errorf("read the director's object: %w", err)
	}
	running := map[string]*ebpf.Map{}
	if err := eachTagged(t.maps, func(name string, m **ebpf.Map) error { running[name] = *m; return nil }); err != nil {
		return nil, err
	}
	for name, m := range running {
		if spec.Maps[name] != nil && m.Type() != ebpf.ProgramArray {
			spec.Maps[name].MaxEntries = m.MaxEntries()
		}
	}
	origin, err := readOrigin(t.maps.Origins)
	if err != nil {
		return nil, err
	}
	return makeObjects(spec, origin.HashSeed, func(maps *directorMaps) error {
		return eachTagged(maps, func(name string, m **ebpf.Map) error {
			if err := copyMap(*m, running[name]); err != nil {
				return fmt.Errorf("copy map %s: %w", name, err)
			}
			return nil
		})
	})
}

// copyMap copies what is in an array or hash; others begin empty.
func copyMap(to, from *ebpf.Map) error {
	info, err := from.Info()
	if err != nil {
		return err
	}
	switch {
	case from.Type() == ebpf.Array && info.Flags&unix.BPF_F_MMAPABLE != 0:
		a, err := from.Memory()
		if err != nil {
			return err
		}
		b, err := to.Memory()
		if err != nil {
			return err
		}
		return copyMemory(b, a)
	case from.Type() == ebpf.Array && !holdsTimer(from), from.Type() == ebpf.Hash, from.Type() == ebpf.LRUHash:
		return copyEntries(to, from)
	}
	return nil
}

// holdsTimer tells the map of the timer, whose value user space has no business with.
func holdsTimer(m *ebpf.Map) bool {
	info, err := m.Info()
	return err == nil && info.Name == directorMapTimers
}

// copyMemory copies only what is not zero: the rest needs no memory then.
func copyMemory(to, from *ebpf.Memory) error {
	const page = 4096
	buffer, zeros := make([]byte, page), make([]byte, page)
	for at := int64(0); at < int64(from.Size()); at += page {
		n, err := from.ReadAt(buffer, at)
		if err != nil && n == 0 {
			return err
		}
		if string(buffer[:n]) == string(zeros[:n]) {
			continue
		}
		if _, err := to.WriteAt(buffer[:n], at); err != nil {
			return err
		}
	}
	return nil
}

func copyEntries(to, from *ebpf.Map) error {
	var key, value []byte
	all := from.Iterate()
	for all.Next(&key, &value) {
		if err := to.Put(key, value); err != nil {
			return err
		}
	}
	return all.Err()
}
