package datapath

import (
	"errors"
	"net/netip"
	"testing"

	"drover/internal/lvs"
)

// TestTrashMakesRoom: when all slots are taken, deleted servers without connections give theirs up before
// their time, and those with connections keep theirs.
func TestTrashMakesRoom(t *testing.T) {
	r := newRig(t, 64)
	must(t, addBoth(r.table, ruleKey, at("198.51.100.10:80")))
	r.held(ruleKey)
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.11:80")))
	must(t, r.table.DeleteDestination(ruleKey, netip.MustParseAddrPort("198.51.100.11:80")))
	must(t, r.table.DeleteDestination(ruleKey, ruleServer))
	free := r.table.slots.left
	for range free {
		_, _ = r.table.slots.take(1)
	}
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.12:80")))
	if err := r.table.AddDestination(ruleKey, at("198.51.100.13:80")); !errors.Is(err, lvs.ErrMemory) {
		t.Errorf("one more: %v, want %v", err, lvs.ErrMemory)
	}
	must(t, r.table.DeleteDestination(ruleKey, netip.MustParseAddrPort("198.51.100.12:80")))
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.10:80")))
	if got, want := r.figures(ruleKey), (figures{1, 1, 2, 5}); got != want {
		t.Errorf("the server that had connections came back with %+v, want %+v", got, want)
	}
	r.reopen(t)
	must(t, r.table.takeStock())
	if wrong := r.auditControl(); wrong != nil {
		t.Errorf("%q", wrong)
	}
}

// TestTransactionKeepsNeighbors: the kernel watches the next hops of the servers that there are after a
// transaction, whatever it did to them on the way.
func TestTransactionKeepsNeighbors(t *testing.T) {
	r := newRig(t, 64)
	hosts := newKernelNetwork()
	r.table.hosts = hosts
	t.Cleanup(hosts.close)
	stays, goes, comes := "198.51.100.251", "198.51.100.252", "198.51.100.253"
	managed := func(addr string) bool {
		entry, err := readNeighbor(nextHop{netip.MustParseAddr(addr), r.back})
		must(t, err)
		return entry != nil && entry.managed()
	}
	check := func(when string, want [3]bool) {
		if got := [3]bool{managed(stays), managed(goes), managed(comes)}; got != want {
			t.Errorf("%s: managed %v, want %v", when, got, want)
		}
	}
	must(t, addBoth(r.table, ruleKey, at(stays+":80")))
	must(t, r.table.AddDestination(ruleKey, at(goes+":80")))
	check("added one by one", [3]bool{true, true, false})
	must(t, r.table.Begin())
	must(t, r.table.Flush())
	must(t, addBoth(r.table, ruleKey, at(stays+":81")))
	must(t, r.table.AddDestination(ruleKey, at(comes+":80")))
	check("before the transaction is in force", [3]bool{true, true, false})
	must(t, r.table.Commit())
	check("after", [3]bool{true, false, true})
	must(t, r.table.Flush())
	check("without servers", [3]bool{})
}
