package director

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"drover/internal/checker"
	"drover/internal/lvs"
	"drover/internal/pool"
)

// A Store is a file that keeps what must outlive a director: who was down, what it has put into the data path, and
// what the operator has said.
type Store struct {
	Path string // empty: nothing is kept
	Boot string // of the machine's run; what is kept of another is not believed, but for overrides
}

// kept is what the file holds.
type kept struct {
	Version   int                   `json:"version"`
	Boot      string                `json:"boot"`
	Checks    map[string]keptCheck  `json:"checks"` // by the hash of their keys
	Pools     map[string]pool.State `json:"pools"`  // by the names of their virtual servers
	Servers   map[string][]string   `json:"servers"`
	Managed   []managed             `json:"managed"`
	Overrides []keptOverride        `json:"overrides"`
}

const keptVersion = 1

type keptCheck struct {
	Up         bool      `json:"up"`
	HasRun     bool      `json:"has_run"`
	Failures   int       `json:"failures,omitempty"`
	Weight     int       `json:"weight,omitempty"`
	SetsWeight bool      `json:"sets_weight,omitempty"`
	Since      time.Time `json:"since,omitzero"`
	Reason     string    `json:"reason,omitempty"`
}

type managed struct {
	Service lvs.ServiceKey    `json:"service"`
	Servers []destinationAddr `json:"servers"`
}

type keptOverride struct {
	ServerID
	Override
}

// read gives what is kept; nothing where no director has been.
func (s Store) read() (kept, error) {
	var k kept
	if s.Path == "" {
		return k, nil
	}
	text, err := os.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(text, &k); err != nil {
		return kept{}, fmt.Errorf("%s: %w", s.Path, err)
	}
	if k.Version != keptVersion {
		return kept{}, fmt.Errorf("%s: version %d: want %d", s.Path, k.Version, keptVersion)
	}
	if k.Boot != s.Boot {
		return kept{Version: k.Version, Boot: s.Boot, Overrides: k.Overrides}, nil
	}
	return k, nil
}

// write replaces what is kept: readers, and a director after a crash, find the old or the new.
func (s Store) write(k *kept) error {
	if s.Path == "" {
		return nil
	}
	k.Version, k.Boot = keptVersion, s.Boot
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.Path), filepath.Base(s.Path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), s.Path)
}

// hash shortens a key, which holds the whole check.
func hash(key checker.Key) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// save writes what has changed. That it can't be written stops nothing; it is told once.
func (d *Director) save() {
	if !d.unsaved {
		return
	}
	k := kept{Checks: map[string]keptCheck{}, Pools: map[string]pool.State{}, Servers: map[string][]string{}}
	for key, s := range d.known {
		k.Checks[hash(key)] = keptCheck{s.Up, s.HasRun, s.Failures, s.Weight, s.Last.SetsWeight, s.Since, s.Last.Reason}
	}
	for _, p := range d.pools {
		k.Pools[p.vs.Name] = p.state
		for i := range p.vs.RealServers {
			k.Servers[p.vs.Name] = append(k.Servers[p.vs.Name], p.vs.RealServers[i].Name)
		}
	}
	for key, servers := range d.managed {
		k.Managed = append(k.Managed, managed{key, servers})
	}
	for id, o := range d.overrides {
		k.Overrides = append(k.Overrides, keptOverride{id, o})
	}
	err := d.options.Keep.write(&k)
	if err != nil && d.saveError == nil {
		d.options.Log.Error("what must outlive the director can't be kept: a restart would know nothing of failed servers and overrides", "error", err)
	}
	d.saveError, d.unsaved = err, err != nil
}

// restore makes what an earlier director has kept the state to begin with, as if it were an older configuration's.
func (d *Director) restore(k kept) {
	d.restored = k
	for _, o := range k.Overrides {
		d.overrides[o.ServerID] = o.Override
	}
	for _, m := range k.Managed {
		d.managed[m.Service] = m.Servers
	}
}

// recall gives what is kept of a check.
func (k *kept) recall(key checker.Key) (checker.State, bool) {
	c, ok := k.Checks[hash(key)]
	return checker.State{
		Up: c.Up, HasRun: c.HasRun, Failures: c.Failures, Weight: c.Weight, Since: c.Since,
		Last: checker.Result{OK: c.Up, Reason: c.Reason, Weight: c.Weight, SetsWeight: c.SetsWeight},
	}, ok
}

// inheritKept is inherit from what is kept.
func (p *poolState) inheritKept(k *kept) {
	state, ok := k.Pools[p.vs.Name]
	if !ok {
		return
	}
	p.state.Quorum, p.state.Sorry = state.Quorum, state.Sorry
	standing := map[string]pool.Standing{}
	for i, name := range k.Servers[p.vs.Name] {
		if i < len(state.Servers) {
			standing[name] = state.Servers[i]
		}
	}
	for i := range p.vs.RealServers {
		p.state.Servers[i] = standing[p.vs.RealServers[i].Name]
	}
}

// Clear takes what a director that has ended has put into the data path out of it, and gives how many services those
// were. What else is kept, stays.
func Clear(s Store, open func() (Table, error)) (int, error) {
	k, err := s.read()
	if err != nil || len(k.Managed) == 0 {
		return 0, err
	}
	gone := map[lvs.ServiceKey][]destinationAddr{}
	for _, m := range k.Managed {
		gone[m.Service] = m.Servers
	}
	if err := removeAll(open, gone); err != nil {
		return 0, err
	}
	k.Managed, k.Pools, k.Servers = nil, nil, nil
	return len(gone), s.write(&k)
}
