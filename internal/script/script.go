// Package script runs the programs that a configuration names: as another user, for a bounded time, with all their
// children ended with them.
package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a program has to end after SIGTERM before it is killed, as keepalived gives it.
const grace = 2 * time.Second

// maxOutput is how much of what a program says is kept, bytes.
const maxOutput = 4096

// A Command is a program to run.
type Command struct {
	Args    []string
	User    string        // by name or number; empty: DefaultUser
	Group   string        // empty: the user's
	Timeout time.Duration // 0: it may run for ever
}

// An Exit is how a program has ended.
type Exit struct {
	Status   int    // of exit(3); -1 of one that a signal has ended
	Signal   string // "killed", or empty
	TimedOut bool
	Output   string // the beginning of what it wrote, on one line
}

// String says it in a few words.
func (e Exit) String() string {
	var text string
	switch {
	case e.TimedOut:
		text = "it ran for too long and was ended"
	case e.Signal != "":
		text = "ended by signal: " + e.Signal
	default:
		text = fmt.Sprintf("exit status %d", e.Status)
	}
	if e.Output != "" {
		text += ", it said: " + e.Output
	}
	return text
}

// Run runs a program to its end. One that runs for longer than its timeout, or than ctx, gets SIGTERM, and after a while
// SIGKILL; so do its children, which share its process group. The error is that of a program that could not be started.
func Run(ctx context.Context, c Command) (Exit, error) {
	if len(c.Args) == 0 {
		return Exit{}, errors.New("no program")
	}
	credential, err := credentials(c.User, c.Group)
	if err != nil {
		return Exit{}, err
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	output := &head{}
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	cmd.WaitDelay = 100 * time.Millisecond // a child may hold the pipe, which is no reason to wait for it
	if err := cmd.Start(); err != nil {
		return Exit{}, unwrapPath(err)
	}
	ended := make(chan struct{})
	stopped := make(chan bool, 1)
	go func() { stopped <- stop(ctx, cmd.Process.Pid, ended) }()
	waiting := cmd.Wait()
	close(ended)
	exit := Exit{Status: cmd.ProcessState.ExitCode(), TimedOut: <-stopped, Output: output.line()}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Signal = status.Signal().String()
	}
	var e *exec.ExitError
	if waiting != nil && !errors.As(waiting, &e) && !errors.Is(waiting, exec.ErrWaitDelay) {
		return exit, waiting
	}
	return exit, nil
}

// unwrapPath leaves the path out of an error, which names the program itself.
func unwrapPath(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return fmt.Errorf("%s: %w", e.Path, e.Err)
	}
	return err
}

// stop ends a process group when ctx does, unless the process has ended before. It tells whether it had to.
func stop(ctx context.Context, group int, ended <-chan struct{}) bool {
	select {
	case <-ended:
		return false
	case <-ctx.Done():
	}
	_ = unix.Kill(-group, unix.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	// Also what the program has left behind in its group.
	_ = unix.Kill(-group, unix.SIGKILL)
	return true
}

// A head keeps the beginning of what is written to it.
type head struct {
	mu   sync.Mutex // protects text
	text []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, p[:min(len(p), maxOutput-len(h.text))]...)
	return len(p), nil
}

// line gives it on one line, without what a terminal would obey.
func (h *head) line() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, string(h.text))
	return strings.Join(strings.Fields(text), " ")
}
