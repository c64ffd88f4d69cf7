package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"drover/internal/datapath"
)

// directorLimit is how long a director has until its services are in force: the data path is loaded in it.
const directorLimit = 30 * time.Second

// startDirector runs `drover director` on the director, with the configuration that the lab was given, and waits until
// its services are in force: it says so as it would to systemd (sd_notify(3)).
func (l *Lab) startDirector(ctx context.Context) error {
	if l.Config.Keepalived == "" {
		return nil
	}
	path := filepath.Join(l.folder, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("start the director: %w", err)
	}
	defer socket.Close()
	cmd := exec.Command(l.Config.Program, "director", "-l", "-f", l.Config.Keepalived)
	cmd.Env = append(os.Environ(), "PATH="+l.programFolder()+":"+os.Getenv("PATH"), "NOTIFY_SOCKET="+path)
	if err := l.startProcess(ctx, Director, cmd); err != nil {
		return fmt.Errorf("start the director: %w", err)
	}
	process := l.processes[len(l.processes)-1]
	text := make([]byte, 4096)
	for deadline := time.Now().Add(directorLimit); time.Now().Before(deadline) && ctx.Err() == nil; {
		if err := socket.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return err
		}
		n, err := socket.Read(text)
		switch {
		case err == nil && strings.Contains(string(text[:n]), "READY=1"):
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("start the director: %w", err)
		case !process.Alive():
			return fmt.Errorf("start the director: %s", l.lastLog(Director))
		}
	}
	return errors.Join(fmt.Errorf("start the director: not ready after %v: %s", directorLimit, l.lastLog(Director)), ctx.Err())
}

// forgetDirector removes what a director has kept of a namespace that is gone.
func forgetDirector(cookie uint64) error {
	base := filepath.Join(datapath.RunFolder(), "director_"+strconv.FormatUint(cookie, 10))
	var failed []error
	for _, extension := range []string{".json", ".sock"} {
		if err := os.Remove(base + extension); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
