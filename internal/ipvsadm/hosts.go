package ipvsadm

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// Hosts turns host names into addresses and back.
type Hosts interface {
	Addr(name string) (netip.Addr, bool) // the first IPv4 address
	Name(addr netip.Addr) (string, bool) // the name that the address is listed by
}

// NewHosts gives the names that the system's resolver knows. It asks for each only once.
func NewHosts() Hosts { return &resolver{names: map[netip.Addr]string{}} }

type resolver struct {
	names map[netip.Addr]string // "" for an address without a name
}

func (r *resolver) Addr(name string) (netip.Addr, bool) {
	addrs, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip4", name)
	if err != nil || len(addrs) == 0 {
		return netip.Addr{}, false
	}
	return addrs[0].Unmap(), true
}

func (r *resolver) Name(addr netip.Addr) (string, bool) {
	name, known := r.names[addr]
	if !known {
		if found, err := net.DefaultResolver.LookupAddr(context.Background(), addr.String()); err == nil && len(found) > 0 {
			name = strings.TrimSuffix(found[0], ".")
		}
		r.names[addr] = name
	}
	return name, name != ""
}
