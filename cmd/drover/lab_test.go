package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lab"
)

// TestMain lets the test program be drover where it was started as `lab ...` or `demo ...`, or by
// another name of drover: a lab runs its own program on its nodes.
func TestMain(m *testing.M) {
	named := strings.HasPrefix(filepath.Base(os.Args[0]), "ipvsadm")
	if named || len(os.Args) > 1 && (os.Args[1] == "lab" || os.Args[1] == "demo") {
		os.Exit(run(systemEnv(), os.Args))
	}
	os.Exit(m.Run())
}

// runDrover runs a command line and gives its exit status and what it wrote.
func runDrover(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	status = run(env, append([]string{"drover"}, args...))
	return status, out.String(), errs.String()
}

func TestLabWrongInput(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"lab rise", `unknown command "rise" for lab`},
		{"lab up now", `drover lab up takes no argument: "now"`},
		{"lab up --mode full", `wrong lab configuration: mode "full": want dr, nat or tun`},
		{"lab up --mode nat --layout router", `wrong lab configuration: layout "router": mode nat has gateway and one-arm`},
		{"lab up --mtu 12", `wrong lab configuration: MTU 12: want 1280 to 9000`},
		{"lab up --mtu big", `invalid argument "big" for "--mtu" flag: strconv.ParseInt: parsing "big": invalid syntax`},
		{"lab up --nmae x", `unknown flag: --nmae`},
		{"lab down --name a/b", `wrong lab configuration: name "a/b": want up to 32 lower-case letters, digits and hyphens`},
		{"lab status all", `drover lab status takes no argument: "all"`},
		{"lab exec director", `lab exec wants a node and a command`},
		{"lab exec director --", `lab exec wants a node and a command`},
		{"lab curl --count 0", `--count 0: want 1 or more`},
		{"lab curl / /x", `lab curl takes one path: "/ /x"`},
		{"lab serve", `wrong lab configuration: lab serve wants one name`},
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

func TestLabNotUp(t *testing.T) {
	for _, test := range []struct {
		line, want string
	}{
		{"lab down", "0 lab \"nolab\" is not up\n"},
		{"lab status", "1 drover: lab \"nolab\" is not up\n"},
		{"lab exec --name nolab rs1 true", "1 drover: lab \"nolab\" is not up\n"},
		{"lab curl", "1 drover: lab \"nolab\" is not up\n"},
	} {
		t.Run(test.line, func(t *testing.T) {
			args := strings.Fields(test.line)
			if args[1] != "exec" {
				args = append(args, "--name", "nolab")
			}
			status, stdout, stderr := runDrover(args...)
			if diff := cmp.Diff(test.want, fmt.Sprintf("%d %s%s", status, stdout, stderr)); diff != "" {
				t.Errorf("status and output (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLab goes through the life of a lab by its commands. No data path is loaded, so the VIP refuses.
func TestLab(t *testing.T) {
	name := fmt.Sprintf("c%d", os.Getpid())
	lines := func(want int, args ...string) string {
		t.Helper()
		status, stdout, stderr := runDrover(args...)
		if status != want {
			t.Fatalf("drover %s: status %d, want %d: %s%s", strings.Join(args, " "), status, want, stdout, stderr)
		}
		return stdout + stderr
	}
	t.Cleanup(func() { lines(0, "lab", "down", "--name", name) })
	up := lines(0, "lab", "up", "--name", name, "--mode", "nat", "--family", "v6")
	check(t, "status", up, lines(0, "lab", "status", "--name", name))
	check(t, "second up", fmt.Sprintf("drover: lab %q is already up\n", name), lines(1, "lab", "up", "--name", name))

	var status lab.Status
	if err := json.Unmarshal([]byte(lines(0, "lab", "status", "--json", "--name", name)), &status); err != nil {
		t.Fatal(err)
	}
	check(t, "mode", lab.NAT, status.Mode)
	check(t, "MAC of the client", "02:00:00:00:01:0a", status.Ports[0].MAC.String())

	exec := []string{"lab", "exec", "--name", name}
	check(t, "exec", "eth0\nlo\n", lines(0, append(exec, "rs2", "--", "ls", "/sys/class/net")...))
	check(t, "exec without dashes", "-n\n", lines(0, append(exec, "rs2", "printf", `%s\n`, "-n")...))
	lines(7, append(exec, "client", "--", "sh", "-c", "exit 7")...)
	lines(128+9, append(exec, "client", "--", "sh", "-c", "kill -9 $$")...)
	check(t, "no such program", "drover: nosuchprogram: command not found\n", lines(127, append(exec, "client", "nosuchprogram")...))
	lines(2, append(exec, "rs4", "--", "true")...)

	refused := lines(1, "lab", "curl", "--name", name, "--count", "2")
	if want := "\n\n  server  answers\n  failed        2\n"; !strings.HasSuffix(refused, want) {
		t.Errorf("curl printed %q, want the end %q", refused, want)
	}
	check(t, "curl v4 in a lab of v6", fmt.Sprintf("drover: wrong lab configuration: lab %q has no v4 addresses\n", name),
		lines(2, "lab", "curl", "--name", name, "--family", "v4"))
	check(t, "down", "", lines(0, "lab", "down", "--name", name))
}

// TestLabOutlivesUp: the servers go on when the process that made the lab has ended.
func TestLabOutlivesUp(t *testing.T) {
	name := fmt.Sprintf("o%d", os.Getpid())
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if status, _, stderr := runDrover("lab", "down", "--name", name); status != 0 {
			t.Errorf("down: %s", stderr)
		}
	})
	if out, err := exec.CommandContext(t.Context(), own, "lab", "up", "--name", name).CombinedOutput(); err != nil {
		t.Fatalf("lab up: %v: %s", err, out)
	}
	status, stdout, stderr := runDrover("lab", "exec", "--name", name, "client", "--",
		"curl", "-sS", "--max-time", "5", "http://192.0.2.12/")
	if status != 0 || !strings.HasPrefix(stdout, "rs2: client 203.0.113.10:") {
		t.Errorf("curl of rs2: status %d, %q, %s", status, stdout, stderr)
	}
}

func TestPrintTally(t *testing.T) {
	answers := []lab.Answer{
		{Server: "rs2", Code: "200"},
		{Server: "rs1", Code: "200"},
		{Server: "rs2", Code: "200"},
		{Code: "000", Error: "(7) refused"},
		{Server: "rs1", Code: "404"},
	}
	var out bytes.Buffer
	if err := printTally(&out, lab.Count(answers), 2); err != nil {
		t.Fatal(err)
	}
	check(t, "table", "\n  server  answers\n     rs1        1\n     rs2        2\n  failed        2\n", out.String())
}

func check(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
