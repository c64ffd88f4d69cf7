package datapath

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// installed is a data path that is loaded, attached to front and back, and has a service without servers.
type installed struct {
	folder
	t   *testing.T
	syn []byte // a frame that goes through three stages and is answered
}

func install(t *testing.T) *installed {
	t.Helper()
	d := &installed{folder: mountedFolder(t), t: t}
	rigLink(t, frontName, frontMAC, "192.0.2.1/24")
	rigLink(t, backName, backMAC, "198.51.100.1/24")
	d.load()
	d.syn = ipPacket{
		source: routerMAC, destination: frontMAC,
		from: netip.MustParseAddrPort("203.0.113.10:40000"), to: ruleKey.Addr,
		protocol: lvs.TCP, hops: 64, flags: "S",
	}.frame(t)
	return d
}

func (d *installed) load() {
	d.t.Helper()
	_, err := Load(Options{Interfaces: []string{frontName, backName}, Connections: 100})
	must(d.t, err)
	table, err := Open(true)
	must(d.t, err)
	must(d.t, table.AddService(with(ruleKey, "rr")))
	must(d.t, table.Close())
}

// spec is the director's object.
func (d *installed) spec() *ebpf.CollectionSpec {
	d.t.Helper()
	spec, err := loadDirector()
	must(d.t, err)
	return spec
}

// run upgrades, under the lock.
func (d *installed) run(spec *ebpf.CollectionSpec, force bool, step func(string)) (*Upgraded, error) {
	d.t.Helper()
	unlock, err := d.lock()
	must(d.t, err)
	defer unlock()
	return successor{d.folder, step}.upgrade(spec, force)
}

// works fails the test unless what runs on both interfaces answers a packet, through all its stages.
func (d *installed) works(when string) {
	d.t.Helper()
	for _, name := range []string{frontName, backName} {
		program, err := ebpf.NewProgramFromID(ebpf.ProgramID(xdpOn(d.t, name)))
		must(d.t, err)
		verdict, err := program.Run(&ebpf.RunOptions{
			Data: d.syn, DataOut: make([]byte, len(d.syn)+512),
			Context: xdpContext{DataEnd: uint32(len(d.syn)), IngressIfindex: uint32(device(d.t, frontName).Attrs().Index)},
		})
		must(d.t, err)
		must(d.t, program.Close())
		if verdict != xdpRedirect {
			d.t.Errorf("%s: %s: verdict %d, want %d", when, name, verdict, xdpRedirect)
		}
	}
}

// ticks is the number of turns that the timer has had.
func (d *installed) ticks() uint64 {
	d.t.Helper()
	m, err := ebpf.LoadPinnedMap(d.pin(directorMapSweeps), nil)
	must(d.t, err)
	defer m.Close()
	var s directorSweep
	must(d.t, m.Lookup(uint32(0), &s))
	return s.Ticks
}

// whole fails the test unless one version alone runs, pinned as a load leaves it, and its timer turns.
func (d *installed) whole(when string) {
	d.t.Helper()
	d.works(when)
	names, err := d.pinNames()
	must(d.t, err)
	want := []string{
		linkName(backName), linkName(frontName), hookPin("xdp", innerName), hookPin("egress", "lo"),
		hookPin("egress", backName), hookPin("egress", frontName), hookPin("ingress", backName), hookPin("ingress", frontName),
		hookPin("ingress", innerName), hookPin("ingress", outerName),
	}
	for name := range d.spec().Maps {
		if !strings.HasPrefix(name, ".") {
			want = append(want, name)
		}
	}
	for name := range d.spec().Programs {
		want = append(want, programPrefix+name)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), names); diff != "" {
		d.t.Errorf("%s: pins (-want +got):\n%s", when, diff)
	}
	entry, err := ebpf.LoadPinnedProgram(d.pin(readyPin), nil)
	must(d.t, err)
	defer entry.Close()
	for _, name := range []string{frontName, backName, innerName} {
		if xdpOn(d.t, name) != programID(d.t, entry) {
			d.t.Errorf("%s: %s does not run the pinned program", when, name)
		}
	}
	d.turns(when)
}

// turns fails the test unless the timer turns, at its pace.
func (d *installed) turns(when string) {
	d.t.Helper()
	before := d.ticks()
	eventually(d.t, 2*time.Second, when+": the timer turns", func() bool { return d.ticks() >= before+3 })
}

func TestUpgradeForced(t *testing.T) {
	d := install(t)
	d.whole("loaded")
	before, old := xdpOn(t, frontName), d.programIDs()
	done, err := Upgrade(true)
	must(t, err)
	d.whole("upgraded")
	// The timer too would hold its program.
	eventually(t, 5*time.Second, "the old programs are gone", func() bool { return noneExists(old) })
	if xdpOn(t, frontName) == before || done.Already {
		t.Errorf("program %d as before, or already %v", before, done.Already)
	}
	for _, p := range done.Programs {
		if p.Old == "" || p.Old != p.New {
			t.Errorf("program %+v, want one tag", p)
		}
	}
	for _, m := range done.Maps {
		if m.isDifferent() || (m.Action == mapReused) == (eachVersion[m.Name] != "") {
			t.Errorf("map %+v", m)
		}
	}
}

// programIDs are those of the pinned programs.
func (d *installed) programIDs() (ids []ebpf.ProgramID) {
	d.t.Helper()
	programs, err := d.pinnedPrograms()
	must(d.t, err)
	defer closePrograms(programs)
	for _, p := range programs {
		ids = append(ids, ebpf.ProgramID(programID(d.t, p)))
	}
	return ids
}

func noneExists(ids []ebpf.ProgramID) bool {
	for _, id := range ids {
		if p, err := ebpf.NewProgramFromID(id); err == nil {
			p.Close()
			return false
		}
	}
	return true
}

func TestUpgradeOfThisVersion(t *testing.T) {
	d := install(t)
	before := xdpOn(t, frontName)
	done, err := Upgrade(false)
	must(t, err)
	if !done.Already || xdpOn(t, frontName) != before {
		t.Errorf("already %v, program %d, before %d", done.Already, xdpOn(t, frontName), before)
	}
	d.whole("not upgraded")
}

func TestUpgradeOfNothing(t *testing.T) {
	mountedFolder(t)
	if _, err := Upgrade(false); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("error %v, want ErrNotLoaded", err)
	}
}

// TestUpgradeKeepsHash: the buckets are filled by a hash that begins with the load's seed.
func TestUpgradeKeepsHash(t *testing.T) {
	d := install(t)
	before := d.constants()
	if before.seed == 0 || before.capacity != 100 {
		t.Errorf("constants %+v", before)
	}
	_, err := Upgrade(true)
	must(t, err)
	if after := d.constants(); after != before {
		t.Errorf("constants %+v, before %+v", after, before)
	}
}

type constants struct {
	capacity, mask uint32
	seed           uint64
}

// constants reads those of the attached program from its .rodata.
func (d *installed) constants() (c constants) {
	d.t.Helper()
	program, err := ebpf.NewProgramFromID(ebpf.ProgramID(xdpOn(d.t, frontName)))
	must(d.t, err)
	defer program.Close()
	info, err := program.Info()
	must(d.t, err)
	ids, _ := info.MapIDs()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		must(d.t, err)
		defer m.Close()
		info, err := m.Info()
		must(d.t, err)
		if !strings.HasSuffix(info.Name, ".rodata") {
			continue
		}
		value, err := m.LookupBytes(uint32(0))
		must(d.t, err)
		for name, field := range map[string]any{
			directorVarConnCapacity: &c.capacity, directorVarBucketMask: &c.mask, directorVarHashSeed: &c.seed,
		} {
			v := d.spec().Variables[name]
			part := value[v.Offset : v.Offset+v.Size()]
			switch field := field.(type) {
			case *uint32:
				*field = binary.LittleEndian.Uint32(part)
			case *uint64:
				*field = binary.LittleEndian.Uint64(part)
			}
		}
	}
	return c
}

// TestUpgradeThatCannotAttach: an interface refuses the new program, and all is as before.
func TestUpgradeThatCannotAttach(t *testing.T) {
	d := install(t)
	for _, name := range []string{frontName, frontName + "_peer"} { // front comes second, after back
		must(t, netlink.LinkSetMTU(device(t, name), 9000))
	}
	before := xdpOn(t, backName)
	spec := d.spec()
	for _, p := range spec.Programs { // an array of programs takes only those that agree about fragments
		p.Flags &^= unix.BPF_F_XDP_HAS_FRAGS
	}
	_, err := d.run(spec, true, nil)
	if err == nil || !strings.Contains(err.Error(), frontName) {
		t.Errorf("error %v, want one that names %s", err, frontName)
	}
	if xdpOn(t, backName) != before || xdpOn(t, frontName) != before {
		t.Errorf("programs %d and %d, want %d", xdpOn(t, backName), xdpOn(t, frontName), before)
	}
	d.whole("refused")
}
