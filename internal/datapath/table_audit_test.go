package datapath

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"drover/internal/lvs"
)

// expireAll lets every connection run out, rest and be freed.
func (r *rig) expireAll() {
	r.t.Helper()
	for range 8 {
		passes := r.pool().Fresh/1024 + 1
		for range passes {
			r.turn(1_000_000)
		}
		if r.pool().Live == 0 {
			return
		}
	}
	r.t.Fatalf("entries that are never freed: %+v", r.pool())
}

// emptyTrash lets the time of the trash pass for those deleted servers that have no connections.
func (r *rig) emptyTrash() {
	for _, slot := range r.table.trash.slots {
		r.table.dests.at(slot).Removed -= trashTime
	}
	r.table.emptyTrash()
}

func (r *rig) pool() directorPool {
	r.t.Helper()
	var p directorPool
	if err := r.objects.Pool.Lookup(uint32(0), &p); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// audit is what is wrong with the connection table while nobody uses it.
type audit []string

func (a *audit) addf(format string, args ...any) { *a = append(*a, fmt.Sprintf(format, args...)) }

// auditCounts recounts the connections of every server, the deleted ones too, and looks for two live
// entries of one key.
func (r *rig) auditCounts() (wrong audit) {
	r.t.Helper()
	conns, err := mapArray[directorConn](r.objects.Conns)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conns.close() //nolint:errcheck // only read
	recount := map[uint32]uint64{}
	seen := map[flow]bool{}
	for i := range conns.elements {
		c, live := readConn(conns.at(uint32(i)))
		if !live {
			continue
		}
		change := uint64(1)
		if c.State&stateInactive != 0 {
			change = 1 << 32
		}
		recount[c.Dest] += change
		key := flow{
			lvs.Protocol(c.Protocol),
			addrPort(c.Client, c.Cport, c.Family), addrPort(c.Vaddr, c.Vport, c.Family),
		}
		if seen[key] {
			wrong.addf("two entries of %v", key)
		}
		seen[key] = true
	}
	for slot := range r.table.destConns.elements {
		counted := atomic.LoadUint64(&r.table.destConns.at(uint32(slot)).Word)
		if want := recount[uint32(slot)]; counted != want {
			wrong.addf("server %v (slot %d): counted %d active, %d inactive; there are %d and %d", r.serverAt(uint32(slot)),
				slot, uint32(counted), counted>>32, uint32(want), want>>32)
		}
	}
	audited, err := r.table.Audit()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, d := range audited.Drifts {
		wrong.addf("audit: %+v", d)
	}
	return wrong
}

// TestAudit: a counter that is off by one is found, and named; all of them right are none.
func TestAudit(t *testing.T) {
	r := newRig(t, 1<<12)
	s := crewServices()[0]
	r.serve(s, "rr")
	const opened = 30
	for i := range opened {
		r.follow(flow{lvs.TCP, clientOf(lvs.IPv4, 0, uint16(1024+i)), s.key.Addr}, flagSYN)
	}
	audited, err := r.table.Audit()
	must(t, err)
	if audited.Connections != opened || audited.Servers != len(r.listing()[0].Destinations) || audited.Drifts != nil {
		t.Errorf("%+v, want %d connections and no drift", audited, opened)
	}
	_, row, err := r.table.find(s.key)
	must(t, err)
	slot := r.table.list(row.Block)[1].slot()
	atomic.AddUint64(&r.table.destConns.at(slot).Word, 1)
	audited, err = r.table.Audit()
	must(t, err)
	if len(audited.Drifts) != 1 || audited.Drifts[0].Service != s.key || audited.Drifts[0].Server != r.serverAt(slot) ||
		audited.Drifts[0].by() != [3]int64{1, 0, 0} {
		t.Errorf("one connection too many is counted: %+v", audited.Drifts)
	}
}

func (r *rig) serverAt(slot uint32) netip.AddrPort {
	d := r.table.dests.at(slot)
	return addrPort(d.Addr, d.Port, d.Family)
}

// auditEmpty looks at a table that all connections have left: every entry that was ever used is free, once,
// and no slot of a bucket is taken.
func (r *rig) auditEmpty() (wrong audit) {
	r.t.Helper()
	conns, err := mapArray[directorConn](r.objects.Conns)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conns.close() //nolint:errcheck // only read
	pool := r.pool()
	if pool.Live != 0 {
		wrong.addf("the pool has %d entries in use", pool.Live)
	}
	if capacity := uint32(len(conns.elements) - 1); pool.Fresh > capacity {
		wrong.addf("%d entries were given out, of %d", pool.Fresh, capacity)
	}
	times := make([]int, len(conns.elements))
	for index, n := uint32(pool.Head), 0; index != 0; index, n = conns.at(index).Dest, n+1 {
		if n > len(times) {
			wrong.addf("the list of the free has a loop")
			break
		}
		times[index]++
	}
	for i := uint32(1); i <= pool.Fresh; i++ {
		if life := lifeOf(conns.at(i).State); times[i] != 1 || life != directorLifeLIFE_FREE {
			wrong.addf("entry %d is %d times among the free, life %d", i, times[i], life)
		}
	}
	return append(wrong, r.auditBuckets()...)
}

func (r *rig) auditBuckets() (wrong audit) {
	r.t.Helper()
	buckets, err := mapArray[directorBucket](r.objects.Buckets)
	if err != nil {
		r.t.Fatal(err)
	}
	defer buckets.close() //nolint:errcheck // only read
	for i, b := range buckets.elements {
		for j, word := range b.Slot {
			if word != 0 {
				wrong.addf("bucket %d, slot %d: %#x", i, j, word)
			}
		}
	}
	return wrong
}
