package main

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"drover/internal/config"
)

// A configLoader reads the director's file, at start and at each reload. At the start it is as tolerant as keepalived: what
// is wrong is told, and left out. A reload is refused if the file has errors that the one in force has not: a pool must not
// vanish because somebody mistyped a line, or saved half a file.
type configLoader struct {
	flags *directorFlags
	log   *slog.Logger

	mu       sync.Mutex     // protects what follows
	first    *config.Config // that begin has read, until load has given it
	accepted map[string]int // errors of the file in force, and how often it has them
	pools    int            // virtual servers of the file in force
}

// begin reads the file for the first time. The error is that of one that can't be used at all.
func (l *configLoader) begin() (*config.Config, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, findings, err := l.read()
	if err != nil {
		return nil, err
	}
	l.tell(findings)
	l.first, l.accepted, l.pools = c, errorsOf(findings), len(c.VirtualServers)
	return c, nil
}

// load gives what begin has read, and later the file as it is then.
func (l *configLoader) load() (*config.Config, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.first; c != nil {
		l.first = nil
		return c, nil
	}
	c, findings, err := l.read()
	if err != nil {
		return nil, err
	}
	if err := l.refuse(findings); err != nil {
		return nil, err
	}
	if len(c.VirtualServers) == 0 && l.pools > 0 {
		return nil, fmt.Errorf("%s: no virtual server is left: if that is meant, end the director", l.flags.file)
	}
	l.pools = len(c.VirtualServers)
	l.tell(findings)
	l.accepted = errorsOf(findings)
	return c, nil
}

func (l *configLoader) read() (*config.Config, []config.Finding, error) {
	c, findings, err := config.Load(l.flags.file, config.Options{ID: l.flags.id})
	if err == nil && l.flags.vrrpOnly {
		c.VirtualServers, c.Files = nil, nil
	}
	if err == nil && l.flags.checkOnly {
		c.VRRP = config.VRRP{}
	}
	return c, findings, err
}

// tell logs what there is to say of a file that is used.
func (l *configLoader) tell(findings []config.Finding) {
	for _, f := range findings {
		if f.Severity > config.Note || l.flags.detail {
			l.log.Warn(f.String())
		}
	}
}

// refuse gives an error for a file with errors that the one in force has not.
func (l *configLoader) refuse(findings []config.Finding) error {
	seen := map[string]int{}
	var fresh []error
	for _, f := range findings {
		if f.Severity < config.Error {
			continue
		}
		text := errorText(&f)
		if seen[text]++; seen[text] > l.accepted[text] {
			fresh = append(fresh, errors.New(f.String()))
		}
	}
	const shown = 5
	if n := len(fresh) - shown; n > 0 {
		fresh = append(fresh[:shown], fmt.Errorf("and %d more: drover config check shows them", n))
	}
	return errors.Join(fresh...)
}

func errorsOf(findings []config.Finding) map[string]int {
	counts := map[string]int{}
	for _, f := range findings {
		if f.Severity >= config.Error {
			counts[errorText(&f)]++
		}
	}
	return counts
}

// errorText is an error without its line, which moves when others are edited.
func errorText(f *config.Finding) string { return f.Keyword + ": " + f.Reason }
