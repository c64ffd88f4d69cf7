//go:build kernel61

package kernel

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// wideConfig has what inherits, overrides, is limited or has a default.
const wideConfig = `global_defs {
 router_id wide
 script_user root
}
virtual_server_group several {
 192.0.2.61 80
 192.0.2.62-63 80
 fwmark 9
}
virtual_server 192.0.2.50 80 {
 delay_loop 7
 lvs_sched wlc
 lvs_method TUN
 persistence_timeout 60
 persistence_granularity 255.255.255.0
 protocol TCP
 quorum 3
 hysteresis 1
 alpha
 omega
 virtualhost www.example.com
 retry 4
 delay_before_retry 2
 connect_timeout 3
 sorry_server 203.0.113.219 80
 real_server 203.0.113.211 80 {
  weight 5
  inhibit_on_failure
  uthreshold 10
  lthreshold 2
  HTTP_GET {
   url {
    path /a
    status_code 200-299 301
   }
   url {
    path /b
    digest 0123456789abcdef0123456789abcdef
   }
   retry 2
   warmup 3
  }
 }
 real_server 203.0.113.212 8080 {
  weight 2
  delay_loop 3
  TCP_CHECK {
   connect_ip 203.0.113.213
   connect_port 81
   connect_timeout 1.5
  }
  SMTP_CHECK {
   helo_name me
   delay_before_retry 0.25
  }
 }
 real_server 203.0.113.213 80 {
  MISC_CHECK {
   misc_path "/bin/true x"
   misc_timeout 4
   misc_dynamic
  }
  DNS_CHECK {
   type A
   name example.com
  }
 }
}
virtual_server fwmark 7 {
 lvs_sched sh
 lvs_method DR
 real_server 203.0.113.211 53 {
  UDP_CHECK {
   connect_port 53
  }
  PING_CHECK {
  }
 }
}
virtual_server 192.0.2.51 443 {
 lvs_method NAT
 protocol UDP
 ops
 quorum 100
 hysteresis 200
 inhibit_on_failure
 real_server 203.0.113.211 443 {
  weight 0
  SSL_GET {
   url {
    path /
   }
  }
 }
 real_server 203.0.113.212 443 {
  alpha no
  HTTP_GET {
   connect_port 8443
   http_protocol 1.1
   url {
    path /c
    virtualhost other.example.com
    status_code 404
   }
  }
 }
}
virtual_server group several {
 lvs_sched rr
 lvs_method DR
 protocol TCP
 real_server 203.0.113.211 80 {
  DNS_CHECK {
   retry 1
  }
 }
}
`

// TestModel compares what a file comes to, as keepalived dumps it at SIGUSR1, with what `drover config show` says.
func TestModel(t *testing.T) {
	kernel := newKernel(t)
	folder := t.TempDir()
	for i := range poolServers {
		must(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("number%d", i)), []byte("0"), 0o644))
		must(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("program%d", i)), []byte("#!/bin/sh\n"), 0o755))
	}
	for name, text := range map[string]string{"wide": wideConfig, "pools": poolsConfig(folder)} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(folder, name+".conf")
			must(t, os.WriteFile(file, []byte(text), 0o644))
			show := exec.Command(os.Getenv("DROVER"), "config", "show", "--json", "-f", file)
			out, err := show.Output()
			must(t, err)
			var c shown
			must(t, json.Unmarshal(out, &c))
			want := dumped(t, kernel, folder, file)
			if len(want) < 50 {
				t.Fatalf("keepalived dumps %d facts: %q", len(want), want)
			}
			if diff := cmp.Diff(want, c.facts()); diff != "" {
				t.Errorf("(-keepalived +drover):\n%s", diff)
			}
		})
	}
}

// dumped gives the facts of keepalived's dump of a file.
func dumped(t *testing.T, d *director, folder, file string) []string {
	t.Helper()
	const dump = "/tmp/keepalived_check.data"
	_ = os.Remove(dump)
	pid := filepath.Join(folder, "pid")
	cmd := exec.Command("keepalived", "-n", "-l", "-C", "-f", file, "-p", pid, "-c", filepath.Join(folder, "checkers"))
	must(t, d.run(cmd.Start))
	defer func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
		must(t, d.run(func() error { return exec.Command("ipvsadm", "-C").Run() }))
	}()
	time.Sleep(settleTime) // a signal that comes before keepalived is ready for it would end it
	var text []byte
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		_ = cmd.Process.Signal(unix.SIGUSR1)
		time.Sleep(500 * time.Millisecond)
		before := text
		text, _ = os.ReadFile(dump)
		if len(text) > 0 && len(text) == len(before) && strings.Contains(string(text), "< Health checkers >") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("keepalived has not dumped: %q", text)
		}
	}
	return dumpFacts(string(text))
}

var (
	dumpVIP   = regexp.MustCompile(`^VS VIP = (\S+), VPORT = (\d+)`)
	dumpGroup = regexp.MustCompile(`^VS GROUP = (\S+)|^Virtual server group = (\S+)|^VS VGROUP = (\S+)`)
	dumpRIP   = regexp.MustCompile(`^RIP = (\S+), RPORT = (\d+)`)
	dumpCheck = regexp.MustCompile(`^\S.* -> (\[\S+\]:\S+)$`)
	microsec  = regexp.MustCompile(`^(\d+) us$`)
)

// dumpFacts picks of a dump what is compared: a line for each fact, under what it is about.
func dumpFacts(text string) []string {
	var out []string
	section := ""
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if strings.HasPrefix(line, "------<") {
			if !strings.Contains(line, "server >") {
				section = line
			}
			continue
		}
		key, value, _ := strings.Cut(line, " = ")
		if strings.Contains(section, "Health checkers") {
			if m := dumpCheck.FindStringSubmatch(line); m != nil {
				out = append(out, "check of "+m[1])
				continue
			}
			if fact, ok := checkFact(key, value); ok {
				out = append(out, "  "+fact)
			}
			if strings.HasPrefix(line, "Keepalive method = FILE_CHECK") {
				out = out[:len(out)-2] // no more is said of it
			}
			continue
		}
		switch {
		case dumpVIP.MatchString(line):
			m := dumpVIP.FindStringSubmatch(line)
			out = append(out, "virtual "+m[1]+" "+m[2])
		case key == "VS FWMARK":
			out = append(out, "virtual mark "+value)
		case dumpGroup.MatchString(line):
			out = append(out, "virtual group")
		case dumpRIP.MatchString(line):
			m := dumpRIP.FindStringSubmatch(line)
			out = append(out, "real "+m[1]+" "+m[2])
		case key == "lvs_sched":
			out = append(out, "  scheduler "+value)
		case key == "persistence timeout" && value != "0":
			out = append(out, "  persistence "+value)
		case key == "initial weight":
			out = append(out, "  weight "+value)
		case key == "quorum":
			out = append(out, "  quorum "+strings.Replace(value, ", hysteresis = ", " ", 1))
		case key == "connection limit range":
			out = append(out, "  thresholds "+strings.Replace(value, " -> ", " ", 1))
		case line == "omega is ON":
			out = append(out, "  omega")
		}
	}
	return out
}

// checkFact gives a fact of a check.
func checkFact(key, value string) (string, bool) {
	if m := microsec.FindStringSubmatch(value); m != nil {
		n, _ := strconv.ParseFloat(m[1], 64)
		value = fmt.Sprint(n / 1e6)
	}
	switch key {
	case "Delay loop", "Warmup", "Retries", "Delay before retry":
		return strings.ToLower(key) + " " + value, true
	case "Alpha":
		return "alpha " + value, true
	case "Dest":
		return "connect to " + value, true
	case "Timeout":
		n, _ := strconv.ParseFloat(value, 64)
		return "timeout " + fmt.Sprint(n), true
	case "Keepalive method":
		kind, _, _ := strings.Cut(value, ",")
		return "kind " + kind, true
	case "Checked url":
		return "url " + value, true
	case "digest":
		return "digest " + value, true
	}
	return "", false
}

// shown is what `drover config show --json` prints.
type shown struct {
	VirtualServers []struct {
		Name      string
		Services  []string
		Scheduler string
		Persist   float64 `json:"persistence"`
		Quorum    int
		Hyst      int `json:"hysteresis"`
		Omega     bool
		Reals     []struct {
			Name   string
			Weight int
			Upper  int `json:"upper_threshold"`
			Lower  int `json:"lower_threshold"`
			Checks []struct {
				Name    string
				Connect string  `json:"connect_to"`
				Timeout float64 `json:"connect_timeout"`
				Delay   float64 `json:"delay_loop"`
				Warmup  float64
				Retry   int
				Again   float64 `json:"delay_before_retry"`
				Alpha   bool
				URLs    []struct{ Name, Digest string } `json:"urls"`
			}
		} `json:"real_servers"`
	} `json:"virtual_servers"`
}

var ofName = regexp.MustCompile(`^\[(\S+)\]:\w+:(\d+)$`)

// facts gives the same facts of ours.
func (c *shown) facts() []string {
	var out, checks []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, v := range c.VirtualServers {
		switch m := ofName.FindStringSubmatch(v.Name); {
		case len(v.Services) > 0:
			add("virtual group")
		case m != nil:
			add("virtual %s %s", m[1], m[2])
		default:
			add("virtual mark %s", strings.TrimPrefix(v.Name, "FWM "))
		}
		add("  scheduler %s", strings.Fields(v.Scheduler)[0])
		if v.Persist > 0 {
			add("  persistence %v", v.Persist)
		}
		if v.Omega {
			add("  omega")
		}
		add("  quorum %d %d", v.Quorum, v.Hyst)
		for _, r := range v.Reals {
			m := ofName.FindStringSubmatch(r.Name)
			add("real %s %s", m[1], m[2])
			add("  thresholds %d %d", r.Lower, r.Upper)
			add("  weight %d", r.Weight)
			for _, k := range r.Checks {
				if k.Name == "FILE_CHECK" {
					continue // keepalived dumps no more of it than that
				}
				checks = append(checks, "check of "+r.Name, "  alpha "+map[bool]string{true: "yes", false: "no"}[k.Alpha],
					fmt.Sprintf("  delay loop %v", k.Delay), fmt.Sprintf("  warmup %v", k.Warmup), fmt.Sprintf("  retries %d", k.Retry))
				if k.Retry > 0 { // keepalived dumps it then only
					checks = append(checks, fmt.Sprintf("  delay before retry %v", k.Again))
				}
				if k.Connect != "" {
					at := strings.LastIndexByte(k.Connect, ':')
					checks = append(checks, fmt.Sprintf("  connect to [%s]%s", strings.Trim(k.Connect[:at], "[]"), k.Connect[at:]), fmt.Sprintf("  timeout %v", k.Timeout))
				}
				checks = append(checks, "  kind "+k.Name)
				for _, u := range k.URLs {
					checks = append(checks, "  url "+u.Name)
					if u.Digest != "" {
						checks = append(checks, "  digest "+u.Digest)
					}
				}
			}
		}
	}
	return append(out, checks...)
}
