package realserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cilium/ebpf"

	"drover/internal/datapath"
	"drover/internal/namespace"
)

// Status is a real server as it stands.
type Status struct {
	VIPs       []netip.Addr         `json:"vips"`    // on lo, in host-long prefixes
	Tunnel     Tunnel               `json:"tunnel"`  // none | xdp | kernel
	Ports      []uint16             `json:"ports"`   // UDP, of GUE
	Devices    []string             `json:"devices"` // of the kernel, if they are what is used
	Interfaces []datapath.Interface `json:"interfaces"`
	MSS4       uint32               `json:"mss4"` // what SYNs of the VIPs are lowered to; 0: not
	MSS6       uint32               `json:"mss6"`
	Clamped    uint64               `json:"clamped"` // SYNs that were
	Counters   []Counter            `json:"counters"`
}

// DefaultRecord gives the path of the record of the calling thread's network namespace:
// <run folder>/realserver/<cookie>. Up makes the folder and Down leaves it; ForgetFolder removes an empty one.
func DefaultRecord() (string, error) {
	cookie, err := namespace.Cookie()
	if err != nil {
		return "", err
	}
	return recordOf(cookie), nil
}

func recordOf(cookie uint64) string {
	return filepath.Join(recordFolder(), strconv.FormatUint(cookie, 10))
}

// Forget removes the record of a network namespace that goes without Down, by its cookie.
func Forget(cookie uint64) error {
	defer ForgetFolder()
	return removeRecord(recordOf(cookie))
}

func recordFolder() string { return filepath.Join(datapath.RunFolder(), "realserver") }

// ForgetFolder removes the folder that DefaultRecord made, and the run folder, if they are empty.
func ForgetFolder() {
	_ = os.Remove(recordFolder())
	_ = os.Remove(datapath.RunFolder())
}

// ReadStatus reads the real server of the calling thread's network namespace.
func ReadStatus(recordPath string) (*Status, error) {
	rec, err := readRecord(recordPath)
	if err != nil {
		return nil, err
	}
	s := &Status{
		Tunnel: rec.Tunnel, Ports: append([]uint16{}, rec.Devices.Ports...),
		Devices:    append(append([]string{}, rec.Devices.Made...), rec.Devices.Raised...),
		Interfaces: []datapath.Interface{}, Counters: []Counter{},
	}
	if s.Tunnel != Kernel { // what is attached tells, whoever keeps the record
		s.Tunnel = None
	}
	vips, err := (kernel{}).vips()
	if err != nil {
		return nil, err
	}
	s.VIPs = append([]netip.Addr{}, vips...) // an empty list in JSON, where there is none
	err = datapath.WithPins(pinKind, false, s.readPins)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return s, nil
}

func (s *Status) readPins(folder string) error {
	attached, err := datapath.Attached(folder)
	if err != nil {
		return err
	}
	for _, i := range attached {
		s.Interfaces, s.Tunnel = append(s.Interfaces, i), XDP
	}
	var maps serverMaps
	defer maps.Close() //nolint:errcheck // only read
	for name, m := range map[string]**ebpf.Map{
		"settings": &maps.Settings, "gue_ports": &maps.GuePorts, "clamped": &maps.Clamped, "outcomes": &maps.Outcomes,
	} {
		if *m, err = ebpf.LoadPinnedMap(filepath.Join(folder, name), nil); err != nil {
			return fmt.Errorf("open the pinned map %s: %w", name, err)
		}
	}
	var settings serverLimits
	if err := maps.Settings.Lookup(uint32(0), &settings); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	s.MSS4, s.MSS6 = settings.Mss4, settings.Mss6
	var port uint16
	var value uint8
	entries := maps.GuePorts.Iterate()
	for s.Tunnel == XDP && entries.Next(&port, &value) {
		s.Ports = append(s.Ports, port)
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("read the ports: %w", err)
	}
	if s.Clamped, err = sum(maps.Clamped, 0); err != nil {
		return err
	}
	if s.Tunnel == XDP {
		s.Counters, err = readCounters(&maps)
	}
	return err
}
