package datapath

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// TestTrashAfterNothing: a transaction that takes a server from the trash, and comes to nothing, leaves it
// there: the next command of the same process gives it its connections back.
func TestTrashAfterNothing(t *testing.T) {
	r := newRig(t, 64)
	server := at("198.51.100.10:80")
	must(t, addBoth(r.table, ruleKey, server))
	r.held(ruleKey)
	must(t, r.table.Flush())
	must(t, r.table.Begin())
	must(t, addBoth(r.table, ruleKey, server))
	must(t, r.table.Flush())
	must(t, r.table.Commit())
	must(t, addBoth(r.table, ruleKey, server))
	if got, want := r.figures(ruleKey), (figures{1, 1, 0, 0}); got != want {
		t.Errorf("the server came back with %+v, want %+v", got, want)
	}
	if wrong := r.auditControl(); wrong != nil {
		t.Errorf("%q", wrong)
	}
}

// TestTrashBehindRestless: a server that comes and goes all the time keeps nobody else in the trash, and is
// in its order once.
func TestTrashBehindRestless(t *testing.T) {
	r := newRig(t, 64)
	restless, gone := at("198.51.100.10:80"), at("198.51.100.11:80")
	must(t, addBoth(r.table, ruleKey, restless))
	must(t, r.table.AddDestination(ruleKey, gone))
	must(t, r.table.DeleteDestination(ruleKey, restless.Addr))
	must(t, r.table.DeleteDestination(ruleKey, gone.Addr))
	for range 5 {
		must(t, r.table.AddDestination(ruleKey, restless))
		must(t, r.table.DeleteDestination(ruleKey, restless.Addr))
	}
	for _, slot := range r.table.trash.slots {
		if d := r.table.dests.at(slot); d.address() == gone.Addr.Addr() {
			d.Removed -= trashTime
		}
	}
	r.table.emptyTrash()
	if slots, order := len(r.table.trash.slots), len(r.table.trash.order); slots != 1 || order != 1 {
		t.Errorf("%d servers in the trash, %d in its order, want 1 and 1", slots, order)
	}
}

// TestFailedCommitGivesBack: a transaction that has no room for its lists changes nothing, and the next
// command of the same process finds all that it had taken free again, and the trash as it was.
func TestFailedCommitGivesBack(t *testing.T) {
	r := newRig(t, 64)
	r.crashScene(t)
	before := r.listing()
	must(t, r.table.Begin())
	must(t, r.table.AddService(with(ruleNoKey, "wlc")))
	must(t, r.table.AddDestination(ruleNoKey, at("198.51.100.12:80")))
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.13:80")))
	must(t, r.table.DeleteDestination(ruleKey, ruleServer))
	for range r.table.chunks.left - 4 { // the first block fits, the second does not
		_, _ = r.table.chunks.take(1)
	}
	if err := r.table.Commit(); !errors.Is(err, lvs.ErrMemory) {
		t.Errorf("commit: %v, want %v", err, lvs.ErrMemory)
	}
	if diff := cmp.Diff(before, r.listing(), compareAddrs); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	must(t, r.table.EditService(with(ruleKey6, "wlc")))
	if wrong := append(r.auditControl(), r.auditCounts()...); wrong != nil {
		t.Errorf("%q", wrong)
	}
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.13:80")))
	s, err := r.table.Service(ruleKey)
	must(t, err)
	if d := s.Destinations[0]; d.ActiveConns == 0 {
		t.Errorf("the server from the trash came back with %+v, want its connections", d)
	}
}
