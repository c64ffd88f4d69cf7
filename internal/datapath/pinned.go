package datapath

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/cilium/ebpf"
)

// readyPin is the pin that is made last: a folder without it is what a load left that was killed.
const readyPin = "program_drover_xdp"

const programPrefix = "program_"

// eachTagged calls f with every field of a struct that bpf2go made, by the name in the object.
func eachTagged[T any](objects any, f func(name string, field *T) error) error {
	v := reflect.ValueOf(objects).Elem()
	for i := range v.NumField() {
		field, ok := v.Field(i).Addr().Interface().(*T)
		if !ok {
			continue
		}
		if err := f(v.Type().Field(i).Tag.Get("ebpf"), field); err != nil {
			return err
		}
	}
	return nil
}

// pinAll pins the maps and programs of a load, the ready pin last.
func (f folder) pinAll(objects *directorObjects) error {
	err := eachTagged(&objects.directorMaps, func(name string, m **ebpf.Map) error {
		return (*m).Pin(f.pin(name))
	})
	if err != nil {
		return fmt.Errorf("pin the maps: %w", err)
	}
	err = eachTagged(&objects.directorPrograms, func(name string, p **ebpf.Program) error {
		if programPrefix+name == readyPin {
			return nil
		}
		return (*p).Pin(f.pin(programPrefix + name))
	})
	if err == nil {
		err = objects.DroverXdp.Pin(f.pin(readyPin))
	}
	if err != nil {
		return fmt.Errorf("pin the programs: %w", err)
	}
	return nil
}

// ready tells whether a load was finished here.
func (f folder) ready() bool {
	_, err := os.Stat(f.pin(readyPin))
	return err == nil
}

// openMaps opens the pinned maps.
func (f folder) openMaps() (*directorMaps, error) {
	var maps directorMaps
	err := eachTagged(&maps, func(name string, m **ebpf.Map) (err error) {
		*m, err = ebpf.LoadPinnedMap(f.pin(name), nil)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the pinned maps: %w", err), maps.Close())
	}
	return &maps, nil
}

// openPrograms opens the pinned programs.
func (f folder) openPrograms() (*directorPrograms, error) {
	var programs directorPrograms
	err := eachTagged(&programs, func(name string, p **ebpf.Program) (err error) {
		*p, err = ebpf.LoadPinnedProgram(f.pin(programPrefix+name), nil)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the pinned programs: %w", err), programs.Close())
	}
	return &programs, nil
}

// pinNames are the names of everything that is pinned in the folder.
func (f folder) pinNames() ([]string, error) {
	entries, err := os.ReadDir(f.path())
	if err != nil {
		return nil, fmt.Errorf("list the pins: %w", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

// pinnedMaps opens all maps that are pinned, whatever version made them, by name.
func (f folder) pinnedMaps() (map[string]*ebpf.Map, error) {
	names, err := f.pinNames()
	if err != nil {
		return nil, err
	}
	opened := map[string]*ebpf.Map{}
	for _, name := range names {
		if strings.HasPrefix(name, programPrefix) || strings.HasPrefix(name, linkPrefix) ||
			strings.HasPrefix(name, hookPrefix) || strings.HasPrefix(name, nextPrefix) {
			continue
		}
		if opened[name], err = ebpf.LoadPinnedMap(f.pin(name), nil); err != nil {
			closeMaps(opened)
			return nil, fmt.Errorf("open the pinned map %s: %w", name, err)
		}
	}
	return opened, nil
}

// pinnedPrograms opens all programs that are pinned, whatever version made them, by name.
func (f folder) pinnedPrograms() (map[string]*ebpf.Program, error) {
	names, err := f.pinNames()
	if err != nil {
		return nil, err
	}
	opened := map[string]*ebpf.Program{}
	for _, pin := range names {
		name, ok := strings.CutPrefix(pin, programPrefix)
		if !ok {
			continue
		}
		if opened[name], err = ebpf.LoadPinnedProgram(f.pin(pin), nil); err != nil {
			closePrograms(opened)
			return nil, fmt.Errorf("open the pinned program %s: %w", name, err)
		}
	}
	return opened, nil
}

func closeMaps(opened map[string]*ebpf.Map) {
	for _, m := range opened {
		_ = m.Close() // the pin keeps it; nil is none
	}
}

func closePrograms(opened map[string]*ebpf.Program) {
	for _, p := range opened {
		_ = p.Close() // the pin keeps it; nil is none
	}
}
