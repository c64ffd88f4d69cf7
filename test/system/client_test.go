package system

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"time"

	"drover/internal/lab"
)

const megabyte = 1 << 20

// The ports of the lab's servers.
const (
	httpPort = 80
	echoPort = 53
)

// dial connects from a thread in the client's namespace, to a literal address.
func (c *cluster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := c.Do(lab.Client, func() (err error) {
		conn, err = (&net.Dialer{Timeout: limit}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// client is an HTTP client in the client's namespace, with a connection for each request.
func (c *cluster) client(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{DialContext: c.dial, DisableKeepAlives: true},
	}
}

// ask sends a request and gives the server that answered, and the body.
func (c *cluster) ask(method, url string, body []byte) (server string, answer []byte, err error) {
	request, err := http.NewRequestWithContext(c.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	response, err := c.client(limit).Do(request)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, answer)
	}
	return response.Header.Get(lab.ServerHeader), answer, err
}

// url is that of the HTTP service on the VIP.
func (c *cluster) url(f lab.Family, path string) string {
	return "http://" + c.vip(f, httpPort) + path
}

// download fetches n bytes and compares them with what the servers send.
func (c *cluster) download(f lab.Family, n int) (server string, err error) {
	server, got, err := c.ask(http.MethodGet, c.url(f, fmt.Sprintf("/bytes/%d", n)), nil)
	if err == nil && sha256.Sum256(got) != sha256.Sum256(pattern(n)) {
		err = fmt.Errorf("%d bytes from %s are not the %d that it sent", len(got), server, n)
	}
	return server, err
}

// upload sends n random bytes; the server answers with their sum.
func (c *cluster) upload(f lab.Family, n int) (server string, err error) {
	body := random(n)
	server, got, err := c.ask(http.MethodPost, c.url(f, "/"), body)
	if want := sumOf(body); err == nil && string(got) != want {
		err = fmt.Errorf("%s got %q, we sent %q", server, got, want)
	}
	return server, err
}

// transfer moves a megabyte each way and gives the bytes in a second, both together.
func (c *cluster) transfer(f lab.Family) (rate float64, err error) {
	begin := time.Now()
	if _, err := c.download(f, megabyte); err != nil {
		return 0, fmt.Errorf("download: %w", err)
	}
	if _, err := c.upload(f, megabyte); err != nil {
		return 0, fmt.Errorf("upload: %w", err)
	}
	return 2 * megabyte / time.Since(begin).Seconds(), nil
}

// servers asks n times and gives who answered, each once.
func (c *cluster) servers(f lab.Family, n int) []string {
	c.t.Helper()
	var names []string
	for range n {
		server, _, err := c.ask(http.MethodGet, c.url(f, "/"), nil)
		if err != nil {
			c.t.Fatal(err)
		}
		names = append(names, server)
	}
	return serverNames(names)
}

// echo sends a datagram from a new socket and gives the answer, "rs1 text".
func (c *cluster) echo(f lab.Family, text string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Second)
	defer cancel()
	conn, err := c.dial(ctx, "udp", c.vip(f, echoPort))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	answer := make([]byte, 1500)
	_, errWrite := conn.Write([]byte(text))
	n, err := 0, errors.Join(errWrite, conn.SetDeadline(deadline))
	if err == nil {
		n, err = conn.Read(answer)
	}
	return string(answer[:n]), err
}

// pattern is what GET /bytes/N of a lab's servers gives.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// sumOf is what POST / of a lab's servers answers.
func sumOf(body []byte) string { return fmt.Sprintf("%x %d\n", sha256.Sum256(body), len(body)) }

// prefix writes an address with the length of a single host's.
func prefix(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }
