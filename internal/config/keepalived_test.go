package config

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// samples are keepalived's own, which its Debian package installs. They are read where they are: they are GPL.
const samples = "/usr/share/doc/keepalived/samples"

// A difference is a kind of line on which keepalived and Drover do not say the same, and why that is right.
type difference struct {
	keepalived *regexp.Regexp // what keepalived says, where it alone says something
	drover     *regexp.Regexp // what Drover says, where it alone says something
	reason     string
}

var differences = []difference{
	{regexp.MustCompile(`interface \S+ (for|doesn't)|tracked interface`), nil, "interfaces are the machine's, and may come later; VRRP looks for them when it begins"},
	{nil, regexp.MustCompile(`^(unicast_peer|higher_prio_send_advert|preempt_delay|track_interface): V\d`), "keepalived looks at no instance after one that it can't use; Drover looks at each"},
	{nil, regexp.MustCompile(`there is no virtual_server_group`), "keepalived drops it without a word"},
}

// inNamespace runs keepalived where there are eth0 and eth1, in a network namespace that ends with it: of interfaces that
// are not there it says so, and looks at little else of VRRP.
const inNamespace = `ip link add eth0 type veth peer name eth1 && ip link set lo up && ip link set eth0 up && ip link set eth1 up &&
	ip address add 198.51.100.1/24 dev eth0 && exec keepalived -t -n -l -f "$1"`

// said is what one program says of one line.
type said map[int][]string

var (
	withLine   = regexp.MustCompile(`^\((\S+: )?Line (\d+)\) (.*)`)
	ofVirtual  = regexp.MustCompile(`(?i)virtual server (\[[^]]+\]\S*|FWM \d+)|for (\[[^]]+\]\S*|FWM \d+) exceeds|^VS (\[[^]]+\]\S*)`)
	ofInstance = regexp.MustCompile(`^(?:\((\w+)\)|Disabling track script (\w+)|.*[Ss]ync group (\w+)|.*ignoring (\w+)$)`)
	ofReal     = regexp.MustCompile(`real server (\[[^]]+\])`)
	toldAtEnd  = regexp.MustCompile(`no urls specified|url has no path|has no entries - removing|No script set for|No script path|FILE_CHECK has no track_file|` +
		`process name not specified|No file set for|have any delay set|requires vmac_xmit_base|without unicast peers - resetting|min_reply length|cannot have IPv4, IPv6 and fwmark|real server \S+ don't match - skipping|Failed to set uid/gid for misc`)
	aboutNobody = regexp.MustCompile(`^SECURITY VIOLATION|^Non-existent interface|^There are \d+ missing|^$`)
)

// runKeepalived gives what keepalived -t says. Several of its processes read the file, and say the same.
func runKeepalived(t *testing.T, file string) (said, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "keepalived", "-t", "-n", "-l", "-f", file)
	if strings.Contains(string(text), "interface") {
		cmd = exec.CommandContext(ctx, "unshare", "--net", "sh", "-c", inNamespace, "sh", file)
	}
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(err.Error(), "exit status") {
		t.Fatalf("keepalived -t: %v: %s", err, out)
	}
	lines := strings.Split(string(text), "\n")
	all := said{}
	for message := range strings.Lines(string(out)) {
		message = strings.TrimSpace(message)
		if m := withLine.FindStringSubmatch(message); m != nil {
			at, _ := strconv.Atoi(m[2])
			if toldAtEnd.MatchString(message) {
				at = beginOf(lines, at)
			}
			all[at] = append(all[at], m[3])
			continue
		}
		if m := ofInstance.FindStringSubmatch(message); m != nil {
			name := m[1] + m[2] + m[3] + m[4]
			at := slices.IndexFunc(lines, func(l string) bool {
				words := strings.Fields(l)
				return len(words) > 1 && strings.HasPrefix(words[0], "vrrp_") && words[1] == name
			}) + 1
			all[at] = append(all[at], message)
			continue
		}
		if aboutNobody.MatchString(message) {
			continue
		}
		at := placeOf(lines, message)
		all[at] = append(all[at], message)
	}
	return all, cmd.ProcessState.ExitCode()
}

// beginOf gives the line at which the block that is closed at a line begins.
func beginOf(lines []string, end int) int {
	depth := 0
	for i := end - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "!") {
			continue
		}
		depth += strings.Count(lines[i], "}") - strings.Count(lines[i], "{")
		if depth <= 0 && strings.Contains(lines[i], "{") {
			if strings.TrimSpace(lines[i]) == "{" {
				return i
			}
			return i + 1
		}
	}
	return 0
}

// placeOf gives the line of the virtual or real server that a message is about.
func placeOf(lines []string, message string) int {
	m := ofVirtual.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	name := strings.TrimSuffix(m[1]+m[2]+m[3], ":")
	head := "virtual_server fwmark " + strings.TrimPrefix(name, "FWM ")
	if strings.HasPrefix(name, "[") {
		host, rest, _ := strings.Cut(name[1:], "]")
		port := rest[strings.LastIndexByte(rest, ':')+1:]
		head = "virtual_server " + host + " " + port
		if !strings.ContainsAny(host, ".:") {
			head = "virtual_server group " + host
		}
	}
	for i, line := range lines {
		if !strings.HasPrefix(strings.Join(strings.Fields(strings.ReplaceAll(line, "{", " {")), " ")+" ", head+" ") {
			continue
		}
		r := ofReal.FindStringSubmatch(message)
		if r == nil && !strings.Contains(message, "sorry server") {
			return i + 1
		}
		want := "sorry_server "
		if r != nil {
			want = "real_server " + strings.Trim(r[1], "[]") + " "
		}
		for j := i + 1; j < len(lines); j++ {
			if strings.HasPrefix(strings.TrimSpace(lines[j]), want) {
				return j + 1
			}
		}
	}
	return 0
}

func runDrover(t *testing.T, file string) (said, int) {
	t.Helper()
	c, findings, err := Load(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := said{}
	for _, f := range findings {
		if f.Severity > Note {
			all[f.At.Line] = append(all[f.At.Line], f.Keyword+": "+f.Reason)
		}
	}
	return all, ExitStatus(c, findings, false)
}

// compare gives the lines on which only one of them says something, but for the listed kinds; used counts those.
func compare(keepalived, drover said, used map[int]int) []string {
	var failures []string
	differ := func(line int, messages []string, who string, kind func(difference) *regexp.Regexp) {
		for _, message := range messages {
			i := slices.IndexFunc(differences, func(d difference) bool { return kind(d) != nil && kind(d).MatchString(message) })
			if i < 0 {
				failures = append(failures, fmt.Sprintf("line %d: only %s says %q", line, who, message))
				continue
			}
			used[i]++
		}
	}
	for line, messages := range keepalived {
		if len(drover[line]) == 0 {
			differ(line, messages, "keepalived", func(d difference) *regexp.Regexp { return d.keepalived })
		}
	}
	for line, messages := range drover {
		if len(keepalived[line]) == 0 {
			differ(line, messages, "drover", func(d difference) *regexp.Regexp { return d.drover })
		}
	}
	slices.Sort(failures)
	return failures
}

// generatedFiles is how many made-up files are compared.
const generatedFiles = 250

// TestAgainstKeepalived holds what is said of files, line by line, against keepalived -t.
func TestAgainstKeepalived(t *testing.T) {
	t.Parallel()
	used := map[int]int{}
	files, err := filepath.Glob(filepath.Join(samples, "keepalived.conf*"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d samples in %s: want Debian's keepalived installed (%v)", len(files), samples, err)
	}
	folder := t.TempDir()
	for seed := range uint64(generatedFiles) {
		file := filepath.Join(folder, fmt.Sprintf("made-%d.conf", seed))
		if err := os.WriteFile(file, []byte(makeFile(seed)), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	for _, file := range files {
		theirs, theirStatus := runKeepalived(t, file)
		ours, ourStatus := runDrover(t, file)
		failures := compare(theirs, ours, used)
		for _, failure := range failures {
			t.Errorf("%s: %s", filepath.Base(file), failure)
		}
		// What is said alike, and no listed difference is in it, must end alike.
		if len(theirs) == len(ours) && theirStatus != ourStatus {
			t.Errorf("%s: exit status %d, keepalived's is %d", filepath.Base(file), ourStatus, theirStatus)
		}
	}
	for i, d := range differences {
		if used[i] == 0 {
			t.Errorf("a difference that is none any more: %s", d.reason)
		}
	}
}
