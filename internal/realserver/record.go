package realserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// A record is what Up changed, kept in a file because Down is another process.
type record struct {
	VIPs    []netip.Addr      `json:"vips"`
	Sysctls map[string]string `json:"sysctls"` // name to the value before Up
	Tunnel  Tunnel            `json:"tunnel,omitempty"`
	Devices devices           `json:"devices,omitzero"`
}

// readRecord gives an empty record where there is no file.
func readRecord(path string) (record, error) {
	rec := record{Sysctls: map[string]string{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return rec, nil
	}
	if err != nil {
		return rec, fmt.Errorf("read record: %w", err)
	}
	if err := json.Unmarshal(text, &rec); err != nil {
		return rec, fmt.Errorf("read record %s: %w", path, err)
	}
	if rec.Sysctls == nil {
		rec.Sysctls = map[string]string{}
	}
	return rec, nil
}

// write replaces the file as a whole: a record cut short would lose the values to go back to. Its folder is
// made; another process may remove it again as long as it is empty.
func (r record) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	err = fs.ErrNotExist
	for errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make the folder of the record: %w", err)
		}
		err = os.WriteFile(path+".new", append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

func removeRecord(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove record: %w", err)
	}
	return nil
}
