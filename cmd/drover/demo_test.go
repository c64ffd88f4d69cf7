package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lab"
	"drover/internal/lab/demo"
)

func TestDemoWrongInput(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"demo --mode full", "--mode full: want dr, nat, tun or all"},
		{"demo --family both", "--family both: want v4 or v6"},
		{"demo --name A", `wrong lab configuration: name "A-dr": want up to 32 lower-case letters, digits and hyphens`},
		{"demo now", `drover demo takes no argument: "now"`},
		{"demo --fast", "unknown flag: --fast"},
	} {
		t.Run(test.line, func(t *testing.T) {
			status, stdout, stderr := runDrover(strings.Fields(test.line)...)
			got := fmt.Sprintf("%d %s%s", status, stdout, stderr)
			if diff := cmp.Diff("2 drover: "+test.want+"\n", got); diff != "" {
				t.Errorf("status and output (-want +got):\n%s", diff)
			}
		})
	}
}

// demoName is a name that no other process uses. The labs that begin with it are gone when the test ends.
func demoName(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("d%d", os.Getpid())
	t.Cleanup(func() {
		for _, mode := range []string{"-dr", "-nat", "-tun"} {
			if l, err := lab.Open(name + mode); err == nil {
				t.Errorf("lab %s is left behind (taken down: %v)", name+mode, l.Down())
			}
		}
		left, err := filepath.Glob("/run/netns/" + name + "-*")
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return name
}

// startDemo runs `drover demo` as a process, as interrupts need one.
func startDemo(t *testing.T, stdout io.Writer, path string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), own, append([]string{"demo"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it must clean up
	cmd.Env = append(os.Environ(), "PATH="+path+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &stderr
}

func TestDemo(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			var stdout bytes.Buffer
			cmd, stderr := startDemo(t, &stdout, "", "--json", "--name", demoName(t), "--family", family)
			if err := cmd.Wait(); err != nil {
				t.Errorf("demo: %v: %s", err, stderr)
			}
			var report demoReport
			if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
				t.Fatalf("%v in %q", err, &stdout)
			}
			got := map[lab.Mode]int{}
			for _, result := range report.Modes {
				got[result.Mode] = len(result.Checks)
				for _, c := range result.Failed() {
					t.Errorf("%s: %s: %s", result.Mode, c.Name, c.Detail)
				}
			}
			check(t, "checks of each mode", map[lab.Mode]int{lab.DR: 5, lab.NAT: 6, lab.TUN: 5}, got)
			check(t, "ok", true, report.OK)
		})
	}
}

// TestDemoSabotaged: the service is deleted before the first request. The demo goes on to its end, names
// what failed, and leaves nothing.
func TestDemoSabotaged(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	name, folder := demoName(t), t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s lab exec --name %s-dr director -- ipvsadm -C\nexec %s \"$@\"\n", own, name, curl)
	if err := os.WriteFile(filepath.Join(folder, "curl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	cmd, stderr := startDemo(t, &stdout, folder+":", "--name", name, "--mode", "dr")
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the demo ended with %v", err)
	}
	want := "drover: demo failed: dr: every request is answered; dr: the servers' shares follow the scheduler; " +
		"dr: only MACs, TTL and IP checksum change; dr: replies bypass the director; " +
		"dr: ipvsadm's counters are those of the wire\n"
	check(t, "stderr", want, stderr.String())
	if !strings.Contains(stdout.String(), "\n  FAILED  every request is answered") {
		t.Errorf("no failed check in %s", &stdout)
	}
}

// TestDemoInterrupted ends the demo in the middle: by ctrl-C, and by a reader that leaves.
func TestDemoInterrupted(t *testing.T) {
	for name, end := range map[string]func(*exec.Cmd, *os.File) error{
		"ctrl-C":           func(cmd *exec.Cmd, _ *os.File) error { return cmd.Process.Signal(os.Interrupt) },
		"reader that left": func(_ *exec.Cmd, reader *os.File) error { return reader.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			labs := demoName(t)
			cmd, stderr := startDemo(t, writer, "", "--name", labs)
			writer.Close()
			if err := reader.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := reader.Read(make([]byte, 1)); err != nil { // the first thing it writes is the scene
				t.Fatal(err)
			}
			if _, err := lab.Open(labs + "-dr"); err != nil {
				t.Errorf("the lab is not up: %v", err)
			}
			if err := end(cmd, reader); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			if cmd.ProcessState.Sys().(syscall.WaitStatus).ExitStatus() != 1 {
				t.Errorf("the demo ended with %v", err)
			}
			check(t, "stderr", "drover: demo interrupted: context canceled\n", stderr.String())
		})
	}
}

// TestDemoKeep leaves the lab up, and says how to remove it.
func TestDemoKeep(t *testing.T) {
	name := demoName(t)
	var stdout bytes.Buffer
	cmd, stderr := startDemo(t, &stdout, "", "--name", name, "--mode", "nat", "--keep")
	if err := cmd.Wait(); err != nil {
		t.Errorf("demo: %v: %s", err, stderr)
	}
	down := fmt.Sprintf("lab down --name %s-nat", name)
	if !strings.Contains(stdout.String(), down) {
		t.Errorf("the end of the output does not say %q:\n%s", down, &stdout)
	}
	status, listing, _ := runDrover("lab", "exec", "--name", name+"-nat", "director", "--", "ipvsadm", "-Ln")
	if status != 0 || !strings.Contains(listing, "198.51.100.11:8080") {
		t.Errorf("ipvsadm in the kept lab: status %d, %q", status, listing)
	}
	status, _, again := runDrover("demo", "--name", name, "--mode", "nat")
	check(t, "second demo", fmt.Sprintf("1 drover: lab %q is already up: remove it with \"drover lab down --name %s-nat\", or give this demo another --name\n",
		name+"-nat", name), fmt.Sprintf("%d %s", status, again))
	if status, _, stderr := runDrover(strings.Fields(down)...); status != 0 {
		t.Errorf("%s: %s", down, stderr)
	}
}

// TestDemoScreen writes every event, into a pipe: no colours, nothing about waiting.
func TestDemoScreen(t *testing.T) {
	var out bytes.Buffer
	screen := newDemoScreen(&environment{stdout: &out, getenv: func(string) string { return "" }})
	for _, event := range []demo.Event{
		demo.Waiting{Text: "waiting"},
		demo.Command{Node: "director", Line: "ipvsadm -Ln", Output: "IP Virtual  \n  -> "},
		demo.Answers{Requests: 3, Servers: []demo.Share{{Server: "rs1", Weight: 2, Answers: 2}, {Server: "rs2", Weight: 1, Answers: 1}}},
		demo.Crossing{
			Packet: "The packet", Before: "router > director", After: "director > rs1", Rest: 12,
			Rows: []demo.CrossingRow{
				{Field: "tunnel", After: "IPIP", Changed: true},
				{Field: "TTL", Before: "64", After: "63", Changed: true},
				{Field: "source", Before: "a", After: "a"},
			},
		},
		demo.Sightings{Source: "192.0.2.100:80", Ports: []demo.Sighting{{Node: "rs1", Packets: 1234}, {Node: "director"}}},
		demo.Check{Name: "one", OK: true, Detail: "well"},
		demo.Check{Name: "two", Detail: "badly"},
	} {
		screen.show(event)
	}
	results := []demo.Result{{Checks: []demo.Check{{Name: "one", OK: true}, {Name: "two"}}}}
	if err := screen.close(results, 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	check(t, "text", `
director# ipvsadm -Ln
IP Virtual
  ->

Who answered when asked 3 times
  server  weight  answers
  rs1          2        2  ■■
  rs2          1        1  ■

The packet
  field     router > director  director > rs1
  tunnel                       IPIP            added
  TTL       64                 63              changed
  source    a                  a
  all else  12 bytes           the same

Where packets from 192.0.2.100:80 were seen
  port of   packets
  rs1         1,234
  director        0  none: the replies pass it by

Checks
  ok  one                                         well
  FAILED  two                                         badly

1 of 2 checks failed. It took 1.5 s.
`, out.String())
	broken := newDemoScreen(&environment{stdout: brokenPipe{}, getenv: func(string) string { return "" }})
	check(t, "error of a closed pipe", true, errors.Is(broken.close(results, 0), io.ErrClosedPipe))
}
