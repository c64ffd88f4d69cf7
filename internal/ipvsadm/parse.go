package ipvsadm

import (
	"errors"
	"fmt"
	"io"
	"time"

	"drover/internal/lvs"
)

// A request is a command line understood.
type request struct {
	command     command
	options     optionSet
	service     lvs.Service
	destination lvs.Destination
	timeouts    lvs.Timeouts
	daemon      lvs.SyncDaemon
}

// A parser builds a request switch by switch, in the order of the command line: -r takes over
// the port of a service that was named before it, and -M reads a mask or a prefix length
// depending on that service.
type parser struct {
	request
	hosts Hosts
	ports Ports
	// protocol is whose port names -r reads. A firewall-mark service reads TCP's.
	protocol lvs.Protocol
	// family is that of the service, or 0 while none is named.
	family     lvs.Family
	flagsNames string // the argument of -b, whose meaning depends on the scheduler
}

// The defaults of ipvsadm.
const (
	defaultScheduler   = "wlc"
	defaultPersistence = 360 * time.Second
	defaultMcast       = "eth0"
	maxTimeout         = 31 * 86400 // seconds
)

// parse reads a command line, without the program's name. The error is a *refusal.
func parse(program string, words []string, hosts Hosts, ports Ports) (request, error) {
	p := parser{hosts: hosts, ports: ports}
	p.destination = lvs.Destination{Weight: 1, Forwarding: lvs.DirectRoute}
	sc := scanner{words: words}
	if err := p.readCommand(&sc, program); err != nil {
		return request{}, err
	}
	if p.command == help || p.command == version {
		return p.request, nil
	}
	if err := p.readOptions(&sc); err != nil {
		return request{}, err
	}
	if err := p.readOthers(sc.others); err != nil {
		return request{}, err
	}
	if err := p.readSchedulerFlags(); err != nil {
		return request{}, err
	}
	return p.request, p.complete()
}

// readCommand reads the first switch, which must be a command.
func (p *parser) readCommand(sc *scanner, program string) error {
	spec, arg, err := sc.scan()
	if err != nil || spec.command == noCommand {
		return tryHelp(program)
	}
	p.command = spec.command
	if spec.apply == nil {
		return nil
	}
	return spec.apply(p, arg)
}

func (p *parser) readOptions(sc *scanner) error {
	for {
		spec, arg, err := sc.scan()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return &refusal{status: statusTable, text: fmt.Sprintf("%s: %v", sc.word(), err), mild: true}
		case spec.command != noCommand:
			return refuse("invalid option `%s'", sc.word())
		}
		if err := spec.apply(p, arg); err != nil {
			return err
		}
	}
}

// readOthers reads the words that are no switches: the three timeouts of --set.
func (p *parser) readOthers(words []string) error {
	if p.command == setTimeouts {
		if len(words) < 3 {
			return refuse("--set option requires 3 timeout values")
		}
		for i, t := range []*time.Duration{&p.timeouts.TCP, &p.timeouts.TCPFin, &p.timeouts.UDP} {
			var err error
			if *t, err = parseTimeout(words[i], 0); err != nil {
				return err
			}
		}
		words = words[3:]
	}
	if len(words) > 0 {
		return refuse("unexpected argument %s", words[0])
	}
	return nil
}

// plain gives the effect of an option without an argument that is only noted.
func plain(o option) func(*parser, argument) error {
	return func(p *parser, _ argument) error { return p.options.add(o) }
}
