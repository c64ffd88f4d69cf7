// Package lab builds a small LVS cluster on one machine: client, router, director and three real
// servers as network namespaces, wired as the tutorials draw them. Nothing of the host's network is
// touched, and nothing stays after Down.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vishvananda/netns"

	"drover/internal/datapath"
	"drover/internal/realserver"
)

// stateRoot has one folder for each lab that is up.
const stateRoot = "/run/drover/lab"

// A Lab is a cluster that is up. Its fields do not change after Up.
type Lab struct {
	Config   Config
	Topology *Topology

	folder     string            // of its state, under stateRoot
	namespaces map[string]uint64 // name to cookie, of those it made
	processes  []Process
}

// Up makes a lab: namespaces, links, addresses, the VIP on the director and, in modes DR and
// TUN, on the servers, and a server process in each. Neither data path nor services are set up, unless
// the lab is given a keepalived.conf: then its director runs. If it fails or ctx ends, what it made is taken down again. Its errors may wrap ErrConfig and ErrUp.
func Up(ctx context.Context, cfg Config) (_ *Lab, err error) {
	cfg, err = cfg.complete()
	if err != nil {
		return nil, err
	}
	if err := checkMachine(&cfg); err != nil {
		return nil, err
	}
	unlock, err := lockState()
	if err != nil {
		return nil, err
	}
	defer unlock()
	l := &Lab{
		Config:     cfg,
		Topology:   plan(cfg),
		folder:     filepath.Join(stateRoot, cfg.Name),
		namespaces: map[string]uint64{},
	}
	if err := os.Mkdir(l.folder, 0o755); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("lab %q is %w", cfg.Name, ErrUp)
	} else if err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.takeDown())
		}
	}()
	if err := l.build(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// checkMachine refuses early what could only fail half-way, and finds the program to run.
func checkMachine(cfg *Config) error {
	if os.Geteuid() != 0 {
		return errors.New("a lab needs root: it makes network namespaces")
	}
	if cfg.Server == Nginx {
		if err := findNginx(); err != nil {
			return err
		}
	}
	if cfg.Program != "" {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	cfg.Program = program
	return nil
}

// build makes everything, step by step. The state is saved after each thing that must be undone.
func (l *Lab) build(ctx context.Context) error {
	steps := []func(context.Context) error{
		l.save,
		mountPins,
		l.linkPrograms,
		l.createNamespaces,
		l.connect,
		l.address,
		l.startServers,
		l.startDirector,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// mountPins makes the place where a data path loaded inside a namespace is kept: what a command in
// there mounts ends with the command.
func mountPins(context.Context) error { return datapath.MountPins() }

// linkPrograms makes the folder that comes first in the PATH of what runs in the nodes.
func (l *Lab) linkPrograms(context.Context) error {
	if err := os.Mkdir(l.programFolder(), 0o755); err != nil {
		return fmt.Errorf("make program folder: %w", err)
	}
	for _, name := range []string{"drover", "ipvsadm", "ipvsadm-save", "ipvsadm-restore"} {
		if err := os.Symlink(l.Config.Program, filepath.Join(l.programFolder(), name)); err != nil {
			return fmt.Errorf("link program: %w", err)
		}
	}
	return nil
}

func (l *Lab) programFolder() string { return filepath.Join(l.folder, "bin") }

func (l *Lab) createNamespaces(ctx context.Context) error {
	for _, node := range append([]string{Segment}, l.Topology.Nodes...) {
		name := l.Namespace(node)
		cookie, err := createNamespace(name)
		if err != nil {
			return err
		}
		l.namespaces[name] = cookie
		if err := l.save(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Namespace is the name of a node's network namespace.
func (l *Lab) Namespace(node string) string { return l.Config.Name + "-" + node }

// Down ends the lab's processes and removes its links, namespaces and files. What is already gone is
// no error, so it can be called twice; whatever fails is left recorded for another call.
func (l *Lab) Down() error {
	unlock, err := lockState()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(l.folder); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.takeDown()
}

func (l *Lab) takeDown() error {
	var failed []error
	for _, p := range l.processes {
		failed = append(failed, p.stop())
	}
	for name := range l.namespaces {
		failed = append(failed, l.ifOurs(name, unloadDataPath), l.ifOurs(name, downServer))
	}
	// The links next: a program that somebody left running in a node keeps the namespace alive
	// without its name, and it should be an empty one.
	failed = append(failed, l.disconnect())
	for name, cookie := range l.namespaces {
		failed = append(failed, l.ifOurs(name, func() error { return deleteNamespace(name) }), realserver.Forget(cookie), forgetDirector(cookie))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("take down lab %q: %w", l.Config.Name, err)
	}
	if err := os.RemoveAll(l.folder); err != nil {
		return fmt.Errorf("remove state folder: %w", err)
	}
	_ = os.Remove(stateRoot) // unless another lab is in it
	return datapath.UnmountPins()
}

// unloadDataPath removes the pins of a data path in the thread's network namespace: they would outlive it.
func unloadDataPath() error {
	if err := datapath.Unload(); err != nil && !errors.Is(err, datapath.ErrNotLoaded) {
		return fmt.Errorf("unload data path: %w", err)
	}
	return nil
}

// downServer removes the pins of what takes packets out of tunnels: they would outlive the namespace too.
func downServer() error {
	if err := realserver.Detach(); err != nil {
		return fmt.Errorf("take the real server down: %w", err)
	}
	return nil
}

func deleteNamespace(name string) error {
	if err := netns.DeleteNamed(name); err != nil {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}
