package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestOnlyTheDirectorAnswersForTheVIP asks by ARP and by neighbour solicitation in each DR layout,
// and checks that the question does find a server whose ARP is no longer suppressed.
func TestOnlyTheDirectorAnswersForTheVIP(t *testing.T) {
	for _, layout := range layouts[DR] {
		t.Run(string(layout), func(t *testing.T) {
			l := upLab(t, Config{Mode: DR, Layout: layout})
			asker := Gate
			if layout == OneArm {
				asker = Client
			}
			for _, vip := range l.Topology.VIPs {
				check(t, vip.String(), []string{Director}, whoAnswers(t, l, asker, frontNet.Name, vip))
			}
			if layout == TwoInterface { // the servers are on another segment
				return
			}
			err := l.Do("rs2", func() error {
				return setSysctls([]sysctl{{"net/ipv4/conf/all/arp_ignore", "0"}})
			})
			if err != nil {
				t.Fatal(err)
			}
			check(t, "with arp_ignore=0 on rs2", []string{Director, "rs2"},
				whoAnswers(t, l, asker, frontNet.Name, l.Topology.VIP(V4)))
		})
	}
}

// TestServersAnswerFromTheVIP hands the VIP to rs3 at the router, as the director's data path would
// packet by packet: the server must answer the client itself, from the VIP, over TCP and UDP.
func TestServersAnswerFromTheVIP(t *testing.T) {
	l := upLab(t, Config{Mode: DR, Layout: Router})
	port, _ := l.Topology.Port("rs3", frontNet.Name)
	for _, vip := range l.Topology.VIPs {
		err := l.Do(Gate, func() error {
			link, err := netlink.LinkByName("eth1")
			if err != nil {
				return err
			}
			return netlink.NeighSet(&netlink.Neigh{
				LinkIndex: link.Attrs().Index, IP: vip.AsSlice(),
				HardwareAddr: net.HardwareAddr(port.MAC), State: netlink.NUD_PERMANENT,
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		askServer(t, l, "rs3", vip)
		url, err := l.URL(familyOf(vip), "/bytes/1000000")
		if err != nil {
			t.Fatal(err)
		}
		answer, err := l.Curl(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		answer.Seconds = ""
		check(t, url, Answer{Server: "rs3", Code: "200", Bytes: "1000000"}, answer)
	}
}

func check(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// whoAnswers asks a network for the owner of an address and gives the nodes that answered, in order.
func whoAnswers(t *testing.T, l *Lab, asker, network string, addr netip.Addr) []string {
	t.Helper()
	from, _ := l.Topology.Port(asker, network)
	var macs []string
	err := l.Do(asker, func() error {
		link, err := net.InterfaceByName(from.Interface)
		if err != nil {
			return err
		}
		conn, err := packet.Listen(link, packet.Raw, unix.ETH_P_ALL, nil)
		if err != nil {
			return err
		}
		defer conn.Close()
		question, to := solicitation(from, addr)
		if _, err := conn.WriteTo(question, &packet.Addr{HardwareAddr: to}); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			return err
		}
		frame := make([]byte, 2000)
		for {
			n, _, err := conn.ReadFrom(frame)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			if err != nil {
				return err
			}
			if mac := answers(frame[:n], addr); mac != "" {
				macs = append(macs, mac)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var nodes []string
	for _, p := range l.Topology.Ports {
		if slices.Contains(macs, p.MAC.String()) {
			nodes = append(nodes, p.Node)
		}
	}
	return nodes
}

// solicitation is an ARP request (RFC 826) or a neighbour solicitation (RFC 4861, Section 4.3), and
// the group it goes to.
func solicitation(from Port, target netip.Addr) ([]byte, net.HardwareAddr) {
	mac, source := net.HardwareAddr(from.MAC), from.addrLike(target).AsSlice()
	if target.Is4() {
		to := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		return serialize(
			&layers.Ethernet{SrcMAC: mac, DstMAC: to, EthernetType: layers.EthernetTypeARP},
			&layers.ARP{
				AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
				HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
				SourceHwAddress: mac, SourceProtAddress: source,
				DstHwAddress: make([]byte, 6), DstProtAddress: target.AsSlice(),
			}), to
	}
	low := target.As16()
	to := net.HardwareAddr{0x33, 0x33, 0xff, low[13], low[14], low[15]}
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], low[13:])
	ip := &layers.IPv6{
		Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: 255, SrcIP: source, DstIP: group[:],
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err) // only for a layer that is not IP
	}
	return serialize(
		&layers.Ethernet{SrcMAC: mac, DstMAC: to, EthernetType: layers.EthernetTypeIPv6}, ip, icmp,
		&layers.ICMPv6NeighborSolicitation{
			TargetAddress: target.AsSlice(),
			Options:       layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: mac}},
		}), to
}

func serialize(all ...gopacket.SerializableLayer) []byte {
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, all...); err != nil {
		panic(fmt.Sprintf("serialize a frame of this test: %v", err))
	}
	return buffer.Bytes()
}

// answers gives the MAC of whoever says in this frame that it owns the address.
func answers(frame []byte, addr netip.Addr) string {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok && arp.Operation == layers.ARPReply {
		if slices.Equal(arp.SourceProtAddress, addr.AsSlice()) {
			return net.HardwareAddr(arp.SourceHwAddress).String()
		}
	}
	advert, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if ok && advert.TargetAddress.Equal(addr.AsSlice()) {
		return strings.ToLower(p.LinkLayer().LinkFlow().Src().String())
	}
	return ""
}
