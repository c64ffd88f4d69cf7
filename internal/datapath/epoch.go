package datapath

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// serviceBatch is how many services one system call reads, writes or deletes.
const serviceBatch = 4096

// epoch is that of the services in force. A transaction writes those that are to come under the next one,
// and puts them in force by storing it.
func (t *Table) epoch() uint32 { return atomic.LoadUint32(&t.control.at(0).Epoch) }

func (t *Table) storeEpoch(epoch uint32) { atomic.StoreUint32(&t.control.at(0).Epoch, epoch) }

// storedKey gives a service's key in the map; without an epoch it is the table's own.
func storedKey(key directorServiceKey, epoch uint32) directorServiceKey {
	key.Epoch = epoch
	return key
}

// eachService calls f with all services in the map, of any epoch, as they are while it is read.
func (t *Table) eachService(f func(key directorServiceKey, s *directorService)) error {
	keys := make([]directorServiceKey, serviceBatch)
	values := make([]directorService, serviceBatch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := t.maps.Services.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			f(keys[i], &values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the services: %w", err)
		}
	}
}

// lookUp reads the service in force of a key; its key has no epoch.
func (t *Table) lookUp(key directorServiceKey) (s directorService, found bool, err error) {
	for {
		epoch := t.epoch()
		err := t.maps.Services.Lookup(storedKey(key, epoch), &s)
		if err == nil {
			return s, true, nil
		}
		if !errors.Is(err, ebpf.ErrKeyNotExist) {
			return s, false, fmt.Errorf("look up service %s: %w", keyFrom(key), err)
		}
		if t.epoch() == epoch {
			return s, false, nil
		}
	}
}

// putServices writes services under an epoch.
func (t *Table) putServices(services map[directorServiceKey]directorService, epoch uint32) error {
	keys := make([]directorServiceKey, 0, serviceBatch)
	values := make([]directorService, 0, serviceBatch)
	put := func() error {
		if _, err := t.maps.Services.BatchUpdate(keys, values, nil); err != nil {
			return serviceError(err)
		}
		keys, values = keys[:0], values[:0]
		t.reached("services written")
		return nil
	}
	for key, s := range services {
		keys, values = append(keys, storedKey(key, epoch)), append(values, s)
		if len(keys) == serviceBatch {
			if err := put(); err != nil {
				return err
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return put()
}

// serviceError: a map that takes no more is what ip_vs calls out of memory.
func serviceError(err error) error {
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOMEM) {
		return lvs.ErrMemory
	}
	return fmt.Errorf("write the services: %w", err)
}

// deleteServices deletes keys as they are in the map; those that are not there are none the worse.
func (t *Table) deleteServices(keys []directorServiceKey) error {
	for len(keys) > 0 {
		n := min(len(keys), serviceBatch)
		done, err := t.maps.Services.BatchDelete(keys[:n], nil)
		switch {
		case err == nil:
			keys = keys[n:]
		case errors.Is(err, ebpf.ErrKeyNotExist):
			keys = keys[done+1:]
		default:
			return fmt.Errorf("delete services: %w", err)
		}
	}
	return nil
}
