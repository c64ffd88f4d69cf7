package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestModel reads each file of testdata/model: a configuration, a line of dashes, what is said of it, a line of dashes,
// and the model that it makes.
func TestModel(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/model/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), "--------\n")
			conf := filepath.Join(t.TempDir(), "keepalived.conf")
			if err := os.WriteFile(conf, []byte(input), 0o600); err != nil {
				t.Fatal(err)
			}
			c, findings, err := Load(conf, Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for _, f := range findings {
				fmt.Fprintf(&got, "%d: %s: %s\n", f.At.Line, f.Keyword, f.Reason)
			}
			got.WriteString("--------\n")
			c.File = "FILE"
			if err := c.WriteText(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}
