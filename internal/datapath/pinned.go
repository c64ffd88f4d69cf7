package datapath

import (
	"errors"
	"fmt"
	"os"
	"reflect"

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
