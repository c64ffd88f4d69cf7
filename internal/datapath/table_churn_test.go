package datapath

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"drover/internal/lvs"
	"drover/internal/schedule"
)

var churn = flag.Duration("churn", time.Minute, "how long TestTableUnderChurn runs; 5 s with -short")

// shortTimeouts end a connection within 5 to 15 turns of the timer.
func (r *rig) shortTimeouts() {
	control := r.table.control.at(0)
	control.Udp = 2
	for i := range control.Tcp {
		control.Tcp[i] = 1
	}
	control.Tcp[lvs.StateEstablished] = 3
}

// A sourceHashed service has one right server for each client, whatever else happens: a packet that goes
// to another was read from a wrong entry.
type sourceHashed struct {
	crewService
	model   schedule.Scheduler
	servers []schedule.Server

	// A connection by direct routing that finds the table full goes by another hash, of its addresses and
	// ports: to one more server, which is always the same. Here it is by flow, as seen first.
	without *sync.Map
}

// right tells whether a packet of the client may go to the server of that MAC.
func (s sourceHashed) right(f flow, mac []byte) bool {
	if bytes.Equal(mac, hostMAC(s.serverOf(f.from))) {
		return true
	}
	if s.forwarding != lvs.DirectRoute {
		return false
	}
	other, _ := s.without.LoadOrStore(f, string(mac))
	return other == string(mac) && slices.ContainsFunc(s.servers, func(server schedule.Server) bool {
		return bytes.Equal(mac, hostMAC(server.Addr))
	})
}

func (s sourceHashed) serverOf(client netip.AddrPort) netip.AddrPort {
	i, _ := s.model.Pick(s.servers, schedule.Packet{Client: client, Virtual: s.key.Addr})
	return s.servers[i].Addr
}

func hashed(s crewService) sourceHashed {
	h := sourceHashed{crewService: s, without: &sync.Map{}}
	for _, server := range s.servers {
		h.servers = append(h.servers, schedule.Server{Addr: server, Weight: 1})
	}
	h.model, _ = schedule.New("sh", 0)
	h.model.Changed(nil, h.servers)
	return h
}

// ask sends a client's packet, and checks where it goes. One that is not let in is dropped; TCP of no
// connection is passed.
func (w *worker) ask(s sourceHashed, client netip.AddrPort) error {
	flags := w.flags()
	f := flow{protocol: s.key.Protocol, from: client, to: s.key.Addr}
	verdict, out, err := w.inject(w.front, f.frame(frontMAC, flags))
	if err != nil {
		return err
	}
	switch verdict {
	case xdpDrop:
		return nil
	case xdpPass:
		if f.protocol == lvs.TCP && flags&flagSYN == 0 {
			return nil
		}
	case xdpRedirect:
		sent := f
		if s.forwarding == lvs.Masquerade {
			sent.to = s.serverOf(client)
		}
		if got, _ := flowOf(out); got == sent && s.right(f, out[:6]) {
			return nil
		}
	}
	return fmt.Errorf("packet %#x of %v: verdict %d, became %x", flags, f, verdict, out)
}

// answer sends the server's packet to a client, and checks that it comes from the VIP; one of no
// connection is passed.
func (w *worker) answer(s sourceHashed, client netip.AddrPort) error {
	f := s.reply(s.serverOf(client), client)
	verdict, out, err := w.inject(w.back, f.frame(backMAC, flagACK))
	if err != nil {
		return err
	}
	want := flow{protocol: f.protocol, from: s.key.Addr, to: client}
	switch got, _ := flowOf(out); {
	case verdict == xdpPass && got == f, verdict == xdpRedirect && got == want && bytes.Equal(out[:6], routerMAC):
		return nil
	}
	return fmt.Errorf("reply %v: verdict %d, became %x", f, verdict, out)
}

// TestTableUnderChurn keeps a small connection table full for a minute, from two CPUs that insert, read,
// lose and insert again the same few hundred connections while the timer ends and frees them within
// milliseconds. No packet may follow a wrong entry; each second the table is looked through.
func TestTableUnderChurn(t *testing.T) {
	length := *churn
	if testing.Short() {
		length = min(length, 5*time.Second)
	}
	r := newRig(t, 256)
	r.shortTimeouts()
	r.now = ^uint32(0) - 30_000 // the clock wraps under way
	r.turn(0)
	var services []sourceHashed
	for _, s := range crewServices() {
		r.serve(s, "sh")
		services = append(services, hashed(s))
		r.greet(s)
	}
	r.expireAll()
	seed := uint64(time.Now().UnixNano())
	for end := time.Now().Add(length); time.Now().Before(end); seed++ {
		r.plug(7) // so that homes are full before the table is
		until := time.Now().Add(min(time.Second, length))
		r.onTwoCPUs(t, seed, func(w *worker) error {
			for time.Now().Before(until) {
				s := services[w.random.IntN(len(services))]
				client := w.client(s.key.Family)
				act := w.ask
				if w.random.IntN(4) == 0 {
					act = w.answer
				}
				if err := act(s, client); err != nil {
					return err
				}
			}
			return nil
		}, func() error { return r.pass(200) })
		wrong := r.auditCounts()
		r.unplug()
		r.expireAll()
		if wrong = slices.Concat(wrong, r.auditCounts(), r.auditEmpty()); wrong != nil {
			t.Fatalf("seed %d: %q", seed, wrong)
		}
	}
	r.checkChurn(t)
}

// checkChurn: the table was full, its buckets were, and nothing was dropped for any other reason.
func (r *rig) checkChurn(t *testing.T) {
	t.Helper()
	outcomes := r.outcomes()
	t.Logf("outcomes %v", outcomes)
	for _, needed := range []string{
		"forward route", "forward masq_in", "forward masq_out", "pass no_connection", "pass not_ours",
		"drop table_full", "drop bucket_full", "forward stateless",
	} {
		if outcomes[needed] == 0 {
			t.Errorf("no packet ended as %q", needed)
		}
		delete(outcomes, needed)
	}
	delete(outcomes, "drop contended")
	if len(outcomes) > 0 {
		t.Errorf("packets ended otherwise: %v", outcomes)
	}
}
