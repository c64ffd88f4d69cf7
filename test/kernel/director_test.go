//go:build kernel61

package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/internal/datapath"
	"drover/internal/ipvsadm"
)

// A director is ip_vs or Drover, in a namespace of its own.
type director struct {
	*namespace
	name    string
	ports   map[side]*port
	command func(program string, args []string, stdin string) (result, error)
	line    func(line string) (result, error) // of a restore

	seen      []seen           // frames that came since the last comparison
	delivered map[string]place // by client and VIP
}

// A place is where the last packet of a flow went to.
type place struct {
	server  byte // its number
	address netip.AddrPort
}

// newKernel makes a director of ip_vs and the real ipvsadm.
func newKernel(t *testing.T) *director {
	t.Helper()
	d := &director{namespace: newNamespace(t), name: "ip_vs"}
	d.ports = wire(t, d.namespace, "kernel")
	d.command = spawn
	r := &rules{}
	d.line = r.line
	t.Cleanup(func() { must(t, d.run(r.end)) })
	return d
}

// newDrover makes a director of Drover with a table for so many connections. Its single lines are run by this
// process, in the namespace; its commands by the program.
func newDrover(t *testing.T, connections uint32) *director {
	t.Helper()
	d := &director{namespace: newNamespace(t), name: "drover"}
	d.ports = wire(t, d.namespace, "drover")
	must(t, d.run(func() error {
		loaded, err := datapath.Load(datapath.Options{Interfaces: []string{"front", "back"}, Connections: connections})
		if err == nil && len(loaded.Warnings) > 0 {
			err = errors.New(strings.Join(loaded.Warnings, "\n"))
		}
		return err
	}))
	t.Cleanup(func() { must(t, d.run(datapath.Unload)) })
	links := programLinks(t, os.Getenv("DROVER"))
	kept := &keptTable{}
	t.Cleanup(func() { must(t, d.run(kept.end)) })
	d.command = func(program string, args []string, stdin string) (result, error) {
		if err := kept.end(); err != nil { // it holds the lock
			return result{}, err
		}
		return spawn(filepath.Join(links, program), args, stdin)
	}
	d.line = func(line string) (result, error) { return inProcess(kept, "ipvsadm", []string{"-R"}, line+"\n"), nil }
	return d
}

// programLinks makes a folder with the names by which the program is ipvsadm.
func programLinks(t *testing.T, program string) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"ipvsadm", "ipvsadm-save", "ipvsadm-restore", "drover"} {
		must(t, os.Symlink(program, filepath.Join(folder, name)))
	}
	return folder
}

// inProcess runs Drover's ipvsadm as cmd/drover does, on a table that is kept open.
func inProcess(kept *keptTable, program string, args []string, stdin string) result {
	var stdout, stderr bytes.Buffer
	status := ipvsadm.Run(ipvsadm.Env{
		Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
		Open:  kept.open,
		Hosts: ipvsadm.NewHosts(),
		Ports: ports,
	}, program, args)
	return result{stdout.String(), stderr.String(), status}
}

// A keptTable is a table that stays open between commands: opening it takes ten times as long as a command.
type keptTable struct{ *datapath.Table }

func (k *keptTable) open(ipvsadm.Mode) (ipvsadm.Table, error) {
	if k.Table == nil {
		table, err := datapath.Open(true)
		if err != nil {
			return nil, err
		}
		k.Table = table
	}
	return k, nil
}

// Close keeps it open.
func (k *keptTable) Close() error { return nil }

// end closes it.
func (k *keptTable) end() error {
	if k.Table == nil {
		return nil
	}
	err := k.Table.Close()
	k.Table = nil
	return err
}

// spawn runs a program. Its messages may name it by its path, so the path is taken out.
func spawn(program string, args []string, stdin string) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Args[0] = filepath.Base(program)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if stdin == "" {
		cmd.Stdin = nil
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return result{}, fmt.Errorf("run %s %s: %w", program, strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), statusOf(cmd.ProcessState)}, nil
}

// statusOf gives a program's exit status, or crashed.
func statusOf(s *os.ProcessState) int {
	if !s.Exited() {
		return crashed
	}
	return s.ExitCode()
}

// collect adds what has come out of the director.
func (d *director) collect() error {
	for _, s := range []side{front, back} {
		frames, err := d.ports[s].receive()
		if err != nil {
			return err
		}
		for _, frame := range frames {
			d.seen = append(d.seen, seen{s, frame})
		}
	}
	return nil
}
