package ipvsadm

import (
	"net/netip"
	"strings"
)

// A port is that of an endpoint. given is false where none was written.
type port struct {
	number uint16
	given  bool
}

// endpoint reads host[:port] or [host]:port. A host is an address or a name; an IPv6 address may
// stand without brackets if there is no port.
func (p *parser) endpoint(s string) (netip.Addr, port, bool) {
	if strings.Trim(s, "0123456789") == "" {
		return netip.Addr{}, port{}, false // a port alone, or nothing
	}
	host, portText, hasPort := s, "", false
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if host, portText, hasPort = strings.Cut(inner, "]:"); !hasPort || strings.Contains(host, "]") {
			return netip.Addr{}, port{}, false
		}
	}
	addr, ok := ipv6Address(host)
	if !ok {
		// ipvsadm has no use for the port after brackets that hold no IPv6 address.
		if hasPort = false; strings.Contains(host, ":") {
			i := strings.LastIndexByte(host, ':')
			host, portText, hasPort = host[:i], host[i+1:], true
		}
		if addr, ok = p.ipv4Host(host); !ok {
			return netip.Addr{}, port{}, false
		}
	}
	if !hasPort {
		return addr, port{}, true
	}
	number, ok := p.portNumber(portText)
	return addr, port{number, true}, ok
}

func (p *parser) portNumber(s string) (uint16, bool) {
	if n, ok := parseNumber(s, 0, 65535); ok {
		return uint16(n), true
	}
	return p.ports.Port(s, p.protocol)
}

// ipv4Host reads an IPv4 address, or asks for that of a name.
func (p *parser) ipv4Host(s string) (netip.Addr, bool) {
	if addr, ok := ipv4Address(s); ok {
		return addr, true
	}
	return p.hosts.Addr(s)
}

// ipv6Address reads an IPv6 address as inet_pton(3) does.
func ipv6Address(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	return addr, err == nil && addr.Is6() && addr.Zone() == ""
}
