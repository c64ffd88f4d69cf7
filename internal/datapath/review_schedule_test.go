package datapath

import (
	"net/netip"
	"testing"

	"drover/internal/lvs"
)

// TestReplicaJoinsOnce: lblcr's set does not grow by a server that is in it. One that has too much to do and
// still is the least loaded of all comes up when another has slack, but many inactive connections.
func TestReplicaJoinsOnce(t *testing.T) {
	r := newRig(t, 64)
	must(t, r.table.AddService(with(ruleKey, "lblcr")))
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.11:80")))
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.10:80"))) // the first in the list
	_, service, err := r.table.find(ruleKey)
	must(t, err)
	list := r.table.list(service.Block)
	for i := range 4 {
		client := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), uint16(1024+i))
		if got, ok := r.connect(flow{lvs.TCP, client, ruleVIP}); !ok || got != ruleServer {
			t.Fatalf("connection %d went to %v (%t), want %v", i, got, ok, ruleServer)
		}
		r.table.destConns.at(list[0].slot()).Word = 2
		r.table.destConns.at(list[1].slot()).Word = 600 << 32
		r.table.lookAnew(service.Id)
	}
	var key directorLocalityKey
	var set directorReplicas
	sets := r.objects.ReplicaSets.Iterate()
	if !sets.Next(&key, &set) || set.Size != 1 || set.Joined != 1 {
		t.Errorf("set of %d servers, %d have joined: want 1 and 1 (%v)", set.Size, set.Joined, sets.Err())
	}
}
