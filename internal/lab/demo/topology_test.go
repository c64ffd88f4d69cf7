package demo

import (
	"net/netip"

	"drover/internal/lab"
)

// topology is a lab's, with one real server.
func topology(mac lab.MAC, network, server string) *lab.Topology {
	port := func(node, network string, mac lab.MAC, addr string) lab.Port {
		return lab.Port{Node: node, Network: network, MAC: mac, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}}
	}
	return &lab.Topology{
		VIPs: []netip.Addr{netip.MustParseAddr(vip)},
		Ports: []lab.Port{
			port(lab.Client, "clients", lab.MAC{2, 0, 0, 0, 1, 10}, client+"/24"),
			port(lab.Gate, "front", router, "192.0.2.254/24"),
			port(lab.Gate, "back", lab.MAC{2, 0, 0, 0, 3, 0xfe}, "198.51.100.254/24"),
			port(lab.Director, "front", front, "192.0.2.1/24"),
			port(lab.Director, "back", back, "198.51.100.1/24"),
			port("rs1", network, mac, server),
		},
	}
}
