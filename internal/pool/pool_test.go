package pool

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/config"
	"drover/internal/lvs"
)

// server makes a real server 198.51.100.N:80 of a weight.
func server(n byte, weight int32) config.RealServer {
	return config.RealServer{Destination: lvs.Destination{
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, n}), 80), Weight: weight, Forwarding: lvs.Masquerade,
	}}
}

func web(servers ...config.RealServer) *config.VirtualServer {
	return &config.VirtualServer{
		Services:    []lvs.ServiceKey{{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80"), Family: lvs.IPv4}},
		Template:    lvs.Service{Scheduler: "wrr"},
		Quorum:      1,
		RealServers: servers,
	}
}

// text gives destinations as "11=5 12=0".
func text(services []lvs.ServiceState) string {
	var words []string
	for _, d := range services[0].Destinations {
		a := d.Addr.Addr().As4()
		words = append(words, fmt.Sprintf("%d=%d", a[3], d.Weight))
	}
	return strings.Join(words, " ")
}

func (c Change) text() string {
	name := map[ChangeKind]string{
		ServerUp: "up", ServerDown: "down", WeightChanged: "weight", QuorumUp: "QUORUM", QuorumDown: "no quorum",
		SorryIn: "sorry", SorryOut: "not sorry",
	}[c.Kind]
	if c.Server >= 0 {
		name += fmt.Sprint(c.Server)
	}
	return name
}

func alive(states string) []Verdict {
	var verdicts []Verdict
	for _, c := range states {
		verdicts = append(verdicts, Verdict{Alive: c == '+'})
	}
	return verdicts
}

// TestPool walks pools through verdicts: "+" is a server that is alive, "-" one that is not.
func TestPool(t *testing.T) {
	t.Parallel()
	sorry := server(99, 1)
	inhibited := sorry
	inhibited.Inhibit = true
	type step struct {
		states, serves, changes string
	}
	for _, c := range []struct {
		name  string
		make  func() *config.VirtualServer
		steps []step
	}{
		{"servers leave and return", func() *config.VirtualServer { return web(server(11, 5), server(12, 3)) }, []step{
			{"++", "11=5 12=3", "QUORUM"},
			{"-+", "12=3", "down0"},
			{"--", "", "down1 no quorum"},
			{"+-", "11=5", "up0 QUORUM"},
			{"++", "11=5 12=3", "up1"},
		}},
		{"inhibit_on_failure", func() *config.VirtualServer {
			vs := web(server(11, 5), server(12, 3))
			vs.RealServers[0].Inhibit = true
			return vs
		}, []step{
			{"++", "11=5 12=3", "QUORUM"},
			{"-+", "11=0 12=3", "down0"},
			{"--", "11=0", "down1 no quorum"},
			{"+-", "11=5", "up0 QUORUM"},
		}},
		{"down from the start", func() *config.VirtualServer { return web(server(11, 1), server(12, 1)) }, []step{
			{"-+", "12=1", "QUORUM"},
		}},
		{"quorum of weights with hysteresis, and a sorry server", func() *config.VirtualServer {
			vs := web(server(11, 5), server(12, 3), server(13, 2))
			vs.Quorum, vs.Hysteresis, vs.Sorry = 6, 2, &sorry
			return vs
		}, []step{
			{"+++", "11=5 12=3 13=2", "QUORUM"},
			{"-++", "12=3 13=2", "down0"},
			{"--+", "99=1", "down1 no quorum sorry"},
			{"-++", "99=1", "up1"},
			{"+-+", "99=1", "up0 down1"}, // 7 are less than 6+2
			{"++-", "11=5 12=3", "up1 down2 QUORUM not sorry"},
			{"+--", "11=5", "down1"}, // 5 are not less than 6-2
			{"---", "99=1", "down0 no quorum sorry"},
		}},
		{"no quorum without a sorry server: who is alive goes on", func() *config.VirtualServer {
			vs := web(server(11, 1), server(12, 1))
			vs.Quorum = 2
			return vs
		}, []step{
			{"++", "11=1 12=1", "QUORUM"},
			{"+-", "11=1", "down1 no quorum"},
			{"--", "", "down0"},
		}},
		{"sorry_server_inhibit", func() *config.VirtualServer {
			vs := web(server(11, 1))
			vs.Sorry = &inhibited
			return vs
		}, []step{
			{"+", "11=1 99=0", "QUORUM"},
			{"-", "99=1", "down0 no quorum sorry"},
			{"+", "11=1 99=0", "up0 QUORUM not sorry"},
			{"-", "99=1", "down0 no quorum sorry"},
		}},
		{"inhibited servers stay beside the sorry server", func() *config.VirtualServer {
			vs := web(server(11, 1), server(12, 1))
			vs.RealServers[1].Inhibit = true
			vs.Quorum, vs.Sorry = 2, &sorry
			return vs
		}, []step{
			{"++", "11=1 12=1", "QUORUM"},
			{"-+", "12=0 99=1", "down0 no quorum sorry"},
		}},
		{"quorum and hysteresis in percent", func() *config.VirtualServer {
			vs := web(server(11, 1), server(12, 1), server(13, 1))
			vs.QuorumPercent, vs.HysteresisPercent, vs.Sorry = 60, 30, &sorry // 2 and 1
			return vs
		}, []step{
			{"++-", "99=1", "sorry"},
			{"+++", "11=1 12=1 13=1", "up2 QUORUM not sorry"},
			{"+--", "11=1", "down1 down2"},
			{"---", "99=1", "down0 no quorum sorry"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			vs := c.make()
			state := Begin(vs)
			for i, step := range c.steps {
				verdicts := alive(step.states)
				next, changes := Next(vs, state, verdicts)
				var words []string
				for _, change := range changes {
					words = append(words, change.text())
				}
				got := []string{step.states, text(Services(vs, next, verdicts)), strings.Join(words, " ")}
				if diff := cmp.Diff([]string{step.states, step.serves, step.changes}, got); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i, diff)
				}
				state = next
			}
		})
	}
}

// TestWeight gives one server of weight 10 each verdict.
func TestWeight(t *testing.T) {
	t.Parallel()
	number := func(n int) *int { return &n }
	number32 := func(n int32) *int32 { return &n }
	for _, c := range []struct {
		name    string
		verdict Verdict
		want    string
	}{
		{"as configured", Verdict{Alive: true}, "11=10"},
		{"a file's number is added", Verdict{Alive: true, Delta: -3}, "11=7"},
		{"never below 0", Verdict{Alive: true, Delta: -30}, "11=0"},
		{"never beyond what ip_vs takes from keepalived", Verdict{Alive: true, Delta: 1 << 20}, "11=65535"},
		{"misc_dynamic names it", Verdict{Alive: true, Absolute: number(3)}, "11=3"},
		{"both", Verdict{Alive: true, Absolute: number(3), Delta: 2}, "11=5"},
		{"slow start", Verdict{Alive: true, Ramp: 500}, "11=5"},
		{"slow start begins with 1", Verdict{Alive: true, Ramp: 1}, "11=1"},
		{"an override has the last word", Verdict{Alive: true, Delta: 5, Override: Override{Weight: number32(2)}}, "11=2"},
		{"but for servers that are down", Verdict{Override: Override{Weight: number32(2)}}, ""},
		{"disabled", Verdict{Alive: true, Override: Override{Disabled: true, Weight: number32(2)}}, "11=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			vs := web(server(11, 10))
			state, _ := Next(vs, Begin(vs), []Verdict{c.verdict})
			if got := text(Services(vs, state, []Verdict{c.verdict})); got != c.want {
				t.Errorf("serves %q, want %q", got, c.want)
			}
		})
	}
}

// TestGroup has services of one pool get its servers with their own ports, and of their own family.
func TestGroup(t *testing.T) {
	t.Parallel()
	vs := web(server(11, 1))
	vs.RealServers[0].Destination.Forwarding = lvs.DirectRoute
	vs.Services = append(vs.Services,
		lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.2:443"), Family: lvs.IPv4},
		lvs.ServiceKey{Mark: 7, Family: lvs.IPv4},
		lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("[2001:db8::1]:80"), Family: lvs.IPv6})
	verdicts := alive("+")
	state, _ := Next(vs, Begin(vs), verdicts)
	var got []string
	for _, s := range Services(vs, state, verdicts) {
		line := s.ServiceKey.String() + ":"
		for _, d := range s.Destinations {
			line += " " + d.Addr.String()
		}
		got = append(got, line)
	}
	want := []string{
		"TCP 192.0.2.1:80: 198.51.100.11:80",
		"TCP 192.0.2.2:443: 198.51.100.11:443",
		"FWM 7: 198.51.100.11:80",
		"TCP [2001:db8::1]:80:",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}
