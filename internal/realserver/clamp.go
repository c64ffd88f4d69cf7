package realserver

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"

	"drover/internal/datapath"
)

const (
	clampPrefix  = "clamp_" // of pinned TCX links; the interface's name follows, without dots
	clampProgram = "drover_clamp"
)

// attachClamp attaches the program that lowers segment sizes to what leaves these interfaces, and detaches
// it from all others: by TCX (Linux 6.6), else by a filter of clsact.
func attachClamp(folder string, program *ebpf.Program, interfaces []datapath.Interface) error {
	wanted := map[string]bool{}
	filtered := map[int]bool{}
	for _, i := range interfaces {
		pin := filepath.Join(folder, clampPrefix+strings.ReplaceAll(i.Name, ".", "%2e"))
		wanted[pin] = true
		byFilter, err := datapath.AttachTC(datapath.TCHook{Program: program, Name: clampProgram, To: i}, pin)
		filtered[i.Index] = byFilter
		if err != nil {
			return fmt.Errorf("clamp segment sizes on %s: %w", i.Name, err)
		}
	}
	pins, err := filepath.Glob(filepath.Join(folder, clampPrefix+"*"))
	if err != nil {
		return err
	}
	for _, pin := range pins {
		if !wanted[pin] {
			if err := datapath.DetachProgram(pin); err != nil {
				return err
			}
		}
	}
	return datapath.RemoveTCFilters(clampProgram, filtered)
}
