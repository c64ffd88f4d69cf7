package datapath

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// A field is one number, or array of numbers, somewhere in a key or value.
type field struct {
	name   string // "hop.word"
	offset uint32 // bytes; of an enumerator, its value
	size   uint32 // bytes
	kind   string // "u64", "[16]u8", enumerator
}

const (
	enumerator  = "enumerator"
	padding     = "pad"      // the name of fields that hold zeros
	outcomeEnum = "outcome." // begins the enumerators of outcome among the fields of an origin
)

// fieldsOf gives the fields of a type in the order of their declaration. Of an empty array it gives those
// of one element: it stands in a type to describe what lies elsewhere.
func fieldsOf(t btf.Type) []field {
	var all []field
	appendFields(&all, "", t, 0)
	return all
}

func appendFields(all *[]field, name string, t btf.Type, offset uint32) {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		appendMembers(all, name, t.Members, offset)
	case *btf.Union:
		appendMembers(all, name, t.Members, offset)
	case *btf.Array:
		appendArray(all, name, t, offset)
	default:
		size, _ := btf.Sizeof(t)
		*all = append(*all, field{name, offset, uint32(size), kindOf(t)})
	}
}

func appendMembers(all *[]field, name string, members []btf.Member, offset uint32) {
	for _, m := range members {
		full := m.Name
		if name != "" {
			full = name + "." + m.Name
		}
		appendFields(all, full, m.Type, offset+m.Offset.Bytes())
	}
}

func appendArray(all *[]field, name string, t *btf.Array, offset uint32) {
	element := btf.UnderlyingType(t.Type)
	size, _ := btf.Sizeof(element)
	enum, isEnum := element.(*btf.Enum)
	_, isStruct := element.(*btf.Struct)
	switch {
	case t.Nelems == 0 && isEnum:
		for _, v := range enum.Values {
			if strings.Contains(v.Name, "_") { // others are the number of them: it may grow
				*all = append(*all, field{name + "." + v.Name, uint32(v.Value), 0, enumerator})
			}
		}
	case t.Nelems == 0:
		appendFields(all, name, element, 0)
	case isStruct:
		for i := range t.Nelems {
			appendFields(all, fmt.Sprintf("%s[%d]", name, i), element, offset+i*uint32(size))
		}
	default:
		*all = append(*all, field{name, offset, t.Nelems * uint32(size), fmt.Sprintf("[%d]%s", t.Nelems, kindOf(element))})
	}
}

func kindOf(t btf.Type) string {
	size, _ := btf.Sizeof(t)
	switch t := t.(type) {
	case *btf.Int:
		if t.Encoding == btf.Signed {
			return fmt.Sprintf("s%d", 8*size)
		}
		return fmt.Sprintf("u%d", 8*size)
	case *btf.Enum:
		return fmt.Sprintf("enum%d", 8*size)
	case *btf.Array:
		return fmt.Sprintf("[%d]%s", t.Nelems, kindOf(btf.UnderlyingType(t.Type)))
	}
	return fmt.Sprintf("%T", t)
}

// compareFields gives the first difference that matters between a running type and one of this version,
// or "". A new field may take the place of padding, which is zero, and an enumeration may grow.
func compareFields(running, ours []field) string {
	was := map[string]field{}
	for _, f := range running {
		was[f.name] = f
	}
	is := map[string]bool{}
	for _, f := range ours {
		is[f.name] = true
		w, known := was[f.name]
		switch {
		case isPadding(f), known && w == f, !known && (f.kind == enumerator || inPadding(f, running)):
		case known:
			return fmt.Sprintf("%s is %s at %d, in this version %s at %d", f.name, w.kind, w.offset, f.kind, f.offset)
		default:
			return fmt.Sprintf("%s, %s at %d in this version, is not there", f.name, f.kind, f.offset)
		}
	}
	for _, f := range running {
		if !is[f.name] && !isPadding(f) {
			return fmt.Sprintf("%s, %s at %d, is not in this version", f.name, f.kind, f.offset)
		}
	}
	return ""
}

func isPadding(f field) bool { return f.name == padding || strings.HasSuffix(f.name, "."+padding) }

func inPadding(f field, running []field) bool {
	for _, p := range running {
		if isPadding(p) && p.offset <= f.offset && f.offset+f.size <= p.offset+p.size {
			return true
		}
	}
	return false
}

// compareMap gives the first difference that matters between a running map and one of this version, or
// "". The number of entries is not one: that of the running map is kept.
func compareMap(running *ebpf.Map, ours *ebpf.MapSpec) (string, error) {
	for _, number := range []struct {
		name    string
		was, is any
	}{
		{"type", running.Type(), ours.Type},
		{"flags", running.Flags(), ours.Flags},
		{"key size", running.KeySize(), ours.KeySize},
		{"value size", running.ValueSize(), ours.ValueSize},
	} {
		if number.was != number.is {
			return fmt.Sprintf("%s is %v, in this version %v", number.name, number.was, number.is), nil
		}
	}
	key, value, err := typesOf(running)
	if err != nil || key == nil || ours.Key == nil {
		return "", err
	}
	if difference := compareFields(fieldsOf(key), fieldsOf(ours.Key)); difference != "" {
		return "key: " + difference, nil
	}
	return compareFields(withoutOutcomes(fieldsOf(value)), withoutOutcomes(fieldsOf(ours.Value))), nil
}

// withoutOutcomes leaves the enumerators of outcome out: they are compared for the map that they are the
// keys of.
func withoutOutcomes(fields []field) []field {
	var others []field
	for _, f := range fields {
		if !strings.HasPrefix(f.name, outcomeEnum) {
			others = append(others, f)
		}
	}
	return others
}

// mapInfo begins as struct bpf_map_info of linux/bpf.h.
type mapInfo struct {
	_                                        [64]byte
	btf, keyType, valueType, vmlinuxBTFOfOps uint32
	_                                        uint64
}

// typesOf reads key and value types of a map from the kernel; nil for maps without.
func typesOf(m *ebpf.Map) (key, value btf.Type, err error) {
	info, err := readMapInfo(m)
	if err != nil || info.btf == 0 {
		return nil, nil, err
	}
	handle, err := m.Handle()
	if err != nil {
		return nil, nil, fmt.Errorf("open the types of map %s: %w", m, err)
	}
	defer handle.Close()
	spec, err := handle.Spec(nil)
	if err != nil {
		return nil, nil, fmt.Errorf("read the types of map %s: %w", m, err)
	}
	key, keyErr := spec.TypeByID(btf.TypeID(info.keyType))
	value, valueErr := spec.TypeByID(btf.TypeID(info.valueType))
	if err := errors.Join(keyErr, valueErr); err != nil {
		return nil, nil, fmt.Errorf("look up the types of map %s: %w", m, err)
	}
	return key, value, nil
}

// readMapInfo is BPF_OBJ_GET_INFO_BY_FD. The library does not give the ids of the types.
func readMapInfo(m *ebpf.Map) (mapInfo, error) {
	var info mapInfo
	attr := struct {
		fd, length uint32
		info       uint64
	}{uint32(m.FD()), uint32(unsafe.Sizeof(info)), uint64(uintptr(unsafe.Pointer(&info)))}
	var pinner runtime.Pinner // the kernel is given the address as a number
	pinner.Pin(&info)
	defer pinner.Unpin()
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_GET_INFO_BY_FD,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(m)
	if errno != 0 {
		return info, fmt.Errorf("look at map %s: %w", m, errno)
	}
	return info, nil
}
