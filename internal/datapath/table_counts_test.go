package datapath

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"drover/internal/lvs"
)

// countedEvents is how many packets and turns of the timer TestCountsOnTwoCPUs sends from each CPU.
const countedEvents = 50_000

// TestCountsOnTwoCPUs: after 100,000 random packets of clients and servers from two CPUs, while connections
// run out and servers are deleted and come back, every server's ActiveConn and InactConn are those of a
// recount, and zero when the last connection has ended.
func TestCountsOnTwoCPUs(t *testing.T) {
	r := newRig(t, 1024)
	r.shortTimeouts()
	services := crewServices()
	for i, s := range services {
		// With these, two CPUs that begin the same connection choose different servers.
		r.serve(s, []string{"rr", "wlc", "lc", "wrr"}[i])
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 2))
	r.onTwoCPUs(t, seed, func(w *worker) error {
		for range countedEvents {
			if err := w.any(services[w.random.IntN(len(services))]); err != nil {
				return err
			}
		}
		return nil
	}, func() error {
		if random.IntN(10) == 0 {
			if err := r.replace(services[random.IntN(len(services))], random); err != nil {
				return err
			}
		}
		return r.pass(100)
	})
	outcomes := r.outcomes()
	t.Logf("outcomes %v", outcomes)
	for _, needed := range []string{"forward route", "forward masq_in", "forward masq_out", "drop server_gone"} {
		if outcomes[needed] == 0 {
			t.Errorf("no packet ended as %q", needed)
		}
	}
	open, err := r.table.Connections()
	must(t, err)
	if len(open) == 0 {
		t.Error("no connection is left to be recounted")
	}
	wrong := r.auditCounts()
	r.expireAll()
	if wrong = slices.Concat(wrong, r.auditCounts(), r.auditEmpty()); wrong != nil {
		t.Errorf("seed %d: %q", seed, wrong)
	}
	r.emptyTrash()
	for slot := range r.table.destConns.elements {
		if word := r.table.destConns.at(uint32(slot)).Word; word != 0 {
			t.Errorf("slot %d still counts %#x", slot, word)
		}
	}
}

// any sends one packet of a client or a server, wherever it goes.
func (w *worker) any(s crewService) error {
	client := w.client(s.key.Family)
	f, ifindex, mac := flow{s.key.Protocol, client, s.key.Addr}, w.front, frontMAC
	if s.forwarding == lvs.Masquerade && w.random.IntN(3) == 0 {
		f, ifindex, mac = s.reply(s.servers[w.random.IntN(len(s.servers))], client), w.back, backMAC
	}
	_, _, err := w.inject(ifindex, f.frame(mac, w.flags()))
	return err
}

// replace deletes a server and adds one: often the same, which comes back with its connections.
func (r *rig) replace(s crewService, random *rand.Rand) error {
	state, err := r.table.Service(s.key)
	if err != nil {
		return err
	}
	if n := len(state.Destinations); n > 3 {
		if err := r.table.DeleteDestination(s.key, state.Destinations[random.IntN(n)].Addr); err != nil {
			return err
		}
		if random.IntN(2) == 0 {
			return nil
		}
	}
	back := lvs.Destination{Addr: s.servers[random.IntN(len(s.servers))], Forwarding: s.forwarding, Weight: 1}
	if err := r.table.AddDestination(s.key, back); err != nil && err != lvs.ErrDestinationExists { //nolint:errorlint // it comes bare
		return err
	}
	return nil
}
