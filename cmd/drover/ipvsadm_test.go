package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestIpvsadmNames runs ipvsadm by each of its names, with arguments that it refuses before it
// asks for the table.
func TestIpvsadmNames(t *testing.T) {
	for _, row := range []struct {
		line   string
		status int
		stderr string
	}{
		{"ipvsadm -A -D", 2, "invalid option `-D'\n"},
		{"/usr/sbin/ipvsadm -q", 255, "Try `/usr/sbin/ipvsadm -h' or '/usr/sbin/ipvsadm --help' for more information.\n"},
		{"drover ipvsadm -q", 255, "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n"},
		{"drover ipvsadm -A -t 192.0.2.1 -s rr", 2, "Zero port specified for non-persistent service\n"},
		{"drover ipvsadm --version", 0, ""},
		{"drover ipvsadm -h", 0, ""},
		{"ipvsadm-save -x", 1, "ipvsadm-save: Script to save the IPVS table to stdout.\n" +
			"   With the -n option, prints out the table in numeric format.\n"},
	} {
		var stdout, stderr bytes.Buffer
		env := &environment{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}
		status := run(env, strings.Fields(row.line))
		if status != row.status || stderr.String() != row.stderr {
			t.Errorf("%s: status %d, %q, want %d, %q", row.line, status, stderr.String(), row.status, row.stderr)
		}
		if prints := strings.HasPrefix(stdout.String(), "ipvsadm v1.31"); prints != (row.status == 0) {
			t.Errorf("%s prints %q", row.line, stdout.String())
		}
	}
}
