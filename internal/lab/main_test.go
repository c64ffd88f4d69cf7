package lab

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain plays the programs that a lab starts: drover for `lab serve`, and an nginx that listens
// where its configuration says.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "nginx" {
		exitWith(fakeNginx(os.Args[1:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "lab" && os.Args[2] == "serve" {
		exitWith(ServeCommand(os.Args[3:]))
	}
	os.Exit(m.Run())
}

func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// fakeNginx takes nginx's arguments and serves the name of its prefix folder.
func fakeNginx(args []string) error {
	if len(args) != 6 || args[0] != "-p" || args[2] != "-c" {
		return fmt.Errorf("nginx: arguments %q", args)
	}
	config, err := os.ReadFile(args[3])
	if err != nil {
		return err
	}
	if !strings.Contains(string(config), "listen 80;") {
		return fmt.Errorf("nginx: no port 80 in %s", config)
	}
	return http.ListenAndServe(":80", Handler(filepath.Base(args[1])))
}

// upLab makes a lab with a name of its own, and takes it down with the test.
func upLab(t *testing.T, cfg Config) *Lab {
	t.Helper()
	cfg.Name = testName()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l, err := Up(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

var labsMade int

// testName is a lab name that no other process uses.
func testName() string {
	labsMade++
	return fmt.Sprintf("t%d-%d", os.Getpid(), labsMade)
}
