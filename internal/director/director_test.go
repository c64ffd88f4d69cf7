package director

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/checker"
	"drover/internal/config"
	"drover/internal/lvs"
)

// A scene is a director over a fake data path. Its checks are asked so rarely that the test alone reports.
type scene struct {
	t      *testing.T
	config *config.Config
	refuse error // of the next load
	table  fakeTable
	store  Store
	router Router
	told   []Event

	director *Director
	stop     context.CancelFunc
	ended    chan error
}

func (s *scene) Set(*config.Config) {}
func (s *scene) Tell(e Event)       { s.told = append(s.told, e) }

// run starts a director, which begins with what the last has kept.
func (s *scene) run() {
	ctx, cancel := context.WithCancel(s.t.Context())
	s.stop = cancel
	s.ended = make(chan error, 1)
	s.told = nil
	s.director = New(Options{
		Load: func() (*config.Config, error) { return s.config, s.refuse },
		Open: func() (Table, error) { return &s.table, nil },
		Keep: s.store,
		Look: func(k lvs.ServiceKey) error {
			s.table.staged = s.table.services
			_, err := s.table.Service(k)
			return err
		},
		Router: s.router,
		Tell:   s,
		Log:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	go func() { s.ended <- s.director.Run(ctx, func() {}, func() {}) }()
	synctest.Wait()
}

// end ends the director as a signal does.
func (s *scene) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Errorf("the director ended with %v", err)
	}
}

// report has a server's check come to a verdict.
func (s *scene) report(server string, up bool) {
	s.t.Helper()
	found := false
	for key := range s.director.byCheck {
		if !strings.Contains(string(key), server) {
			continue
		}
		found = true
		state := checker.State{Up: up, HasRun: true, Since: time.Now(), Last: checker.Result{At: time.Now(), OK: up}}
		if !up {
			state.Failures, state.Last.Reason = 1, "connection refused"
		}
		s.director.report(checker.Report{Key: key, State: state, Changed: true})
	}
	if !found {
		s.t.Fatalf("no check of %s", server)
	}
	synctest.Wait()
}

func (s *scene) wants(when, want string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.table.String()); diff != "" {
		s.t.Errorf("%s: services (-want +got):\n%s", when, diff)
	}
}

func (s *scene) wantsTold(when string, want ...string) {
	s.t.Helper()
	var got []string
	for _, e := range s.told {
		if e.Kind != KindCheck {
			got = append(got, e.Message)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s: told (-want +got):\n%s", when, diff)
	}
	s.told = nil
}

// virtual makes a virtual server 192.0.2.N:80 with servers 198.51.100.X:80, each with a check that is never asked.
func virtual(n int, servers ...int) config.VirtualServer {
	vip := fmt.Sprintf("192.0.2.%d", n)
	vs := config.VirtualServer{
		Name:     fmt.Sprintf("[%s]:tcp:80", vip),
		Services: []lvs.ServiceKey{{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort(vip + ":80"), Family: lvs.IPv4}},
		Template: lvs.Service{Scheduler: "wrr"},
		Quorum:   1,
	}
	for _, x := range servers {
		addr := netip.MustParseAddrPort(fmt.Sprintf("198.51.100.%d:80", x))
		vs.RealServers = append(vs.RealServers, config.RealServer{
			Name:        fmt.Sprintf("[%s]:tcp:80", addr.Addr()),
			Destination: lvs.Destination{Addr: addr, Weight: 1, Forwarding: lvs.DirectRoute},
			Checks: []checker.Check{{
				Kind: checker.KindMisc, Misc: &checker.Misc{Command: []string{"/bin/true"}, Timeout: time.Second},
				Timing:   checker.Timing{Delay: 1e6 * time.Hour, Warmup: 1e6 * time.Hour, Timeout: time.Second},
				Endpoint: checker.Endpoint{Addr: addr},
			}},
		})
	}
	return vs
}

func newScene(t *testing.T, virtuals ...config.VirtualServer) *scene {
	return &scene{t: t, config: &config.Config{File: "test.conf", VirtualServers: virtuals}, store: Store{filepath.Join(t.TempDir(), "state"), "boot"}}
}

func TestServersLeaveAndReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11, 12))
		s.run()
		s.wants("at the start", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.12:80=1")
		s.wantsTold("at the start", "Gained quorum 1+0=1 <= 2 for VS [192.0.2.1]:tcp:80")
		s.report("198.51.100.12", false)
		s.wants("one failed", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1")
		s.wantsTold("one failed", "Removing service [198.51.100.12]:tcp:80 from VS [192.0.2.1]:tcp:80")
		s.report("198.51.100.12", true)
		s.wants("it came back", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.12:80=1")
		s.wantsTold("it came back", "Adding service [198.51.100.12]:tcp:80 to VS [192.0.2.1]:tcp:80")
		s.end()
		s.wants("after the end", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.12:80=1")
	})
}

// TestRestart: who was down stays down until it was asked, and nothing is touched that is right.
func TestRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11, 12))
		s.run()
		s.report("198.51.100.12", false)
		s.end()
		s.table.log = nil
		s.run()
		s.wants("after a restart", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1")
		if len(s.table.log) > 0 {
			t.Errorf("the restart changed the data path: %q", s.table.log)
		}
		s.wantsTold("after a restart")
		s.report("198.51.100.12", true)
		s.wants("it came back", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.12:80=1")
		s.end()
		s.store.Boot = "another"
		s.table = fakeTable{}
		s.run()
		s.wants("after a boot", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.12:80=1")
		s.end()
	})
}

func TestReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11, 12), virtual(2, 11))
		s.run()
		s.report("198.51.100.12", false)
		s.table.log, s.told = nil, nil

		s.refuse = errors.New("test.conf:3: nonsense")
		if err := s.director.Reload(t.Context()); err == nil {
			t.Error("a bad file was taken")
		}
		s.wantsTold("refused", "The configuration is refused: the one in force stays")
		s.refuse = nil

		changed := virtual(1, 11, 12, 13)
		changed.RealServers[1].Checks[0].Retry = 7 // another check of the server that is down
		s.config = &config.Config{File: "test.conf", VirtualServers: []config.VirtualServer{changed}}
		if err := s.director.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		s.wants("after the reload", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.13:80=1")
		want := []string{"delete TCP 192.0.2.2:80", "add TCP 192.0.2.1:80 198.51.100.13:80"}
		if diff := cmp.Diff(want, s.table.log); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		s.wantsTold("after the reload", "The configuration is in force: 1 virtual servers, 0 of them new, 1 gone")
		s.report("198.51.100.12", true)
		s.wants("it came back", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.13:80=1 198.51.100.12:80=1")
		s.end()
	})
}

// TestForeign: what ipvsadm has made is left alone, also a server in a service of ours.
func TestForeign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11, 12))
		other := lvs.Service{ServiceKey: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.9:80"), Family: lvs.IPv4}, Scheduler: "rr"}
		s.table.services = []lvs.ServiceState{{Service: other}}
		s.run()
		s.table.staged = s.table.services
		_ = s.table.AddDestination(s.config.VirtualServers[0].Services[0], lvs.Destination{Addr: netip.MustParseAddrPort("198.51.100.77:80"), Weight: 1})
		s.report("198.51.100.11", false)
		s.wants("one of ours failed", "TCP 192.0.2.9:80 rr:\nTCP 192.0.2.1:80 wrr: 198.51.100.12:80=1 198.51.100.77:80=1")
		s.end()
	})
}

// TestBrokenDataPath: a change that fails is tried again, whole.
func TestBrokenDataPath(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11, 12), virtual(2, 11))
		s.run()
		s.table.broken = errors.New("the maps are gone")
		s.report("198.51.100.11", false)
		s.report("198.51.100.12", false)
		snapshot, err := s.director.Snapshot(t.Context())
		if err != nil || snapshot.DataPathError != "the maps are gone" {
			t.Errorf("the snapshot says %q, %v", snapshot.DataPathError, err)
		}
		s.table.broken = nil
		time.Sleep(retryPause + 2*tick)
		s.wants("when it works again", "TCP 192.0.2.1:80 wrr:\nTCP 192.0.2.2:80 wrr:")
		s.end()
	})
}

// TestDataPathGone: what somebody has taken away is put back.
func TestDataPathGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11, 12), virtual(2, 11))
		s.run()
		s.report("198.51.100.12", false)
		s.table.services = nil
		time.Sleep(lookEvery + 2*tick)
		s.wants("later", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1\nTCP 192.0.2.2:80 wrr: 198.51.100.11:80=1")
		s.end()
	})
}

func TestOverride(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11, 12), virtual(2, 11))
		s.run()
		s.told = nil
		hour := time.Now().Add(time.Hour)
		ids, err := s.director.Set(t.Context(), ServerQuery{RealServer: "198.51.100.11"}, func(o Override) Override {
			o.Disabled, o.Reason, o.Until = true, "noon", hour
			return o
		})
		if err != nil || len(ids) != 2 {
			t.Errorf("set: %v, %v", ids, err)
		}
		s.wants("disabled", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=0 198.51.100.12:80=1\nTCP 192.0.2.2:80 wrr: 198.51.100.11:80=0")
		s.end()
		s.run()
		s.wants("after a restart", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=0 198.51.100.12:80=1\nTCP 192.0.2.2:80 wrr: 198.51.100.11:80=0")
		_, err = s.director.Set(t.Context(), ServerQuery{VirtualServer: "192.0.2.1:80", RealServer: "198.51.100.11:80"}, func(Override) Override { return Override{} })
		if err != nil {
			t.Error(err)
		}
		s.wants("cleared in one", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.12:80=1\nTCP 192.0.2.2:80 wrr: 198.51.100.11:80=0")
		time.Sleep(time.Hour + 2*tick)
		s.wants("when its time is up", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1 198.51.100.12:80=1\nTCP 192.0.2.2:80 wrr: 198.51.100.11:80=1")
		if _, err := s.director.Set(t.Context(), ServerQuery{RealServer: "198.51.100.99"}, func(o Override) Override { return o }); !errors.Is(err, ErrNoServer) {
			t.Errorf("a server that is not there: %v", err)
		}
		s.end()
	})
}

// TestSlowStart: a server that comes back gets its weight in steps.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vs := virtual(1, 11)
		vs.RealServers[0].Destination.Weight, vs.RealServers[0].SlowStart = 100, 10*time.Second
		s := newScene(t, vs)
		s.run()
		s.wants("at the start", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=100")
		s.report("198.51.100.11", false)
		s.report("198.51.100.11", true)
		s.wants("it came back", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=1")
		time.Sleep(5*time.Second + tick/2)
		s.wants("half-way", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=50")
		time.Sleep(6 * time.Second)
		s.wants("at its end", "TCP 192.0.2.1:80 wrr: 198.51.100.11:80=100")
		s.end()
	})
}

// TestMassFailure: when everything fails at once, the pools stay.
func TestMassFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11, 12, 13))
		s.config.Drover.MassFailureGuard = 60
		s.run()
		s.told = nil
		s.report("198.51.100.11", false)
		s.wants("one failed", "TCP 192.0.2.1:80 wrr: 198.51.100.12:80=1 198.51.100.13:80=1")
		s.report("198.51.100.12", false)
		s.report("198.51.100.13", false)
		s.wants("all failed", "TCP 192.0.2.1:80 wrr: 198.51.100.12:80=1 198.51.100.13:80=1 198.51.100.11:80=1")
		time.Sleep(time.Minute)
		s.report("198.51.100.11", true)
		s.report("198.51.100.12", true)
		s.wants("two came back", "TCP 192.0.2.1:80 wrr: 198.51.100.12:80=1 198.51.100.11:80=1")
		s.end()
	})
}

func TestFlushOnStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11))
		s.config.Global.FlushOnStop = config.FlushServers
		s.run()
		s.end()
		s.wants("after the end", "")
	})
}
