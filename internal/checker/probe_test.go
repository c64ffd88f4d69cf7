package checker

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ask asks once, and gives "ok" or the reason.
func ask(t *testing.T, c Check) string {
	t.Helper()
	if c.Timing.Timeout == 0 {
		c.Timing.Timeout = 5 * time.Second
	}
	r := question(t.Context(), newAsker(&c))
	if !r.OK {
		return r.Reason
	}
	if r.SetsWeight || r.Weight != 0 {
		return fmt.Sprintf("ok, weight %d", r.Weight)
	}
	return "ok"
}

func at(l net.Listener) Endpoint {
	return Endpoint{Addr: l.Addr().(*net.TCPAddr).AddrPort()}
}

// serveTCP has each connection handled until the test ends.
func serveTCP(t *testing.T, handle func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return l
}

// silent takes connections and says nothing.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// refusing gives an address where nobody listens.
func refusing(t *testing.T) Endpoint {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return at(l)
}

func TestTCP(t *testing.T) {
	t.Parallel()
	l := serveTCP(t, silent)
	bound := at(l)
	bound.Bind = netip.MustParseAddrPort("127.0.0.9:0")
	for range 3 { // the socket is used again
		if got := ask(t, Check{Kind: KindTCP, Endpoint: at(l)}); got != "ok" {
			t.Errorf("a server: %s", got)
		}
		if got := ask(t, Check{Kind: KindTCP, Endpoint: refusing(t)}); got != "connection refused" {
			t.Errorf("nobody: %s", got)
		}
	}
	if got := ask(t, Check{Kind: KindTCP, Endpoint: bound}); got != "ok" {
		t.Errorf("from another address: %s", got)
	}
	six, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer six.Close()
	if got := ask(t, Check{Kind: KindTCP, Endpoint: at(six)}); got != "ok" {
		t.Errorf("IPv6: %s", got)
	}
}

// TestInterrupted: what is interrupted while it waits ends at once, and reports nothing.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	l := serveTCP(t, silent)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c := Check{Kind: KindHTTP, Endpoint: at(l), HTTP: &HTTP{URLs: []URL{{Path: "/"}}}, Timing: Timing{Timeout: time.Hour}}
	question(ctx, newAsker(&c)) // it would wait for an hour
	_, _, err := newAsker(&c).ask(ctx)
	if err == nil {
		t.Error("it is done though its time was up")
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s %s", r.Host, r.Proto) })
	mux.HandleFunc("/agent", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%v|%s", r.UserAgent(), r.Close, r.Header.Get("Connection"))
	})
	mux.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) })
	mux.HandleFunc("/fixed", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fixed\n") })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	secure := httptest.NewTLSServer(mux)
	t.Cleanup(secure.Close)
	get := func(u URL) Check {
		return Check{Kind: KindHTTP, Endpoint: at(server.Listener), HTTP: &HTTP{Version: HTTP10, URLs: []URL{u}}}
	}
	regex := func(r Regex) *Regex {
		if err := r.Compile(); err != nil {
			t.Fatal(err)
		}
		return &r
	}
	raw := func(answer string) Check {
		c := get(URL{Path: "/"})
		c.Endpoint = at(serveTCP(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, answer)
		}))
		return c
	}
	with := func(c Check, change func(*Check)) Check {
		change(&c)
		return c
	}
	for _, c := range []struct {
		name  string
		check Check
		want  string
	}{
		{"2xx", get(URL{Path: "/"}), "ok"},
		{"another status", get(URL{Path: "/down"}), "HTTP status 503, wanted 200-299"},
		{"a status that is wanted", get(URL{Path: "/down", Status: []StatusRange{{200, 200}, {500, 599}}}), "ok"},
		{"statuses in words", get(URL{Path: "/", Status: []StatusRange{{404, 404}, {500, 599}}}), "HTTP status 200, wanted 404 500-599"},
		{"a digest", get(URL{Path: "/fixed", Digest: "708837c1d238f0955c23a38051f5ebb7"}), "ok"},
		{"another digest", get(URL{Path: "/fixed", Digest: "73796e3e99b50e6358d9e72cf3b4b33a"}), "the body's MD5 is 708837c1d238f0955c23a38051f5ebb7, wanted 73796e3e99b50e6358d9e72cf3b4b33a"},
		{"a regex", get(URL{Path: "/fixed", Regex: regex(Regex{Pattern: "^fix.d$", Flags: "m"})}), "ok"},
		{"a regex that must not match", get(URL{Path: "/fixed", Regex: regex(Regex{Pattern: "fix", Not: true})}), `the body matches "fix"`},
		{"a regex beyond an offset", get(URL{Path: "/fixed", Regex: regex(Regex{Pattern: "f", MinOffset: 1})}), `the body does not match "f"`},
		{"a regex before an offset", get(URL{Path: "/fixed", Regex: regex(Regex{Pattern: "x", MaxOffset: 1})}), `the body does not match "x"`},
		{"the host's name", get(URL{Path: "/", VirtualHost: "www.example.com", Regex: regex(Regex{Pattern: "^hello www.example.com HTTP/1.0$"})}), "ok"},
		{"the check's host's name", with(get(URL{Path: "/", Regex: regex(Regex{Pattern: "^hello w "})}), func(c *Check) { c.HTTP.VirtualHost = "w" }), "ok"},
		{"the address as name", get(URL{Path: "/", Regex: regex(Regex{Pattern: "^hello " + server.Listener.Addr().String()})}), "ok"},
		{"HTTP/1.1", with(get(URL{Path: "/agent", Regex: regex(Regex{Pattern: `^KeepAliveClient\|true\|close$`})}), func(c *Check) { c.HTTP.Version = HTTP11 }), "ok"},
		{"HTTP/1.0C", with(get(URL{Path: "/agent", Regex: regex(Regex{Pattern: `^KeepAliveClient\|true\|close$`})}), func(c *Check) { c.HTTP.Version = HTTP10C }), "ok"},
		{"HTTP/1.1K", with(get(URL{Path: "/agent", Regex: regex(Regex{Pattern: `^KeepAliveClient\|false\|keep-alive$`})}), func(c *Check) { c.HTTP.Version = HTTP11K }), "ok"},
		{"no HTTP", raw("220 mail\r\n"), "the answer is not HTTP"},
		{"nothing at all", raw(""), "the server has closed the connection"},
		{"half a body", raw("HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "the server has closed the connection"},
		{"an endless head", raw("HTTP/1.0 200 OK\r\n" + strings.Repeat("A: b\r\n", 20000)), "the answer's head is longer than 65536 bytes"},
		{"a server that says nothing", with(get(URL{Path: "/"}), func(c *Check) {
			c.Endpoint, c.Timing.Timeout = at(serveTCP(t, silent)), 50*time.Millisecond
		}), "no answer in 50ms"},
		{"TLS", with(get(URL{Path: "/"}), func(c *Check) { c.Kind, c.Endpoint = KindSSL, at(secure.Listener) }), "ok"},
		{"TLS with another authority", with(get(URL{Path: "/"}), func(c *Check) {
			c.Kind, c.Endpoint, c.HTTP.TLS = KindSSL, at(secure.Listener), &TLS{CA: []byte("none")}
		}), "TLS handshake: x509: certificate signed by unknown authority"},
		{"TLS that says nothing", with(get(URL{Path: "/"}), func(c *Check) {
			c.Kind, c.Endpoint, c.Timing.Timeout = KindSSL, at(serveTCP(t, silent)), 50*time.Millisecond
		}), "TLS handshake: no answer in 50ms"},
		{"TLS to a server without", with(get(URL{Path: "/"}), func(c *Check) { c.Kind = KindSSL }), "TLS handshake: tls: first record does not look like a TLS handshake"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := ask(t, c.check); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestURLs: the url that failed is asked first, and all must be well.
func TestURLs(t *testing.T) {
	t.Parallel()
	var asked []string
	bad := "/b"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.URL.Path == bad {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	c := Check{Kind: KindHTTP, Endpoint: at(server.Listener), Timing: Timing{Timeout: time.Second}, HTTP: &HTTP{Version: HTTP10, URLs: []URL{{Path: "/a"}, {Path: "/b"}, {Path: "/c"}}}}
	a := newAsker(&c)
	for _, step := range []struct{ bad, want, reason string }{
		{"/b", "/a /b", "/b: HTTP status 404, wanted 200-299"},
		{"/b", "/b", "/b: HTTP status 404, wanted 200-299"},
		{"/a", "/b /c /a", "/a: HTTP status 404, wanted 200-299"},
		{"", "/a /b /c", ""},
	} {
		asked, bad = nil, step.bad
		r := question(t.Context(), a)
		if got := strings.Join(asked, " "); got != step.want || r.Reason != step.reason {
			t.Errorf("asked %s: %s; want %s: %s", got, r.Reason, step.want, step.reason)
		}
	}
}

func TestSNI(t *testing.T) {
	t.Parallel()
	names := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- h.ServerName
		return nil, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	for _, c := range []struct {
		http HTTP
		want string
	}{
		{HTTP{VirtualHost: "a.example.com"}, ""},
		{HTTP{VirtualHost: "a.example.com", SNI: true}, "a.example.com"},
		{HTTP{VirtualHost: "a.example.com", SNI: true, SNIName: "b.example.com"}, "b.example.com"},
	} {
		c.http.URLs = []URL{{Path: "/"}}
		if got := ask(t, Check{Kind: KindSSL, Endpoint: at(server.Listener), HTTP: &c.http}); got != "ok" {
			t.Error(got)
		}
		if got := <-names; got != c.want {
			t.Errorf("named %q, want %q", got, c.want)
		}
	}
}

// lines is a server that answers each line that it hears with the next of a list, after a greeting.
func lines(t *testing.T, greeting string, answers ...string) net.Listener {
	return serveTCP(t, func(c net.Conn) {
		_, _ = io.WriteString(c, greeting)
		r := bufio.NewReader(c)
		for _, answer := range answers {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
			_, _ = io.WriteString(c, answer)
		}
		_, _ = io.Copy(io.Discard, r)
	})
}

func TestSMTP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		server net.Listener
		want   string
	}{
		{"a mail server", lines(t, "220-two lines\r\n220 hello\r\n", "250 hi\r\n", "221 bye\r\n"), "ok"},
		{"one that is closed", lines(t, "554 go away\r\n"), "greeting: the answer is 554 go away"},
		{"one that refuses HELO", lines(t, "220 hello\r\n", "501 who?\r\n"), "HELO: the answer is 501 who?"},
		{"no mail server", lines(t, "HTTP/1.0 400 Bad Request\r\n"), `malformed MIME header: invalid response code: "HTTP/1.0 400 Bad Request"`},
	} {
		if got := ask(t, Check{Kind: KindSMTP, Endpoint: at(c.server), SMTP: &SMTP{}}); !strings.HasPrefix(got, c.want) && (c.name != "no mail server" || got == "ok") {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// serveUDP answers each datagram with what answer gives, unless that is nil.
func serveUDP(t *testing.T, answer func([]byte) []byte) Endpoint {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buffer := make([]byte, 65536)
		for {
			n, from, err := c.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			if reply := answer(buffer[:n]); reply != nil {
				_, _ = c.WriteToUDP(reply, from)
			}
		}
	}()
	return Endpoint{Addr: c.LocalAddr().(*net.UDPAddr).AddrPort()}
}

func TestDNS(t *testing.T) {
	t.Parallel()
	answerWith := func(code dnsmessage.RCode) func([]byte) []byte {
		return func(question []byte) []byte {
			var m dnsmessage.Message
			if err := m.Unpack(question); err != nil {
				return nil
			}
			if m.Questions[0].Name.String() != "example.com." || m.Questions[0].Type != dnsmessage.TypeMX {
				code = dnsmessage.RCodeRefused
			}
			m.Response, m.RCode = true, code
			reply, _ := m.Pack()
			return reply
		}
	}
	for _, c := range []struct {
		name   string
		answer func([]byte) []byte
		want   string
	}{
		{"an answer", answerWith(dnsmessage.RCodeSuccess), "ok"},
		{"a failure", answerWith(dnsmessage.RCodeServerFailure), "the answer is ServerFailure"},
		{"another question's answer", func([]byte) []byte { return make([]byte, 12) }, "no answer in 200ms"},
	} {
		got := ask(t, Check{Kind: KindDNS, Endpoint: serveUDP(t, c.answer), DNS: &DNS{Type: "MX", Name: "example.com"}, Timing: Timing{Timeout: 200 * time.Millisecond}})
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestUDP(t *testing.T) {
	t.Parallel()
	echo := func(b []byte) []byte { return b }
	mute := func([]byte) []byte { return nil }
	nobody := refusing(t)
	for _, c := range []struct {
		name string
		udp  UDP
		to   Endpoint
		want string
	}{
		{"no answer is fine", UDP{MaxReply: 255}, serveUDP(t, mute), "ok"},
		{"but not where one is wanted", UDP{Require: true, MaxReply: 255}, serveUDP(t, mute), "no answer in 100ms"},
		{"an answer", UDP{Payload: []byte{1, 2, 3}, Require: true, Reply: []byte{1, 0xf2}, ReplyMask: []byte{0xff, 0x0f}, MaxReply: 255}, serveUDP(t, echo), "ok"},
		{"a wrong one", UDP{Payload: []byte{1, 2, 3}, Require: true, Reply: []byte{1, 3}, MaxReply: 255}, serveUDP(t, echo), "byte 2 of the answer is 02, wanted 03"},
		{"a short one", UDP{Payload: []byte{1}, Require: true, MinReply: 2, MaxReply: 9}, serveUDP(t, echo), "the answer has 1 bytes, wanted 2 to 9"},
		{"nobody listens", UDP{MaxReply: 255}, nobody, "connection refused"},
	} {
		got := ask(t, Check{Kind: KindUDP, Endpoint: c.to, UDP: &c.udp, Timing: Timing{Timeout: 100 * time.Millisecond}})
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1", "::1"} {
		if got := ask(t, Check{Kind: KindPing, Endpoint: Endpoint{Addr: netip.AddrPortFrom(netip.MustParseAddr(address), 0)}}); got != "ok" {
			t.Errorf("%s: %s", address, got)
		}
	}
}

func TestMisc(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shell   string
		dynamic bool
		want    string
	}{
		{"exit 0", false, "ok"},
		{"echo broken; exit 1", false, "exit status 1, it said: broken"},
		{"exit 7", false, "exit status 7"},
		{"exit 1", true, "exit status 1"},
		{"exit 0", true, "ok"},
		{"exit 12", true, "ok, weight 10"},
		{"exit 2", true, "ok, weight 0"},
		{"sleep 60", true, "it ran for too long and was ended"},
	} {
		got := ask(t, Check{Kind: KindMisc, Misc: &Misc{Command: []string{"/bin/sh", "-c", c.shell}, User: "root", Dynamic: c.dynamic, Timeout: 2 * time.Second}})
		if got != c.want {
			t.Errorf("%s, dynamic %v: %s, want %s", c.shell, c.dynamic, got, c.want)
		}
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		file File
		want string
	}{
		{"0", File{}, "ok"},
		{"1\n", File{}, "PATH: the number is 1"},
		{"1", File{Reverse: true}, "ok"},
		{"3", File{Weight: 2}, "ok, weight 6"},
		{"-3", File{Weight: 1}, "ok, weight -3"},
		{"x", File{Weight: 1}, `PATH: "x" is not a number`},
		{"", File{Weight: 1}, "ok"},
	} {
		c.file.Path = filepath.Join(t.TempDir(), "number")
		if err := os.WriteFile(c.file.Path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got := ask(t, Check{Kind: KindFile, File: &c.file})
		if want := strings.ReplaceAll(c.want, "PATH", c.file.Path); got != want {
			t.Errorf("%q with %+v: %s, want %s", c.text, c.file, got, want)
		}
	}
}

func TestDialogs(t *testing.T) {
	t.Parallel()
	ldap := func(code byte) net.Listener {
		return serveTCP(t, func(c net.Conn) {
			request := make([]byte, 14)
			if _, err := io.ReadFull(c, request); err != nil {
				return
			}
			_, _ = c.Write([]byte{0x30, 0x0c, 0x02, 0x01, 1, 0x61, 0x07, 0x0a, 0x01, code, 0x04, 0x00, 0x04, 0x00})
			silent(c)
		})
	}
	for _, c := range []struct {
		name   string
		dialog Dialog
		server net.Listener
		want   string
	}{
		{"redis", Dialog{Protocol: "redis"}, lines(t, "", "+PONG\r\n"), "ok"},
		{"redis that wants a password", Dialog{Protocol: "redis"}, lines(t, "", "-NOAUTH Authentication required.\r\n"), `PING: the answer is "-NOAUTH Authentication required."`},
		{"redis with a password", Dialog{Protocol: "redis", Password: "s", Request: "GET x", Receive: "^1$"}, lines(t, "", "+OK\r\n", "$1\r\n1\r\n"), "ok"},
		{"imap", Dialog{Protocol: "imap", User: "u", Password: "p"}, lines(t, "* OK ready\r\n", "* CAPABILITY x\r\na1 OK done\r\n"), "ok"},
		{"imap, wrong password", Dialog{Protocol: "imap", User: "u", Password: "p"}, lines(t, "* OK ready\r\n", "a1 NO no\r\n"), `LOGIN: the answer is "NO no"`},
		{"pop", Dialog{Protocol: "pop", User: "u", Password: "p"}, lines(t, "+OK\r\n", "+OK\r\n", "+OK\r\n"), "ok"},
		{"pop, wrong password", Dialog{Protocol: "pop", User: "u", Password: "p"}, lines(t, "+OK\r\n", "+OK\r\n", "-ERR no\r\n"), `PASS: the answer is "-ERR no"`},
		{"ftp", Dialog{Protocol: "ftp", User: "u", Password: "p"}, lines(t, "220-a\r\n220 b\r\n", "331 pass\r\n", "230 in\r\n"), "ok"},
		{"ftp that is full", Dialog{Protocol: "ftp"}, lines(t, "421 full\r\n"), `greeting: the answer is "421 full"`},
		{"ldap", Dialog{Protocol: "ldap"}, ldap(0), "ok"},
		{"ldap that refuses", Dialog{Protocol: "ldap"}, ldap(49), "bind: the result is 49"},
		{"no ldap", Dialog{Protocol: "ldap"}, lines(t, "220 hello, this is mail\r\n"), "the answer is not LDAP"},
		{"simple", Dialog{Protocol: "simple", Request: "are you there?\n", Receive: "^y.s"}, lines(t, "", "yes\n"), "ok"},
		{"simple, and not as wanted", Dialog{Protocol: "simple", Request: "are you there?\n", Receive: "^yes"}, lines(t, "", "no\n"), `the answer "no\n" does not match "^yes"`},
		{"a server that closes", Dialog{Protocol: "pop"}, serveTCP(t, func(net.Conn) {}), "the server has closed the connection"},
		{"a line break in a password", Dialog{Protocol: "pop", User: "u\r\nDELE 1"}, lines(t, "+OK\r\n"), "a line break in what is to be said"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, Check{Kind: KindDialog, Endpoint: at(c.server), Dialog: &c.dialog, Timing: Timing{Timeout: 2 * time.Second}})
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
