package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// startLimit is how long a server process has until it listens.
const startLimit = 5 * time.Second

// startServers starts the server program on each real server and waits until all of them listen.
func (l *Lab) startServers(ctx context.Context) error {
	start := l.startBuiltin
	if l.Config.Server == Nginx {
		start = l.startNginx
	}
	for _, rs := range Servers {
		if err := start(ctx, rs); err != nil {
			return fmt.Errorf("start server %s: %w", rs, err)
		}
	}
	return nil
}

// startBuiltin runs `lab serve`, which says over a pipe, its file descriptor 3, when it listens.
func (l *Lab) startBuiltin(ctx context.Context, rs string) error {
	ready, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command(l.Config.Program, "lab", "serve", rs)
	cmd.ExtraFiles = []*os.File{tell}
	err = l.startProcess(ctx, rs, cmd)
	tell.Close()
	if err != nil {
		return err
	}
	if err := ready.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		return err
	}
	word, err := io.ReadAll(ready)
	if err != nil || string(word) != readyWord {
		return errors.Join(fmt.Errorf("it does not listen: %s", l.lastLog(rs)), err)
	}
	return nil
}

// startProcess starts a program in a node, in a session of its own so that it outlives the terminal,
// with its output in a log file, and records it.
func (l *Lab) startProcess(ctx context.Context, node string, cmd *exec.Cmd) error {
	log, err := os.Create(l.logFile(node))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := l.Do(node, cmd.Start); err != nil {
		return err
	}
	process, err := identify(node, cmd.Process.Pid)
	if err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	// Reaps it if it ends before this program does; its state is asked for by number and start time.
	go func() { _ = cmd.Wait() }()
	l.processes = append(l.processes, process)
	return l.save(ctx)
}

func (l *Lab) logFile(node string) string { return filepath.Join(l.folder, node+".log") }

// lastLog is the last line that a node's process wrote.
func (l *Lab) lastLog(node string) string {
	text, err := os.ReadFile(l.logFile(node))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// StopServer ends the server program of a real server, which then refuses connections. One that has ended is no error.
func (l *Lab) StopServer(ctx context.Context, rs string) error {
	return l.changeServer(rs, func() error {
		var kept []Process
		var failed error
		for _, p := range l.processes {
			if p.Node != rs {
				kept = append(kept, p)
				continue
			}
			failed = errors.Join(failed, p.stop())
		}
		if failed != nil {
			return failed
		}
		l.processes = kept
		return l.save(ctx)
	})
}

// StartServer starts the server program of a real server that has none. One that runs is no error.
func (l *Lab) StartServer(ctx context.Context, rs string) error {
	return l.changeServer(rs, func() error {
		for _, p := range l.processes {
			if p.Node == rs && p.Alive() {
				return nil
			}
		}
		if l.Config.Server == Nginx {
			return l.startNginx(ctx, rs)
		}
		return l.startBuiltin(ctx, rs)
	})
}

func (l *Lab) changeServer(rs string, change func() error) error {
	if !slices.Contains(Servers, rs) {
		return fmt.Errorf("%w: server %q: want %s", ErrConfig, rs, join(Servers))
	}
	unlock, err := lockState()
	if err != nil {
		return err
	}
	defer unlock()
	return change()
}
