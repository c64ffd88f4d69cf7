package datapath

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// held opens two connections to the only server of the service: one active, one not.
func (r *rig) held(k lvs.ServiceKey) (active flow) {
	r.t.Helper()
	active = flow{lvs.TCP, netip.MustParseAddrPort("203.0.113.7:1024"), k.Addr}
	r.clientPackets(active, flagSYN, flagACK)
	r.clientPackets(flow{lvs.TCP, netip.MustParseAddrPort("203.0.113.7:1025"), k.Addr}, flagSYN, flagACK, flagRST)
	return active
}

// figures are what a listing says of a server: its connections, and its counters.
type figures struct {
	active, inactive uint32
	conns, packets   uint64
}

func (r *rig) figures(k lvs.ServiceKey) figures {
	r.t.Helper()
	s, err := r.table.Service(k)
	if err != nil || len(s.Destinations) != 1 {
		r.t.Fatalf("service %v: %+v, %v; want one server", k, s, err)
	}
	d := s.Destinations[0]
	return figures{d.ActiveConns, d.InactConns, d.Stats.Conns, d.Stats.InPkts}
}

// TestTrash: a deleted server that is added again to its service has its connections and their counts
// back, and its counters, unless the service was made anew; any other server begins with nothing.
func TestTrash(t *testing.T) {
	r := newRig(t, 64)
	otherVIP := ruleKey
	otherVIP.Addr = netip.MustParseAddrPort("192.0.2.200:80")
	server := at("198.51.100.10:80")
	for _, test := range []struct {
		name   string
		remove func(*Table) error
		add    func(*Table) error // after it, one server is in the service of key
		key    lvs.ServiceKey
		want   figures
		goesOn bool // the open connection does
	}{
		{
			"deleted and added",
			func(c *Table) error { return c.DeleteDestination(ruleKey, server.Addr) },
			func(c *Table) error { return c.AddDestination(ruleKey, server) },
			ruleKey,
			figures{1, 1, 2, 5},
			true,
		},
		{
			"its service deleted and added",
			func(c *Table) error { return c.DeleteService(ruleKey) },
			func(c *Table) error { return addBoth(c, ruleKey, server) },
			ruleKey,
			figures{1, 1, 0, 0},
			true,
		},
		{
			"flushed and added",
			(*Table).Flush,
			func(c *Table) error { return addBoth(c, ruleKey, server) },
			ruleKey,
			figures{1, 1, 0, 0},
			true,
		},
		{
			"deleted, then its service, then both added",
			func(c *Table) error {
				if err := c.DeleteDestination(ruleKey, server.Addr); err != nil {
					return err
				}
				return c.DeleteService(ruleKey)
			},
			func(c *Table) error { return addBoth(c, ruleKey, server) },
			ruleKey,
			figures{1, 1, 0, 0},
			true,
		},
		{
			"added to another VIP",
			(*Table).Flush,
			func(c *Table) error { return addBoth(c, otherVIP, server) },
			otherVIP,
			figures{},
			false,
		},
		{
			"another port added",
			(*Table).Flush,
			func(c *Table) error { return addBoth(c, ruleKey, at("198.51.100.10:81")) },
			ruleKey,
			figures{},
			false,
		},
	} {
		must(t, r.table.Flush())
		r.emptyTrash()
		must(t, addBoth(r.table, ruleKey, server))
		open := r.held(ruleKey)
		must(t, test.remove(r.table))
		if verdict, _ := r.receive(r.front, open.frame(frontMAC, flagACK)); verdict != xdpDrop {
			t.Errorf("%s: a packet for a deleted server: verdict %d", test.name, verdict)
		}
		must(t, test.add(r.table))
		if got := r.figures(test.key); got != test.want {
			t.Errorf("%s: figures %+v, want %+v", test.name, got, test.want)
		}
		verdict, _ := r.receive(r.front, open.frame(frontMAC, flagACK))
		if goesOn := verdict == xdpRedirect; goesOn != test.goesOn {
			t.Errorf("%s: the open connection's next packet: verdict %d, want it to go on: %t", test.name, verdict, test.goesOn)
		}
		r.expireAll()
		if wrong := append(r.auditCounts(), r.auditControl()...); wrong != nil {
			t.Errorf("%s: %q", test.name, wrong)
		}
	}
}

func addBoth(c *Table, k lvs.ServiceKey, d lvs.Destination) error {
	if err := c.AddService(lvs.Service{ServiceKey: k, Scheduler: "rr"}); err != nil {
		return err
	}
	return c.AddDestination(k, d)
}

// TestTrashIsEmptied: a deleted server's slot is free when it has been without connections for two
// minutes, and not before.
func TestTrashIsEmptied(t *testing.T) {
	r := newRig(t, 64)
	must(t, addBoth(r.table, ruleKey, at("198.51.100.10:80")))
	r.held(ruleKey)
	must(t, r.table.DeleteDestination(ruleKey, netip.MustParseAddrPort("198.51.100.10:80")))
	inTrash := func() int {
		r.table.emptyTrash()
		return len(r.table.trash.slots)
	}
	pass := func(seconds uint32) {
		for _, slot := range r.table.trash.slots {
			r.table.dests.at(slot).Removed -= seconds
		}
	}
	var got [3]int
	pass(trashTime)
	got[0] = inTrash() // its connections are still there
	r.expireAll()
	for _, slot := range r.table.trash.slots {
		r.table.dests.at(slot).Removed = monotonicSeconds()
	}
	pass(trashTime - 5)
	got[1] = inTrash() // not yet two minutes
	pass(5)
	got[2] = inTrash()
	if diff := cmp.Diff([3]int{1, 1, 0}, got); diff != "" {
		t.Errorf("servers in the trash: held, early, late (-want +got):\n%s", diff)
	}
	if wrong := r.auditControl(); wrong != nil {
		t.Errorf("%q", wrong)
	}
}

// TestZero: -Z makes counters begin anew, of one service or of all, and no connection is forgotten.
func TestZero(t *testing.T) {
	r := newRig(t, 64)
	second := ruleKey
	second.Addr = netip.MustParseAddrPort("192.0.2.200:80")
	both := []lvs.ServiceKey{ruleKey, second}
	for _, key := range both {
		must(t, addBoth(r.table, key, at("198.51.100.10:80")))
	}
	held, zeroed := figures{1, 1, 2, 5}, figures{1, 1, 0, 0}
	for _, test := range []struct {
		name string
		zero *lvs.ServiceKey
		want [2]figures
	}{
		{"none yet", nil, [2]figures{held, held}},
		{"one", &ruleKey, [2]figures{zeroed, held}},
		{"all", nil, [2]figures{zeroed, zeroed}},
	} {
		r.expireAll()
		must(t, r.table.Zero(nil))
		for _, key := range both {
			r.held(key)
		}
		if test.name != "none yet" {
			must(t, r.table.Zero(test.zero))
		}
		got := [2]figures{r.figures(ruleKey), r.figures(second)}
		if got != test.want {
			t.Errorf("%s: figures of the servers %+v, want %+v", test.name, got, test.want)
		}
		for i, s := range r.listing() {
			if s.Stats.Conns != test.want[i].conns || s.Stats.InPkts != test.want[i].packets {
				t.Errorf("%s: counters of %v %+v, want those of its server", test.name, s.Addr, s.Stats)
			}
		}
	}
}

// TestServiceKeepsWhatItCounted: a service's counters are more than its servers': those that have gone
// count on.
func TestServiceKeepsWhatItCounted(t *testing.T) {
	r := newRig(t, 64)
	server := at("198.51.100.10:80")
	must(t, addBoth(r.table, ruleKey, server))
	var got [4]uint64
	count := func() uint64 {
		s, err := r.table.Service(ruleKey)
		must(t, err)
		return s.Stats.Conns
	}
	r.held(ruleKey)
	got[0] = count()
	must(t, r.table.DeleteDestination(ruleKey, server.Addr))
	got[1] = count()
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.11:80")))
	r.connect(flow{lvs.TCP, netip.MustParseAddrPort("203.0.113.9:1024"), ruleVIP})
	got[2] = count()
	must(t, r.table.AddDestination(ruleKey, server))
	must(t, r.table.EditService(with(ruleKey, "wlc")))
	got[3] = count()
	if diff := cmp.Diff([4]uint64{2, 2, 3, 3}, got); diff != "" {
		t.Errorf("connections of the service (-want +got):\n%s", diff)
	}
}
