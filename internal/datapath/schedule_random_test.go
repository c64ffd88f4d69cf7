package datapath

import (
	"encoding/binary"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"drover/internal/lvs"
	"drover/internal/schedule"
)

// A twin is a service in the data path beside the model of its scheduler. The model gets its list of
// servers by the test's own edits, and their connection counts from the listing.
type twin struct {
	*rig
	service lvs.Service
	model   schedule.Scheduler
	servers []schedule.Server // in the order that the scheduler walks, the newest first
	added   int               // addresses used so far: no server comes back from the trash
	open    []flow
	ports   uint16
	at      time.Duration // since the twin was made
	heavy   int32         // the largest weight that is drawn
	limit   uint32        // two servers of three have once or twice this as their upper threshold

	// countless: the scheduler does not look at connections, so that the list is read now and then only.
	countless bool
}

// newTwin makes the service of a VIP that no other twin had.
func newTwin(r *rig, t *rapid.T, serial uint32, scheduler string) *twin {
	family := rapid.SampledFrom([]lvs.Family{lvs.IPv4, lvs.IPv6}).Draw(t, "family")
	var vip netip.Addr
	if family == lvs.IPv4 {
		vip = netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(100, 250).Draw(t, "VIP"))})
	} else {
		b := netip.MustParseAddr("2001:db8:9::").As16()
		binary.BigEndian.PutUint32(b[12:], rapid.Uint32().Draw(t, "VIP"))
		vip = netip.AddrFrom16(b)
	}
	w := serviceTwin(r, t, lvs.Service{
		ServiceKey: lvs.ServiceKey{
			Protocol: lvs.TCP, Addr: netip.AddrPortFrom(vip, uint16(serial)), Family: family,
		},
		Scheduler: scheduler,
		Flags:     rapid.SampledFrom([]lvs.ServiceFlags{0, lvs.SchedFlag1, lvs.SchedFlag2, lvs.SchedFlag1 | lvs.SchedFlag2}).Draw(t, "flags"),
	})
	w.heavy = rapid.SampledFrom([]int32{2, 20, 1000}).Draw(t, "heavy")
	w.limit = rapid.SampledFrom([]uint32{0, 0, 1, 3}).Draw(t, "limit")
	return w
}

// fatal is what is needed of *testing.T and *rapid.T.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

func serviceTwin(r *rig, t fatal, s lvs.Service) *twin {
	w := &twin{rig: r, service: s, ports: 1024}
	w.model, _ = schedule.New(s.Scheduler, s.Flags)
	w.check(t, r.table.AddService(s))
	return w
}

func (w *twin) check(t fatal, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s %s: %v", w.service.Scheduler, w.service.Addr, err)
	}
}

// address is that of the n-th server that was ever added: 149 hosts, and then other ports of theirs.
func (w *twin) address(n int) netip.AddrPort {
	host := realServer(n%149-98, w.service.Family) // .2 to .150
	return netip.AddrPortFrom(host.Addr(), uint16(8000+n/149))
}

func (w *twin) add(t fatal, weight int32) {
	t.Helper()
	s := schedule.Server{Addr: w.address(w.added)}.Reweigh(weight)
	w.check(t, w.table.AddDestination(w.service.ServiceKey, lvs.Destination{
		Addr: s.Addr, Weight: weight, Forwarding: lvs.Masquerade, Upper: w.limit * uint32(w.added%3),
	}))
	w.added++
	w.changed(slices.Insert(slices.Clone(w.servers), 0, s))
}

func (w *twin) edit(t fatal, at int, weight int32) {
	t.Helper()
	after := slices.Clone(w.servers)
	after[at] = after[at].Reweigh(weight)
	w.check(t, w.table.EditDestination(w.service.ServiceKey, lvs.Destination{
		Addr: after[at].Addr, Weight: weight, Forwarding: lvs.Masquerade, Upper: w.limit * uint32(weight%3),
	}))
	w.changed(after)
}

func (w *twin) remove(t fatal, at int) {
	t.Helper()
	w.check(t, w.table.DeleteDestination(w.service.ServiceKey, w.servers[at].Addr))
	w.changed(slices.Delete(slices.Clone(w.servers), at, at+1))
}

func (w *twin) changed(after []schedule.Server) {
	w.model.Changed(w.servers, after)
	w.servers = after
}

// reschedule is ipvsadm -E: a scheduler that is new to the service begins anew, else it goes on.
func (w *twin) reschedule(t fatal, name string) {
	t.Helper()
	before := w.service.Scheduler
	w.service.Scheduler = name
	w.check(t, w.table.EditService(w.service))
	if name != before {
		w.model, _ = schedule.New(name, w.service.Flags)
		w.model.Changed(nil, w.servers)
	}
}

// connect opens a connection and compares who got it with whom the model picks.
func (w *twin) connect(t fatal, client netip.Addr) {
	t.Helper()
	w.ports++
	if !w.countless || w.limit != 0 || w.ports%100 == 0 {
		w.readCounts(t)
	}
	f := flow{protocol: lvs.TCP, from: netip.AddrPortFrom(client, w.ports), to: w.service.Addr}
	if w.service.Scheduler == "twos" {
		w.connectByChance(t, f)
		return
	}
	i, wantOK := w.model.Pick(w.servers, schedule.Packet{
		Client: f.from, Virtual: f.to, At: w.at, Deleted: w.deleted(),
	})
	var want netip.AddrPort
	if wantOK {
		want = w.servers[i].Addr
	}
	got, ok := w.rig.connect(f)
	if ok != wantOK || ok && got != want {
		t.Fatalf("%s: connection of %v went to %v (%t), the model says %v (%t), of %+v",
			w.service.Scheduler, client, got, ok, want, wantOK, w.servers)
	}
	if ok {
		w.open = append(w.open, f)
	}
}

// connectByChance gives the program and the model of twos the same random numbers; the connection itself has others.
func (w *twin) connectByChance(t fatal, f flow) {
	t.Helper()
	_, row, err := w.table.find(w.service.ServiceKey)
	w.check(t, err)
	draw := directorDraw{Block: row.Block, Random: [2]uint32{mathrand.Uint32(), mathrand.Uint32()}}
	slot, err := w.objects.DrawTwo.Run(&ebpf.RunOptions{Context: draw})
	w.check(t, err)
	i, wantOK := schedule.TwoChoices(w.servers, draw.Random[0], draw.Random[1])
	if wantOK != (slot != 0) || wantOK && w.table.list(row.Block)[i].slot() != slot {
		t.Fatalf("twos: %#x draw slot %d, the model says %d (%t), of %+v", draw.Random, slot, i, wantOK, w.servers)
	}
	got, ok := w.rig.connect(f)
	usable := slices.ContainsFunc(w.servers, func(s schedule.Server) bool { return s.Addr == got && s.Weight > 0 && !s.Overloaded })
	if ok != wantOK || ok && !usable {
		t.Fatalf("twos: connection went to %v (%t), of %+v", got, ok, w.servers)
	}
	if ok {
		w.open = append(w.open, f)
	}
}

// deleted gives the service's servers in the trash.
func (w *twin) deleted() []schedule.Server {
	_, row, _ := w.table.find(w.service.ServiceKey)
	var all []schedule.Server
	for slot, d := range w.table.dests.elements[:w.table.control.at(0).LastDest+1] {
		if !inTrash(&d) || d.Service != row.Id {
			continue
		}
		conns := w.table.destConns.at(uint32(slot)).Word
		all = append(all, schedule.Server{
			Addr: addrPort(d.Addr, d.Port, d.Family), Weight: int32(d.Weight),
			Active: activeConns(conns), Inactive: inactiveConns(conns),
		})
	}
	return all
}

// pass lets time pass.
func (w *twin) pass(milliseconds uint32) {
	w.rig.turn(milliseconds)
	w.at += time.Duration(milliseconds) * time.Millisecond
}

// readCounts takes the servers' connections from the listing, whose order is the model's.
func (w *twin) readCounts(t fatal) {
	t.Helper()
	state, err := w.table.Service(w.service.ServiceKey)
	w.check(t, err)
	var listed []schedule.Server
	for _, d := range state.Destinations {
		listed = append(listed, schedule.Server{
			Addr: d.Addr, Weight: d.Weight, Active: d.ActiveConns, Inactive: d.InactConns,
		})
	}
	if !slices.EqualFunc(w.servers, listed, sameServer) { // cmp.Diff is slow with a thousand
		same := cmp.Comparer(sameServer)
		t.Fatalf("%s: the list of servers (-want +got):\n%s", w.service.Scheduler, cmp.Diff(w.servers, listed, same))
	}
	_, row, err := w.table.find(w.service.ServiceKey)
	w.check(t, err)
	for i, e := range w.table.list(row.Block) {
		listed[i].LastWeight = w.servers[i].LastWeight
		listed[i].Overloaded = w.table.destConns.at(e.slot()).Word&connsOverload != 0
	}
	w.servers = listed
}

func sameServer(a, b schedule.Server) bool { return a.Addr == b.Addr && a.Weight == b.Weight }

// step does one thing, as drawn.
func (w *twin) step(t *rapid.T) {
	weight := rapid.Int32Range(0, w.heavy).Draw(t, "weight")
	at := -1
	if len(w.servers) > 0 {
		at = rapid.IntRange(0, len(w.servers)-1).Draw(t, "server")
	}
	switch what := rapid.IntRange(0, 19).Draw(t, "what"); {
	case what == 0:
		w.add(t, weight)
	case what == 1 && at >= 0:
		w.edit(t, at, weight)
	case what == 2 && len(w.servers) > 1:
		w.remove(t, at)
	case what == 3:
		w.reschedule(t, rapid.SampledFrom(schedule.Names()).Draw(t, "scheduler"))
	case what == 4:
		w.pass(rapid.SampledFrom([]uint32{1, 11_000, 61_000, 50_000_000, 90_000_000}).Draw(t, "milliseconds"))
		w.open = nil // some of them are over
	case what < 10 && len(w.open) > 0:
		f := w.open[rapid.IntRange(0, len(w.open)-1).Draw(t, "connection")]
		flags := rapid.SampledFrom([]byte{flagACK, flagFIN | flagACK, flagRST}).Draw(t, "flags")
		w.receive(w.front, f.frame(frontMAC, flags)) // dropped if its server is gone
	default:
		client := netip.AddrFrom4([4]byte{203, 0, 113, rapid.Byte().Draw(t, "client")})
		if w.service.Family == lvs.IPv6 {
			b := netip.MustParseAddr("2001:db8:1::").As16()
			binary.BigEndian.PutUint64(b[8:], rapid.Uint64().Draw(t, "client"))
			client = netip.AddrFrom16(b)
		}
		w.connect(t, client)
	}
}

// TestScheduleAsModelled: what the programs pick is what the models pick, under random lists, weights,
// flags, edits and connections.
func TestScheduleAsModelled(t *testing.T) {
	r := newRig(t, 1<<14)
	serial := uint32(0)
	for _, name := range schedule.Names() {
		rapid.Check(t, func(t *rapid.T) {
			r.expireAll() // also after a check that failed
			r.emptyTrash()
			serial++
			w := newTwin(r, t, serial, name)
			// Small lists are drawn more often than large ones.
			size := rapid.OneOf(rapid.IntRange(1, 8), rapid.IntRange(1, 200)).Draw(t, "servers")
			for range size {
				w.add(t, rapid.Int32Range(0, w.heavy).Draw(t, "weight"))
			}
			for range 60 {
				w.step(t)
			}
			if err := r.table.DeleteService(w.service.ServiceKey); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestScheduleOfAThousand: the same with 1,000 servers, each scheduler in turn.
func TestScheduleOfAThousand(t *testing.T) {
	r := newRig(t, 1<<14)
	r.tune("half_open_max", "100") // no client finishes its handshake
	vip := netip.MustParseAddrPort("192.0.2.100:80")
	w := serviceTwin(r, t, lvs.Service{
		ServiceKey: lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip, Family: lvs.IPv4}, Scheduler: "rr",
	})
	for i := range 1000 {
		w.add(t, int32(i*7%21))
	}
	for _, name := range schedule.Names() {
		w.reschedule(t, name)
		connections := 300
		if w.countless = slices.Contains([]string{"rr", "wrr", "sh", "dh", "mh", "fo"}, name); w.countless {
			connections = 2100 // more than twice round
		}
		for i := range connections {
			if i%500 == 0 {
				r.turn(1000) // for the limit of ICMP answers in a second
			}
			w.connect(t, netip.AddrFrom4([4]byte{203, 0, 113, byte(i * 31)}))
			if i%3 == 0 && len(w.open) > 0 {
				w.establish(w.open[len(w.open)-1])
			}
		}
		w.open = nil
	}
}
