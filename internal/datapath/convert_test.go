package datapath

import (
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// pretend puts another map into the place of a pinned one, as if another version had made it.
func (d *installed) pretend(name string, spec *ebpf.MapSpec, fill func(*ebpf.Map)) {
	d.t.Helper()
	m, err := ebpf.NewMap(spec)
	must(d.t, err)
	defer m.Close()
	if fill != nil {
		fill(m)
	}
	if err := os.Remove(d.pin(name)); !errors.Is(err, os.ErrNotExist) {
		must(d.t, err)
	}
	must(d.t, m.Pin(d.pin(name)))
}

// action is what an upgrade did with a map.
func (u *Upgraded) action(name string) string {
	for _, m := range u.Maps {
		if m.Name == name {
			return m.Action
		}
	}
	return ""
}

// refusesToChange fails the test unless commands refuse the maps of another version, and status shows it.
func (d *installed) refusesToChange() {
	d.t.Helper()
	origins, err := ebpf.LoadPinnedMap(d.pin(directorMapOrigins), nil)
	must(d.t, err)
	defer origins.Close()
	must(d.t, copyOrigin(origins, origins, 1))
	for _, change := range []bool{true, false} {
		_, err := Open(change)
		var other *OtherVersionError
		if !errors.As(err, &other) {
			d.t.Errorf("open: %v, want an OtherVersionError", err)
		}
	}
	status, err := ReadStatus()
	must(d.t, err)
	if len(status.Maps) == 0 || status.Counters != nil {
		d.t.Errorf("status has %d maps and %d counters", len(status.Maps), len(status.Counters))
	}
}

// TestUpgradeConvertsDevices: next hops point to rows, so each keeps its own.
func TestUpgradeConvertsDevices(t *testing.T) {
	d := install(t)
	index := uint32(device(t, backName+"_peer").Attrs().Index)
	before := d.spec()
	swap(before, directorMapDevices, "ifindex", "flags") // where the other version had them
	d.pretend(directorMapDevices, before.Maps[directorMapDevices], func(m *ebpf.Map) {
		must(t, m.Put(uint32(7), directorDevice{Ifindex: 5, Flags: index, Mtu: 1400}))
	})
	d.refusesToChange()
	done, err := Upgrade(false)
	must(t, err)
	if done.Already || done.action(directorMapDevices) != mapConverted {
		t.Errorf("%+v", done)
	}
	maps, err := d.openMaps()
	must(t, err)
	defer maps.Close()
	var got directorDevice
	must(t, maps.Devices.Lookup(uint32(7), &got))
	if diff := cmp.Diff(directorDevice{Ifindex: index, Flags: 5, Mtu: 1400}, got); diff != "" {
		t.Errorf("row 7 (-want +got):\n%s", diff)
	}
	rows, err := deviceRows(maps)
	must(t, err)
	for _, name := range []string{frontName, backName} {
		if row, ok := rows.of(uint32(device(t, name).Attrs().Index)); !ok || row == 7 || rows[row] == 0 {
			t.Errorf("%s has row %d, %v", name, row, ok)
		}
	}
	d.whole("devices converted")
}

// TestUpgradeConvertsOutcomes: counters are found by their names, where the numbers have changed.
func TestUpgradeConvertsOutcomes(t *testing.T) {
	d := install(t)
	d.pretendOutcomes(func(e *btf.Enum) {
		e.Values[2].Name, e.Values[3].Name = e.Values[3].Name, e.Values[2].Name
	})
	d.change(directorMapOutcomes, func(m *ebpf.Map) {
		each := make([]uint64, ebpf.MustPossibleCPU())
		each[0] = 33
		must(t, m.Put(uint32(2), each))
		each[0] = 22
		must(t, m.Put(uint32(3), each))
	})
	d.refusesToChange()
	done, err := Upgrade(false)
	must(t, err)
	if done.Already || done.action(directorMapOutcomes) != mapConverted {
		t.Errorf("%+v", done)
	}
	var got [2]uint64
	d.change(directorMapOutcomes, func(m *ebpf.Map) {
		for i := range got {
			var each []uint64
			must(t, m.Lookup(uint32(2+i), &each))
			got[i] = each[0]
		}
	})
	if got != [2]uint64{22, 33} {
		t.Errorf("rows 2 and 3: %v, want 22 and 33", got)
	}
	d.whole("outcomes converted")
	done, err = Upgrade(false)
	if err != nil || !done.Already {
		t.Errorf("once more: %+v, %v", done, err)
	}
}

// TestUpgradeWithMoreOutcomes: where there are only more of them than before, they are counted on in the
// same map, and nothing that is counted meanwhile is lost.
func TestUpgradeWithMoreOutcomes(t *testing.T) {
	d := install(t)
	d.pretendOutcomes(func(e *btf.Enum) {
		e.Values = append(e.Values[:5:5], btf.EnumValue{Name: "OUTCOMES", Value: 5})
	})
	done, err := Upgrade(true)
	must(t, err)
	if done.action(directorMapOutcomes) != mapReused {
		t.Errorf("%+v", done)
	}
	d.whole("more outcomes")
}

// pretendOutcomes makes the kernel know another enum outcome as the one that is counted by.
func (d *installed) pretendOutcomes(change func(*btf.Enum)) {
	d.t.Helper()
	before := d.spec().Maps[directorMapOrigins].Copy()
	before.Value = btf.Copy(before.Value)
	for _, m := range btf.UnderlyingType(before.Value).(*btf.Struct).Members {
		if m.Name == "outcome" {
			change(m.Type.(*btf.Array).Type.(*btf.Enum))
		}
	}
	var origin directorOrigin
	d.change(directorMapOrigins, func(m *ebpf.Map) { must(d.t, m.Lookup(uint32(0), &origin)) })
	d.pretend(directorMapOrigins, before, func(m *ebpf.Map) { must(d.t, m.Put(uint32(0), origin)) })
}

// change gives a pinned map to f.
func (d *installed) change(name string, f func(*ebpf.Map)) {
	d.t.Helper()
	m, err := ebpf.LoadPinnedMap(d.pin(name), nil)
	must(d.t, err)
	defer m.Close()
	f(m)
}

// TestUpgradeMakesAndRemoves: maps that the running version does not have, has no more, or has in another
// size where that is no loss.
func TestUpgradeMakesAndRemoves(t *testing.T) {
	d := install(t)
	plain := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
	d.pretend("bygone", plain, nil)
	d.pretend(directorMapNeighbours, plain, nil)
	must(t, os.Remove(d.pin(directorMapFragments)))
	must(t, os.Rename(d.pin(programPrefix+"icmp"), d.pin(programPrefix+"former")))
	d.refusesToChange()
	done, err := Upgrade(false)
	must(t, err)
	for name, want := range map[string]string{
		"bygone": mapRemoved, directorMapNeighbours: mapMade, directorMapFragments: mapMade, directorMapConns: mapReused,
	} {
		if got := done.action(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, p := range done.Programs {
		if (p.Name == "icmp") != (p.Old == "") || (p.Name == "former") != (p.New == "") {
			t.Errorf("program %+v", p)
		}
	}
	d.whole("made and removed")
}
