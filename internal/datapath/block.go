package datapath

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"drover/internal/lvs"
	"drover/internal/schedule"
)

// chunkWords is the number of elements in a chunk of a block.
const chunkWords = 8

// maxServers is the most that one service can have.
const maxServers = 1024

// groupServers is the number of neighbours in a list of which the schedulers that compare costs keep the best, and
// chunkMinima how many such results a chunk holds: GROUP_SERVERS and CHUNK_MINIMA of bpf/types.h.
const (
	groupServers = 16
	chunkMinima  = 4
)

// RULE_* of bpf/types.h.
const (
	ruleIdleFirst = 1
	ruleOverflow  = 2
	ruleSlack     = 4
	ruleLimits    = 8
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
	costs      [3]uint32 // of an active connection, an inactive one, any server
	rule       uint32    // RULE_* of bpf/types.h
}{
	"rr":  {number: directorSchedulerSCHED_RR, unweighted: true},
	"wrr": {number: directorSchedulerSCHED_WRR},
	"lc":  {number: directorSchedulerSCHED_LC, unweighted: true, costs: [3]uint32{256, 1, 0}},
	"wlc": {number: directorSchedulerSCHED_WLC, costs: [3]uint32{256, 1, 0}},
	"sed": {number: directorSchedulerSCHED_SED, costs: [3]uint32{1, 0, 1}},
	"nq":  {number: directorSchedulerSCHED_NQ, costs: [3]uint32{1, 0, 1}, rule: ruleIdleFirst},
	"sh":  {number: directorSchedulerSCHED_SH},
	"dh":  {number: directorSchedulerSCHED_DH},
	"mh":  {number: directorSchedulerSCHED_MH},
	"fo":  {number: directorSchedulerSCHED_FO, costs: [3]uint32{0, 0, 1}},
	"ovf": {number: directorSchedulerSCHED_OVF, costs: [3]uint32{0, 0, 1}, rule: ruleOverflow},

	"lblc":  {number: directorSchedulerSCHED_LBLC, costs: [3]uint32{256, 1, 0}, rule: ruleSlack},
	"lblcr": {number: directorSchedulerSCHED_LBLCR, costs: [3]uint32{256, 1, 0}, rule: ruleSlack},
	"twos":  {number: directorSchedulerSCHED_TWOS},
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
	cursor    uint64                // rr, wrr: where its walk begins; lblc, lblcr: what is remembered is found by it
	fresh     bool                  // the scheduler is new to the service: it begins anew
	maglev    *schedule.MaglevTable // mh
	limits    bool                  // servers have thresholds
}

// words lays the version out as a block: head, list, and what the scheduler keeps behind it.
func (v version) words() []uint64 {
	s := schedulers[v.scheduler]
	unit := chunkWords
	if s.costs != [3]uint32{} {
		unit = groupServers // it looks at whole groups
	}
	words := make([]uint64, chunkWords+roundUp(len(v.slots), unit))
	head := directorBlockHead{
		Servers: uint32(len(v.slots)), Table: uint32(len(words) / chunkWords), NoneCost: 1,
		ActiveCost: s.costs[0], InactiveCost: s.costs[1], BaseCost: s.costs[2], Rule: s.rule,
	}
	if v.limits {
		head.Rule |= ruleLimits
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
	case "mh":
		words = append(words, v.maglevWords()...)
	case "twos":
		words = append(words, v.sums()...)
	case "lblc", "lblcr":
		v.remember(&head)
		words = append(words, v.minima()...)
	default:
		words = append(words, v.minima()...)
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

// minima is room for the best server of each group.
func (v version) minima() []uint64 {
	groups := roundUp(len(v.slots), groupServers) / groupServers
	return make([]uint64, roundUp(groups, chunkMinima)/chunkMinima*chunkWords)
}

// maglevWords is the table of mh, 16 bits to a bucket.
func (v version) maglevWords() []uint64 {
	const inWord = 4 // MAGLEV_WORD
	words := make([]uint64, roundUp(schedule.MaglevBuckets, inWord*chunkWords)/inWord)
	for b, i := range v.maglev {
		words[b/inWord] |= uint64(i) << (b % inWord * 16)
	}
	return words
}

// sums has, for each server, the weights of those up to it.
func (v version) sums() []uint64 {
	words := make([]uint64, roundUp(len(v.weights), chunkWords))
	sum := uint64(0)
	for i, weight := range v.weights {
		sum += uint64(weight)
		words[i] = sum
	}
	return words
}

// remember keeps what lblc or lblcr knows of destinations, unless it begins anew: it is found by a number
// that no other service has, and none had.
func (v version) remember(head *directorBlockHead) {
	head.Cursor = v.cursor
	if v.fresh {
		var number [8]byte
		rand.Read(number[:])
		head.Cursor = binary.LittleEndian.Uint64(number[:])
	}
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
