package datapath

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// What an upgrade does with a map.
const (
	mapReused    = "reused"    // the running one goes on
	mapMade      = "made"      // it is new in this version, or made anew without loss
	mapConverted = "converted" // made anew, its content taken over by name
	mapRemoved   = "removed"   // this version has no such map
	mapRefused   = "refused"
)

// MapChange is what an upgrade does with one map.
type MapChange struct {
	Name   string `json:"name"`
	Action string `json:"action"` // reused | made | converted | removed
	Why    string `json:"why,omitempty"`
}

// whenChanged says what may be done with maps whose layout has changed. All others hold what cannot be
// made again: services, servers, connections, counters.
var whenChanged = map[string]string{
	directorMapScratches:     mapMade, // of one packet
	directorMapStages:        mapMade,
	directorMapNeighbours:    mapMade, // asked for again
	directorMapFragments:     mapMade, // of datagrams that are under way, for seconds
	directorMapAnswerRate:    mapMade, // of the present second
	directorMapSweeps:        mapMade, // the sweep begins at the first entry
	directorMapDestRates:     mapMade, // estimated again
	directorMapIngressMacs:   mapMade, // described from the interfaces
	directorMapLocalities:    mapMade, // remembered again
	directorMapReplicaSets:   mapMade,
	directorMapPaths:         mapMade, // told again
	directorMapSumChunks:     mapMade, // of one packet
	directorMapFirstReplicas: mapMade,
	directorMapDevices:       mapConverted,
	directorMapOutcomes:      mapConverted,
}

// eachVersion has the maps that every version makes for itself, and why.
var eachVersion = map[string]string{
	directorMapStages:  "it holds this version's programs",
	directorMapOrigins: "it describes this version",
}

// isDifferent tells whether a running map is not as this version would have made it.
func (c MapChange) isDifferent() bool {
	return c.Action != mapReused && (c.Action == mapRefused || eachVersion[c.Name] == "" || c.Why != eachVersion[c.Name])
}

// A LayoutError says that a version's map can't be taken over by another. Nothing was changed.
type LayoutError struct{ Map, Difference string }

// Error names the map, what differs, and what to do.
func (e *LayoutError) Error() string {
	return fmt.Sprintf("map %s is laid out differently (%s) and can't be taken over: keep the running version, "+
		`or "drover datapath unload" and "drover datapath load", which ends all connections`, e.Map, e.Difference)
}

// compareMaps tells for each map, in the order of the names, what an upgrade to spec would do with it.
func compareMaps(running map[string]*ebpf.Map, spec *ebpf.CollectionSpec) ([]MapChange, error) {
	var changes []MapChange
	for _, name := range slices.Sorted(maps.Keys(spec.Maps)) {
		if strings.HasPrefix(name, ".") { // .rodata: constants, not pinned
			continue
		}
		c, err := compareNamed(name, running, spec)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	for _, name := range slices.Sorted(maps.Keys(running)) {
		if spec.Maps[name] == nil {
			changes = append(changes, MapChange{name, mapRemoved, "it is not in this version"})
		}
	}
	return changes, nil
}

func compareNamed(name string, running map[string]*ebpf.Map, spec *ebpf.CollectionSpec) (MapChange, error) {
	m, ours := running[name], spec.Maps[name]
	switch {
	case m == nil && name == directorMapOrigins:
		return MapChange{name, mapRefused, "it is not there"}, nil
	case m == nil:
		return MapChange{name, mapMade, "it is new in this version"}, nil
	case name == directorMapStages:
		return MapChange{name, mapMade, eachVersion[name]}, nil
	}
	difference, err := compareMap(m, ours)
	if err == nil && difference == "" {
		switch name {
		case directorMapOutcomes:
			difference, err = compareOutcomes(running, spec)
		case directorMapOrigins:
			difference, err = compareFormat(m)
		}
	}
	switch {
	case err != nil:
		return MapChange{}, err
	case difference == "" && name == directorMapOrigins:
		return MapChange{name, mapConverted, eachVersion[name]}, nil
	case difference == "":
		return MapChange{Name: name, Action: mapReused}, nil
	case whenChanged[name] != "":
		return MapChange{name, whenChanged[name], difference}, nil
	}
	return MapChange{name, mapRefused, difference}, nil
}

func compareFormat(origins *ebpf.Map) (string, error) {
	o, err := readOrigin(origins)
	if err == nil && o.Format != stateFormat {
		return fmt.Sprintf("format %d, in this version %d", o.Format, stateFormat), nil
	}
	return "", err
}

// compareOutcomes compares the counters' numbers, which are described in the origin.
func compareOutcomes(running map[string]*ebpf.Map, spec *ebpf.CollectionSpec) (string, error) {
	was, is, err := outcomeNumbers(running, spec)
	if err != nil || was == nil {
		return "", err
	}
	var highest uint32
	for _, f := range is {
		highest = max(highest, f.offset)
	}
	if rows := running[directorMapOutcomes].MaxEntries(); highest >= rows {
		return fmt.Sprintf("%d rows, in this version %d", rows, spec.Maps[directorMapOutcomes].MaxEntries), nil
	}
	return compareFields(was, is), nil
}

// outcomeNumbers gives the enumerators of outcome in the running version and in this one.
func outcomeNumbers(running map[string]*ebpf.Map, spec *ebpf.CollectionSpec) (was, is []field, err error) {
	origins := running[directorMapOrigins]
	if origins == nil {
		return nil, nil, nil
	}
	_, value, err := typesOf(origins)
	if err != nil || value == nil {
		return nil, nil, err
	}
	only := func(fields []field) (outcomes []field) {
		for _, f := range fields {
			if strings.HasPrefix(f.name, outcomeEnum) {
				outcomes = append(outcomes, f)
			}
		}
		return outcomes
	}
	return only(fieldsOf(value)), only(fieldsOf(spec.Maps[directorMapOrigins].Value)), nil
}

// planUpgrade is compareMaps with a LayoutError for what can't be taken over.
func planUpgrade(running map[string]*ebpf.Map, spec *ebpf.CollectionSpec) ([]MapChange, error) {
	changes, err := compareMaps(running, spec)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if c.Action == mapRefused {
			return nil, &LayoutError{c.Name, c.Why}
		}
	}
	return changes, nil
}
