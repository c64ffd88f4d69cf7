package system

import (
	"encoding/binary"
	"net"
	"slices"

	"github.com/mdlayher/packet"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"

	"drover/internal/lab"
)

// announce tells the segment that a node's addresses have a MAC: by a gratuitous ARP (RFC 5227,
// Section 3) and an unsolicited neighbour advertisement (RFC 4861, Section 7.2.6).
func (c *cluster) announce(node string, mac net.HardwareAddr) {
	c.t.Helper()
	c.announceARP(node, mac)
	c.announceND(node, mac)
}

func (c *cluster) announceARP(node string, mac net.HardwareAddr) {
	c.t.Helper()
	conn := c.rawSocket(node)
	defer conn.Close()
	broadcast := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	addr := c.Topology.Addr(node, lab.V4).AsSlice()
	frame := slices.Concat(broadcast, mac,
		[]byte{0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1}, // ARP for IPv4 on Ethernet, a request
		mac, addr, make([]byte, 6), addr)
	if _, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: broadcast}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) announceND(node string, mac net.HardwareAddr) {
	c.t.Helper()
	err := c.Do(node, func() error {
		iface, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		conn, err := icmp.ListenPacket("ip6:ipv6-icmp", c.Topology.Addr(node, lab.V6).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		options := conn.IPv6PacketConn()
		if err := options.SetMulticastInterface(iface); err != nil {
			return err
		}
		if err := options.SetMulticastHopLimit(255); err != nil { // less is not believed
			return err
		}
		const override, targetMAC = 1 << 29, 2
		body := binary.BigEndian.AppendUint32(nil, override)
		body = slices.Concat(body, c.Topology.Addr(node, lab.V6).AsSlice(), []byte{targetMAC, 1}, mac)
		message := icmp.Message{Type: ipv6.ICMPTypeNeighborAdvertisement, Body: &icmp.RawBody{Data: body}}
		bytes, err := message.Marshal(nil) // the kernel adds the checksum
		if err != nil {
			return err
		}
		_, err = conn.WriteTo(bytes, &net.IPAddr{IP: net.IPv6linklocalallnodes})
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
}
