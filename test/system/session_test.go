package system

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"drover/internal/lab"
)

// A session is one TCP connection on which HTTP requests follow each other.
type session struct {
	conn   net.Conn
	reader *bufio.Reader
	server string // who answered the first
}

// open connects and asks once.
func (c *cluster) open(ctx context.Context, f lab.Family) (*session, error) {
	conn, err := c.dial(ctx, "tcp", c.vip(f, httpPort))
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, reader: bufio.NewReader(conn)}
	if err := s.post(100); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// post sends n random bytes and compares the sum that the server answers; the server must be the one
// that the connection began with.
func (s *session) post(n int) error {
	body := random(n)
	request, err := http.NewRequest(http.MethodPost, "http://vip/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	if err := s.conn.SetDeadline(time.Now().Add(limit / 2)); err != nil {
		return err
	}
	if err := request.Write(s.conn); err != nil {
		return err
	}
	response, err := http.ReadResponse(s.reader, request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if want := sumOf(body); string(got) != want {
		return fmt.Errorf("answer %q, want %q", got, want)
	}
	name := response.Header.Get(lab.ServerHeader)
	if s.server == "" {
		s.server = name
	}
	if s.server != name {
		return fmt.Errorf("answer of %s on a connection to %s", name, s.server)
	}
	return nil
}

// A stream is a long download that stands still until it is drained.
type stream struct {
	server string
	conn   net.Conn
	body   io.ReadCloser
	size   int64
	got    int64
	sum    [sha256.Size]byte
	hash   interface {
		io.Writer
		Sum([]byte) []byte
	}
}

// stream asks for so many bytes and reads the first few. The windows of TCP let only some megabytes
// more leave the server.
func (c *cluster) stream(f lab.Family, size int) (*stream, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", c.vip(f, httpPort))
	if err != nil {
		return nil, err
	}
	s := &stream{conn: conn, size: int64(size), sum: sha256.Sum256(pattern(size)), hash: sha256.New()}
	request, err := http.NewRequest(http.MethodGet, c.url(f, fmt.Sprintf("/bytes/%d", size)), nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	err = errors.Join(conn.SetDeadline(time.Now().Add(limit)), request.Write(conn))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 4096), request)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s.server, s.body = response.Header.Get(lab.ServerHeader), response.Body
	s.got, err = io.CopyN(s.hash, s.body, 1<<16)
	return s, err
}

// drain reads on until the end, an error, or until nothing has come for so long: then the error is
// os.ErrDeadlineExceeded, and it may be called again. At the end the bytes are compared.
func (s *stream) drain(silence time.Duration) error {
	buffer := make([]byte, 1<<16)
	for s.got < s.size {
		if err := s.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		n, err := s.body.Read(buffer)
		s.got += int64(n)
		if _, err := s.hash.Write(buffer[:n]); err != nil {
			return err
		}
		if err != nil && s.got < s.size {
			return err
		}
	}
	if [sha256.Size]byte(s.hash.Sum(nil)) != s.sum {
		return errors.New("the bytes are not those that were sent")
	}
	return nil
}
