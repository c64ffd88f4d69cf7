package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// ErrNotLoaded says that this network namespace has no data path.
var ErrNotLoaded = errors.New("the data path is not loaded")

// Options say how to load.
type Options struct {
	Interfaces  []string // empty: DROVER_INTERFACE, else chosen
	Connections uint32   // capacity of the connection table; 0: DefaultConnections
	Generic     bool     // attach in generic mode even where the driver has native XDP
}

// Interface is one that the data path is attached to.
type Interface struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	Mode  string `json:"mode"` // native | generic
}

// Loaded is what a load did.
type Loaded struct {
	Interfaces []Interface
	Warnings   []string
	Already    bool // it was loaded before, and only interfaces that were named are new
}

// Load attaches the data path of the calling thread's network namespace: to all interfaces, or on an
// error to none, with nothing left behind. Where it is loaded already, interfaces that are named and
// not yet attached are added.
func Load(o Options) (*Loaded, error) {
	if err := probeKernel(); err != nil {
		return nil, err
	}
	interfaces, err := chooseInterfaces(o.Interfaces)
	if err != nil {
		return nil, err
	}
	var loaded *Loaded
	err = inInitialMounts(func() (err error) {
		if err := mountPins(); err != nil {
			return err
		}
		if err := collectDead(); err != nil {
			return err
		}
		f, err := ownFolder()
		if err != nil {
			return err
		}
		unlock, err := f.createLocked()
		if err != nil {
			return err
		}
		defer unlock()
		loaded, err = f.load(o, interfaces)
		return err
	})
	return loaded, err
}

// load does it under the lock.
func (f folder) load(o Options, interfaces []Interface) (*Loaded, error) {
	if f.ready() {
		if err := f.mend(); err != nil {
			return nil, err
		}
		return f.loadMore(o, interfaces)
	}
	// What a killed load left: nothing of it is in use.
	if err := errors.Join(f.detach(), f.unhook()); err != nil {
		return nil, err
	}
	if err := f.clear(); err != nil {
		return nil, err
	}
	warnings, err := f.loadAll(o, interfaces)
	if err != nil {
		return nil, errors.Join(err, f.restoreForwarding(), f.unhook(), f.remove())
	}
	return f.loaded(warnings, false)
}

func (f folder) loaded(warnings []string, already bool) (*Loaded, error) {
	attached, err := f.attachedInterfaces()
	return &Loaded{Interfaces: attached, Warnings: warnings, Already: already}, err
}

func (f folder) loadAll(o Options, interfaces []Interface) (warnings []string, err error) {
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("lift the limit on locked memory: %w", err)
	}
	objects, err := loadObjects(o.Connections)
	if err != nil {
		return nil, err
	}
	defer objects.Close() //nolint:errcheck // the pins keep what is needed
	if warnings, err = f.enableForwarding(); err != nil {
		return nil, err
	}
	if err := startTimer(objects.StartTimer); err != nil {
		return nil, err
	}
	attachWarnings, err := f.attach(objects.DroverXdp, interfaces, o.Generic)
	warnings = append(warnings, attachWarnings...)
	if err != nil {
		return nil, err
	}
	if err := f.describeDevices(&objects.directorMaps); err != nil {
		return nil, err
	}
	warning, err := f.hook(hooksOf(&objects.directorPrograms), &objects.directorMaps)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		warnings = append(warnings, warning)
	}
	return warnings, f.pinAll(objects)
}

// sameCapacity refuses another capacity than that of the table which is there; 0 asks for none.
func (f folder) sameCapacity(connections uint32) error {
	maps, err := f.openMaps()
	if err != nil {
		return err
	}
	defer maps.Close() //nolint:errcheck // pinned
	if is := capacity(maps.Conns); connections != 0 && connections != is {
		return fmt.Errorf("the data path is loaded with a table of %d connections: "+
			"to change that, unload it first, which ends all connections", is)
	}
	return nil
}

// loadMore attaches a loaded data path to the interfaces that were named.
func (f folder) loadMore(o Options, interfaces []Interface) (*Loaded, error) {
	if err := f.sameCapacity(o.Connections); err != nil {
		return nil, err
	}
	// It may have been switched off since the load, with ip_forward.
	warnings, err := f.enableForwarding()
	if err != nil {
		return nil, err
	}
	if len(o.Interfaces) == 0 {
		return f.loaded(warnings, true)
	}
	if err := f.checkVersion(); err != nil {
		return nil, err
	}
	programs, err := f.openPrograms()
	if err != nil {
		return nil, err
	}
	defer programs.Close() //nolint:errcheck // pinned
	maps, err := f.openMaps()
	if err != nil {
		return nil, err
	}
	defer maps.Close() //nolint:errcheck // pinned
	more, err := f.attach(programs.DroverXdp, interfaces, o.Generic)
	if err != nil {
		return nil, err
	}
	if err := f.describeDevices(maps); err != nil {
		return nil, err
	}
	warning, err := f.hook(hooksOf(programs), maps)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		more = append(more, warning)
	}
	return f.loaded(append(warnings, more...), true)
}

// Unload detaches the data path and forgets its services and connections. ErrNotLoaded if there is
// none.
func Unload() error {
	if err := probePrivileges(); err != nil {
		return err
	}
	return inInitialMounts(func() error {
		f, err := ownFolder()
		if err != nil {
			return err
		}
		if !pinsMounted() {
			return ErrNotLoaded
		}
		if err := collectDead(); err != nil {
			return err
		}
		unlock, err := f.lockLoaded()
		if err != nil {
			return err
		}
		defer unlock()
		return f.unload()
	})
}

// unload does it under the lock; also what a killed load left.
func (f folder) unload() error {
	var servers map[netip.Addr]bool
	if f.ready() && f.checkVersion() == nil {
		if maps, err := f.openMaps(); err == nil {
			if t, err := newTable(maps); err == nil {
				servers = t.addresses()
				_ = t.Close()
			}
		}
	}
	err := errors.Join(f.unhook(), f.restoreForwarding())
	newKernelNetwork().serversChanged(nil, servers, func() map[netip.Addr]bool { return nil })
	return errors.Join(err, f.remove())
}

// whereLoaded calls f with the folder of the calling thread's network namespace, where its pins can be
// opened. ErrNotLoaded if there is no data path.
func whereLoaded(f func(folder) error) error {
	return inInitialMounts(func() error {
		own, err := ownFolder()
		if err != nil {
			return err
		}
		if !pinsMounted() || !own.ready() {
			return ErrNotLoaded
		}
		return f(own)
	})
}

// lockLoaded is lock for what should be there: ErrNotLoaded if it was unloaded meanwhile.
func (f folder) lockLoaded() (unlock func(), err error) {
	unlock, err = f.lock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotLoaded
	}
	return unlock, err
}

// Open opens the data path of the calling thread's network namespace, to change it (one at a time) or
// only to read. ErrNotLoaded if there is none.
func Open(change bool) (*Table, error) {
	if err := probePrivileges(); err != nil {
		return nil, err
	}
	var t *Table
	err := whereLoaded(func(f folder) (err error) {
		t, err = f.open(change)
		return err
	})
	return t, err
}

func (f folder) open(change bool) (_ *Table, err error) {
	var unlock func()
	if change {
		if unlock, err = f.lockLoaded(); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				unlock()
			}
		}()
	}
	if change {
		if err := f.mend(); err != nil {
			return nil, err
		}
	}
	if err := f.checkVersion(); err != nil {
		return nil, err
	}
	maps, err := f.openMaps()
	if err != nil {
		return nil, err
	}
	if change {
		// Both may have been changed behind our back since the load.
		_, forwardingErr := f.enableForwarding()
		if err := errors.Join(forwardingErr, f.describeDevices(maps)); err != nil {
			return nil, errors.Join(err, maps.Close())
		}
	}
	t, err := newTable(maps)
	if err != nil {
		return nil, errors.Join(err, maps.Close())
	}
	t.unlock, t.hosts = unlock, newKernelNetwork()
	return t, nil
}

// capacity is the number of connections that a table holds at most.
func capacity(conns *ebpf.Map) uint32 { return conns.MaxEntries() - 1 }
