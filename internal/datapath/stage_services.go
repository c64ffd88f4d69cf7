package datapath

import (
	"errors"

	"drover/internal/lvs"
)

// AddService adds a service without servers.
func (t *Table) AddService(s lvs.Service) error {
	return t.change(func(tx *transaction) error { return tx.addService(s) })
}

func (tx *transaction) addService(added lvs.Service) error {
	s, err := tx.find(added.ServiceKey)
	if err == nil {
		return lvs.ErrServiceExists
	}
	if !errors.Is(err, lvs.ErrNoService) {
		return err
	}
	if err := checkService(added); err != nil {
		return err
	}
	t := tx.table
	if err := t.takeStock(); err != nil {
		return err
	}
	if len(t.stored)+tx.more >= t.maxServices() {
		return lvs.ErrMemory
	}
	id, ok := t.ids.take(1)
	if !ok {
		return lvs.ErrMemory
	}
	tx.more++
	t.created++
	s.now = directorService{Id: id, Created: t.created}
	configureService(&s.now, added)
	s.there, s.listed, s.list, s.walk = true, true, nil, walk{fresh: true}
	s.relisted()
	return nil
}

// maxServices is how many services there can be: a transaction writes all of them a second time.
func (t *Table) maxServices() int { return int(t.maps.Services.MaxEntries() / 2) }

// EditService changes scheduler, flags and persistence. A scheduler that is new to the service begins anew.
func (t *Table) EditService(to lvs.Service) error {
	return t.change(func(tx *transaction) error { return tx.editService(to) })
}

func (tx *transaction) editService(to lvs.Service) error {
	s, err := tx.find(to.ServiceKey)
	if err != nil {
		return err
	}
	if err := checkService(to); err != nil {
		return err
	}
	if _, err := tx.servers(s); err != nil {
		return err
	}
	before := s.now.Scheduler
	configureService(&s.now, to)
	s.changed = true
	if s.now.Scheduler != before {
		s.walk = walk{fresh: true}
		s.relisted()
	}
	return nil
}

// DeleteService deletes a service; its servers go to the trash, with their connections.
func (t *Table) DeleteService(k lvs.ServiceKey) error {
	return t.change(func(tx *transaction) error {
		s, err := tx.find(k)
		if err != nil {
			return err
		}
		return tx.deleteService(s)
	})
}

func (tx *transaction) deleteService(s *stagedService) error {
	list, err := tx.servers(s)
	if err != nil {
		return err
	}
	for _, server := range list {
		tx.gone[trashKeyOf(&server.dest)] = server
	}
	tx.ids = append(tx.ids, s.now.Id)
	tx.more--
	s.there, s.changed, s.relist, s.list = false, true, false, nil
	return nil
}

// Flush deletes every service.
func (t *Table) Flush() error {
	return t.change(func(tx *transaction) error {
		if err := tx.addAll(); err != nil {
			return err
		}
		for _, s := range tx.touched {
			if !s.there {
				continue
			}
			if err := tx.deleteService(s); err != nil {
				return err
			}
		}
		return nil
	})
}
