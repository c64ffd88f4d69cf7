package datapath

import (
	"sync/atomic"
	"unsafe"

	"drover/internal/lvs"
	"drover/internal/schedule"
)

// chunkWords is the number of elements in a chunk of a block.
const chunkWords = 8

// maxServers is the most that one service can have.
const maxServers = 1024

// groupServers is the number of neighbours in a list of which lc, wlc, sed and nq keep the best, and
// chunkMinima how many such results a chunk holds: GROUP_SERVERS and CHUNK_MINIMA of bpf/types.h.
const (
	groupServers = 16
	chunkMinima  = 4
)

// hashBuckets is the number of elements that sh and dh have behind their list.
const hashBuckets = len(schedule.Table{})

// element is one server in a block: its slot, and its weight as the scheduler sees it.
type element uint64

func newElement(slot uint32, weight int32) element { return element(weight)<<32 | element(slot) }
func (e element) slot() uint32                     { return uint32(e) }

// schedulers has, by the name of each, its number in the programs and what its blocks are like.
var schedulers = map[string]struct {
	number     directorScheduler
	unweighted bool      // any weight but 0 counts as 1
	costs      [4]uint32 // of an active connection, an inactive one, any server; and 1: idle ones first
}{
	"rr":  {number: directorSchedulerSCHED_RR, unweighted: true},
	"wrr": {number: directorSchedulerSCHED_WRR},
	"lc":  {number: directorSchedulerSCHED_LC, unweighted: true, costs: [4]uint32{256, 1, 0, 0}},
	"wlc": {number: directorSchedulerSCHED_WLC, costs: [4]uint32{256, 1, 0, 0}},
	"sed": {number: directorSchedulerSCHED_SED, costs: [4]uint32{1, 0, 1, 0}},
	"nq":  {number: directorSchedulerSCHED_NQ, costs: [4]uint32{1, 0, 1, 1}},
	"sh":  {number: directorSchedulerSCHED_SH},
	"dh":  {number: directorSchedulerSCHED_DH},
}

// schedulerName undoes the numbering.
func schedulerName(number uint8) string {
	for name, s := range schedulers {
		if s.number == directorScheduler(number) {
			return name
		}
	}
	return ""
}

func schedulerNumber(name string) uint8 { return uint8(schedulers[name].number) }

// version is one version of a service's list of servers, before it is written as a block.
type version struct {
	scheduler string
	slots     []uint32 // in list order, the newest first
	weights   []int32
	cursor    uint64 // rr, wrr: where its walk begins
}

// words lays the version out as a block: head, list, and what the scheduler keeps behind it.
func (v version) words() []uint64 {
	s := schedulers[v.scheduler]
	unit := chunkWords
	if s.costs != [4]uint32{} {
		unit = groupServers // it looks at whole groups
	}
	words := make([]uint64, chunkWords+roundUp(len(v.slots), unit))
	head := directorBlockHead{
		Servers: uint32(len(v.slots)), Table: uint32(len(words) / chunkWords), NoneCost: 1,
		ActiveCost: s.costs[0], InactiveCost: s.costs[1], BaseCost: s.costs[2], IdleFirst: s.costs[3],
	}
	for i, slot := range v.slots {
		weight := v.weights[i]
		if weight > 0 {
			head.MaxWeight = 1
		}
		if s.unweighted {
			weight = min(weight, 1)
		}
		words[chunkWords+i] = uint64(newElement(slot, weight))
	}
	switch v.scheduler {
	case "rr": // wrr with every weight, the step and the maximum 1
		head.Step, head.Cursor = 1, v.cursor
	case "wrr":
		step, maximum := schedule.WRRParameters(v.weights)
		head.Step, head.MaxWeight, head.Cursor = uint32(step), uint32(maximum), v.cursor
	case "sh", "dh":
		words = append(words, v.buckets()...)
	default:
		groups := roundUp(len(v.slots), groupServers) / groupServers
		words = append(words, make([]uint64, roundUp(groups, chunkMinima)/chunkMinima*chunkWords)...)
	}
	head.Chunks = uint32(len(words) / chunkWords)
	*(*directorBlockHead)(unsafe.Pointer(&words[0])) = head
	return words
}

// roundUp gives the next multiple of a unit.
func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

// buckets is the table of sh or dh.
func (v version) buckets() []uint64 {
	table := schedule.DestinationHashTable(len(v.slots))
	if v.scheduler == "sh" {
		table = schedule.SourceHashTable(v.weights)
	}
	words := make([]uint64, hashBuckets)
	for b, i := range table {
		if i != schedule.NoServer {
			words[b] = uint64(newElement(v.slots[i], v.weights[i]))
		}
	}
	return words
}

// head gives the head of a block.
func (t *Table) head(block uint32) *directorBlockHead {
	return (*directorBlockHead)(unsafe.Pointer(t.blocks.at(block)))
}

// list reads the servers of a block, in list order.
func (t *Table) list(block uint32) []element {
	n := min(t.head(block).Servers, maxServers)
	list := make([]element, 0, n)
	for i := range n {
		list = append(list, element(t.blocks.at(block + 1 + i/chunkWords).Word[i%chunkWords]))
	}
	return list
}

// cursor reads where a block's walk stands; programs move it.
func (t *Table) cursor(block uint32) uint64 { return atomic.LoadUint64(&t.head(block).Cursor) }

// writeBlock writes words to chunks of their own and gives the first: not yet known to any program.
func (t *Table) writeBlock(words []uint64) (uint32, error) {
	n := uint32(len(words) / chunkWords)
	block, ok := t.chunks.take(n)
	if !ok {
		return 0, lvs.ErrMemory
	}
	t.control.at(0).NextChunk = t.chunks.next
	for i := range n {
		copy(t.blocks.at(block + i).Word[:], words[i*chunkWords:])
	}
	return block, nil
}
