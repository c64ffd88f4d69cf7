package ipvsadm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzParse holds any words against the grammar: there is no panic, and what is not a request is
// a refusal with a text and a status.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"-A -t 192.0.2.1:80 -s wrr -p 60 -M 255.255.255.0", "-a -t [2001:db8::1]:80 -r [2001:db8::2]:80 -m -w5",
		"-Ln --stats", "-p", "-=", "--=", "-A=", "--set 1 -- -2 3", "-L -", "-f 1 -6 -b ,", "-A -t [ -s", "-A -b sh-port,, -s sh",
	} {
		f.Add(line)
	}
	ports := NewPorts("testdata/services")
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parse("ipvsadm", strings.Split(line, " "), goldenHosts, ports)
		var refused *refusal
		switch {
		case err == nil && r.command == noCommand:
			t.Error("a request without a command")
		case err != nil && (!errors.As(err, &refused) || refused.text == "" || refused.status == 0):
			t.Errorf("not a refusal: %#v", err)
		}
	})
}

// FuzzRestore saves what any rules made, restores it, and saves again: the same comes out.
func FuzzRestore(f *testing.F) {
	f.Add("-A -t 192.0.2.1:80 -s sh -b sh-port,flag-3\n-a -t 192.0.2.1:80 -r 198.51.100.1 -i --tun-type gre\n")
	f.Add("-A -f 4294967295 -6 -p -M 64\n-a -f 4294967295 -6 -r [2001:db8::2]:1 -m -w 0\n")
	f.Add("-A -u 0.0.0.0:0 -p 1 -M 0 -o --pe sip\n")
	f.Fuzz(func(t *testing.T, rules string) { saveTwice(t, rules) })
}

func saveTwice(t *testing.T, rules string) {
	t.Helper()
	table := newFake()
	run(table, goldenHosts, rules, "ipvsadm", "-R")
	saved := run(table, goldenHosts, "", "ipvsadm", "-Sn").Stdout
	if again := restoreText(t, saved); again != saved {
		t.Errorf("saved %q, after restoring it %q", saved, again)
	}
}

// TestRestoreRandom does the same with random rules of every kind.
func TestRestoreRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	one := func(words ...string) string { return words[r.IntN(len(words))] }
	kept := 0
	for range 2000 {
		service := one("-t 192.0.2.1:80", "-t 203.0.113.7:0", "-u 192.0.2.1:53", "--sctp-service 192.0.2.1:9",
			"-t [2001:db8::1]:80", "-f 3", "-f 3000000000", "-f 3 -6")
		rules := fmt.Sprintf("-A %s -s %s %s %s %s\n", service, one("rr", "sh", "mh", "wlc"),
			one("", "-p", "-p 77", "-p 9 -M 24", "-M 64"), one("", "-o", "--pe sip"),
			one("", "-b flag-1,flag-3", "-b sh-port", "-b mh-port,mh-fallback"))
		for range r.IntN(4) {
			rules += fmt.Sprintf("-a %s -r %s %s -w %d %s\n", service,
				one("198.51.100.1", "198.51.100.2:8080", "[2001:db8::2]:80", "200.0.0.1"), one("-m", "-g", "-i", ""), r.IntN(3),
				one("", "-x 9 -y 3", "--tun-type gue --tun-port 6080", "--tun-type gre --tun-csum"))
		}
		table := newFake()
		run(table, goldenHosts, rules, "ipvsadm", "-R")
		kept += len(table.services)
		saveTwice(t, rules)
	}
	if kept < 500 {
		t.Errorf("%d of 2000 random services were accepted, too few to prove anything", kept)
	}
}

// TestRestoreMany restores 10,000 services in one go.
func TestRestoreMany(t *testing.T) {
	var rules strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&rules, "-A -t 192.0.2.%d:%d -s rr\n-a -t 192.0.2.%d:%d -r 198.51.100.1 -m\n", i%250, i+1, i%250, i+1)
	}
	table := newFake()
	if got := run(table, goldenHosts, rules.String(), "ipvsadm", "-R"); got != (result{}) || len(table.services) != 10_000 {
		t.Errorf("%+v, %d services", got, len(table.services))
	}
}
