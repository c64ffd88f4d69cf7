package ipvsadm

import (
	"net/netip"
	"time"

	"drover/internal/lvs"
)

// ip_vs's limits of names, less the closing zero.
const (
	maxSchedulerName = 15
	maxEngineName    = 16
	maxFlagNames     = 127
)

// serviceAddress gives the effect of -t, -u and --sctp-service.
func serviceAddress(protocol lvs.Protocol) func(*parser, argument) error {
	return func(p *parser, arg argument) error {
		if err := p.options.add(optService); err != nil {
			return err
		}
		p.protocol = protocol
		addr, port, ok := p.endpoint(arg.text)
		if !ok {
			return refuse("illegal virtual server address[:port] specified")
		}
		p.service.Protocol = protocol
		p.service.Addr = netip.AddrPortFrom(addr, port.number)
		p.setFamily(lvs.FamilyOf(addr))
		return nil
	}
}

// setFamily notes the family of the service. IPv6 has a prefix length in place of a mask.
func (p *parser) setFamily(family lvs.Family) {
	p.family, p.service.Family = family, family
	if family == lvs.IPv6 {
		p.service.Netmask, p.service.PrefixLen = netip.Addr{}, 128
	}
}

func (p *parser) fwmark(arg argument) error {
	if err := p.options.add(optService); err != nil {
		return err
	}
	mark, ok := parseNumber(arg.text, 1, 1<<32-1)
	if !ok {
		return refuse("invalid fwmark value `%s' specified", arg.text)
	}
	p.protocol = lvs.TCP
	p.service.Mark = uint32(mark)
	p.setFamily(lvs.IPv4)
	return nil
}

func (p *parser) ipv6(argument) error {
	if p.service.Mark == 0 {
		return refuse("-6 used before -f\n")
	}
	p.setFamily(lvs.IPv6)
	return nil
}

func (p *parser) scheduler(arg argument) error {
	p.service.Scheduler = arg.text[:min(len(arg.text), maxSchedulerName)]
	return p.options.add(optScheduler)
}

func (p *parser) persistent(arg argument) error {
	if err := p.options.add(optPersistent); err != nil {
		return err
	}
	p.service.Flags |= lvs.Persistent
	p.service.Timeout = defaultPersistence
	if !arg.given {
		return nil
	}
	var err error
	p.service.Timeout, err = parseTimeout(arg.text, 1)
	return err
}

// parseTimeout reads whole seconds from least to a year.
func parseTimeout(s string, least int64) (time.Duration, error) {
	seconds, ok := parseNumber(s, least, maxTimeout)
	if !ok {
		return 0, refuse("invalid timeout value `%s' specified", s)
	}
	return time.Duration(seconds) * time.Second, nil
}

func (p *parser) netmask(arg argument) error {
	if err := p.options.add(optNetmask); err != nil {
		return err
	}
	if p.family == lvs.IPv6 {
		length, _ := leadingNumber(arg.text)
		if length < 1 || length > 128 {
			return refuse("illegal ipv6 netmask specified")
		}
		p.service.PrefixLen = int(length)
		return nil
	}
	mask, ok := p.ipv4Host(arg.text)
	if !ok {
		return refuse("illegal virtual server persistent mask specified")
	}
	p.service.Netmask = mask
	return nil
}

func (p *parser) onePacket(argument) error {
	p.service.Flags |= lvs.OnePacket
	return p.options.add(optOnePacket)
}

func (p *parser) persistenceEngine(arg argument) error {
	p.service.PE = arg.text[:min(len(arg.text), maxEngineName)]
	return p.options.add(optPE)
}

func (p *parser) schedulerFlags(arg argument) error {
	p.flagsNames = arg.text[:min(len(arg.text), maxFlagNames)]
	return p.options.add(optSchedFlags)
}
