package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// convertMap fills a map that was made anew with what the running one holds.
func convertMap(name string, made *ebpf.Map, running map[string]*ebpf.Map, spec *ebpf.CollectionSpec) error {
	var err error
	switch name {
	case directorMapOrigins:
		err = copyOrigin(made, running[name], 0) // settle notes the object
	case directorMapOutcomes:
		err = convertOutcomes(made, running, spec)
	default:
		err = convertRows(made, running[name], spec.Maps[name])
	}
	if err != nil {
		return fmt.Errorf("convert map %s: %w", name, err)
	}
	return nil
}

// convertRows copies, of each row of an array, the fields that both layouts have.
func convertRows(made, running *ebpf.Map, ours *ebpf.MapSpec) error {
	_, value, err := typesOf(running)
	if err != nil {
		return err
	}
	if value == nil {
		return fmt.Errorf("the running map has no types")
	}
	copies := commonFields(fieldsOf(value), fieldsOf(ours.Value))
	for row := range min(made.MaxEntries(), running.MaxEntries()) {
		was, err := running.LookupBytes(row)
		if err != nil {
			return err
		}
		is := make([]byte, made.ValueSize())
		for _, c := range copies {
			copy(is[c.to:c.to+c.size], was[c.from:c.from+c.size])
		}
		if err := made.Put(row, is); err != nil {
			return err
		}
	}
	return nil
}

// fieldCopy moves a field between two layouts; all in bytes.
type fieldCopy struct{ from, to, size uint32 }

func commonFields(running, ours []field) []fieldCopy {
	was := map[string]field{}
	for _, f := range running {
		was[f.name] = f
	}
	var copies []fieldCopy
	for _, f := range ours {
		if w, ok := was[f.name]; ok && w.kind == f.kind && !isPadding(f) {
			copies = append(copies, fieldCopy{w.offset, f.offset, f.size})
		}
	}
	return copies
}

// convertOutcomes copies each counter to the row that its name has now. What the running programs count
// from here to the switch, milliseconds, is counted in the old map alone.
func convertOutcomes(made *ebpf.Map, running map[string]*ebpf.Map, spec *ebpf.CollectionSpec) error {
	was, is, err := outcomeNumbers(running, spec)
	if err != nil {
		return err
	}
	for _, c := range commonFields(was, is) {
		var each []uint64
		if err := running[directorMapOutcomes].Lookup(c.from, &each); err != nil {
			return err
		}
		if err := made.Put(c.to, each); err != nil {
			return err
		}
	}
	return nil
}
