package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// largeFile is 2,000 virtual servers with 5 real servers each: 72,000 lines.
func largeFile() string {
	var out strings.Builder
	for v := range 2000 {
		fmt.Fprintf(&out, "virtual_server 192.0.%d.%d 80 {\n    lb_algo wrr\n    lb_kind NAT\n    protocol TCP\n    delay_loop 6\n", v/250, v%250+1)
		for r := range 5 {
			fmt.Fprintf(&out, "    real_server 198.51.%d.%d 80 {\n        weight 1\n        TCP_CHECK {\n            connect_timeout 3\n        }\n    }\n", v%250, r+1)
		}
		out.WriteString("}\n")
	}
	return out.String()
}

// BenchmarkLoad reads a large file. The figures of docs/performance.md are its.
func BenchmarkLoad(b *testing.B) {
	file := filepath.Join(b.TempDir(), "large.conf")
	text := largeFile()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(strings.Count(text, "\n")), "lines")
	for b.Loop() {
		c, _, err := Load(file, Options{})
		if err != nil || len(c.VirtualServers) != 2000 {
			b.Fatal(err)
		}
	}
}
