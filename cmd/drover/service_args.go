package main

import (
	"net/netip"

	"drover/internal/lvs"
)

// serviceArgument reads the name of a service; its error has the exit status of wrong usage.
func serviceArgument(text string) (lvs.ServiceKey, error) {
	k, err := lvs.ParseServiceKey(text)
	if err != nil {
		return k, usageError("%v", err)
	}
	return k, nil
}

// serverArguments reads a service and one of its servers.
func serverArguments(service, server string) (lvs.ServiceKey, netip.AddrPort, error) {
	k, err := serviceArgument(service)
	if err != nil {
		return k, netip.AddrPort{}, err
	}
	addr, err := netip.ParseAddrPort(server)
	if err != nil && k.Mark != 0 { // a mark's servers have no port, mostly
		var alone netip.Addr
		if alone, err = netip.ParseAddr(server); err == nil {
			addr = netip.AddrPortFrom(alone, 0)
		}
	}
	if err != nil {
		return k, addr, usageError("server %q: want RIP:PORT, of IPv6 [RIP]:PORT", server)
	}
	return k, addr, nil
}
