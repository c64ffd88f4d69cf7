package system

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"drover/internal/lab"
)

var (
	program   string // drover, built once
	runFolder string // where it keeps its pins: not a real installation's
)

func TestMain(m *testing.M) {
	flag.Parse()
	status, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/system:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

func runTests(m *testing.M) (status int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("needs root: it makes network namespaces and loads BPF programs")
	}
	folder, err := os.MkdirTemp("", "drover-system-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := os.Chmod(folder, 0o755); err != nil { // one test runs the program as nobody
		return 1, err
	}
	program, runFolder = filepath.Join(folder, "drover"), filepath.Join(folder, "run")
	build := exec.Command("go", "build", "-o", program, "drover/cmd/drover")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build drover: %w\n%s", err, out)
	}
	if err := os.Setenv("DROVER_RUN", runFolder); err != nil {
		return 1, err
	}
	// Most of the tests wait for timeouts, not for a CPU.
	if n, ok := flag.Lookup("test.parallel").Value.(flag.Getter).Get().(int); ok && n < 4 {
		if err := flag.Set("test.parallel", "4"); err != nil {
			return 1, err
		}
	}
	return m.Run(), leftBehind()
}

// leftBehind names what the tests made and did not remove: the last lab that goes takes the mount of
// the pins and its folder along, unless something is pinned.
func leftBehind() error {
	var left []error
	if _, err := os.Stat(runFolder); !errors.Is(err, fs.ErrNotExist) {
		pins, _ := filepath.Glob(filepath.Join(runFolder, "*", "*"))
		left = append(left, fmt.Errorf("left behind: %s: %v, %q", runFolder, err, pins))
	}
	namespaces, err := filepath.Glob("/run/netns/" + labPrefix() + "*")
	if err != nil || len(namespaces) > 0 {
		left = append(left, fmt.Errorf("left behind: namespaces %v, %v", namespaces, err))
	}
	return errors.Join(left...)
}

// labPrefix begins the names of this process's labs.
func labPrefix() string { return fmt.Sprintf("s%d-", os.Getpid()) }

// families are tested alike.
var families = []lab.Family{lab.V4, lab.V6}
