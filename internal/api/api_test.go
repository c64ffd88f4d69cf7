package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"drover/internal/checker"
	"drover/internal/config"
	"drover/internal/director"
	"drover/internal/lvs"
)

// TestRoutes holds the description against what is answered.
func TestRoutes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var described struct {
		Paths map[string]map[string]struct{ Summary string }
	}
	if err := json.Unmarshal(text, &described); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for path, methods := range described.Paths {
		for method, what := range methods {
			want = append(want, strings.ToUpper(method)+" "+path)
			if what.Summary == "" {
				t.Errorf("%s %s has no summary", method, path)
			}
		}
	}
	for _, r := range routes {
		got = append(got, r.pattern)
		if change := !strings.HasPrefix(r.pattern, "GET "); r.change != change {
			t.Errorf("%s: change is %v", r.pattern, r.change)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-described +answered):\n%s", diff)
	}
}

// noTable is a data path that takes everything.
type noTable struct{}

func (noTable) Begin() error  { return nil }
func (noTable) Commit() error { return nil }
func (noTable) Service(lvs.ServiceKey) (lvs.ServiceState, error) {
	return lvs.ServiceState{}, lvs.ErrNoService
}
func (noTable) AddService(lvs.Service) error                           { return nil }
func (noTable) EditService(lvs.Service) error                          { return nil }
func (noTable) DeleteService(lvs.ServiceKey) error                     { return nil }
func (noTable) AddDestination(lvs.ServiceKey, lvs.Destination) error   { return nil }
func (noTable) EditDestination(lvs.ServiceKey, lvs.Destination) error  { return nil }
func (noTable) DeleteDestination(lvs.ServiceKey, netip.AddrPort) error { return nil }
func (noTable) SetTimeouts(lvs.Timeouts) error                         { return nil }
func (noTable) Flush() error                                           { return nil }
func (noTable) Close() error                                           { return nil }

// serve runs a director of one virtual server with its API, and gives a client.
func serve(t *testing.T) (*Client, string, *error) {
	t.Helper()
	addr := netip.MustParseAddrPort("198.51.100.11:80")
	c := &config.Config{File: "k.conf", VirtualServers: []config.VirtualServer{{
		Name: "[192.0.2.1]:tcp:80", Quorum: 1, Template: lvs.Service{Scheduler: "rr"},
		Services: []lvs.ServiceKey{{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80"), Family: lvs.IPv4}},
		RealServers: []config.RealServer{{
			Name: "[198.51.100.11]:tcp:80", Destination: lvs.Destination{Addr: addr, Weight: 3},
			Checks: []checker.Check{{Kind: checker.KindTCP, Endpoint: checker.Endpoint{Addr: addr}, Timing: checker.Timing{Delay: time.Hour, Warmup: time.Hour, Timeout: time.Second}}},
		}},
	}}}
	var refuse error
	d := director.New(director.Options{
		Load: func() (*config.Config, error) { return c, refuse },
		Open: func() (director.Table, error) { return noTable{}, nil },
		Log:  slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 2)
	go func() { ended <- d.Run(ctx, func() { close(ready) }, func() {}) }()
	<-ready
	path := filepath.Join(t.TempDir(), "sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- Serve(ctx, l, (&Server{Director: d, Version: "1"}).Handler()) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return NewClient(path), path, &refuse
}

func TestClient(t *testing.T) {
	t.Parallel()
	client, path, refuse := serve(t)
	ctx := t.Context()
	status, err := client.Status(ctx)
	if err != nil || len(status.VirtualServers) != 1 || status.VirtualServers[0].Servers[0].Weight != 3 {
		t.Fatalf("status %+v, %v", status, err)
	}
	weight, no := int32(7), true
	servers, err := client.Override(ctx, OverrideRequest{ServerQuery: director.ServerQuery{RealServer: "198.51.100.11"}, Weight: &weight, Reason: "why"})
	if diff := cmp.Diff([]director.ServerID{{VirtualServer: "[192.0.2.1]:tcp:80", RealServer: "[198.51.100.11]:tcp:80"}}, servers); diff != "" || err != nil {
		t.Errorf("override: %v (-want +got):\n%s", err, diff)
	}
	if status, err = client.Status(ctx); err != nil || status.VirtualServers[0].Servers[0].Weight != 7 || status.VirtualServers[0].Servers[0].Override.By != "root" {
		t.Errorf("after an override: %+v, %v", status.VirtualServers[0].Servers[0], err)
	}
	for name, bad := range map[string]OverrideRequest{
		"no such real server in the configuration": {ServerQuery: director.ServerQuery{RealServer: "198.51.100.99"}, Disabled: &no},
		"real_server is empty":                     {},
	} {
		if _, err := client.Override(ctx, bad); err == nil || err.Error() != name {
			t.Errorf("a wrong override: %v, want %s", err, name)
		}
	}
	if err := client.Reload(ctx); err != nil {
		t.Error(err)
	}
	*refuse = errors.New("k.conf:3: nonsense")
	if err := client.Reload(ctx); err == nil || err.Error() != "k.conf:3: nonsense" {
		t.Errorf("a bad reload: %v", err)
	}
	events, err := client.Events(ctx, 0, false)
	if err != nil || len(events) < 3 {
		t.Errorf("events %v, %v", events, err)
	}
	waited, err := client.Events(ctx, events[len(events)-2].Seq, true)
	if err != nil || len(waited) != 1 {
		t.Errorf("the last event: %v, %v", waited, err)
	}
	if _, err := Listen(path); !errors.Is(err, ErrRunning) {
		t.Errorf("a second director: %v", err)
	}
	if _, err := NewClient(path + ".none").Status(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no director: %v", err)
	}
}

// TestPeers: who is not root may look, and change nothing.
func TestPeers(t *testing.T) {
	t.Parallel()
	_, path, _ := serve(t)
	d := director.New(director.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	handler := (&Server{Director: d}).Handler()
	l, err := net.Listen("unix", path+".2")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, peer{uid: 65534, known: true})
	}}
	go server.Serve(l) //nolint:errcheck // it ends
	defer server.Close()
	client := NewClient(path + ".2")
	if err := client.Reload(ctx); err == nil || !strings.HasPrefix(err.Error(), "only root") {
		t.Errorf("a reload by nobody: %v", err)
	}
}

// TestMetrics: their names and forms are as Prometheus wants them.
func TestMetrics(t *testing.T) {
	t.Parallel()
	client, _, _ := serve(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://director/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if !strings.Contains(string(text), `drover_real_server_weight{rs="[198.51.100.11]:tcp:80",service="[192.0.2.1]:tcp:80"} 3`) {
		t.Errorf("no weight in:\n%s", text)
	}
}

var _ prometheus.Collector = collector{}
