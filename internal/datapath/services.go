package datapath

import (
	"cmp"
	"errors"
	"slices"

	"drover/internal/lvs"
	"drover/internal/schedule"
)

// Services gives all services with their servers, in the order in which they were added. A reader holds no
// lock: if a transaction was put in force while it read, it reads again.
func (t *Table) Services() ([]lvs.ServiceState, error) {
	for {
		epoch := t.epoch()
		states, err := t.servicesOf(epoch)
		if err != nil || t.epoch() == epoch {
			return states, err
		}
	}
}

func (t *Table) servicesOf(epoch uint32) ([]lvs.ServiceState, error) {
	type row struct {
		key   directorServiceKey
		value directorService
	}
	var rows []row
	err := t.eachService(func(key directorServiceKey, s *directorService) {
		if key.Epoch == epoch {
			rows = append(rows, row{storedKey(key, 0), *s})
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.value.Created, b.value.Created) })
	states := make([]lvs.ServiceState, 0, len(rows))
	for i, r := range rows {
		if i%serviceBatch == 0 && t.epoch() != epoch {
			return nil, nil
		}
		state, err := t.state(r.key, r.value)
		if errors.Is(err, lvs.ErrNoService) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		states = append(states, state)
	}
	return states, nil
}

// Service gives one service with its servers, or lvs.ErrNoService.
func (t *Table) Service(k lvs.ServiceKey) (lvs.ServiceState, error) {
	key, s, err := t.find(k)
	if err != nil {
		return lvs.ServiceState{}, err
	}
	return t.state(key, s)
}

// neverLetIn tells of keys that no service can have.
func neverLetIn(k lvs.ServiceKey) bool { return k.Protocol == lvs.SCTP }

// find looks a service in force up: lvs.ErrNoService if it is not there. The key has no epoch.
func (t *Table) find(k lvs.ServiceKey) (directorServiceKey, directorService, error) {
	if neverLetIn(k) {
		return directorServiceKey{}, directorService{}, lvs.ErrNoService
	}
	key := keyOf(k)
	s, found, err := t.lookUp(key)
	if err == nil && !found {
		err = lvs.ErrNoService
	}
	return key, s, err
}

// state reads a service's servers. A reader holds no lock: if the list was swapped while it was read, its
// chunks may have been used for another, and it is read again.
func (t *Table) state(key directorServiceKey, s directorService) (lvs.ServiceState, error) {
	for {
		state, err := t.stateOf(key, s)
		if err != nil {
			return state, err
		}
		_, now, err := t.find(keyFrom(key))
		if err != nil || now.Block == s.Block && now.Id == s.Id {
			return state, err
		}
		s = now
	}
}

func (t *Table) stateOf(key directorServiceKey, s directorService) (lvs.ServiceState, error) {
	state := lvs.ServiceState{Service: serviceFrom(key, s)}
	counted := s.Carried
	var rates directorStats
	for _, e := range t.list(s.Block) {
		own, err := t.sumDest(e.slot())
		if err != nil {
			return lvs.ServiceState{}, err
		}
		counted = counted.plus(own)
		rates = rates.plus(t.destRates.at(e.slot()).Average)
		state.Destinations = append(state.Destinations, t.destination(e.slot(), s.Block, own))
	}
	state.Stats = counted.public()
	state.Stats.Rate = rates.rate()
	return state, nil
}

// checkService refuses what ip_vs would refuse, and what the programs cannot do yet.
func checkService(s lvs.Service) error {
	if !schedule.Known(s.Scheduler) || s.PE != "" && s.PE != "sip" {
		return lvs.ErrNoScheduler
	}
	for _, missing := range []struct {
		wanted bool
		what   string
	}{
		{s.Protocol == lvs.SCTP, "SCTP services (--sctp-service)"},
		{s.PE != "", "persistence engines (--pe)"},
	} {
		if missing.wanted {
			return &lvs.UnsupportedError{What: missing.what}
		}
	}
	return nil
}
