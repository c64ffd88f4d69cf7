package notify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"drover/internal/config"
	"drover/internal/director"
)

// A pipe is a FIFO that lines are written to: notify_fifo, lvs_notify_fifo.
type pipe struct {
	file   *os.File
	made   bool // by us, so it is removed at the end
	lost   bool // the last line did not fit in, which was said
	reader *exec.Cmd
	script *config.Script
}

// lines gives what keepalived writes of an event; nothing for those that it has no line for.
func line(e director.Event) string {
	switch e.Kind {
	case director.KindVirtual:
		return fmt.Sprintf("VS %s %s\n", e.VirtualServer, e.State)
	case director.KindServer:
		return fmt.Sprintf("RS %s %s %s\n", e.RealServer, e.VirtualServer, e.State)
	case director.KindVRRP:
		return fmt.Sprintf("INSTANCE \"%s\" %s %d\n", e.Instance, e.State, e.Priority)
	case director.KindVRRPGroup:
		return fmt.Sprintf("GROUP \"%s\" %s %d\n", e.Instance, e.State, e.Priority)
	}
	return ""
}

// setPipes opens the pipes of the configuration, and closes others. One that stays is left alone.
func (n *Notifier) setPipes() {
	wanted := map[string]*config.FIFO{}
	for _, f := range []*config.FIFO{n.config.Global.NotifyFIFO, n.config.Global.LVSNotifyFIFO, n.config.Global.VRRPNotifyFIFO} {
		if f != nil && f.Path != "" {
			wanted[f.Path] = f
		}
	}
	for path, p := range n.pipes {
		if f := wanted[path]; f == nil || !sameScript(f.Script, p.script) {
			n.closePipe(path, p)
		}
	}
	for path, f := range wanted {
		if n.pipes[path] != nil {
			continue
		}
		p, err := n.openPipe(f)
		if err != nil {
			n.log.Error("nobody is told through the pipe", "pipe", path, "error", err)
			continue
		}
		n.pipes[path] = p
	}
}

func sameScript(a, b *config.Script) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Command, b.Command) && a.User == b.User && a.Group == b.Group
}

// openPipe opens a FIFO, which is made where there is none, and starts the program that is to read it.
func (n *Notifier) openPipe(f *config.FIFO) (_ *pipe, err error) {
	p := &pipe{script: f.Script}
	err = unix.Mkfifo(f.Path, 0o600)
	if p.made = err == nil; err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	// For reading too: so it opens without a reader, and lines wait for one in the pipe.
	p.file, err = os.OpenFile(f.Path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := p.file.Stat(); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return nil, errors.Join(err, p.file.Close(), errors.New("it is there, and no pipe"))
	}
	if f.Script != nil {
		n.startReader(p, f)
	}
	return p, nil
}

// startReader starts a pipe's program, with the pipe's path as its last argument.
func (n *Notifier) startReader(p *pipe, f *config.FIFO) {
	cmd := exec.Command(f.Script.Command[0], append(slices.Clone(f.Script.Command[1:]), f.Path)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		n.log.Error("the pipe's script can't be run", "script", f.Script.Command[0], "error", err)
		return
	}
	p.reader = cmd
	n.receivers.Go(func() { _ = cmd.Wait() })
}

// writePipes writes an event's line. A pipe that is full, as nobody reads it, loses it.
func (n *Notifier) writePipes(e director.Event) {
	text := line(e)
	if text == "" {
		return
	}
	of := n.config.Global.LVSNotifyFIFO
	if e.Kind == director.KindVRRP || e.Kind == director.KindVRRPGroup {
		of = n.config.Global.VRRPNotifyFIFO
	}
	for path, p := range n.pipes {
		if !leads(n.config.Global.NotifyFIFO, path) && !leads(of, path) {
			continue
		}
		err := writeNow(p.file, text)
		if err != nil && !p.lost {
			n.log.Error("a pipe's lines are lost: its reader is too slow, or there is none", "pipe", path, "error", err)
		}
		p.lost = err != nil
	}
}

func leads(f *config.FIFO, path string) bool { return f != nil && f.Path == path }

// writeNow writes without waiting: a line shorter than PIPE_BUF is written whole or not at all (pipe(7)).
func writeNow(f *os.File, text string) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		_, failed = unix.Write(int(fd), []byte(text))
		return true
	})
	return errors.Join(err, failed)
}

func (n *Notifier) closePipes() {
	for path, p := range n.pipes {
		n.closePipe(path, p)
	}
}

func (n *Notifier) closePipe(path string, p *pipe) {
	p.file.Close()
	if p.reader != nil {
		_ = unix.Kill(-p.reader.Process.Pid, unix.SIGTERM)
	}
	if p.made {
		_ = os.Remove(path)
	}
	delete(n.pipes, path)
}
