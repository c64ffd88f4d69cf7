package datapath

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// TestKilledCommands leaves what a command leaves that is killed between two writes. The next command,
// another process, puts it right: nothing is lost, and nothing is counted that is not there.
func TestKilledCommands(t *testing.T) {
	server := at("198.51.100.10:80")
	for _, test := range []struct {
		name   string
		killed func(r *rig, key directorServiceKey, s directorService)
		want   map[directorAddr]uint32 // services by VIP
		trash  int
	}{
		{
			"a service deleted, its servers not yet",
			func(r *rig, key directorServiceKey, _ directorService) {
				must(r.t.(*testing.T), r.objects.Services.Delete(key))
			},
			map[directorAddr]uint32{},
			1,
		},
		{
			"a server given a slot, its list not yet swapped",
			func(r *rig, key directorServiceKey, s directorService) {
				_, err := r.table.place(newDest(key, s, at("198.51.100.11:80")))
				must(r.t.(*testing.T), err)
			},
			map[directorAddr]uint32{keyOf(ruleKey).Addr: 1},
			1,
		},
		{
			"a server taken from the list, not yet into the trash",
			func(r *rig, key directorServiceKey, s directorService) {
				must(r.t.(*testing.T), r.table.swapList(key, s, nil, false))
			},
			map[directorAddr]uint32{keyOf(ruleKey).Addr: 1},
			1,
		},
		{
			"a service added, its VIP not yet counted",
			func(r *rig, key directorServiceKey, _ directorService) {
				must(r.t.(*testing.T), r.objects.Virtuals.Delete(key.Addr))
			},
			map[directorAddr]uint32{keyOf(ruleKey).Addr: 1},
			0,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, 64)
			must(t, addBoth(r.table, ruleKey, server))
			r.held(ruleKey)
			key, s, err := r.table.find(ruleKey)
			must(t, err)
			test.killed(r, key, s)

			next, err := newTable(&r.objects.directorMaps)
			must(t, err)
			must(t, r.table.unmap())
			r.table = next
			must(t, r.table.takeStock())
			if wrong := r.auditControl(); wrong != nil {
				t.Errorf("%q", wrong)
			}
			got := map[directorAddr]uint32{}
			var vip directorAddr
			var n uint32
			for all := r.objects.Virtuals.Iterate(); all.Next(&vip, &n); {
				got[vip] = n
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("services by VIP (-want +got):\n%s", diff)
			}
			if len(r.table.trash.slots) != test.trash {
				t.Errorf("%d servers in the trash, want %d", len(r.table.trash.slots), test.trash)
			}
		})
	}
}

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
