package notify

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/config"
	"drover/internal/director"
)

// A log keeps what is written to it.
type logText struct {
	mu sync.Mutex // protects text
	bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *logText) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

func newNotifier(c *config.Config) (*Notifier, *logText) {
	log := &logText{}
	n := New(slog.New(slog.NewTextHandler(log, nil)))
	n.Set(c)
	return n, log
}

// event makes one of a real server that goes up or down.
func event(state string, rs *config.RealServer, vs *config.VirtualServer) director.Event {
	return director.Event{
		Kind: director.KindServer, State: state, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		VirtualServer: "[192.0.2.1]:tcp:80", RealServer: "[198.51.100.11]:tcp:80",
		Message: "Removing service [198.51.100.11]:tcp:80 from VS [192.0.2.1]:tcp:80", Reason: "TCP_CHECK: connection refused",
		Origin: director.Origin{Real: rs, Virtual: vs},
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: never", what)
		}
	}
}

// TestScripts: the programs are run one after the other, with the arguments of the configuration alone; one that fails is told.
func TestScripts(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out")
	shell := func(text string) *config.Script {
		return &config.Script{Command: []string{"/bin/sh", "-c", text, "name", "one"}, User: "root"}
	}
	rs := &config.RealServer{NotifyUp: shell(`sleep 0.1; echo "up $# $1" >> ` + out), NotifyDown: shell("echo down >> " + out + "; exit 3")}
	vs := &config.VirtualServer{QuorumDown: shell("echo quorum >> " + out)}
	n, log := newNotifier(&config.Config{})
	for _, e := range []director.Event{event("UP", rs, vs), event("DOWN", rs, vs)} {
		n.Tell(e)
	}
	quorum := event("DOWN", nil, vs)
	quorum.Kind = director.KindVirtual
	n.Tell(quorum)
	n.Close(10 * time.Second)
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("up 1 one\ndown\nquorum\n", string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(log.text(), "script has failed") || !strings.Contains(log.text(), "exit status 3") {
		t.Errorf("the log has no failure:\n%s", log.text())
	}
}

// TestScriptSecurity: with enable_script_security a program that others could change is not run as root.
func TestScriptSecurity(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	program, out := filepath.Join(folder, "program"), filepath.Join(folder, "out")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ntouch "+out+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, 0o777); err != nil {
		t.Fatal(err)
	}
	n, log := newNotifier(&config.Config{Global: config.Global{ScriptSecurity: true}})
	n.Tell(event("UP", &config.RealServer{NotifyUp: &config.Script{Command: []string{program}, User: "root"}}, nil))
	n.Close(10 * time.Second)
	if _, err := os.Stat(out); err == nil || !strings.Contains(log.text(), "others than root could change it") {
		t.Errorf("it was run (%v); the log:\n%s", err, log.text())
	}
}

// TestPipe: keepalived's lines; a reader that does not read loses lines, and holds nobody up.
func TestPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	c := &config.Config{Global: config.Global{LVSNotifyFIFO: &config.FIFO{Path: path}}}
	n, log := newNotifier(c)
	n.Tell(event("DOWN", nil, nil))
	quorum := event("UP", nil, nil)
	quorum.Kind = director.KindVirtual
	n.Set(c) // a reload leaves it open
	n.Tell(quorum)
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	lines := bufio.NewReader(reader)
	for _, want := range []string{"RS [198.51.100.11]:tcp:80 [192.0.2.1]:tcp:80 DOWN\n", "VS [192.0.2.1]:tcp:80 UP\n"} {
		if got, err := lines.ReadString('\n'); got != want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	for range 5000 { // more than a pipe holds
		n.Tell(event("DOWN", nil, nil))
	}
	if n := strings.Count(log.text(), "a pipe's lines are lost"); n != 1 {
		t.Errorf("told %d times that lines are lost, want once", n)
	}
	n.Close(10 * time.Second)
	if _, err := os.Stat(path); err == nil {
		t.Error("the pipe that it made is still there")
	}
}

// TestPipeScript: the program gets the pipe's path, and ends with the notifier.
func TestPipeScript(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	out, path := filepath.Join(folder, "out"), filepath.Join(folder, "fifo")
	n, _ := newNotifier(&config.Config{Global: config.Global{NotifyFIFO: &config.FIFO{
		Path: path, Script: &config.Script{Command: []string{"/bin/sh", "-c", `head -1 "$1" > ` + out + `; sleep 600`, "name"}},
	}}})
	n.Tell(event("UP", nil, nil))
	eventually(t, "the program reads", func() bool {
		text, _ := os.ReadFile(out)
		return string(text) == "RS [198.51.100.11]:tcp:80 [192.0.2.1]:tcp:80 UP\n"
	})
	n.Close(10 * time.Second) // it would wait for the program
}

// mailServer takes messages as a relay does, and gives them. A line that begins with refuse is answered with 550.
func mailServer(t *testing.T, refuse string) (address string, messages chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	messages = make(chan string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go takeMail(c, refuse, messages)
		}
	}()
	return l.Addr().String(), messages
}

func takeMail(c net.Conn, refuse string, messages chan<- string) {
	defer c.Close()
	r := bufio.NewReader(c)
	fmt.Fprint(c, "220 relay\r\n")
	var text strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		text.WriteString(line)
		switch {
		case refuse != "" && strings.HasPrefix(line, refuse):
			fmt.Fprint(c, "550 no\r\n")
		case line == "DATA\r\n":
			fmt.Fprint(c, "354 go on\r\n")
			for line != ".\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					return
				}
				text.WriteString(line)
			}
			fmt.Fprint(c, "250 taken\r\n")
			messages <- text.String()
		case line == "QUIT\r\n":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			fmt.Fprint(c, "250 ok\r\n")
		}
	}
}

func mailConfig(address string) *config.Config {
	return &config.Config{Global: config.Global{
		RouterID: "lvs1\r\nBcc: everybody@example.com", SMTPHost: address, SMTPTimeout: time.Second, SMTPHelo: "lvs.example.com",
		EmailFrom: "lvs@example.com", NotificationEmail: []string{"a@example.com", "b@example.com"},
	}}
}

func TestMail(t *testing.T) {
	t.Parallel()
	address, messages := mailServer(t, "")
	n, _ := newNotifier(mailConfig(address))
	n.Tell(event("DOWN", &config.RealServer{SMTPAlert: true}, nil))
	n.Tell(event("DOWN", &config.RealServer{}, nil)) // smtp_alert off
	n.Close(10 * time.Second)
	if len(messages) != 1 {
		t.Fatalf("%d messages, want one", len(messages))
	}
	got := <-messages
	for _, want := range []string{
		"EHLO lvs.example.com\r\n", "MAIL FROM:<lvs@example.com>", "RCPT TO:<a@example.com>\r\n", "RCPT TO:<b@example.com>\r\n",
		"\r\nSubject: [lvs1  Bcc: everybody@example.com] Realserver [198.51.100.11]:tcp:80 of virtual server [192.0.2.1]:tcp:80 - DOWN\r\n",
		"\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\n", "\r\nTo: a@example.com, b@example.com\r\n", "TCP_CHECK: connection refused",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the message has no %q:\n%s", want, got)
		}
	}
}

// TestMailFails: a server that refuses, or is dead, holds nobody up, and is told once.
func TestMailFails(t *testing.T) {
	t.Parallel()
	refusing, _ := mailServer(t, "RCPT")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, address := range []string{refusing, silent.Addr().String()} {
		n, log := newNotifier(mailConfig(address))
		begin := time.Now()
		for range 2 * queueLength {
			n.Tell(event("DOWN", &config.RealServer{SMTPAlert: true}, nil))
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: telling took %v", address, took)
		}
		if !strings.Contains(log.text(), "events are dropped") {
			t.Errorf("%s: the log says nothing of events that are dropped:\n%s", address, log.text())
		}
		n.Close(10 * time.Millisecond)
	}
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]string{}
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusBadGateway) // it is called again
			return
		}
		got[r.URL.Path] = string(body)
	}))
	t.Cleanup(server.Close)
	c := &config.Config{Global: config.Global{RouterID: "lvs1"}}
	for _, kind := range []string{"generic", "dingtalk", "wecom", "feishu"} {
		c.Drover.Webhooks = append(c.Drover.Webhooks, config.Webhook{Kind: kind, URL: server.URL + "/" + kind})
	}
	n, _ := newNotifier(c)
	n.Tell(event("DOWN", nil, nil))
	n.Close(20 * time.Second)
	const text = "[lvs1] Removing service [198.51.100.11]:tcp:80 from VS [192.0.2.1]:tcp:80: TCP_CHECK: connection refused"
	want := map[string]string{
		"/generic": `{"director":"lvs1","seq":0,"time":"2026-01-02T03:04:05Z","kind":"server","state":"DOWN","virtual_server":"[192.0.2.1]:tcp:80",` +
			`"real_server":"[198.51.100.11]:tcp:80","message":"Removing service [198.51.100.11]:tcp:80 from VS [192.0.2.1]:tcp:80","reason":"TCP_CHECK: connection refused"}`,
		"/dingtalk": `{"msgtype":"text","text":{"content":"` + text + `"}}`,
		"/wecom":    `{"msgtype":"text","text":{"content":"` + text + `"}}`,
		"/feishu":   `{"content":{"text":"` + text + `"},"msg_type":"text"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
}

// TestSigned: the forms that DingTalk and Feishu document for robots with a secret.
func TestSigned(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_600_000_000_123)
	e := event("DOWN", nil, nil)
	address, _, err := hookBody(&config.Webhook{Kind: "dingtalk", URL: "https://example.com/robot?access_token=x", Secret: "SEC"}, "lvs1", &e, now)
	if err != nil || !strings.Contains(address, "timestamp=1600000000123") || !strings.Contains(address, "access_token=x") || !strings.Contains(address, "&sign=") {
		t.Errorf("DingTalk: %s, %v", address, err)
	}
	_, body, err := hookBody(&config.Webhook{Kind: "feishu", URL: "https://example.com/hook", Secret: "SEC"}, "lvs1", &e, now)
	if err != nil || !strings.Contains(string(body), `"timestamp":"1600000000"`) || !strings.Contains(string(body), `"sign":"`) {
		t.Errorf("Feishu: %s, %v", body, err)
	}
}
