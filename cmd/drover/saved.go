package main

import (
	"errors"
	"fmt"
	"net/netip"

	"drover/internal/datapath"
	"drover/internal/ipvsadm"
	"drover/internal/lvs"
)

// A savedKind is one kind of what save keeps and restore makes again. Each of its lines is a command of
// drover's that would make one thing, without "drover" before it.
type savedKind interface {
	word() string  // that its lines begin with, and no other kind's
	title() string // what stands above them, for people
	lines(savedTable) ([]string, error)
	// forget begins a restore: nothing of the kind is left.
	forget(*restoration) error
	// read checks a line's words behind the first, and gives what makes the thing.
	read(words []string) (func(*restoration) error, error)
}

// savedKinds are in the order in which they are saved: what others name comes before them.
var savedKinds = []savedKind{savedServices{}, savedServiceTimeouts{}, savedTunes{}, savedMarks{}, savedAccess{}, savedStandby{}}

// savedTable is what is read of a data path, be it loaded or not.
type savedTable interface {
	Services() ([]lvs.ServiceState, error)
	Timeouts() (lvs.Timeouts, error)
	ServiceTimeouts(lvs.ServiceKey) (lvs.ServiceTimeouts, error)
	Tunes() []datapath.Tune
	Marks() ([]lvs.MarkRule, error)
	AccessRules() ([]lvs.AccessRule, error)
	AccessLimit() (lvs.AccessLimit, error)
	Standby() ([]netip.Addr, error)
}

// savedServices are services and servers, and the timeouts of --set.
type savedServices struct{}

func (savedServices) word() string { return "ipvsadm" }
func (savedServices) title() string {
	return "Virtual services with their servers in the order in which they were added, and the timeouts of all"
}

func (savedServices) lines(t savedTable) ([]string, error) {
	services, err := t.Services()
	if err != nil {
		return nil, err
	}
	var lines []string
	for i := range services {
		lines = append(lines, ipvsadm.Rules(&services[i])...)
	}
	timeouts, err := t.Timeouts()
	return append(lines, ipvsadm.TimeoutsRule(timeouts)), err
}

func (savedServices) forget(r *restoration) error {
	return errors.Join(r.table.Flush(), r.table.SetTimeouts(lvs.DefaultTimeouts))
}

func (savedServices) read(words []string) (func(*restoration) error, error) {
	rule, err := ipvsadm.ParseRule(words)
	return func(r *restoration) error { return rule.Apply(r.table) }, err
}

// savedServiceTimeouts are those of services of their own.
type savedServiceTimeouts struct{}

func (savedServiceTimeouts) word() string  { return "timeouts" }
func (savedServiceTimeouts) title() string { return "Timeouts that services have of their own" }

func (savedServiceTimeouts) lines(t savedTable) ([]string, error) {
	services, err := t.Services()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, s := range services {
		own, err := t.ServiceTimeouts(s.ServiceKey)
		if err != nil {
			return nil, err
		}
		if words := timeoutWords(own); words != "" {
			lines = append(lines, "set "+s.Text()+" "+words)
		}
	}
	return lines, nil
}

func (savedServiceTimeouts) forget(*restoration) error { return nil } // they go with the services

func (savedServiceTimeouts) read(words []string) (func(*restoration) error, error) {
	if len(words) < 4 || words[0] != "set" || len(words)%2 != 0 {
		return nil, errors.New("expected timeouts set SERVICE, and pairs of --STATE TIME")
	}
	key, err := lvs.ParseServiceKey(words[1])
	if err != nil {
		return nil, err
	}
	var timeouts lvs.ServiceTimeouts
	for i := 2; i < len(words); i += 2 {
		if len(words[i]) < 3 || words[i][:2] != "--" {
			return nil, fmt.Errorf("%q: expected --STATE TIME", words[i])
		}
		if err := setTimeout(&timeouts, key, words[i][2:], words[i+1]); err != nil {
			return nil, err
		}
	}
	return func(r *restoration) error { return r.table.SetServiceTimeouts(key, timeouts) }, nil
}

// savedTunes are those that differ from their defaults.
type savedTunes struct{}

func (savedTunes) word() string  { return "tune" }
func (savedTunes) title() string { return "Tunes that differ from their defaults" }

func (savedTunes) lines(t savedTable) ([]string, error) {
	var lines []string
	for _, tune := range t.Tunes() {
		if tune.Kept() != tune.Default {
			lines = append(lines, fmt.Sprintf("set %s %d", tune.Name, tune.Kept()))
		}
	}
	return lines, nil
}

func (savedTunes) forget(r *restoration) error { return r.table.ResetTunes() }

func (savedTunes) read(words []string) (func(*restoration) error, error) {
	if len(words) != 3 || words[0] != "set" {
		return nil, errors.New("expected tune set NAME VALUE")
	}
	tune, err := datapath.ParseTune(words[1], words[2])
	return func(r *restoration) error { return r.table.SetTunes(tune) }, err
}
