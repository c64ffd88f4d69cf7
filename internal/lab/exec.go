package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Do runs fn on a thread inside a node's network namespace. Sockets that fn makes stay in it;
// goroutines that fn starts are not in it.
func (l *Lab) Do(node string, fn func() error) error {
	if err := l.checkNode(node); err != nil {
		return err
	}
	return inNamespace(l.Namespace(node), fn)
}

func (l *Lab) checkNode(node string) error {
	if node == Segment || slices.Contains(l.Topology.Nodes, node) {
		return nil
	}
	nodes := append(slices.Clone(l.Topology.Nodes), Segment)
	return fmt.Errorf("%w: node %q: this lab has %s", ErrConfig, node, join(nodes))
}

// Command prepares a program for Start in a node: drover, ipvsadm, ipvsadm-save and ipvsadm-restore
// are the lab's Program, for it and for what it starts itself.
func (l *Lab) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if own := filepath.Join(l.programFolder(), name); filepath.Base(name) == name {
		if _, err := os.Stat(own); err == nil {
			name = own
		}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PATH="+l.programFolder()+":"+os.Getenv("PATH"))
	return cmd
}

// Start starts a command in a node, with the /sys of that node. The caller waits for it.
func (l *Lab) Start(node string, cmd *exec.Cmd) error {
	return l.Do(node, func() error {
		if err := ownSysfs(); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// Exec runs a program in a node and returns what it wrote to standard output. If it fails, the error
// has what it wrote to standard error, and wraps an *exec.ExitError if it ran at all.
func (l *Lab) Exec(ctx context.Context, node string, args ...string) ([]byte, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("%w: no command to run in %s", ErrConfig, node)
	}
	var stdout, stderr bytes.Buffer
	cmd := l.Command(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := l.Start(node, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	if err != nil {
		return stdout.Bytes(), fmt.Errorf("run %s in %s: %w", strings.Join(args, " "), node, err)
	}
	return stdout.Bytes(), nil
}
