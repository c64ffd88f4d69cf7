package datapath

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The pins of an upgrade under way have this before their names. The order in which they come and go lets
// whoever comes next carry on after a kill at any point:
//
//	next_X for all new maps and programs, nextReady last   nothing runs them yet; without nextReady: rubbish
//	links, one after another; the timer                    old and new programs run, each with its own stages
//	next_X becomes X, next_stages and then nextReady last  only the new programs run
//
// An array of stages forgets its programs when its last pin goes, so the old one keeps its pin until no
// packet can be on its way through the old programs.
const (
	nextPrefix = "next_"
	nextReady  = nextPrefix + readyPin
	nextStages = nextPrefix + directorMapStages
)

// hasNext tells whether an upgrade was prepared and has not ended.
func (f folder) hasNext() bool {
	_, err := os.Stat(f.pin(nextReady))
	return err == nil
}

// dropNext unpins what a killed upgrade had prepared, or what can't be switched to.
func (f folder) dropNext() error {
	names, err := f.nextPins()
	if err != nil {
		return err
	}
	slices.Reverse(names) // nextReady first
	for _, name := range names {
		if err := os.Remove(f.pin(name)); err != nil {
			return fmt.Errorf("unpin %s: %w", name, err)
		}
	}
	return nil
}

// nextPins are the names of the upgrade's pins in the order in which they are given their names.
func (f folder) nextPins() ([]string, error) {
	all, err := f.pinNames()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, last := range []bool{false, true} {
		for _, name := range all {
			if strings.HasPrefix(name, nextPrefix) && (name == nextStages || name == nextReady) == last {
				names = append(names, name)
			}
		}
	}
	if i := slices.Index(names, nextReady); i >= 0 {
		names = append(slices.Delete(names, i, i+1), nextReady)
	}
	return names, nil
}

// A successor is what has been pinned to follow the running programs.
type successor struct {
	folder
	step func(done string) // tests end it here; may be nil
}

func (s successor) did(what string) {
	if s.step != nil {
		s.step(what)
	}
}

// mend carries an upgrade on that was killed. It needs the lock.
func (f folder) mend() error { return successor{folder: f}.mend() }

func (s successor) mend() error {
	if !s.hasNext() {
		return nil
	}
	err := s.activate()
	if err == nil {
		err = s.adopt()
	}
	if err != nil {
		return fmt.Errorf("carry on an upgrade that was interrupted: %w", err)
	}
	return nil
}

// prepare pins new maps and programs beside the old.
func (s successor) prepare(objects *directorObjects, changes []MapChange) error {
	made := map[string]bool{}
	for _, c := range changes {
		made[c.Name] = c.Action == mapMade || c.Action == mapConverted
	}
	err := eachTagged(&objects.directorMaps, func(name string, m **ebpf.Map) error {
		if !made[name] {
			return nil
		}
		defer s.did("pin " + name)
		return (*m).Pin(s.pin(nextPrefix + name))
	})
	if err != nil {
		return fmt.Errorf("pin the new maps: %w", err)
	}
	err = eachTagged(&objects.directorPrograms, func(name string, p **ebpf.Program) error {
		if programPrefix+name == readyPin {
			return nil
		}
		defer s.did("pin " + programPrefix + name)
		return (*p).Pin(s.pin(nextPrefix + programPrefix + name))
	})
	if err == nil {
		err = objects.DroverXdp.Pin(s.pin(nextReady))
	}
	if err != nil {
		return fmt.Errorf("pin the new programs: %w", err)
	}
	s.did("pin all")
	return nil
}

// activate puts the new programs in the place of the old: on all interfaces, or on an error on none, and
// in the timer. Doing it again does no harm.
func (s successor) activate() error {
	entry, err := ebpf.LoadPinnedProgram(s.pin(nextReady), nil)
	if err != nil {
		return fmt.Errorf("open the new program: %w", err)
	}
	defer entry.Close()
	if err := s.replaceProgram(entry, s.did); err != nil {
		return err
	}
	if err := s.rehook(entry, nextPrefix); err != nil {
		return err
	}
	s.did("hooks")
	const starter = programPrefix + directorProgStartTimer
	start, err := ebpf.LoadPinnedProgram(s.pin(nextPrefix+starter), nil)
	if errors.Is(err, os.ErrNotExist) { // it has its name already
		start, err = ebpf.LoadPinnedProgram(s.pin(starter), nil)
	}
	if err != nil {
		return fmt.Errorf("open the program that starts the timer: %w", err)
	}
	defer start.Close()
	if err := startTimer(start); err != nil {
		return err
	}
	s.did("timer")
	return nil
}

// rehook has packets of this host taken in by the programs whose pins begin so, or have their names already.
func (s successor) rehook(entry *ebpf.Program, prefix string) error {
	hooks := hostHooks{entry: entry}
	for name, p := range map[string]**ebpf.Program{
		hookInterface: &hooks.byInterface, hookReplay: &hooks.replay, hookLo: &hooks.byLo, hookPair: &hooks.byPair,
	} {
		var err error
		*p, err = ebpf.LoadPinnedProgram(s.pin(prefix+programPrefix+name), nil)
		if errors.Is(err, os.ErrNotExist) {
			*p, err = ebpf.LoadPinnedProgram(s.pin(programPrefix+name), nil)
		}
		if err != nil {
			return fmt.Errorf("open the program %s: %w", name, err)
		}
		defer (*p).Close()
	}
	controls, err := ebpf.LoadPinnedMap(s.pin(directorMapControls), nil)
	if err != nil {
		return fmt.Errorf("open the pinned map %s: %w", directorMapControls, err)
	}
	defer controls.Close()
	_, err = s.hook(hooks, &directorMaps{Controls: controls}) // the load has warned
	return err
}

// revert gives the interfaces the old programs back, which have all their pins until adopt begins.
func (s successor) revert() error {
	entry, err := ebpf.LoadPinnedProgram(s.pin(readyPin), nil)
	if err != nil {
		return fmt.Errorf("open the old program: %w", err)
	}
	defer entry.Close()
	if err := errors.Join(s.replaceProgram(entry, s.did), s.rehook(entry, "")); err != nil {
		return err
	}
	waitForPrograms()
	return s.dropNext()
}

// adopt gives the new pins the names of the old, whose maps and programs go.
func (s successor) adopt() error {
	waitForPrograms()
	names, err := s.nextPins()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Rename(s.pin(name), s.pin(strings.TrimPrefix(name, nextPrefix))); err != nil {
			return fmt.Errorf("rename the pin %s: %w", name, err)
		}
		s.did("rename " + name)
	}
	return nil
}

// waitForPrograms returns when no packet is on its way any more through programs that were replaced
// before. Programs run in RCU read-side sections, and membarrier(2) waits for those that have begun;
// kernels with CPUs free of ticks (nohz_full) refuse it.
func waitForPrograms() {
	const cmdGlobal = 1 // MEMBARRIER_CMD_GLOBAL of linux/membarrier.h
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, cmdGlobal, 0, 0); errno != 0 {
		time.Sleep(100 * time.Millisecond) // a packet takes microseconds
	}
}
