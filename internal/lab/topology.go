package lab

import (
	"fmt"
	"net"
	"net/netip"
)

// The nodes. Node N of lab L is the network namespace L-N. Segment holds the networks' bridges.
const (
	Client   = "client"
	Gate     = "router"
	Director = "director"
	Segment  = "segment"
)

// Servers are the nodes that are real servers.
var Servers = []string{"rs1", "rs2", "rs3"}

// A Network is one Ethernet segment: a bridge of that name in the segment namespace.
type Network struct {
	Name     string         `json:"name"`
	Prefixes []netip.Prefix `json:"prefixes"`

	number byte // the last but one byte of its MACs
}

// A Port is one interface of a node on a network.
type Port struct {
	Node      string         `json:"node"`
	Interface string         `json:"interface"`
	Network   string         `json:"network"`
	MAC       MAC            `json:"mac"`
	Addrs     []netip.Prefix `json:"addresses"`
}

// MAC is a hardware address that is text in JSON.
type MAC net.HardwareAddr

func (m MAC) String() string { return net.HardwareAddr(m).String() }

// MarshalText gives "02:00:00:00:02:01".
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (m *MAC) UnmarshalText(text []byte) error {
	mac, err := net.ParseMAC(string(text))
	*m = MAC(mac)
	return err
}

// BridgePort is the name of the port's other end, in the segment namespace.
func (p Port) BridgePort() string { return p.Node + "-" + p.Interface }

// addrLike is the port's address of the family of a, or the zero Addr.
func (p Port) addrLike(a netip.Addr) netip.Addr {
	for _, prefix := range p.Addrs {
		if prefix.Addr().Is4() == a.Is4() {
			return prefix.Addr()
		}
	}
	return netip.Addr{}
}

// A route sends packets for a prefix to a gateway on the node's interface.
type route struct {
	node, iface string
	to          netip.Prefix
	via         netip.Addr
}

// Topology is everything that a Config decides: pure data, the same for the same Config.
type Topology struct {
	Nodes    []string     `json:"nodes"` // without the segment
	Networks []Network    `json:"networks"`
	Ports    []Port       `json:"ports"`
	VIPs     []netip.Addr `json:"vips"`
	// Path tells in words which way a request and its reply take once the director balances.
	Path string `json:"path"`

	routes   []route
	forwards map[string]bool // nodes with ip_forward=1
	// offlink servers have no route to their own network: all they send goes to their gateway, so
	// that replies to a client on the same segment return through a one-armed NAT director.
	offlink bool
}

// Host numbers: the last number of the addresses in each network, in both families, and the last
// byte of the MACs.
const (
	directorHost = 1
	clientHost   = 10
	serverHost   = 10 // plus 1, 2, 3
	vipHost      = 100
	routerHost   = 254
)

// The networks, from documentation prefixes (RFC 5737, RFC 3849).
var (
	clientsNet = network("clients", 1, "203.0.113.0/24", "2001:db8:1::/64")
	frontNet   = network("front", 2, "192.0.2.0/24", "2001:db8:2::/64")
	backNet    = network("back", 3, "198.51.100.0/24", "2001:db8:3::/64")
)

func network(name string, number byte, prefixes ...string) Network {
	n := Network{Name: name, number: number}
	for _, p := range prefixes {
		n.Prefixes = append(n.Prefixes, netip.MustParsePrefix(p))
	}
	return n
}

// only keeps the prefixes of a family.
func (n Network) only(f Family) Network {
	var kept []netip.Prefix
	for _, p := range n.Prefixes {
		if f == Both || p.Addr().Is4() == (f == V4) {
			kept = append(kept, p)
		}
	}
	n.Prefixes = kept
	return n
}

// host gives the address with that last number, written alike in both families: 192.0.2.100 and
// 2001:db8:2::100.
func host(prefix netip.Prefix, number int) netip.Addr {
	if prefix.Addr().Is4() {
		a := prefix.Addr().As4()
		a[3] = byte(number)
		return netip.AddrFrom4(a)
	}
	return netip.MustParseAddr(fmt.Sprintf("%s%d", prefix.Addr(), number))
}

// attach gives a node its next interface, on network n.
func (t *Topology) attach(node string, n Network, number int) {
	port := Port{
		Node:    node,
		Network: n.Name,
		MAC:     MAC{0x02, 0, 0, 0, n.number, byte(number)}, // 02: locally administered
	}
	taken := 0
	for _, p := range t.Ports {
		if p.Node == node {
			taken++
		}
	}
	port.Interface = fmt.Sprintf("eth%d", taken)
	if taken == 0 {
		t.Nodes = append(t.Nodes, node)
	}
	for _, prefix := range n.Prefixes {
		port.Addrs = append(port.Addrs, netip.PrefixFrom(host(prefix, number), prefix.Bits()))
	}
	t.Ports = append(t.Ports, port)
}

// Port finds a node's interface on a network.
func (t *Topology) Port(node, network string) (Port, bool) {
	for _, p := range t.Ports {
		if p.Node == node && p.Network == network {
			return p, true
		}
	}
	return Port{}, false
}

// VIP is the virtual address of a family, V4 or V6; invalid where the lab has none.
func (t *Topology) VIP(f Family) netip.Addr {
	for _, vip := range t.VIPs {
		if vip.Is4() == (f == V4) {
			return vip
		}
	}
	return netip.Addr{}
}

// Addr is a node's first address of a family, V4 or V6; invalid where it has none.
func (t *Topology) Addr(node string, f Family) netip.Addr {
	for _, p := range t.Ports {
		for _, a := range p.Addrs {
			if p.Node == node && a.Addr().Is4() == (f == V4) {
				return a.Addr()
			}
		}
	}
	return netip.Addr{}
}
