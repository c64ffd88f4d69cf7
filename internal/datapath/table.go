package datapath

import (
	"errors"
	"net/netip"

	"drover/internal/ipvsadm"
)

// Table is the state of a loaded data path: services, servers and connections, in maps that the
// programs use at the same time. It keeps ip_vs's rules, and its methods return the errors of package
// lvs. One opened for a change holds the lock of the network namespace until Close.
type Table struct {
	noDaemons
	maps   *directorMaps
	unlock func() // nil when opened to read

	blocks         *array[directorChunk]
	dests          *array[directorDest]
	destConns      *array[directorDestConns]
	destPersistent *array[uint64]
	destZero       *array[directorStats]
	destRates      *array[directorRates]
	dirty          *array[uint64] // by service
	timeoutSets    *array[directorTimeouts]
	control        *array[directorControl]

	tx *transaction // between Begin and Commit

	// What is given out, found by looking through the maps when the first change is made. Nobody else
	// changes the maps while the lock is held.
	chunks, slots, ids *runs
	trash              trash
	created            uint32                                 // the last service's order of creation
	stored             map[directorServiceKey]directorService // in force; keys without an epoch
	vips               map[directorAddr]uint32                // services by VIP

	stop func(step string) // for tests: called between the steps of a commit

	// hosts keeps the kernel's neighbour entries of real servers; tests without a network have none.
	hosts hostNetwork
}

var _ ipvsadm.Table = (*Table)(nil)

// hostNetwork is what of the machine's network the table has to do with.
type hostNetwork interface {
	isLocal(server netip.Addr) bool
	// source is where packets to a server are sent from; the zero Addr if that is not known.
	source(server netip.Addr) netip.Addr
	// serversChanged tells of servers that came and went; remaining are all that there are now.
	serversChanged(added, gone map[netip.Addr]bool, remaining func() map[netip.Addr]bool)
	close()
}

// newTable maps the arrays of loaded or pinned maps.
func newTable(maps *directorMaps) (_ *Table, err error) {
	t := &Table{maps: maps, hosts: noNetwork{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.unmap())
		}
	}()
	if t.blocks, err = mapArray[directorChunk](maps.Blocks); err != nil {
		return nil, err
	}
	if t.dests, err = mapArray[directorDest](maps.Dests); err != nil {
		return nil, err
	}
	if t.destConns, err = mapArray[directorDestConns](maps.DestConns); err != nil {
		return nil, err
	}
	if t.destPersistent, err = mapArray[uint64](maps.DestPersistent); err != nil {
		return nil, err
	}
	if t.destZero, err = mapArray[directorStats](maps.DestZero); err != nil {
		return nil, err
	}
	if t.destRates, err = mapArray[directorRates](maps.DestRates); err != nil {
		return nil, err
	}
	if t.dirty, err = mapArray[uint64](maps.DirtyGroups); err != nil {
		return nil, err
	}
	if t.timeoutSets, err = mapArray[directorTimeouts](maps.TimeoutSets); err != nil {
		return nil, err
	}
	t.control, err = mapArray[directorControl](maps.Controls)
	return t, err
}

func (t *Table) unmap() error {
	return errors.Join(t.blocks.close(), t.dests.close(), t.destConns.close(), t.destPersistent.close(),
		t.destZero.close(), t.destRates.close(), t.dirty.close(), t.timeoutSets.close(),
		t.control.close())
}

// Close ends the use of the table and gives its lock back. The data path goes on. What was changed since
// Begin and not committed is forgotten.
func (t *Table) Close() error {
	t.hosts.close()
	err := errors.Join(t.unmap(), t.maps.Close())
	if t.unlock != nil {
		t.unlock()
	}
	return err
}

// Size is the number of buckets of the connection table.
func (t *Table) Size() (int, error) { return int(t.maps.Buckets.MaxEntries()), nil }

// noNetwork is the host of a table without one: nothing is local, nothing is kept.
type noNetwork struct{}

func (noNetwork) source(netip.Addr) netip.Addr { return netip.Addr{} }

func (noNetwork) isLocal(netip.Addr) bool                                               { return false }
func (noNetwork) serversChanged(_, _ map[netip.Addr]bool, _ func() map[netip.Addr]bool) {}
func (noNetwork) close()                                                                {}
