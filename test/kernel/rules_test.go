//go:build kernel61

package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// rules is one run of the real `ipvsadm -R` that is given one line after the other: starting a program takes
// a hundred times as long as a line. It is started anew when a line ends it.
type rules struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	stderr  int // a pipe, read only when the line has been carried out
}

// endOfLine is a command whose output tells that the line before it has been carried out.
const (
	endOfLine = "-L --timeout"
	endMark   = "Timeout (tcp tcpfin udp):"
)

func (r *rules) start() error {
	r.process = exec.Command("stdbuf", "-oL", "ipvsadm", "-R")
	var err error
	if r.stdin, err = r.process.StdinPipe(); err != nil {
		return err
	}
	stdout, err := r.process.StdoutPipe()
	if err != nil {
		return err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	if err := unix.SetNonblock(pipe[0], true); err != nil {
		return err
	}
	write := os.NewFile(uintptr(pipe[1]), "stderr")
	defer write.Close()
	r.process.Stderr, r.stdout, r.stderr = write, bufio.NewReader(stdout), pipe[0]
	if err := r.process.Start(); err != nil {
		return fmt.Errorf("start ipvsadm -R: %w", err)
	}
	return nil
}

// line runs one. Its output is what comes before the mark; if the line ends the restore, it has a status.
func (r *rules) line(line string) (result, error) {
	if r.process == nil {
		if err := r.start(); err != nil {
			return result{}, err
		}
	}
	// Where the program has ended on an earlier line, its output's end tells.
	_, _ = io.WriteString(r.stdin, line+"\n"+endOfLine+"\n")
	var stdout strings.Builder
	for {
		text, err := r.stdout.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return r.ended(stdout.String() + text)
		}
		if err != nil {
			return result{}, fmt.Errorf("read from ipvsadm -R: %w", err)
		}
		if strings.HasPrefix(text, endMark) {
			stderr, err := r.complaints()
			return result{stdout.String(), stderr, unknown}, err
		}
		stdout.WriteString(text)
	}
}

// complaints reads what is in the pipe.
func (r *rules) complaints() (string, error) {
	buffer := make([]byte, 1<<16)
	n, err := unix.Read(r.stderr, buffer)
	if errors.Is(err, unix.EAGAIN) {
		return "", nil
	}
	return string(buffer[:max(n, 0)]), err
}

// ended gives the result of a line that ended the restore.
func (r *rules) ended(stdout string) (result, error) {
	err := r.process.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, fmt.Errorf("run ipvsadm -R: %w", err)
	}
	stderr, err := r.complaints()
	unix.Close(r.stderr)
	status := statusOf(r.process.ProcessState)
	r.process = nil
	return result{stdout, stderr, status}, err
}

// end ends the program, if it runs.
func (r *rules) end() error {
	if r.process == nil {
		return nil
	}
	r.stdin.Close()
	unix.Close(r.stderr)
	_, _ = io.Copy(io.Discard, r.stdout)
	_ = r.process.Wait() // its status is that of the last line
	r.process = nil
	return nil
}
