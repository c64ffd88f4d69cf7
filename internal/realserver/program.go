package realserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"drover/internal/datapath"
)

// pinKind begins the name of the folder with the pins of a real server's programs.
const pinKind = "realserver"

// Specs gives the BPF object as it is built, by name.
func Specs() (map[string]*ebpf.CollectionSpec, error) {
	spec, err := loadServer()
	if err != nil {
		return nil, fmt.Errorf("read the real server's object: %w", err)
	}
	return map[string]*ebpf.CollectionSpec{"server": spec}, nil
}

// attachPrograms makes decapsulation and clamping as the Config says. What an earlier call attached and is
// not wanted any more goes; the counters stay.
func attachPrograms(cfg Config) (warnings []string, err error) {
	interfaces, err := datapath.ChooseInterfaces(cfg.Interfaces)
	if err != nil {
		return nil, err
	}
	own, err := ownAddresses(cfg.VIPs)
	if err != nil {
		return nil, err
	}
	sizes, err := cfg.segmentSizes(interfaces, own)
	if err != nil {
		return nil, err
	}
	err = datapath.WithPins(pinKind, true, func(folder string) error {
		warnings, err = attachIn(folder, cfg, interfaces, own, sizes)
		if err != nil && !isReady(folder) { // a first time leaves nothing
			err = errors.Join(err, clearPins(folder))
		}
		return err
	})
	return warnings, err
}

func attachIn(folder string, cfg Config, interfaces []datapath.Interface, own []netip.Addr, sizes limits) ([]string, error) {
	objects, err := loadOver(folder)
	if err != nil {
		return nil, err
	}
	defer objects.Close() //nolint:errcheck // the pins keep what is needed
	if err := fill(&objects.serverMaps, cfg, own, sizes); err != nil {
		return nil, err
	}
	var decap, clamp []datapath.Interface
	if cfg.Tunnel == XDP {
		decap = interfaces
	}
	if cfg.ClampMSS {
		clamp = interfaces
	}
	warnings, err := attachDecap(folder, objects.DroverDecap, decap)
	if err != nil {
		return nil, err
	}
	if err := attachClamp(folder, objects.DroverClamp, clamp); err != nil {
		return nil, err
	}
	return warnings, pinMaps(folder, &objects.serverMaps)
}

// loadOver loads the programs over the maps that are pinned, so that the counters go on.
func loadOver(folder string) (*serverObjects, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("lift the limit on locked memory: %w", err)
	}
	spec, err := loadServer()
	if err != nil {
		return nil, fmt.Errorf("read the real server's object: %w", err)
	}
	pinned := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		m, err := ebpf.LoadPinnedMap(filepath.Join(folder, name), nil)
		if errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(name, ".") {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open the pinned map %s: %w", name, err)
		}
		defer m.Close()
		pinned[name] = m
	}
	var objects serverObjects
	err = spec.LoadAndAssign(&objects, &ebpf.CollectionOptions{MapReplacements: pinned})
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		return nil, fmt.Errorf("another version of Drover is attached, run \"drover realserver down\" first: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("load the programs: %w", err)
	}
	return &objects, nil
}

// readyPin is the map that is pinned last.
const readyPin = "outcomes"

func isReady(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, readyPin))
	return err == nil
}

func pinMaps(folder string, maps *serverMaps) error {
	if isReady(folder) {
		return nil
	}
	for _, m := range []struct {
		name string
		m    *ebpf.Map
	}{
		{"settings", maps.Settings},
		{"vips", maps.Vips},
		{"own", maps.Own},
		{"sources", maps.Sources},
		{"gue_ports", maps.GuePorts},
		{"clamped", maps.Clamped},
		{readyPin, maps.Outcomes},
	} {
		if err := m.m.Pin(filepath.Join(folder, m.name)); err != nil {
			return fmt.Errorf("pin the map %s: %w", m.name, err)
		}
	}
	return nil
}

// attachDecap attaches to these interfaces, and detaches from all others.
func attachDecap(folder string, program *ebpf.Program, interfaces []datapath.Interface) (warnings []string, err error) {
	wanted := map[int]bool{}
	for _, i := range interfaces {
		wanted[i.Index] = true
		warning, err := datapath.AttachProgram(program, i, folder)
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	attached, err := datapath.Attached(folder)
	if err != nil {
		return nil, err
	}
	for pin, i := range attached {
		if !wanted[i.Index] {
			if err := datapath.DetachProgram(pin); err != nil {
				return nil, err
			}
		}
	}
	return warnings, nil
}

// Detach takes the programs of the calling thread's network namespace away, and leaves all else that Up did:
// it is for a namespace that is about to go. It is no error if there is nothing.
func Detach() error {
	err := datapath.WithPins(pinKind, false, clearPins)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func clearPins(folder string) error {
	if _, err := attachDecap(folder, nil, nil); err != nil {
		return err
	}
	if err := attachClamp(folder, nil, nil); err != nil {
		return err
	}
	pins, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		return err
	}
	for _, pin := range pins {
		if err := os.Remove(pin); err != nil {
			return fmt.Errorf("unpin %s: %w", filepath.Base(pin), err)
		}
	}
	return nil
}
