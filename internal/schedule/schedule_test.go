package schedule

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"drover/internal/lvs"
)

func TestNames(t *testing.T) {
	if diff := cmp.Diff([]string{"rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "fo", "ovf", "lblc", "lblcr", "twos"}, Names()); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
	for _, name := range Names() {
		if _, ok := New(name, 0); !ok || !Known(name) {
			t.Errorf("New(%q) gives %t, Known %t", name, ok, Known(name))
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, name := range []string{"random", "RR", ""} {
		if s, ok := New(name, 0); ok || s != nil || Known(name) {
			t.Errorf("New(%q) gives %t, Known %t", name, ok, Known(name))
		}
	}
}

// TestUsable changes and asks every scheduler at random: no unusable server is ever picked, but for lblc, which
// stays with one at its upper threshold; and only the hash schedulers and ovf may refuse while there is a
// usable one.
func TestUsable(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				flags := rapid.SampledFrom([]lvs.ServiceFlags{0, lvs.SchedFlag1, lvs.SchedFlag2}).Draw(t, "flags")
				s, _ := New(name, flags)
				var servers []Server
				for range rapid.IntRange(1, 30).Draw(t, "changes") {
					servers = change(t, s, servers)
					for range 5 {
						checkPick(t, name, s, servers)
					}
				}
			})
		})
	}
}

// change adds, edits or deletes one server, as drawn, and gives the new list.
func change(t *rapid.T, s Scheduler, before []Server) []Server {
	after := slices.Clone(before)
	weight := rapid.Int32Range(0, 4).Draw(t, "weight")
	at := rapid.IntRange(-2, len(before)-1).Draw(t, "changed")
	switch {
	case at < 0:
		addr := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), uint16(rapid.IntRange(1, 1<<16-1).Draw(t, "port")))
		if slices.ContainsFunc(before, func(s Server) bool { return s.Addr == addr }) {
			return before
		}
		after = slices.Insert(after, 0, Server{Addr: addr}.Reweigh(weight))
	case rapid.Bool().Draw(t, "delete"):
		after = slices.Delete(after, at, at+1)
	default:
		after[at] = after[at].Reweigh(weight)
	}
	s.Changed(before, after)
	return after
}

func checkPick(t *rapid.T, name string, s Scheduler, servers []Server) {
	for i := range servers {
		servers[i].Overloaded = rapid.Bool().Draw(t, "overloaded")
		servers[i].Active = rapid.Uint32Range(0, 3).Draw(t, "active")
	}
	client := netip.AddrFrom4([4]byte{198, 51, 100, rapid.Byte().Draw(t, "client")})
	p := Packet{Client: netip.AddrPortFrom(client, 1024), Virtual: netip.MustParseAddrPort("192.0.2.1:80")}
	i, ok := s.Pick(servers, p)
	if ok && !servers[i].usable() && (name != "lblc" || servers[i].Weight == 0) {
		t.Fatalf("picked %d of %+v", i, servers)
	}
	mayRefuse := slices.Contains([]string{"sh", "dh", "mh", "ovf"}, name)
	if !ok && !mayRefuse && slices.ContainsFunc(servers, Server.usable) {
		t.Fatalf("refused with %+v", servers)
	}
}

// list gives servers with these weights, the first at the head.
func list(weights ...int32) []Server {
	servers := make([]Server, 0, len(weights))
	for i, w := range weights {
		addr := netip.MustParseAddrPort(fmt.Sprintf("203.0.113.%d:80", i+1))
		servers = append(servers, Server{Addr: addr}.Reweigh(w))
	}
	return servers
}
