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

// sizedSpec is the director's object for a capacity, with a seed of its own for the hash.
func sizedSpec(connections uint32) (*ebpf.CollectionSpec, error) {
	if connections < minConnections || connections > maxConnections {
		return nil, fmt.Errorf("a connection table of %d entries: expected %d to %d",
			connections, minConnections, maxConnections)
	}
	spec, err := loadDirector()
	if err != nil {
		return nil, fmt.Errorf("read the director's object: %w", err)
	}
	buckets := bucketsFor(connections)
	spec.Maps[directorMapConns].MaxEntries = connections + 1
	spec.Maps[directorMapBuckets].MaxEntries = buckets
	var seed [8]byte
	rand.Read(seed[:])
	return spec, errors.Join(
		spec.Variables[directorVarConnCapacity].Set(connections),
		spec.Variables[directorVarBucketMask].Set(buckets-1),
		spec.Variables[directorVarHashSeed].Set(binary.LittleEndian.Uint64(seed[:])),
	)
}

// stagePrograms are the programs behind enum stage, in its order.
func stagePrograms(p *directorPrograms) []*ebpf.Program {
	return []*ebpf.Program{
		p.NewConn, p.SchedWalk, p.SchedLeast, p.SchedTable, p.ConnectServer, p.ForwardStateless,
		p.AnswerError, p.AskNeighbour, p.Icmp, p.Fragment, p.Tunnel, p.TunnelError,
	}
}

// loadObjects loads programs and maps for a capacity, the stages linked and the defaults set. Nothing
// is attached or pinned, and the timer stands still.
func loadObjects(connections uint32) (_ *directorObjects, err error) {
	spec, err := sizedSpec(connections)
	if err != nil {
		return nil, err
	}
	var objects directorObjects
	if err := spec.LoadAndAssign(&objects, nil); err != nil {
		return nil, fmt.Errorf("load the programs: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, objects.Close())
		}
	}()
	for stage, program := range stagePrograms(&objects.directorPrograms) {
		if err := objects.Stages.Put(uint32(stage), program); err != nil {
			return nil, fmt.Errorf("link stage %d: %w", stage, err)
		}
	}
	var defaults directorControl
	setDefaultTimeouts(&defaults)
	if err := objects.Controls.Put(uint32(0), defaults); err != nil {
		return nil, fmt.Errorf("set the timeouts: %w", err)
	}
	return &objects, nil
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
