package datapath

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// forwardingSettings are set while the data path is loaded. The first two make bpf_fib_lookup, asked as if the
// packet came from lo, find next hops on a director whose ip_forward is 0. Nothing is forwarded by them: the
// host takes no packets from others in on lo. The others let packets of this host, which the data path gives
// back into lo, have this host's addresses as their source, and the loopback's as their destination.
var forwardingSettings = []string{
	"net/ipv4/conf/lo/forwarding", "net/ipv6/conf/lo/forwarding", "net/ipv4/conf/lo/accept_local",
	"net/ipv4/conf/lo/route_localnet",
}

// statePath is the file with the settings as they were before the data path was loaded. A BPF file
// system holds no files, so it is beside it.
func (f folder) statePath() string {
	return filepath.Join(runFolder(), "state", strconv.FormatUint(f.cookie, 10)+".json")
}

// enableForwarding sets the forwardingSettings that are not set, and remembers what they were.
// It needs the lock and acts on the network namespace of the calling thread. See keepDefaultRoutes for
// the warnings.
func (f folder) enableForwarding() (warnings []string, err error) {
	saved, err := f.savedSettings()
	if err != nil {
		return nil, err
	}
	change := map[string]string{}
	for _, name := range forwardingSettings {
		value, err := readSetting(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		if value == "1" {
			continue
		}
		change[name], saved[name] = "1", value
	}
	if len(change) == 0 {
		return nil, nil
	}
	if err := f.saveSettings(saved); err != nil {
		return nil, err
	}
	return keepDefaultRoutes(func() error { return writeSettings(change) })
}

// restoreForwarding puts back what enableForwarding changed.
func (f folder) restoreForwarding() error {
	saved, err := f.savedSettings()
	if err != nil {
		return err
	}
	if err := writeSettings(saved); err != nil {
		return err
	}
	if err := os.Remove(f.statePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the saved settings: %w", err)
	}
	return nil
}

// savedSettings maps the names of settings to their earlier values; empty if nothing was saved.
func (f folder) savedSettings() (map[string]string, error) {
	saved := map[string]string{}
	text, err := os.ReadFile(f.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return saved, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the saved settings: %w", err)
	}
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, fmt.Errorf("read the saved settings %s: %w", f.statePath(), err)
	}
	return saved, nil
}

// saveSettings writes the file aside and renames it, so that a crash leaves the old one or the new.
func (f folder) saveSettings(saved map[string]string) error {
	text, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("save the settings: %w", err)
	}
	path := f.statePath()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("save the settings: %w", err)
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("save the settings: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("save the settings: %w", err)
	}
	return nil
}

func readSetting(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc/sys", name))
	if err != nil {
		return "", fmt.Errorf("read sysctl: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func writeSettings(settings map[string]string) error {
	for name, value := range settings {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("set sysctl: %w", err)
		}
	}
	return nil
}
