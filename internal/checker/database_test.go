package checker

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// freePort gives one that nobody has.
func freePort(t *testing.T) uint16 {
	t.Helper()
	return refusing(t).Addr.Port()
}

// daemon runs a server as a user until the test ends.
func daemon(t *testing.T, program string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s said:\n%s", program, text)
		}
		log.Close()
	})
}

// answersIn has a check asked until it is answered as wanted.
func answersIn(t *testing.T, c Check, want string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if got = ask(t, c); got == want {
			return
		}
	}
	t.Fatalf("%s, want %s", got, want)
}

// TestMariaDB asks a real server.
func TestMariaDB(t *testing.T) {
	t.Parallel()
	folder, port := t.TempDir(), freePort(t)
	for _, at := range []string{folder, filepath.Dir(folder)} {
		if err := os.Chmod(at, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(folder, "data")
	install := exec.CommandContext(t.Context(), "mariadb-install-db", "--no-defaults", "--user=mysql", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install the database: %v\n%s", err, out)
	}
	daemon(t, "mariadbd", "--no-defaults", "--user=mysql", "--datadir="+data, "--socket="+filepath.Join(folder, "socket"), "--pid-file="+filepath.Join(folder, "pid"),
		"--bind-address=127.0.0.1", "--port="+strconv.Itoa(int(port)), "--innodb-buffer-pool-size=16M", "--skip-name-resolve")
	check := func(d Dialog) Check {
		d.Protocol = "mysql"
		return Check{Kind: KindDialog, Dialog: &d, Endpoint: Endpoint{Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)}, Timing: Timing{Timeout: 5 * time.Second}}
	}
	answersIn(t, check(Dialog{}), "ok")
	sql := exec.CommandContext(t.Context(), "mariadb", "--no-defaults", "--socket="+filepath.Join(folder, "socket"), "-e",
		"CREATE USER lvs@'127.0.0.1' IDENTIFIED BY 's3cret'")
	if out, err := sql.CombinedOutput(); err != nil {
		t.Fatalf("make a user: %v\n%s", err, out)
	}
	answersIn(t, check(Dialog{User: "lvs", Password: "s3cret"}), "ok")
	answersIn(t, check(Dialog{User: "lvs", Password: "s3cret", Request: "SELECT 40+2", Receive: "^42$"}), "ok")
	answersIn(t, check(Dialog{User: "lvs", Password: "s3cret", Request: "SELECT 1", Receive: "^2$"}), `the answer "1" does not match "^2$"`)
	if got := ask(t, check(Dialog{User: "lvs", Password: "wrong"})); !strings.Contains(got, "Access denied") {
		t.Errorf("a wrong password: %s", got)
	}
}

// TestPostgreSQL speaks to a server that is made of its documented messages: trust, a query, an error.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	message := func(kind byte, body string) string {
		n := len(body) + 4
		return string([]byte{kind, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + body
	}
	const ready = "Z\x00\x00\x00\x05I"
	serve := func(answer string) net.Listener {
		return serveTCP(t, func(c net.Conn) {
			buffer := make([]byte, 4096)
			if _, err := c.Read(buffer); err != nil { // the startup message
				return
			}
			if answer == "" {
				_, _ = c.Write([]byte(message('E', "SFATAL\x00C28000\x00Mno entry for this host\x00\x00")))
				return
			}
			_, _ = c.Write([]byte(message('R', "\x00\x00\x00\x00") + ready))
			for {
				if _, err := c.Read(buffer); err != nil || buffer[0] == 'X' {
					return
				}
				row := "\x00\x01\x00\x00\x00" + string(byte(len(answer))) + answer
				column := "\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff\x00\x00"
				_, _ = c.Write([]byte(message('T', column) + message('D', row) + message('C', "SELECT 1\x00") + ready))
			}
		})
	}
	for _, c := range []struct {
		name   string
		server net.Listener
		dialog Dialog
		want   string
	}{
		{"a login", serve("1"), Dialog{}, "ok"},
		{"a query", serve("42"), Dialog{Request: "SELECT 42", Receive: "^42$"}, "ok"},
		{"another answer", serve("41"), Dialog{Request: "SELECT 42", Receive: "^42$"}, `the answer "41" does not match "^42$"`},
		{"a refusal", serve(""), Dialog{}, "no entry for this host"},
	} {
		c.dialog.Protocol = "pgsql"
		got := ask(t, Check{Kind: KindDialog, Endpoint: at(c.server), Dialog: &c.dialog, Timing: Timing{Timeout: 2 * time.Second}})
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	silentOne := Check{Kind: KindDialog, Endpoint: at(serveTCP(t, silent)), Dialog: &Dialog{Protocol: "pgsql"}, Timing: Timing{Timeout: 100 * time.Millisecond}}
	if got := ask(t, silentOne); got == "ok" {
		t.Error("a server that says nothing is ok")
	}
	if _, _, err := newAsker(&silentOne).ask(context.Background()); errors.Is(err, nil) {
		t.Error("no error")
	}
}

func TestMySQLGreeting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, greeting, want string }{
		{"a server", "\x4a\x00\x00\x00\x0a8.0.1\x00", "ok"},
		{"one that is full", "\x17\x00\x00\x00\xff\x10\x04Too many connections", "the server refuses: Too many connections"},
		{"no MySQL", "HTTP/1.1 400 no\r\n", "the answer is not MySQL"},
	} {
		got := ask(t, Check{Kind: KindDialog, Endpoint: at(lines(t, c.greeting)), Dialog: &Dialog{Protocol: "mysql"}, Timing: Timing{Timeout: 2 * time.Second}})
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
