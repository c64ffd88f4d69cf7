package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigLoader: tolerant at the start; at a reload, an error that is new is refused, and one that was there is not.
func TestConfigLoader(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "k.conf")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := &configLoader{flags: &directorFlags{file: file}, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	old := "nat_mask 255.255.255.0\n" + goodConfig
	write(old)
	if _, err := l.begin(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"what was read at the start", "not looked at", ""},
		{"the same error, some lines further down", "! a comment\n\n" + old, ""},
		{"the same error twice", "nat_mask 255.255.255.0\n" + old, "k.conf:2: nat_mask: unknown keyword"},
		{"a typo", strings.Replace(old, "connect_timeout", "conect_timeout", 1), "k.conf:8: conect_timeout: unknown keyword in TCP_CHECK (did you mean connect_timeout?)"},
		{"half a file", old[:len(old)/2], "its block is not closed"},
		{"an empty file", "", "no virtual server is left"},
		{"without the old error", goodConfig, ""},
		{"and with it again", old, "k.conf:1: nat_mask: unknown keyword"},
	} {
		write(c.text)
		_, err := l.load()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
