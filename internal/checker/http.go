package checker

import (
	"bufio"
	"context"
	"crypto/md5" //nolint:gosec // keepalived's digests are MD5
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// Bounds on what a server may send, bytes.
const (
	maxHead  = 64 << 10
	maxMatch = 1 << 20  // of a body that a regular expression is to match; the rest is not looked at
	maxBody  = 64 << 20 // of a body that is read for its digest, or to its end
)

// httpAsker is HTTP_GET and SSL_GET. Each time it asks for all urls, those that failed last first: the server is up when
// all of them are as wanted.
type httpAsker struct {
	check *Check
	first int // the url to begin with
}

func (a *httpAsker) ask(ctx context.Context) (int, bool, error) {
	urls := a.check.HTTP.URLs
	for i := range urls {
		at := (a.first + i) % len(urls)
		if err := a.askURL(ctx, &urls[at]); err != nil {
			a.first = at
			if len(urls) > 1 {
				err = fmt.Errorf("%s: %w", urls[at].Path, err)
			}
			return 0, false, err
		}
	}
	a.first = 0
	return 0, false, nil
}

func (a *httpAsker) askURL(ctx context.Context, u *URL) error {
	status, body, err := a.check.get(ctx, u)
	if err != nil {
		return err
	}
	return u.judge(status, body)
}

// A body is what is known of an answer's.
type body struct {
	digest string // MD5, 32 hexadecimal digits
	head   []byte // up to maxMatch bytes
}

// judge holds an answer against what is wanted of it.
func (u *URL) judge(status int, b body) error {
	wanted := u.Status
	if len(wanted) == 0 && u.Digest == "" && u.Regex == nil {
		wanted = []StatusRange{{200, 299}}
	}
	if len(wanted) > 0 && !inRanges(wanted, status) {
		return fmt.Errorf("HTTP status %d, wanted %s", status, rangesText(wanted))
	}
	if u.Digest != "" && b.digest != u.Digest {
		return fmt.Errorf("the body's MD5 is %s, wanted %s", b.digest, u.Digest)
	}
	if u.Regex != nil && !u.Regex.holds(b.head) {
		return fmt.Errorf("the body %s %q", word(u.Regex.Not, "matches", "does not match"), u.Regex.Pattern)
	}
	return nil
}

func word(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func inRanges(ranges []StatusRange, status int) bool {
	for _, r := range ranges {
		if status >= r.From && status <= r.To {
			return true
		}
	}
	return false
}

func rangesText(ranges []StatusRange) string {
	var words []string
	for _, r := range ranges {
		if r.From == r.To {
			words = append(words, strconv.Itoa(r.From))
		} else {
			words = append(words, fmt.Sprintf("%d-%d", r.From, r.To))
		}
	}
	return strings.Join(words, " ")
}

// get asks for a page on a connection of its own.
func (c *Check) get(ctx context.Context, u *URL) (status int, b body, err error) {
	conn, err := c.dial(ctx, "tcp")
	if err != nil {
		return 0, b, err
	}
	defer func() { _ = closeAtOnce(conn) }()
	stream := net.Conn(conn)
	if c.Kind == KindSSL {
		if stream, err = c.secure(ctx, conn, c.HTTP.TLS, c.serverName(u)); err != nil {
			return 0, b, err
		}
	}
	stream, release := c.converse(ctx, stream)
	defer release()
	if _, err := io.WriteString(stream, c.request(u)); err != nil {
		return 0, b, err
	}
	limited := &io.LimitedReader{R: stream, N: maxHead}
	reader := bufio.NewReaderSize(limited, 4096)
	response, err := http.ReadResponse(reader, &http.Request{Method: "GET"})
	if err != nil {
		return 0, b, explainHead(c, err, limited.N <= 0)
	}
	defer response.Body.Close()
	limited.N = maxBody
	b, err = c.readBody(response)
	return response.StatusCode, b, err
}

func explainHead(c *Check, err error, tooLong bool) error {
	var malformed textproto.ProtocolError
	switch {
	case tooLong:
		return fmt.Errorf("the answer's head is longer than %d bytes", maxHead)
	case errors.As(err, &malformed), strings.HasPrefix(err.Error(), "malformed"):
		return errors.New("the answer is not HTTP")
	}
	return c.explain(err)
}

// readBody reads a body to its end. A TLS connection that ends without saying so is taken for the body's end, as keepalived
// does, unless tls_compliant is set.
func (c *Check) readBody(response *http.Response) (body, error) {
	sum := md5.New() //nolint:gosec // see above
	head := &prefix{}
	_, err := io.Copy(io.MultiWriter(sum, head), io.LimitReader(response.Body, maxBody))
	if errors.Is(err, io.ErrUnexpectedEOF) && c.Kind == KindSSL && !c.HTTP.TLSCompliant && response.ContentLength < 0 {
		err = nil
	}
	if err != nil {
		return body{}, c.explain(err)
	}
	return body{digest: hex.EncodeToString(sum.Sum(nil)), head: head.bytes}, nil
}

// A prefix keeps the beginning of what is written to it.
type prefix struct{ bytes []byte }

func (p *prefix) Write(b []byte) (int, error) {
	p.bytes = append(p.bytes, b[:min(len(b), maxMatch-len(p.bytes))]...)
	return len(b), nil
}

// request is what keepalived sends.
func (c *Check) request(u *URL) string {
	version, connection := "1.0", ""
	switch c.HTTP.Version {
	case HTTP11:
		version, connection = "1.1", "Connection: close\r\n"
	case HTTP10C:
		connection = "Connection: close\r\n"
	case HTTP10K:
		connection = "Connection: keep-alive\r\n"
	case HTTP11K:
		version, connection = "1.1", "Connection: keep-alive\r\n"
	}
	host := c.virtualHost(u)
	if host == "" {
		host = c.Addr.Addr().WithZone("").String()
		if c.Addr.Addr().Is6() {
			host = "[" + host + "]"
		}
		if port := c.Addr.Port(); c.Kind == KindHTTP && port != 80 || c.Kind == KindSSL && port != 443 {
			host += ":" + strconv.Itoa(int(port))
		}
	}
	return "GET " + u.Path + " HTTP/" + version + "\r\nUser-Agent: KeepAliveClient\r\n" + connection + "Host: " + host + "\r\n\r\n"
}

func (c *Check) virtualHost(u *URL) string {
	if u.VirtualHost != "" {
		return u.VirtualHost
	}
	return c.HTTP.VirtualHost
}

// serverName is what TLS names, or empty.
func (c *Check) serverName(u *URL) string {
	switch {
	case !c.HTTP.SNI:
		return ""
	case c.HTTP.SNIName != "":
		return c.HTTP.SNIName
	}
	return c.virtualHost(u)
}

// Page asks for one page and gives its status and the MD5 of its body, 32 hexadecimal digits, as a url's digest has it.
func (c *Check) Page(ctx context.Context, u URL) (status int, digest string, err error) {
	status, b, err := c.get(ctx, &u)
	return status, b.digest, err
}
