package announce

import (
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// decoded reads a frame with another's decoder, and fails where that finds a fault.
func decoded(t *testing.T, frame []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if failed := p.ErrorLayer(); failed != nil {
		t.Fatal(failed.Error())
	}
	return p
}

func TestFrames(t *testing.T) {
	t.Parallel()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	four, six := netip.MustParseAddr("192.0.2.100"), netip.MustParseAddr("2001:db8::100")

	p := decoded(t, garp(mac, four))
	arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok || arp.Operation != layers.ARPRequest || net.HardwareAddr(arp.SourceHwAddress).String() != mac.String() ||
		net.IP(arp.SourceProtAddress).String() != four.String() || net.IP(arp.DstProtAddress).String() != four.String() {
		t.Errorf("ARP: %+v", arp)
	}

	p = decoded(t, advertisement(mac, six, false))
	ip, ok := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	if !ok || ip.HopLimit != 255 || ip.SrcIP.String() != six.String() || ip.DstIP.String() != "ff02::1" {
		t.Fatalf("IPv6: %+v", ip)
	}
	na, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if !ok || na.TargetAddress.String() != six.String() || !na.Override() || na.Router() || na.Solicited() ||
		len(na.Options) != 1 || net.HardwareAddr(na.Options[0].Data).String() != mac.String() {
		t.Fatalf("advertisement: %+v", na)
	}
	icmp, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if !ok {
		t.Fatal("no ICMPv6")
	}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	if err, wrong := p.VerifyChecksums(); err != nil || len(wrong) > 0 {
		t.Errorf("checksums: %v, %v", err, wrong)
	}
	if router := decoded(t, advertisement(mac, six, true)).Layer(layers.LayerTypeICMPv6NeighborAdvertisement); !router.(*layers.ICMPv6NeighborAdvertisement).Router() {
		t.Error("a router does not say so")
	}
}
