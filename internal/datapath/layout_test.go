package datapath

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

var u32 = &btf.Int{Name: "unsigned int", Size: 4}

// record is a struct of 32-bit fields in a row.
func record(names ...string) *btf.Struct {
	s := &btf.Struct{Name: "record", Size: uint32(4 * len(names))}
	for i, name := range names {
		s.Members = append(s.Members, btf.Member{Name: name, Type: u32, Offset: btf.Bits(32 * i)})
	}
	return s
}

// described is a struct with an empty array of an enum, whose values are numbered from 0.
func described(names ...string) *btf.Struct {
	e := &btf.Enum{Name: "outcome", Size: 4}
	for i, name := range names {
		e.Values = append(e.Values, btf.EnumValue{Name: name, Value: uint64(i)})
	}
	s := record("number")
	s.Members = append(s.Members, btf.Member{Name: "kind", Type: &btf.Array{Type: e, Index: u32}})
	return s
}

func TestCompareFields(t *testing.T) {
	nested := func(inner btf.Type) *btf.Struct {
		return &btf.Struct{Size: 16, Members: []btf.Member{
			{Name: "inner", Type: &btf.Typedef{Name: "inner_t", Type: inner}},
			{Name: "rows", Type: &btf.Array{Type: inner, Index: u32, Nelems: 1}, Offset: 64},
		}}
	}
	tests := []struct {
		name         string
		running, our btf.Type
		want         string
	}{
		{"the same", record("a", "b"), record("a", "b"), ""},
		{"swapped", record("a", "b"), record("b", "a"), "b is u32 at 4, in this version u32 at 0"},
		{"renamed", record("a", "b"), record("a", "c"), "c, u32 at 4 in this version, is not there"},
		{"gone", record("a", "b"), record("a", "pad"), "b, u32 at 4, is not in this version"},
		{"from padding", record("a", "pad"), record("a", "b"), ""},
		{"added", record("a"), record("a", "b"), "b, u32 at 4 in this version, is not there"},
		{"signed", record("a"), &btf.Struct{Size: 4, Members: []btf.Member{
			{Name: "a", Type: &btf.Int{Size: 4, Encoding: btf.Signed}},
		}}, "a is u32 at 0, in this version s32 at 0"},
		{
			"longer array", &btf.Array{Type: u32, Index: u32, Nelems: 2}, &btf.Array{Type: u32, Index: u32, Nelems: 3},
			" is [2]u32 at 0, in this version [3]u32 at 0",
		},
		{"deep", nested(record("a", "b")), nested(record("b", "a")), "inner.b is u32 at 4, in this version u32 at 0"},
		{"enumeration grew", described("K_A", "K_B", "KINDS"), described("K_A", "K_B", "K_C", "KINDS"), ""},
		{
			"enumeration shrank", described("K_A", "K_B", "KINDS"), described("K_A", "KINDS"),
			"kind.K_B, enumerator at 1, is not in this version",
		},
		{
			"enumeration in another order", described("K_A", "K_B"), described("K_B", "K_A"),
			"kind.K_B is enumerator at 1, in this version enumerator at 0",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := compareFields(fieldsOf(test.running), fieldsOf(test.our))
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestLayoutOfThisVersion: the kernel gives the types back as they were, so nothing differs.
func TestLayoutOfThisVersion(t *testing.T) {
	d := install(t)
	running, err := d.pinnedMaps()
	must(t, err)
	defer closeMaps(running)
	changes, err := compareMaps(running, d.spec())
	must(t, err)
	var others []MapChange
	for _, c := range changes {
		if c.Action != mapReused {
			others = append(others, c)
		}
	}
	want := []MapChange{
		{directorMapOrigins, mapConverted, "it describes this version"},
		{directorMapStages, mapMade, "it holds this version's programs"},
	}
	if diff := cmp.Diff(want, others); diff != "" {
		t.Errorf("not reused (-want +got):\n%s", diff)
	}
	for name, m := range running {
		if m.Type() == ebpf.RingBuf {
			continue // it has no elements
		}
		key, value, err := typesOf(m)
		must(t, err)
		if (key == nil || value == nil) && name != directorMapStages {
			t.Errorf("the kernel has no types of %s", name)
		}
	}
}

// swap exchanges two members of a map's value.
func swap(spec *ebpf.CollectionSpec, name, a, b string) {
	value := btf.Copy(spec.Maps[name].Value)
	members := btf.UnderlyingType(value).(*btf.Struct).Members
	for i := range members {
		switch members[i].Name {
		case a:
			members[i].Name = b
		case b:
			members[i].Name = a
		}
	}
	spec.Maps[name].Value = value
}

// TestUpgradeRefused: a layout that can't be taken over is named in one line, and nothing is changed.
func TestUpgradeRefused(t *testing.T) {
	d := install(t)
	tests := []struct {
		name    string
		change  func(*ebpf.CollectionSpec)
		mapName string
		want    string
	}{
		{
			"fields swapped", func(s *ebpf.CollectionSpec) { swap(s, directorMapConns, "cport", "vport") },
			directorMapConns, "vport is u16 at 34, in this version u16 at 32",
		},
		{
			"larger", func(s *ebpf.CollectionSpec) { s.Maps[directorMapServices].ValueSize += 8 },
			directorMapServices, "value size is 112, in this version 120",
		},
		{
			"other flags", func(s *ebpf.CollectionSpec) { s.Maps[directorMapDests].Flags = 0 },
			directorMapDests, "flags is 1024, in this version 0",
		},
		{
			"other type", func(s *ebpf.CollectionSpec) { s.Maps[directorMapVirtuals].Type = ebpf.LRUHash },
			directorMapVirtuals, "type is Hash, in this version LRUHash",
		},
		{"block", func(s *ebpf.CollectionSpec) {
			origin := btf.Copy(s.Maps[directorMapOrigins].Value)
			head := btf.UnderlyingType(origin).(*btf.Struct).Members[0].Type.(*btf.Array)
			head.Type.(*btf.Struct).Members[1].Name = "others"
			s.Maps[directorMapOrigins].Value = origin
		}, directorMapOrigins, "block_head.others, u32 at 8 in this version, is not there"},
	}
	before := xdpOn(t, frontName)
	for _, test := range tests {
		spec := d.spec()
		test.change(spec)
		_, err := d.run(spec, true, nil)
		var refused *LayoutError
		if !errors.As(err, &refused) {
			t.Errorf("%s: error %v, want a LayoutError", test.name, err)
			continue
		}
		if diff := cmp.Diff(LayoutError{test.mapName, test.want}, *refused); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "drover datapath unload") {
			t.Errorf("%s: error %q", test.name, text)
		}
		if xdpOn(t, frontName) != before {
			t.Errorf("%s: the program was replaced", test.name)
		}
	}
	d.whole("refused")
}
