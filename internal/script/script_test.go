package script

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// write makes a shell script that everybody may run.
func write(t *testing.T, text string) string {
	t.Helper()
	folder := t.TempDir()
	for at := folder; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		command    Command
		want       string
	}{
		{"success", "echo fine; exit 0", Command{User: "root"}, "exit status 0, it said: fine"},
		{"a status", "exit 7", Command{User: "root"}, "exit status 7"},
		{"arguments", `echo "$1|$2"`, Command{Args: []string{"a b", "c"}, User: "root"}, "exit status 0, it said: a b|c"},
		{"another user", "id -un; id -gn", Command{User: "nobody"}, "exit status 0, it said: nobody nogroup"},
		{"another group", "id -gn", Command{User: "nobody", Group: "daemon"}, "exit status 0, it said: daemon"},
		{"killed by itself", "kill -9 $$", Command{User: "root"}, "ended by signal: killed"},
		{"too long", "sleep 60", Command{User: "root", Timeout: 100 * time.Millisecond}, "it ran for too long and was ended"},
		{"control characters", `printf 'a\033[31mb\n\nc'`, Command{User: "root"}, "exit status 0, it said: a [31mb c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.command.Args = append([]string{write(t, c.text)}, c.command.Args...)
			exit, err := Run(t.Context(), c.command)
			if err != nil || exit.String() != c.want {
				t.Errorf("%q, %v; want %q", exit, err, c.want)
			}
		})
	}
}

func TestRunRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		command Command
		want    string
	}{
		{"nothing", Command{}, "no program"},
		{"no such user", Command{Args: []string{"/bin/true"}, User: "nobody-at-all"}, "user nobody-at-all: there is none of that name"},
		{"no such group", Command{Args: []string{"/bin/true"}, User: "root", Group: "none-at-all"}, "group none-at-all: there is none of that name"},
		{"no such file", Command{Args: []string{"/not/there"}, User: "root"}, "/not/there: no such file or directory"},
	} {
		if _, err := Run(t.Context(), c.command); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// TestChildren: a program that does not heed SIGTERM is killed, with the children that it has left.
func TestChildren(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pids")
	path := write(t, `trap "" TERM
sleep 600 & echo $! >> `+pids+`
sh -c 'trap "" TERM; sleep 600 & echo $! >> `+pids+`; echo $$ >> `+pids+`; wait' &
echo $$ >> `+pids+`
wait`)
	exit, err := Run(t.Context(), Command{Args: []string{path}, User: "root", Timeout: time.Second})
	if err != nil || !exit.TimedOut {
		t.Fatalf("%v, %v", exit, err)
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	if len(fields) != 4 {
		t.Fatalf("%d processes, want 4: %q", len(fields), text)
	}
	for _, field := range fields {
		pid, _ := strconv.Atoi(field)
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if err := unix.Kill(pid, 0); errors.Is(err, unix.ESRCH) || isZombie(pid) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("process %d is still there", pid)
				break
			}
		}
	}
}

func isZombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(text), ") Z ")
}

// TestDaemon: a child that keeps the output open does not hold us.
func TestDaemon(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	exit, err := Run(ctx, Command{Args: []string{write(t, "sleep 600 & echo $! > "+pidFile)}, User: "root"})
	if err != nil || exit.Status != 0 || exit.TimedOut {
		t.Errorf("%v, %v", exit, err)
	}
	text, _ := os.ReadFile(pidFile)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

func TestSecure(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	make := func(name string, mode os.FileMode, uid int) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chmod(path, mode), os.Chown(path, uid, 0)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(folder, "link")
	open := make("open", 0o777, 0)
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, user string
		insecure         bool
	}{
		{"root's alone", make("closed", 0o755, 0), "root", false},
		{"everybody can write it", open, "root", true},
		{"another's file", make("theirs", 0o755, 65534), "root", true},
		{"a link to what everybody can write", link, "root", true},
		{"but nobody runs it", open, "nobody", false},
	} {
		if err := Secure(c.path, c.user); errors.Is(err, ErrInsecure) != c.insecure {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
