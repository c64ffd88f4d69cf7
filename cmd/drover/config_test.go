package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// typed runs a command line of drover in this process.
func typed(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	status = run(env, append([]string{"drover"}, args...))
	return out.String(), errs.String(), status
}

const goodConfig = `virtual_server 192.0.2.1 80 {
 lvs_sched rr
 lvs_method DR
 protocol TCP
 real_server 198.51.100.11 80 {
  TCP_CHECK {
   connect_timeout 3
  }
 }
}
`

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text     string
		args           []string
		stdout, stderr string
		status         int
	}{
		{"fine", goodConfig, nil, "FILE: 1 virtual server, 1 real server, 1 check; 0 errors, 0 warnings, 0 notes\n", "", 0},
		{
			"a typo", strings.Replace(goodConfig, "connect_timeout", "conect_timeout", 1), nil,
			"error: FILE:7: conect_timeout: unknown keyword in TCP_CHECK (did you mean connect_timeout?)\n" +
				"FILE: 1 virtual server, 1 real server, 1 check; 1 error, 0 warnings, 0 notes\n", "", 5,
		},
		{
			"a wrong value", strings.Replace(goodConfig, "lvs_sched rr", "lvs_sched wrrr", 1), nil,
			"warning: FILE:1: virtual_server: 192.0.2.1:80: no lvs_sched: it is wlc\n" +
				"error: FILE:2: lvs_sched: \"wrrr\": want one of rr wrr lc wlc lblc lblcr sh mh dh fo ovf sed nq twos (did you mean wrr?)\n" +
				"FILE: 1 virtual server, 1 real server, 1 check; 1 error, 1 warning, 0 notes\n", "", 5,
		},
		{
			"a note", "child_wait_time 5\n" + goodConfig, nil,
			"note: FILE:1: child_wait_time: there are no child processes but scripts\n" +
				"FILE: 1 virtual server, 1 real server, 1 check; 0 errors, 0 warnings, 1 note\n", "", 0,
		},
		{
			"a note, strictly", "child_wait_time 5\n" + goodConfig,
			[]string{"--strict"},
			"note: FILE:1: child_wait_time: there are no child processes but scripts\n" +
				"FILE: 1 virtual server, 1 real server, 1 check; 0 errors, 0 warnings, 1 note\n", "", 5,
		},
		{
			"a block that is open", strings.TrimSuffix(goodConfig, "}\n"), nil,
			"error: FILE:1: virtual_server: its block is not closed: want } before the end of the file\n" +
				"FILE: 1 virtual server, 1 real server, 1 check; 1 error, 0 warnings, 0 notes\n", "", 5,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "k.conf")
			if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, status := typed(t, append([]string{"config", "check", "-f", file}, c.args...)...)
			got := []any{strings.ReplaceAll(stdout, file, "FILE"), strings.ReplaceAll(stderr, file, "FILE"), status}
			if diff := cmp.Diff([]any{c.stdout, c.stderr, c.status}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, _, status := typed(t, append([]string{"director", "-t", "-f", file}, c.args...)...)
			if len(c.args) == 0 && (again != stdout || status != c.status) {
				t.Errorf("director -t says otherwise, with %d:\n%s", status, again)
			}
		})
	}
}

func TestConfigUnreadable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   []string
		status int
	}{
		{[]string{"config", "check", "-f", "/not/there"}, 4},
		{[]string{"config", "show", "-f", "/not/there"}, 4},
		{[]string{"config", "format", "-f", "/not/there"}, 4},
		{[]string{"plan", "-f", "/not/there"}, 4},
		{[]string{"director", "-f", "/not/there"}, 2},
	} {
		stdout, stderr, status := typed(t, c.args...)
		if stdout != "" || !strings.Contains(stderr, "/not/there: no such file or directory") || strings.Count(stderr, "\n") != 1 || status != c.status {
			t.Errorf("%v: %q, %q, %d; want one line, and %d", c.args, stdout, stderr, status, c.status)
		}
	}
}

func TestConfigShow(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "k.conf")
	if err := os.WriteFile(file, []byte("global_defs {\n router_id lvs1\n}\n"+goodConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, _, status := typed(t, "config", "show", "-f", file)
	want := `configuration FILE
  router ID                lvs1

virtual server [192.0.2.1]:tcp:80
  scheduler                rr
  quorum                   1
  real server [198.51.100.11]:tcp:80
    forwarding             Route
    weight                 1
    mail                   yes
    TCP_CHECK
      connect to           198.51.100.11:80
      connect timeout      3 s
      delay loop           60 s
      warmup               60 s
      retry                1
      delay before retry   1 s
`
	if diff := cmp.Diff(want, strings.ReplaceAll(stdout, file, "FILE")); diff != "" || status != 0 {
		t.Errorf("%d (-want +got):\n%s", status, diff)
	}
}

func TestConfigFormat(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "k.conf")
	if err := os.WriteFile(file, []byte("a {  b\n}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, _, _ := typed(t, "config", "format", "-f", file); stdout != "a {\n    b\n}\n" {
		t.Errorf("%q", stdout)
	}
	if _, _, status := typed(t, "config", "format", "-w", "-f", file); status != 0 {
		t.Errorf("exit status %d", status)
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "a {\n    b\n}\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// TestWithoutDirector: one clear line.
func TestWithoutDirector(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"status", "checks", "logs", "reload", "server disable 198.51.100.11"} {
		stdout, stderr, status := typed(t, strings.Fields(line)...)
		if stdout != "" || !strings.Contains(stderr, "no director is running in this network namespace") || strings.Count(stderr, "\n") != 1 || status != 1 {
			t.Errorf("%s: %q, %q, %d", line, stdout, stderr, status)
		}
	}
	for _, line := range []string{"server weight 198.51.100.11 x", "server disable", "server nonsense", "config nonsense", "director -P", "genhash", "genhash -s x -p 80 -u /"} {
		if _, stderr, status := typed(t, strings.Fields(line)...); strings.Count(stderr, "\n") != 1 || status != 2 {
			t.Errorf("%s: %q, %d; want one line, and 2", line, stderr, status)
		}
	}
}
