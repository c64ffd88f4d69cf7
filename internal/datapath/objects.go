package datapath

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf"
)

// DefaultConnections is the capacity of the connection table without --connections.
const DefaultConnections = 1 << 20

// The limits of --connections. A slot's word has 31 bits for the index.
const (
	minConnections = 64
	maxConnections = 1 << 28
)

// Specs gives every BPF object as it is built, by name.
func Specs() (map[string]*ebpf.CollectionSpec, error) {
	spec, err := loadDirector()
	if err != nil {
		return nil, fmt.Errorf("read the director's object: %w", err)
	}
	return map[string]*ebpf.CollectionSpec{"director": spec}, nil
}

// bucketsFor gives the number of buckets for a capacity: about four slots an entry, as a connection
// through NAT takes two, and at most 45 bytes of buckets an entry.
func bucketsFor(connections uint32) uint32 {
	n := uint32(1) << bits.Len32((connections+1)/2-1)
	if uint64(n)*64 > uint64(connections)*45 {
		n /= 2
	}
	return max(n, 2)
}

// sizedSpec is the director's object for a capacity.
func sizedSpec(connections uint32) (*ebpf.CollectionSpec, error) {
	if connections < minConnections || connections > maxConnections {
		return nil, fmt.Errorf("a connection table of %d entries: expected %d to %d",
			connections, minConnections, maxConnections)
	}
	spec, err := loadDirector()
	if err != nil {
		return nil, fmt.Errorf("read the director's object: %w", err)
	}
	spec.Maps[directorMapConns].MaxEntries = connections + 1
	spec.Maps[directorMapControllers].MaxEntries = connections + 1
	spec.Maps[directorMapBuckets].MaxEntries = bucketsFor(connections)
	return spec, nil
}

// newOrigin is that of maps made by this version, with a seed of their own for the hash.
func newOrigin() directorOrigin {
	var seed [8]byte
	rand.Read(seed[:])
	return directorOrigin{
		HashSeed: binary.LittleEndian.Uint64(seed[:]), Object: objectSum(), Format: stateFormat,
	}
}

// setConstants tells the programs the sizes of the maps, and the seed that the buckets are filled by.
func setConstants(spec *ebpf.CollectionSpec, hashSeed uint64) error {
	return errors.Join(
		spec.Variables[directorVarConnCapacity].Set(spec.Maps[directorMapConns].MaxEntries-1),
		spec.Variables[directorVarBucketMask].Set(spec.Maps[directorMapBuckets].MaxEntries-1),
		spec.Variables[directorVarHashSeed].Set(hashSeed),
	)
}

// stagePrograms are the programs behind enum stage, in its order.
func stagePrograms(p *directorPrograms) []*ebpf.Program {
	return []*ebpf.Program{
		p.NewConn, p.SchedWalk, p.SchedLeast, p.SchedTable, p.ConnectServer, p.ForwardStateless,
		p.AnswerError, p.AskNeighbour, p.Icmp, p.Fragment,
		p.SchedRand, p.Tunnel, p.TunnelError, p.PersistClient, p.AnswerReset, p.KnownConn, p.PersistTemplate,
	}
}

// loadObjects loads programs and maps for a capacity, the stages linked and the defaults set. Nothing
// is attached or pinned, and the timer stands still.
func loadObjects(connections uint32) (*directorObjects, error) {
	spec, err := sizedSpec(connections)
	if err != nil {
		return nil, err
	}
	origin := newOrigin()
	return makeObjects(spec, origin.HashSeed, func(m *directorMaps) error {
		return errors.Join(setDefaults(m.Controls), writeOrigin(m.Origins, origin))
	})
}

// makeObjects loads what the spec has, with the stages linked, and fills the maps.
func makeObjects(spec *ebpf.CollectionSpec, hashSeed uint64, fill func(*directorMaps) error) (*directorObjects, error) {
	if err := setConstants(spec, hashSeed); err != nil {
		return nil, err
	}
	var objects directorObjects
	if err := spec.LoadAndAssign(&objects, nil); err != nil {
		return nil, fmt.Errorf("load the programs: %w", err)
	}
	if err := errors.Join(linkStages(&objects), fill(&objects.directorMaps)); err != nil {
		return nil, errors.Join(err, objects.Close())
	}
	return &objects, nil
}

// linkStages fills the array of the programs that packets are handed on to.
func linkStages(objects *directorObjects) error {
	for stage, program := range stagePrograms(&objects.directorPrograms) {
		if err := objects.Stages.Put(uint32(stage), program); err != nil {
			return fmt.Errorf("link stage %d: %w", stage, err)
		}
	}
	return nil
}

func setDefaults(controls *ebpf.Map) error {
	var defaults directorControl
	setDefaultTimeouts(&defaults)
	setDefaultTunes(&defaults)
	if err := controls.Put(uint32(0), defaults); err != nil {
		return fmt.Errorf("set the defaults: %w", err)
	}
	return nil
}

// startTimer sets the programs' clock and sweep going. They go on by themselves.
func startTimer(start *ebpf.Program) error {
	code, err := start.Run(&ebpf.RunOptions{})
	if err != nil {
		return fmt.Errorf("start the timer: %w", err)
	}
	if code != 0 {
		return fmt.Errorf("start the timer: error %d", -int32(code))
	}
	return nil
}
