package datapath

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// TestTrashIsForgotten: a server that was in the trash for two minutes without connections begins anew,
// whether or not a command has looked at the trash meanwhile.
func TestTrashIsForgotten(t *testing.T) {
	r := newRig(t, 64)
	server := at("198.51.100.10:80")
	must(t, addBoth(r.table, ruleKey, server))
	r.held(ruleKey)
	must(t, r.table.DeleteDestination(ruleKey, server.Addr))
	r.expireAll()
	for _, slot := range r.table.trash.slots {
		r.table.dests.at(slot).Removed -= trashTime
	}
	must(t, r.table.AddDestination(ruleKey, server))
	if got := r.figures(ruleKey); got != (figures{}) {
		t.Errorf("figures %+v, want none", got)
	}
}

// TestSwitchesAreSetAgain: a command that changes something sets forwarding on lo again, which whoever
// wrote 0 to ip_forward has switched off; and unloading leaves what there was.
func TestSwitchesAreSetAgain(t *testing.T) {
	mountedFolder(t)
	addVeth(t, frontName, "peer")
	must(t, writeSettings(map[string]string{"net/ipv4/ip_forward": "1"}))
	_, err := Load(Options{Interfaces: []string{frontName}, Connections: minConnections})
	must(t, err)
	must(t, writeSettings(map[string]string{"net/ipv4/ip_forward": "0"}))
	table, err := Open(true)
	must(t, err)
	during, err := readSetting(forwardingSettings[0])
	must(t, err)
	must(t, table.Close())
	must(t, Unload())
	after, err := readSetting(forwardingSettings[0])
	must(t, err)
	if diff := cmp.Diff([2]string{"1", "0"}, [2]string{during, after}); diff != "" {
		t.Errorf("forwarding on lo: with a table open, unloaded (-want +got):\n%s", diff)
	}
}

// TestInterfaceMovedAway: an interface that was given to another network namespace counts as deleted, and
// keeps nobody from changing and reading what is loaded here.
func TestInterfaceMovedAway(t *testing.T) {
	mountedFolder(t)
	addVeth(t, frontName, "front_peer")
	addVeth(t, backName, "back_peer")
	_, err := Load(Options{Interfaces: []string{frontName, backName}, Connections: minConnections})
	must(t, err)
	var there netns.NsHandle
	in := otherNamespace(t)
	in(func() { there, err = netns.Get() })
	must(t, err)
	defer there.Close()
	must(t, netlink.LinkSetNsFd(device(t, frontName), int(there)))

	table, err := Open(true)
	if err != nil {
		t.Fatalf("open to change: %v", err)
	}
	must(t, table.Close())
	status, err := ReadStatus()
	must(t, err)
	want := []Interface{{Name: backName, Index: device(t, backName).Attrs().Index, Mode: modeNative}}
	if diff := cmp.Diff(want, status.Interfaces); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
	must(t, Unload())
	in(func() {
		if id := xdpOn(t, frontName); id != 0 {
			t.Errorf("the interface that was moved away still runs program %d", id)
		}
	})
}
