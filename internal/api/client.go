package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/sys/unix"

	"drover/internal/director"
)

// ErrNotRunning says that no director answers on the socket.
var ErrNotRunning = errors.New("no director is running in this network namespace")

// A Client asks a director.
type Client struct {
	http *http.Client
}

// NewClient gives a client of the director behind a socket.
func NewClient(path string) *Client {
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// Status gives all that the director knows. Its and the other methods' error is ErrNotRunning without a director.
func (c *Client) Status(ctx context.Context) (*director.Snapshot, error) {
	s := &director.Snapshot{}
	err := c.do(ctx, "GET", "/v1/status", nil, s)
	return s, err
}

// Events gives what has happened after the event numbered seq; with wait, once there is something, or after a while.
func (c *Client) Events(ctx context.Context, seq uint64, wait bool) ([]director.Event, error) {
	query := url.Values{"after": {strconv.FormatUint(seq, 10)}, "wait": {strconv.FormatBool(wait)}}
	var events []director.Event
	err := c.do(ctx, "GET", "/v1/events?"+query.Encode(), nil, &events)
	return events, err
}

// Override sets or clears overrides, and gives the servers whose they are.
func (c *Client) Override(ctx context.Context, o OverrideRequest) ([]director.ServerID, error) {
	var servers []director.ServerID
	err := c.do(ctx, "PUT", "/v1/override", o, &servers)
	return servers, err
}

// Reload has the director read its configuration again.
func (c *Client) Reload(ctx context.Context) error {
	return c.do(ctx, "POST", "/v1/reload", struct{}{}, &struct{}{})
}

func (c *Client) do(ctx context.Context, method, path string, body, result any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://director"+path, content)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return ErrNotRunning
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		e := &Error{Status: response.StatusCode}
		if err := json.NewDecoder(response.Body).Decode(e); err != nil || e.Message == "" {
			return fmt.Errorf("%s %s: %s", method, path, response.Status)
		}
		return e
	}
	return json.NewDecoder(response.Body).Decode(result)
}
