package datapath

import "drover/internal/lvs"

// A server's tunnel is one word, so that no packet sees half of a change: type, flags << 8, port << 16.
// TUNNEL_* in bpf/types.h.
const (
	tunnelFlagsShift = 8
	tunnelPortShift  = 16
)

func tunnelWord(d lvs.Destination) uint32 {
	if d.Forwarding != lvs.Tunnel {
		return 0
	}
	return uint32(d.TunnelType) | uint32(d.TunnelFlags)<<tunnelFlagsShift | uint32(d.TunnelPort)<<tunnelPortShift
}

func tunnelOf(word uint32) (kind lvs.TunnelType, flags lvs.TunnelFlags, port uint16) {
	return lvs.TunnelType(word & 0xff), lvs.TunnelFlags(word >> tunnelFlagsShift & 0xff), uint16(word >> tunnelPortShift)
}

// setSource writes where a server's tunnel begins. It stays when no other is known: connections that began in
// the tunnel go on when the server is edited to another way.
func (d *directorDest) setSource(source directorAddr) {
	if source != (directorAddr{}) && source != d.Source {
		d.Source = source
	}
}

// sourceFor gives the outer source address of packets to a server behind a tunnel; zero when none is known,
// and for servers that have no tunnel.
func (t *Table) sourceFor(d *directorDest) directorAddr {
	if lvs.Forwarding(d.Forwarding) != lvs.Tunnel {
		return directorAddr{}
	}
	source := t.hosts.source(d.address())
	if !source.IsValid() || uint8(lvs.FamilyOf(source)) != d.RipFamily {
		return directorAddr{}
	}
	return mapped(source)
}

// refreshSources looks the sources of all tunnels up again: the first change of a command finds the
// addresses and routes that have changed since the last one.
func (t *Table) refreshSources() {
	known := map[directorAddr]directorAddr{}
	for i := range t.dests.elements {
		d := &t.dests.elements[i]
		if d.Flags&destAvailable == 0 || lvs.Forwarding(d.Forwarding) != lvs.Tunnel {
			continue
		}
		source, looked := known[d.Addr]
		if !looked {
			source = t.sourceFor(d)
			known[d.Addr] = source
		}
		d.setSource(source)
	}
}
