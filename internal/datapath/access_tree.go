package datapath

import (
	"cmp"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"drover/internal/lvs"
)

// ACCESS_* of bpf/types.h and bpf/access.h.
const (
	accessKeys    = 8
	accessNodes   = 262144
	accessIndex   = 65536
	accessLine    = 1 << 30
	accessCrowded = 1 << 29
	accessTrees   = 4096
	accessSubtree = 1 << 31
)

var errTooManyPrefixes = errors.New("more prefixes than the access rules have room for")

// An interval of numbers leads to a rule, or to a tree.
type interval struct {
	first, last uint64
	to          uint32
}

// A beginning is where another interval begins than before.
type beginning struct {
	at uint64
	to uint32
}

// beginnings flattens intervals that lie in each other or apart; what none covers leads to base.
func beginnings(all []interval, base uint32) []beginning {
	slices.SortFunc(all, func(a, b interval) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last)) })
	flat := []beginning{{0, base}}
	begin := func(at uint64, to uint32) {
		if last := &flat[len(flat)-1]; last.at == at {
			last.to = to
		} else if last.to != to {
			flat = append(flat, beginning{at, to})
		}
	}
	var around []interval // the innermost last
	end := func() {
		ended := around[len(around)-1]
		around = around[:len(around)-1]
		outer := base
		if len(around) > 0 {
			outer = around[len(around)-1].to
		}
		if ended.last != ^uint64(0) {
			begin(ended.last+1, outer)
		}
	}
	for _, i := range all {
		for len(around) > 0 && around[len(around)-1].last < i.first {
			end()
		}
		begin(i.first, i.to)
		around = append(around, i)
	}
	for len(around) > 0 {
		end()
	}
	return flat
}

// accessImage is what is written into a half of the maps.
type accessImage struct {
	nodes [][accessKeys]uint64
	index [accessIndex]uint64  // by the first 16 bits of an IPv4 address
	trees []directorAccessTree // the first two are IPv4's and IPv6's
}

// addTree lays a tree out; half is where the nodes of the half begin.
func (m *accessImage) addTree(flat []beginning, half uint32) (directorAccessTree, error) {
	var tree directorAccessTree
	keys, leaves := make([]uint64, len(flat)), make([]uint64, len(flat))
	for i, b := range flat {
		keys[i], leaves[i] = b.at, uint64(b.to)
	}
	layers := [][]uint64{keys}
	for len(layers[0]) > accessKeys {
		var above []uint64
		for i := 0; i < len(layers[0]); i += accessKeys {
			above = append(above, layers[0][i])
		}
		layers = slices.Insert(layers, 0, above)
	}
	if len(layers) > len(tree.First) {
		return tree, errTooManyPrefixes
	}
	tree.Layers = uint32(len(layers))
	for i, layer := range layers {
		tree.First[i] = half + m.addNodes(layer, ^uint64(0))
	}
	tree.Leaves = half + m.addNodes(leaves, 0)
	if len(m.nodes) > accessNodes {
		return tree, errTooManyPrefixes
	}
	return tree, nil
}

// addIndex lays out what addresses with the same first 16 bits lead to.
func (m *accessImage) addIndex(flat []beginning, half uint32) {
	to, next := uint32(0), 0
	for i := range m.index {
		line := []uint64{uint64(to)}
		for ; next < len(flat) && flat[next].at>>16 == uint64(i); next++ {
			to = flat[next].to
			if word := flat[next].at&0xffff<<32 | uint64(to); flat[next].at&0xffff == 0 {
				line[0] = word
			} else {
				line = append(line, word)
			}
		}
		switch {
		case len(line) == 1:
			m.index[i] = line[0]
		case len(line) <= accessKeys:
			m.index[i] = accessLine | uint64(half+m.addNodes(line, ^uint64(0)))
		default:
			m.index[i] = accessCrowded
		}
	}
}

func (m *accessImage) addNodes(values []uint64, rest uint64) (first uint32) {
	first = uint32(len(m.nodes))
	for i := 0; i < len(values); i += accessKeys {
		var node [accessKeys]uint64
		for k := range node {
			if node[k] = rest; i+k < len(values) {
				node[k] = values[i+k]
			}
		}
		m.nodes = append(m.nodes, node)
	}
	return first
}

// newAccessImage builds the trees for rules in the order of lvs.CompareAccess, of which heads has for each
// prefix the number of its first rule, from 1. half is 0 or 1.
func newAccessImage(heads []accessHead, half uint32) (*accessImage, error) {
	m := &accessImage{trees: make([]directorAccessTree, 2)}
	var v4, v6 []interval
	long := map[uint64][]interval{} // by the first half of the address
	for _, h := range heads {
		switch first, last := rangeOf(h.prefix); {
		case h.prefix.Addr().Is4():
			v4 = append(v4, interval{first, last, h.rule})
		case h.prefix.Bits() <= 64:
			v6 = append(v6, interval{first, last, h.rule})
		default:
			network := upperHalf(h.prefix.Addr())
			long[network] = append(long[network], interval{first, last, h.rule})
		}
	}
	for network, intervals := range long {
		base := uint32(0) // what covers all of the network, if something does
		for _, b := range beginnings(slices.Clone(v6), 0) {
			if b.at > network {
				break
			}
			base = b.to
		}
		tree, err := m.addTree(beginnings(intervals, base), half*accessNodes)
		if err != nil || len(m.trees) == accessTrees {
			return nil, errTooManyPrefixes
		}
		long[network] = []interval{{network, network, accessSubtree | half*accessTrees + uint32(len(m.trees))}}
		m.trees = append(m.trees, tree)
	}
	for _, one := range long {
		v6 = appendInnermost(v6, one[0])
	}
	flat := beginnings(v4, 0)
	m.addIndex(flat, half*accessNodes)
	var err error
	if m.trees[0], err = m.addTree(flat, half*accessNodes); err == nil {
		m.trees[1], err = m.addTree(beginnings(v6, 0), half*accessNodes)
	}
	return m, err
}

// appendInnermost adds the interval of one network, in the place of one for just that.
func appendInnermost(all []interval, one interval) []interval {
	for i, other := range all {
		if other.first == one.first && other.last == one.last {
			all[i] = one
			return all
		}
	}
	return append(all, one)
}

// accessHead is a prefix and the first of its rules.
type accessHead struct {
	prefix netip.Prefix
	rule   uint32
}

// rangeOf gives the first and last number of a prefix: of an IPv4 address, or of the half of an IPv6 address that
// the prefix ends in.
func rangeOf(p netip.Prefix) (first, last uint64) {
	if p.Addr().Is4() {
		v4 := p.Addr().As4()
		first = uint64(binary.BigEndian.Uint32(v4[:]))
		return first, first | (1<<(32-p.Bits()) - 1)
	}
	if p.Bits() <= 64 {
		first = upperHalf(p.Addr())
		return first, first | lowBits(64-p.Bits())
	}
	v6 := p.Addr().As16()
	first = binary.BigEndian.Uint64(v6[8:])
	return first, first | lowBits(128-p.Bits())
}

func lowBits(n int) uint64 {
	if n == 64 {
		return ^uint64(0)
	}
	return 1<<n - 1
}

func upperHalf(a netip.Addr) uint64 {
	v6 := a.As16()
	return binary.BigEndian.Uint64(v6[:])
}

// chainRules gives for each rule, in the order of lvs.CompareAccess, the number of the next that covers the same
// sources, from 1; and the heads of the prefixes. A prefix's rules are tried from the one that says most on.
func chainRules(rules []lvs.AccessRule) (next []uint32, heads []accessHead) {
	next = make([]uint32, len(rules))
	type open struct {
		prefix netip.Prefix
		head   uint32
	}
	var around []open
	for i := 0; i < len(rules); {
		prefix := rules[i].Source
		for len(around) > 0 && !around[len(around)-1].prefix.Contains(prefix.Addr()) {
			around = around[:len(around)-1]
		}
		outer := uint32(0)
		if len(around) > 0 {
			outer = around[len(around)-1].head
		}
		for ; i < len(rules) && rules[i].Source == prefix; i++ {
			next[i], outer = outer, uint32(i+1)
		}
		heads = append(heads, accessHead{prefix, outer})
		around = append(around, open{prefix, outer})
	}
	return next, heads
}
