package config

import (
	"slices"
	"strings"
	"sync"
)

// Status is what becomes of a keyword.
type Status string

// The statuses.
const (
	Acted   Status = "acted on"
	Checked Status = "checked"      // read and checked; nothing acts on it yet
	Noted   Status = "does nothing" // accepted, with a note why it does not apply here
	Refused Status = "refused"      // by name: what it is part of is not loaded, or works without it
)

// A row is a keyword in one kind of block.
type row struct {
	names  string // apart by blanks: the first is the keyword, the others are the same
	status Status
	remark string // what it does here, or why it does nothing
	read   reader1
}

// reader1 reads a statement into what is being built. nil: there is nothing to read.
type reader1 func(*builder, *Statement)

// A blockKind is a kind of block: what keywords it has, in the order in which the documentation names them.
type blockKind struct {
	name string
	rows []row
	// more are kinds whose keywords it has too.
	more []*blockKind
	// free blocks have words of their own in the place of keywords, as names and addresses; word reads such a line.
	word reader1

	once  sync.Once // several files may be read at once
	index map[string]*row
}

// find gives the row of a keyword.
func (k *blockKind) find(keyword string) *row {
	k.once.Do(func() {
		k.index = map[string]*row{}
		for _, kind := range append([]*blockKind{k}, k.more...) {
			for i := range kind.rows {
				for name := range strings.FieldsSeq(kind.rows[i].names) {
					if k.index[name] == nil {
						k.index[name] = &kind.rows[i]
					}
				}
			}
		}
	})
	return k.index[keyword]
}

// suggest gives the keyword of the block that is nearest to a word, or nothing if none is near.
func (k *blockKind) suggest(word string) string {
	best, distance := "", len(word)/3+1
	var names []string
	k.find("")
	for name := range k.index {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if d := editDistance(word, name); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// editDistance is Levenshtein's, with exchanged neighbours as one step.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
