package kernel

import (
	"net"
	"net/netip"
)

// The network that both directors are in, each on its own. On front are the clients, behind a router; on
// back are the servers. The test plays router and servers itself, with frames. The 10.0.0.0/8 addresses are
// those of the recordings: sh, dh and mh hash them.

// directorAddresses are the director's own: the first two and the last two of IPv4 are on front and back in
// turn, as are those of IPv6.
var directorAddresses = []netip.Prefix{
	netip.MustParsePrefix("203.0.113.254/25"), netip.MustParsePrefix("2001:db8:1::1/64"), // front
	netip.MustParsePrefix("198.51.100.254/24"), netip.MustParsePrefix("2001:db8:2::fe/64"), // back
	netip.MustParsePrefix("10.2.0.254/24"), // back
}

const frontAddresses = 2 // of directorAddresses

// clientNetworks are behind the router.
var clientNetworks = map[string]string{
	"203.0.113.0/25": "203.0.113.253", "10.1.0.0/16": "203.0.113.253", "2001:db8:c::/64": "2001:db8:1::fe",
}

// virtualNetworks hold the VIPs: all their addresses are local to the director.
var virtualNetworks = []netip.Prefix{
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.9.8.0/23"), netip.MustParsePrefix("2001:db8:9::/64"),
}

// serverNetworks are those of the servers, whose hosts are .1 to .servers.
var serverNetworks = []string{"198.51.100.", "10.2.0.", "2001:db8:2::"}

const servers = 8

var (
	frontMAC  = net.HardwareAddr{2, 0, 0, 0, 1, 1}
	backMAC   = net.HardwareAddr{2, 0, 0, 0, 2, 1}
	routerMAC = net.HardwareAddr{2, 0, 0, 0, 1, 0xfe}
)

// serverMAC is that of the server with that number.
func serverMAC(n byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 2, 0x80 + n} }
