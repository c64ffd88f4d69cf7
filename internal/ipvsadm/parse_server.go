package ipvsadm

import (
	"math"
	"net/netip"

	"drover/internal/lvs"
)

// realServer reads -r. Without a port the server has that of the service.
func (p *parser) realServer(arg argument) error {
	if err := p.options.add(optServer); err != nil {
		return err
	}
	addr, port, ok := p.endpoint(arg.text)
	if !ok {
		return refuse("illegal real server address[:port] specified")
	}
	if !port.given {
		port.number = p.service.Addr.Port()
	}
	p.destination.Addr = netip.AddrPortFrom(addr, port.number)
	return nil
}

// forwarding gives the effect of -g, -i and -m.
func forwarding(method lvs.Forwarding) func(*parser, argument) error {
	return func(p *parser, _ argument) error {
		p.destination.Forwarding = method
		return p.options.add(optForward)
	}
}

// number reads a number into an option, or refuses it as illegal by its name.
func (p *parser) number(o option, arg argument, name string, least, most int64) (int64, error) {
	if err := p.options.add(o); err != nil {
		return 0, err
	}
	n, ok := parseNumber(arg.text, least, most)
	if !ok {
		return 0, refuse("illegal %s specified", name)
	}
	return n, nil
}

func (p *parser) weight(arg argument) error {
	n, err := p.number(optWeight, arg, "weight", 0, math.MaxInt32)
	p.destination.Weight = int32(n)
	return err
}

func (p *parser) upper(arg argument) error {
	n, err := p.number(optUpper, arg, "u_threshold", 0, math.MaxInt32)
	p.destination.Upper = uint32(n)
	return err
}

func (p *parser) lower(arg argument) error {
	n, err := p.number(optLower, arg, "l_threshold", 0, math.MaxInt32)
	p.destination.Lower = uint32(n)
	return err
}

func (p *parser) tunnelType(arg argument) error {
	if err := p.options.add(optTunType); err != nil {
		return err
	}
	for t, name := range tunnelTypeNames {
		if name == arg.text {
			p.destination.TunnelType = lvs.TunnelType(t)
			return nil
		}
	}
	return refuse("illegal tunnel type specified")
}

func (p *parser) tunnelPort(arg argument) error {
	n, err := p.number(optTunPort, arg, "tunnel port", 1, math.MaxUint16)
	p.destination.TunnelPort = uint16(n)
	return err
}

// tunnelFlag gives the effect of the switches for checksums.
func tunnelFlag(o option, flag lvs.TunnelFlags) func(*parser, argument) error {
	return func(p *parser, _ argument) error {
		p.destination.TunnelFlags |= flag
		return p.options.add(o)
	}
}
