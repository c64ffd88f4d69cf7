package datapath

import (
	"slices"

	"drover/internal/lvs"
)

// A transaction is what commands have changed so far: services and servers as they are to be. Nothing of it
// is in the maps before commit puts all of it in force, so that who reads, forwards or is killed meanwhile
// sees all or nothing. Its methods answer as if each change was made at once. docs/design/0003-transactions.md.
type transaction struct {
	table    *Table
	services map[directorServiceKey]*stagedService
	touched  []*stagedService           // in the order in which they were first looked at
	gone     map[trashKey]*stagedServer // servers that it deleted
	fresh    []*stagedServer            // servers that it gave a slot
	ids      []uint32                   // of services that it deleted
	timeouts lvs.Timeouts
	tunes    map[directorTune]int32

	timeoutRows   map[directorTimeouts]uint32 // of timeout_sets, in use; nil: not looked at
	timeoutsTaken map[uint32]bool

	more int  // services than are stored
	all  bool // all services are among the touched
}

// A stagedService is a service as a transaction has it.
type stagedService struct {
	key     directorServiceKey // without an epoch
	stored  *directorService   // nil: it is not in the maps
	now     directorService
	there   bool // false: it is deleted, or never was
	changed bool
	relist  bool            // it gets a new block
	listed  bool            // list is read
	list    []*stagedServer // the newest first
	walk    walk
}

// A stagedServer is a server as a transaction has it.
type stagedServer struct {
	slot    uint32
	dest    directorDest // as it is to be
	stored  bool         // in a stored list: programs and readers use its row
	trashed bool         // it was in the trash
	changed bool
	added   bool
	zero    bool          // its counters begin anew,
	base    directorStats // at this
}

// Begin makes one transaction of the commands up to Commit.
func (t *Table) Begin() error {
	if t.tx == nil {
		t.tx = t.newTransaction()
	}
	return nil
}

// Commit puts in force what was changed since Begin: all of it, or on an error nothing.
func (t *Table) Commit() error {
	tx := t.tx
	if tx == nil {
		return nil
	}
	t.tx = nil
	return t.commit(tx)
}

// Keeps is true: what is added is kept.
func (t *Table) Keeps() bool { return true }

func (t *Table) newTransaction() *transaction {
	return &transaction{
		table:    t,
		services: map[directorServiceKey]*stagedService{},
		gone:     map[trashKey]*stagedServer{},
		tunes:    map[directorTune]int32{},
	}
}

// change makes one change: in the open transaction, or as one of its own. f must change nothing if it
// gives an error.
func (t *Table) change(f func(tx *transaction) error) error {
	if t.tx != nil {
		return f(t.tx)
	}
	tx := t.newTransaction()
	if err := f(tx); err != nil {
		return err
	}
	return t.commit(tx)
}

// service gives a service as it is now, there or not.
func (tx *transaction) service(key directorServiceKey) (*stagedService, error) {
	if s := tx.services[key]; s != nil {
		return s, nil
	}
	stored, found, err := tx.table.storedService(key)
	if err != nil {
		return nil, err
	}
	if !found {
		return tx.add(key, nil), nil
	}
	return tx.add(key, &stored), nil
}

func (tx *transaction) add(key directorServiceKey, stored *directorService) *stagedService {
	s := &stagedService{key: key, stored: stored, there: stored != nil}
	if stored != nil {
		s.now = *stored
	}
	tx.services[key] = s
	tx.touched = append(tx.touched, s)
	return s
}

// addAll takes in all services that it has not looked at.
func (tx *transaction) addAll() error {
	if err := tx.table.takeStock(); err != nil || tx.all {
		return err
	}
	for key, stored := range tx.table.stored {
		if tx.services[key] == nil {
			tx.add(key, &stored)
		}
	}
	tx.all = true
	return nil
}

// find gives a service that is there: lvs.ErrNoService if it is not.
func (tx *transaction) find(k lvs.ServiceKey) (*stagedService, error) {
	if neverLetIn(k) {
		return nil, lvs.ErrNoService
	}
	s, err := tx.service(keyOf(k))
	if err == nil && !s.there {
		err = lvs.ErrNoService
	}
	return s, err
}

// servers gives a service's list, to be changed.
func (tx *transaction) servers(s *stagedService) ([]*stagedServer, error) {
	if s.listed || !s.there {
		return s.list, nil
	}
	t := tx.table
	if err := t.takeStock(); err != nil {
		return nil, err
	}
	elements := t.list(s.stored.Block)
	servers := make([]stagedServer, len(elements))
	for i, e := range elements {
		servers[i] = stagedServer{slot: e.slot(), dest: *t.dests.at(e.slot()), stored: true}
		s.list = append(s.list, &servers[i])
	}
	s.listed, s.walk = true, newWalk(len(elements))
	return s.list, nil
}

// relisted notes that a service's list or a weight in it has changed.
func (s *stagedService) relisted() {
	s.changed, s.relist = true, true
	if schedulerName(s.now.Scheduler) == "wrr" {
		s.walk.weighed(s.weights())
	}
}

func (s *stagedService) weights() []int32 {
	weights := make([]int32, len(s.list))
	for i, server := range s.list {
		weights[i] = int32(server.dest.Weight)
	}
	return weights
}

// position finds a server in a list.
func position(list []*stagedServer, addr directorAddr, port uint16) (int, bool) {
	i := slices.IndexFunc(list, func(s *stagedServer) bool { return s.dest.Addr == addr && s.dest.Port == port })
	return i, i >= 0
}
