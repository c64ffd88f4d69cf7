package lab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func TestDownLeavesNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, l *Lab)
	}{
		{"as it was", func(*testing.T, *Lab) {}},
		{"two namespaces deleted by hand", func(t *testing.T, l *Lab) {
			deleteByHand(t, l.Namespace(Segment))
			deleteByHand(t, l.Namespace("rs1"))
		}},
		{"a server killed", func(t *testing.T, l *Lab) {
			if err := syscall.Kill(l.processes[0].PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}},
		{"a server that ignores SIGTERM", func(t *testing.T, l *Lab) {
			if err := syscall.Kill(l.processes[0].PID, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}},
		{"killed before its first step", func(t *testing.T, l *Lab) {
			if err := l.Down(); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(l.folder, 0o755); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := upLab(t, Config{})
			if left := leftovers(t, l); len(left) == 0 {
				t.Fatal("leftovers sees nothing of a lab that is up")
			}
			test.damage(t, l)
			// As `drover lab down` does it: another process, which knows the state file alone.
			other, err := Open(l.Config.Name)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := other.Down(); err != nil {
					t.Fatal(err)
				}
				checkNothingLeft(t, l)
			}
			if _, err := Open(l.Config.Name); !errors.Is(err, ErrNotUp) {
				t.Errorf("Open after Down: %v, want ErrNotUp", err)
			}
		})
	}
}

// TestDownSparesANamespaceMadeAgain: somebody deleted a namespace of the lab and made another of that name.
func TestDownSparesANamespaceMadeAgain(t *testing.T) {
	l := upLab(t, Config{})
	name := l.Namespace(Client)
	deleteByHand(t, name)
	if _, err := createNamespace(name); err != nil {
		t.Fatal(err)
	}
	if err := l.Down(); err != nil {
		t.Fatal(err)
	}
	deleteByHand(t, name) // fails if it is gone
	checkNothingLeft(t, l)
}

func TestFailedUpLeavesNothing(t *testing.T) {
	t.Run("a namespace exists", func(t *testing.T) {
		cfg := Config{Name: testName()}
		foreign := cfg.Name + "-rs2"
		if _, err := createNamespace(foreign); err != nil {
			t.Fatal(err)
		}
		_, err := Up(t.Context(), cfg)
		if !errors.Is(err, fs.ErrExist) || errors.Is(err, ErrUp) {
			t.Errorf("Up: %v, want that the namespace exists", err)
		}
		deleteByHand(t, foreign) // fails if Up took it away
		checkNothingLeft(t, named(cfg))
	})
	t.Run("nginx missing", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		checkFailedUp(t, t.Context(), Config{Server: Nginx}, "nginx is not installed (apt-get install nginx)")
	})
	t.Run("the server ends at once", func(t *testing.T) {
		program := filepath.Join(t.TempDir(), "broken")
		if err := os.WriteFile(program, []byte("#!/bin/sh\necho no luck >&2; exit 3\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		checkFailedUp(t, t.Context(), Config{Program: program}, "start server rs1: it does not listen: no luck")
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		checkFailedUp(t, ctx, Config{}, "context canceled")
	})
}

func checkFailedUp(t *testing.T, ctx context.Context, cfg Config, want string) {
	t.Helper()
	cfg.Name = testName()
	_, err := Up(ctx, cfg)
	if err == nil {
		t.Fatal("Up succeeded")
	}
	check(t, "error", want, err.Error())
	checkNothingLeft(t, named(cfg))
}

func named(cfg Config) *Lab {
	return &Lab{Config: cfg, folder: filepath.Join(stateRoot, cfg.Name)}
}

func TestUpTwice(t *testing.T) {
	l := upLab(t, Config{})
	before, err := os.ReadFile(l.stateFile())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), l.Config); !errors.Is(err, ErrUp) {
		t.Fatalf("second Up: %v, want ErrUp", err)
	}
	after, err := os.ReadFile(l.stateFile())
	if err != nil {
		t.Fatal(err)
	}
	check(t, "state", string(before), string(after))
	askServer(t, l, "rs1", l.Topology.Addr("rs1", V4))
}

func TestTwoLabs(t *testing.T) {
	first, second := upLab(t, Config{Mode: DR}), upLab(t, Config{Mode: NAT})
	askServer(t, first, "rs1", first.Topology.Addr("rs1", V4))
	askServer(t, second, "rs1", second.Topology.Addr("rs1", V4))
	if err := first.Down(); err != nil {
		t.Fatal(err)
	}
	checkNothingLeft(t, first)
	askServer(t, second, "rs3", second.Topology.Addr("rs3", V6))
	for _, p := range second.Status().Processes {
		if !p.Alive {
			t.Errorf("the server of %s went with the other lab", p.Node)
		}
	}
}

// TestNginx runs the installed nginx, or where there is none this program in its place.
func TestNginx(t *testing.T) {
	if _, err := exec.LookPath("nginx"); err != nil {
		own, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		folder := t.TempDir()
		if err := os.Symlink(own, filepath.Join(folder, "nginx")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	}
	l := upLab(t, Config{Server: Nginx})
	for _, addr := range []string{"192.0.2.13", "[2001:db8:2::13]"} {
		got, err := l.Exec(t.Context(), Client, "curl", "-sSg", "http://"+addr+"/")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(got), "rs3: client ") {
			t.Errorf("nginx at %s answered %q", addr, got)
		}
	}
	if err := l.Down(); err != nil {
		t.Fatal(err)
	}
	checkNothingLeft(t, l)
}

func TestExec(t *testing.T) {
	l := upLab(t, Config{Family: V4})
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Exec(t.Context(), Director, "sh", "-c", "readlink $(command -v drover) $(command -v ipvsadm-save); ls /sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	check(t, "programs and interfaces", own+"\n"+own+"\neth0\nlo\n", string(got))
	check(t, "ipvsadm", filepath.Join(l.programFolder(), "ipvsadm"), l.Command(t.Context(), "ipvsadm").Path)

	_, err = l.Exec(t.Context(), Director, "sh", "-c", "echo wrong >&2; exit 7")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("Exec of exit 7: %v", err)
	}
	check(t, "error", `run sh -c echo wrong >&2; exit 7 in director: exit status 7: wrong`, err.Error())

	_, err = l.Exec(t.Context(), "rs4", "true")
	if !errors.Is(err, ErrConfig) {
		t.Errorf("Exec in an unknown node: %v, want ErrConfig", err)
	}
	check(t, "error", `run true in rs4: wrong lab configuration: node "rs4": this lab has client, router, director, rs1, rs2, rs3 and segment`, err.Error())
}

func deleteByHand(t *testing.T, name string) {
	t.Helper()
	if err := netns.DeleteNamed(name); err != nil {
		t.Fatal(err)
	}
}

func checkNothingLeft(t *testing.T, l *Lab) {
	t.Helper()
	left := leftovers(t, l)
	// A process of this one is reaped by a goroutine, a moment after its end.
	for deadline := time.Now().Add(time.Second); len(left) > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		left = leftovers(t, l)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// leftovers lists the lab's namespaces, mounts, files and processes.
func leftovers(t *testing.T, l *Lab) []string {
	t.Helper()
	var left []string
	for _, pattern := range []string{filepath.Join(netnsFolder, l.Config.Name+"-*"), l.folder} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "/"+l.Config.Name+"-") || strings.Contains(line, l.folder) {
			left = append(left, line)
		}
	}
	for _, p := range l.processes {
		if unix.Kill(p.PID, 0) == nil {
			left = append(left, "process "+strconv.Itoa(p.PID))
		}
	}
	return left
}
