package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// neighborProtocol marks the neighbour entries that we have put under management (NDA_PROTOCOL,
// linux/neighbour.h; shown as "proto 178" by ip). The numbers are those of routing daemons, and this
// one is nobody's in linux/rtnetlink.h.
const neighborProtocol = 178

// nextHop is the neighbour that packets for a server are handed to: the server, or a gateway.
type nextHop struct {
	addr netip.Addr
	link int // interface index
}

// neighbor is an entry of the kernel's neighbour table.
type neighbor struct {
	state    uint16 // unix.NUD_*
	flagsExt uint32 // NTF_EXT_*
	protocol uint8  // who made it
}

func (n neighbor) managed() bool { return n.flagsExt&netlink.NTF_EXT_MANAGED != 0 }

// keepNeighbor makes the kernel resolve the next hop towards a real server now, and keep probing it,
// with no process of ours alive and no traffic (NTF_EXT_MANAGED, Linux 5.16). It is safe to call
// again, as after a link flap, which erases the entry. A permanent entry is left as it is, and a
// server on this host or behind a device without neighbours (a tunnel) needs none.
// Error: no route to the server, among others.
func keepNeighbor(rip netip.Addr) error {
	hop, err := nextHopTo(rip)
	if err != nil || hop == nil {
		return err
	}
	entry, err := readNeighbor(*hop)
	if err != nil {
		return err
	}
	const fixed = unix.NUD_PERMANENT | unix.NUD_NOARP
	if entry != nil && (entry.state&fixed != 0 || entry.managed()) {
		return nil
	}
	// Of an existing entry the kernel keeps state and address, and changes the flag alone.
	if err := writeNeighbor(*hop, netlink.NTF_EXT_MANAGED, unix.NLM_F_CREATE); err != nil {
		return fmt.Errorf("keep the neighbour %s of %s: %w", hop.addr, rip, err)
	}
	return nil
}

// forgetNeighbor undoes keepNeighbor, if it was that which put the entry under management, and unless
// it is the next hop to one of the remaining servers too.
func forgetNeighbor(rip netip.Addr, remaining ...netip.Addr) error {
	hop, err := nextHopTo(rip)
	if err != nil || hop == nil {
		return err
	}
	entry, err := readNeighbor(*hop)
	if err != nil || entry == nil || !entry.managed() || entry.protocol != neighborProtocol {
		return err
	}
	for _, other := range remaining {
		if needed, err := nextHopTo(other); err == nil && needed != nil && *needed == *hop {
			return nil
		}
	}
	err = writeNeighbor(*hop, 0, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) { // collected meanwhile
		return fmt.Errorf("forget the neighbour %s of %s: %w", hop.addr, rip, err)
	}
	return nil
}

// nextHopTo asks the kernel for the route to an address; nil if there is nobody to resolve.
func nextHopTo(addr netip.Addr) (*nextHop, error) {
	routes, err := netlink.RouteGet(addr.AsSlice())
	if err != nil {
		return nil, fmt.Errorf("look up the route to %s: %w", addr, err)
	}
	if len(routes) == 0 || routes[0].Type != unix.RTN_UNICAST {
		return nil, nil
	}
	route := routes[0]
	device, err := netlink.LinkByIndex(route.LinkIndex)
	if err != nil {
		return nil, fmt.Errorf("look up the route to %s: %w", addr, err)
	}
	if device.Attrs().RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0 {
		return nil, nil
	}
	hop := &nextHop{addr: addr, link: route.LinkIndex}
	if via, ok := route.Via.(*netlink.Via); ok { // an IPv4 route over an IPv6 gateway, RFC 5549
		hop.addr, _ = netip.AddrFromSlice(via.Addr)
	} else if gateway, ok := netip.AddrFromSlice(route.Gw); ok {
		hop.addr = gateway.Unmap()
	}
	return hop, nil
}

// readNeighbor reads one entry; nil if there is none.
func readNeighbor(hop nextHop) (*neighbor, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	addNeighborKey(request, hop, 0)
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if errors.Is(err, unix.ENOENT) || err == nil && len(messages) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the neighbour %s: %w", hop.addr, err)
	}
	return parseNeighbor(messages[0])
}

// parseNeighbor reads a struct ndmsg of 12 bytes (state at offset 8) and its attributes, in the
// machine's byte order.
func parseNeighbor(message []byte) (*neighbor, error) {
	if len(message) < unix.SizeofNdMsg {
		return nil, fmt.Errorf("neighbour message of %d bytes", len(message))
	}
	attributes, err := nl.ParseRouteAttr(message[unix.SizeofNdMsg:])
	if err != nil {
		return nil, fmt.Errorf("parse a neighbour message: %w", err)
	}
	entry := &neighbor{state: binary.NativeEndian.Uint16(message[8:])}
	for _, attribute := range attributes {
		switch value := attribute.Value; {
		case attribute.Attr.Type == netlink.NDA_FLAGS_EXT && len(value) >= 4:
			entry.flagsExt = binary.NativeEndian.Uint32(value)
		case attribute.Attr.Type == netlink.NDA_PROTOCOL && len(value) >= 1:
			entry.protocol = value[0]
		}
	}
	return entry, nil
}

// writeNeighbor sets the extended flags of an entry, marks it ours, and has it resolved (NTF_USE).
func writeNeighbor(hop nextHop, flagsExt uint32, flags int) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, unix.NLM_F_ACK|flags)
	addNeighborKey(request, hop, netlink.NTF_USE)
	request.AddData(nl.NewRtAttr(netlink.NDA_PROTOCOL, []byte{neighborProtocol}))
	request.AddData(nl.NewRtAttr(netlink.NDA_FLAGS_EXT, nl.Uint32Attr(flagsExt)))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// addNeighborKey adds the struct ndmsg, its state NUD_NONE, and the address.
func addNeighborKey(request *nl.NetlinkRequest, hop nextHop, flags uint8) {
	family := uint8(unix.AF_INET6)
	if hop.addr.Is4() {
		family = unix.AF_INET
	}
	request.AddData(&netlink.Ndmsg{Family: family, Index: uint32(hop.link), Flags: flags})
	request.AddData(nl.NewRtAttr(unix.NDA_DST, hop.addr.AsSlice()))
}

// localAddresses are the addresses on the interfaces of this network namespace, sorted, each once.
func localAddresses() ([]netip.Addr, error) {
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	addresses := make([]netip.Addr, 0, len(list))
	for _, item := range list {
		if address, ok := netip.AddrFromSlice(item.IP); ok {
			addresses = append(addresses, address.Unmap())
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses), nil
}

// ownedByHost tells whether the kernel takes packets for an address in itself: one of the
// localAddresses, or of a local route (`ip route add local 192.0.2.0/24 dev lo`).
func ownedByHost(addr netip.Addr) bool {
	routes, err := netlink.RouteGet(addr.AsSlice())
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}

// sourceTowards gives the address that the kernel prefers for sending to another; the zero Addr when there
// is no route or no address.
func sourceTowards(addr netip.Addr) netip.Addr {
	routes, err := netlink.RouteGet(addr.AsSlice())
	if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_UNICAST {
		return netip.Addr{}
	}
	source, _ := netip.AddrFromSlice(routes[0].Src)
	return source.Unmap()
}
