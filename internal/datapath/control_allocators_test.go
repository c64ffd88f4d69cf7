package datapath

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
	"drover/internal/schedule"
)

// auditControl recounts what the services hold: blocks, slots, rows and VIPs. Nothing is held twice, and
// nothing else is given out.
func (r *rig) auditControl() (wrong audit) {
	r.t.Helper()
	chunks, slots, ids := map[uint32]int{0: 1}, map[uint32]int{0: 1}, map[uint32]int{0: 1}
	vips := map[directorAddr]uint32{}
	var key directorServiceKey
	var s directorService
	all := r.objects.Services.Iterate()
	for all.Next(&key, &s) {
		ids[s.Id]++
		vips[key.Addr]++
		for i := range r.table.head(s.Block).Chunks {
			chunks[s.Block+i]++
		}
		for _, e := range r.table.list(s.Block) {
			slots[e.slot()]++
		}
	}
	for _, slot := range r.table.trash.slots {
		slots[slot]++
	}
	for _, c := range []struct {
		name  string
		held  map[uint32]int
		given []bool
	}{
		{"chunk", chunks, r.table.chunks.taken}, {"slot", slots, r.table.slots.taken}, {"row", ids, r.table.ids.taken},
	} {
		for i, given := range c.given {
			if n := c.held[uint32(i)]; n > 1 || given != (n == 1) {
				wrong.addf("%s %d is held %d times, given out: %t", c.name, i, n, given)
			}
		}
	}
	return append(wrong, r.auditStored(slots, vips)...)
}

// auditStored compares the maps that every later command reads.
func (r *rig) auditStored(slots map[uint32]int, vips map[directorAddr]uint32) (wrong audit) {
	for i, d := range r.table.dests.elements {
		if d.Next.Block != 0 {
			wrong.addf("slot %d is still to change, with block %d", i, d.Next.Block)
		}
		if used := d.Flags&destUsed != 0; i > 0 && used != (slots[uint32(i)] == 1) {
			wrong.addf("slot %d, flags %d, is held %d times", i, d.Flags, slots[uint32(i)])
		}
	}
	counted := map[directorAddr]uint32{}
	var vip directorAddr
	var n uint32
	for all := r.objects.Virtuals.Iterate(); all.Next(&vip, &n); {
		counted[vip] = n
	}
	if diff := cmp.Diff(vips, counted); diff != "" {
		wrong.addf("services by VIP (-want +got):\n%s", diff)
	}
	return wrong
}

// TestNothingLeaks: after random commands, and after everything is deleted, all that was given out is held
// by a service or free; and who opens the table anew finds the same.
func TestNothingLeaks(t *testing.T) {
	r := newRig(t, 64)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	trashed := 0
	for i := range 6000 {
		_ = r.command(random) // refused or not
		if i%40 == 0 {
			r.emptyTrash()
		}
		trashed = max(trashed, len(r.table.trash.slots))
	}
	if wrong := r.auditControl(); wrong != nil {
		t.Fatalf("seed %d: %q", seed, wrong)
	}
	if len(r.listing()) < 3 || trashed < 5 {
		t.Errorf("seed %d: %d services, at most %d deleted servers: too few to tell", seed, len(r.listing()), trashed)
	}
	again, err := newTable(&r.objects.directorMaps)
	must(t, err)
	defer again.unmap() //nolint:errcheck // only read
	must(t, again.takeStock())
	if diff := cmp.Diff(r.table.trash.slots, again.trash.slots); diff != "" {
		t.Errorf("seed %d: trash found anew (-kept +found):\n%s", seed, diff)
	}
	for name, pair := range map[string][2]*runs{
		"chunks": {r.table.chunks, again.chunks}, "slots": {r.table.slots, again.slots}, "rows": {r.table.ids, again.ids},
	} {
		if !slices.Equal(pair[0].taken, pair[1].taken) {
			t.Errorf("seed %d: %s that are given out are others for who opens the table anew", seed, name)
		}
	}
	must(t, r.table.Flush())
	r.emptyTrash()
	if wrong := r.auditControl(); wrong != nil || len(r.table.trash.slots) > 0 {
		t.Errorf("seed %d: after all is deleted: %q, trash %v", seed, wrong, r.table.trash.slots)
	}
}

// command does one thing, on few services and servers so that much is refused; auditControl judges.
func (r *rig) command(random *rand.Rand) error {
	vip := netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + random.IntN(4))})
	key := lvs.ServiceKey{
		Protocol: lvs.TCP, Addr: netip.AddrPortFrom(vip, uint16(80+random.IntN(4))), Family: lvs.IPv4,
	}
	server := lvs.Destination{
		Addr: realServer(random.IntN(30), lvs.IPv4), Forwarding: lvs.Masquerade, Weight: int32(random.IntN(5)) - 1,
	}
	scheduler := schedule.Names()[random.IntN(len(schedule.Names()))]
	switch n := random.IntN(40); {
	case n < 6:
		return r.table.AddService(lvs.Service{ServiceKey: key, Scheduler: scheduler})
	case n < 8:
		return r.table.EditService(lvs.Service{ServiceKey: key, Scheduler: scheduler})
	case n == 8:
		return r.table.DeleteService(key)
	case n < 24:
		return r.table.AddDestination(key, server)
	case n < 32:
		return r.table.DeleteDestination(key, server.Addr)
	case n == 32:
		return r.table.Zero([]*lvs.ServiceKey{nil, &key}[random.IntN(2)])
	}
	return r.table.EditDestination(key, server)
}

// TestMostServers: a service takes 1,024 servers, and one more is refused without a trace.
func TestMostServers(t *testing.T) {
	r := newRig(t, 64)
	must(t, r.table.AddService(with(ruleKey, "wlc")))
	for i := range maxServers {
		must(t, r.table.AddDestination(ruleKey, at(fmt.Sprintf("198.51.100.%d:%d", 2+i%200, 8000+i/200))))
	}
	before := r.listing()
	if got := len(before[0].Destinations); got != 1024 {
		t.Errorf("%d servers, want 1024", got)
	}
	if err := r.table.AddDestination(ruleKey, at("198.51.100.250:80")); err != lvs.ErrMemory { //nolint:errorlint // it comes bare
		t.Errorf("one more: %v, want %v", err, lvs.ErrMemory)
	}
	if diff := cmp.Diff(before, r.listing(), compareAddrs); diff != "" {
		t.Errorf("one more changed something (-before +after):\n%s", diff)
	}
	if wrong := r.auditControl(); wrong != nil {
		t.Errorf("%q", wrong)
	}
}

// TestManyServices adds 2,000 services of 5 servers each, as a site does, and reports the time.
func TestManyServices(t *testing.T) {
	r := newRig(t, 64)
	begin := time.Now()
	for i := range 2000 {
		vip := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i%100)}), uint16(80+i/100))
		key := lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip, Family: lvs.IPv4}
		must(t, r.table.AddService(with(key, schedule.Names()[i%8])))
		for n := range 5 {
			must(t, r.table.AddDestination(key, lvs.Destination{Addr: realServer(n, lvs.IPv4), Weight: 1}))
		}
	}
	added := time.Since(begin)
	servers := 0
	begin = time.Now()
	for _, s := range r.listing() {
		servers += len(s.Destinations)
	}
	t.Logf("added in %v, listed in %v", added, time.Since(begin))
	if servers != 10_000 {
		t.Errorf("%d servers are listed, want 10,000", servers)
	}
	if wrong := r.auditControl(); wrong != nil {
		t.Errorf("%q", wrong)
	}
	begin = time.Now()
	must(t, r.table.Flush())
	t.Logf("deleted in %v", time.Since(begin))
}
