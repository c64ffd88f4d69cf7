package lab

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Process is one that the lab started. The start time tells it from a later one with its number.
type Process struct {
	Node  string `json:"node"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot: field 22 of /proc/PID/stat (proc(5))
}

// stopGrace is how long a process has to end after SIGTERM before it gets SIGKILL.
const stopGrace = 2 * time.Second

func identify(node string, pid int) (Process, error) {
	start, _, err := readStat(pid)
	if err != nil {
		return Process{}, fmt.Errorf("identify process %d of %s: %w", pid, node, err)
	}
	return Process{Node: node, PID: pid, Start: start}, nil
}

// Alive tells whether the process runs: not ended, no zombie, and not another one of that number.
func (p Process) Alive() bool {
	start, status, err := readStat(p.PID)
	return err == nil && start == p.Start && status != "Z" && status != "X"
}

// readStat reads a process's start time and state letter.
func readStat(pid int) (start uint64, status string, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, "", err
	}
	// The second field, a name in brackets, may have blanks and brackets in it: go on after its last one.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return 0, "", fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return start, fields[0], err
}

// stop ends the process and waits until it is gone. One that is gone already is no error.
func (p Process) stop() error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop process %d of %s: %w", p.PID, p.Node, err)
	}
	defer unix.Close(fd)
	if !p.Alive() { // asked after the pidfd is held, so the number cannot change hands any more
		return nil
	}
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stop process %d of %s: %w", p.PID, p.Node, err)
		}
		ended, err := waitEnd(fd, stopGrace)
		if err != nil {
			return fmt.Errorf("stop process %d of %s: %w", p.PID, p.Node, err)
		}
		if ended {
			return nil
		}
	}
	return fmt.Errorf("stop process %d of %s: still there after SIGKILL", p.PID, p.Node)
}

// waitEnd waits for a pidfd to become readable, which it is when its process has ended (pidfd_open(2)).
func waitEnd(pidfd int, limit time.Duration) (bool, error) {
	deadline := time.Now().Add(limit)
	for {
		left := max(0, time.Until(deadline).Milliseconds())
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n > 0, err
	}
}
