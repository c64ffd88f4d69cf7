package datapath

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// counts adds up what the counters of a service must say.
type counts struct{ lvs.Stats }

func (c *counts) in(t *testing.T, s ipPacket) []byte {
	t.Helper()
	c.InPkts++
	c.InBytes += uint64(len(s.packet(t)))
	return s.frame(t)
}

func (c *counts) out(t *testing.T, s ipPacket) []byte {
	t.Helper()
	c.OutPkts++
	c.OutBytes += uint64(len(s.packet(t)))
	return s.frame(t)
}

// TestServerGone deletes a server that has a connection, and adds it again: its packets are dropped
// meanwhile, and go on to it then, as with ip_vs's destination trash.
func TestServerGone(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for forwarding, port := range forwardings {
			key, name := f.service(p, port), forwarding.String()
			server := f.destination(port, forwarding, 1)
			if forwarding == lvs.Masquerade {
				server = f.destination(serverPort, forwarding, 1)
			}
			sum := &counts{lvs.Stats{Conns: 1}}
			in := f.request(p, port)
			r.wants(name+", first", r.front, sum.in(t, in), xdpRedirect, f.toServer(in, forwarding).frame(t))
			in.flags = "A"
			r.wants(name+", second", r.front, sum.in(t, in), xdpRedirect, f.toServer(in, forwarding).frame(t))
			r.wantsCounters(name, key, sum.Stats, sum.Stats)

			check(t, r.table.DeleteDestination(key, server.Addr))
			r.counted(map[string]uint64{"drop server_gone": 1}, func() { r.drops(name+", gone", r.front, in.frame(t)) })
			syn := f.otherClient(p, port)
			r.wants(name+", new client", r.front, syn.frame(t), xdpRedirect, f.answer(t, syn, f.unreachable).frame(t))

			check(t, r.table.AddDestination(key, server))
			in.payload = pattern(777)
			r.wants(name+", back", r.front, sum.in(t, in), xdpRedirect, f.toServer(in, forwarding).frame(t))
			if forwarding == lvs.Masquerade {
				reply := f.reply(p)
				r.wants(name+", reply", r.back, sum.out(t, reply), xdpRedirect, f.toClient(reply).frame(t))
			}
			r.wantsCounters(name+", back", key, sum.Stats, sum.Stats)
		}
	})
}

// wantsCounters compares the counters of a service and of its one server.
func (r *rig) wantsCounters(what string, key lvs.ServiceKey, service, server lvs.Stats) {
	r.t.Helper()
	states, err := r.table.Services()
	check(r.t, err)
	type row struct{ Service, Server lvs.Stats }
	var got []row
	for _, s := range states {
		if s.ServiceKey == key {
			got = append(got, row{s.Stats, s.Destinations[0].Stats})
		}
	}
	if diff := cmp.Diff([]row{{service, server}}, got); diff != "" {
		r.t.Errorf("%s: counters (-want +got):\n%s", what, diff)
	}
}

// TestServerGoneForGood: with expire_nodest_conn the connections and templates of a deleted server end by
// themselves; without it they wait for its return.
func TestServerGoneForGood(t *testing.T) {
	for value, want := range map[string]int{"0": 2, "1": 0} {
		t.Run(value, func(t *testing.T) {
			r := newRig(t, 1<<10)
			r.tune("expire_nodest_conn", value)
			key := lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.100:80"), Family: lvs.IPv4}
			server := lvs.Destination{Addr: realServer(1, lvs.IPv4), Forwarding: lvs.Masquerade, Weight: 1}
			must(t, r.table.AddService(lvs.Service{ServiceKey: key, Scheduler: "rr", Flags: lvs.Persistent, Timeout: time.Minute}))
			must(t, r.table.AddDestination(key, server))
			f := flow{lvs.TCP, netip.MustParseAddrPort("203.0.113.9:40000"), key.Addr}
			if _, ok := r.connect(f); !ok {
				t.Fatal("no connection")
			}
			r.establish(f)
			must(t, r.table.DeleteDestination(key, server.Addr))
			for range 8 {
				r.turn(1000)
			}
			left, err := r.table.Connections()
			must(t, err)
			if len(left) != want {
				t.Errorf("%d connections and templates are left, want %d: %+v", len(left), want, left)
			}
		})
	}
}
