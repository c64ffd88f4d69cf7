package capture

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// frame makes a frame from the router to the director, of these layers.
func frame(t *testing.T, above ...gopacket.SerializableLayer) []byte {
	t.Helper()
	ethernet := &layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, 0, 0, 2, 0xfe}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 2, 1},
		EthernetType: layers.EthernetTypeIPv4,
	}
	if _, v6 := above[0].(*layers.IPv6); v6 {
		ethernet.EthernetType = layers.EthernetTypeIPv6
	}
	for _, l := range above {
		if transport, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := transport.SetNetworkLayerForChecksum(above[0].(gopacket.NetworkLayer)); err != nil {
				t.Fatal(err)
			}
		}
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, append([]gopacket.SerializableLayer{ethernet}, above...)...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func ipv4(protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: 63, Id: 7, Protocol: protocol,
		SrcIP: net.IP{203, 0, 113, 10}, DstIP: net.IP{192, 0, 2, 100},
		Options: []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}},
	}
}

func ipv6() *layers.IPv6 {
	return &layers.IPv6{
		Version: 6, HopLimit: 63, NextHeader: layers.IPProtocolTCP,
		SrcIP: net.ParseIP("2001:db8:1::10"), DstIP: net.ParseIP("2001:db8:2::100"),
	}
}

func tcp() *layers.TCP {
	return &layers.TCP{SrcPort: 40000, DstPort: 80, Seq: 1000, Ack: 2000, PSH: true, ACK: true, Window: 500}
}

// texts is a packet without the places of its fields, for comparison.
func texts(p Packet) Packet {
	for i := range p.Fields {
		p.Fields[i].start, p.Fields[i].end = 0, 0
	}
	p.Data = nil
	return p
}

func TestDecode(t *testing.T) {
	body := gopacket.Payload("GET / HTTP/1.1")
	v4 := Packet{
		From: net.HardwareAddr{2, 0, 0, 0, 2, 0xfe}, To: net.HardwareAddr{2, 0, 0, 0, 2, 1},
		Source: netip.MustParseAddrPort("203.0.113.10:40000"), Destination: netip.MustParseAddrPort("192.0.2.100:80"),
		TTL: 63, Seq: 1000, Ack: 2000, Flags: "P.", Payload: []byte(body),
		Fields: []Field{
			{Name: "destination MAC", Text: "02:00:00:00:02:01"},
			{Name: "source MAC", Text: "02:00:00:00:02:fe"},
			{Name: "TTL", Text: "63"},
			{Name: "IP checksum", Text: "0x7a47"},
			{Name: "source address", Text: "203.0.113.10"},
			{Name: "destination address", Text: "192.0.2.100"},
			{Name: "source port", Text: "40000"},
			{Name: "destination port", Text: "80"},
			{Name: "TCP checksum", Text: "0x4286"},
		},
	}
	v6 := v4
	v6.Source, v6.Destination = netip.MustParseAddrPort("[2001:db8:1::10]:40000"), netip.MustParseAddrPort("[2001:db8:2::100]:80")
	v6.Fields = []Field{
		v4.Fields[0], v4.Fields[1],
		{Name: "hop limit", Text: "63"},
		{Name: "source address", Text: "2001:db8:1::10"},
		{Name: "destination address", Text: "2001:db8:2::100"},
		v4.Fields[6], v4.Fields[7],
		{Name: "TCP checksum", Text: "0xe470"},
	}
	damaged := v4
	damaged.Payload, damaged.Damage = []byte("PUT / HTTP/1.1"), "TCP checksum 0x4286, computed 0x3976"
	put := frame(t, ipv4(layers.IPProtocolTCP), tcp(), body)
	copy(put[len(put)-len(body):], "PUT")

	for _, test := range []struct {
		name  string
		frame []byte
		want  Packet
		ok    bool
	}{
		{"IPv4 with options", frame(t, ipv4(layers.IPProtocolTCP), tcp(), body), v4, true},
		{"IPv6", frame(t, ipv6(), tcp(), body), v6, true},
		{"wrong checksum", put, damaged, true},
		{"UDP", frame(t, ipv4(layers.IPProtocolUDP), &layers.UDP{SrcPort: 40000, DstPort: 80}, body), Packet{}, false},
		{"cut in the TCP header", frame(t, ipv4(layers.IPProtocolTCP), tcp())[:50], Packet{}, false},
		{"nothing", nil, Packet{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := Decode(test.frame)
			if ok != test.ok {
				t.Errorf("ok is %v", ok)
			}
			if diff := cmp.Diff(test.want, texts(got), cmp.AllowUnexported(Field{}), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("packet (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDifferences changes each byte of a frame: one field at most differs, and none is overlooked.
func TestDifferences(t *testing.T) {
	for name, ip := range map[string]gopacket.SerializableLayer{"IPv4": ipv4(layers.IPProtocolTCP), "IPv6": ipv6()} {
		t.Run(name, func(t *testing.T) {
			whole := frame(t, ip, tcp(), gopacket.Payload("GET /"))
			before, _ := Decode(whole)
			bytesOf := map[string]int{}
			for i := range whole {
				after := before
				after.Data = append([]byte{}, whole...)
				after.Data[i] ^= 0xff
				bytesOf[strings.Join(Differences(before, after), ", ")]++
			}
			want := map[string]int{
				SourceMAC: 6, DestinationMAC: 6, SourcePort: 2, DestinationPort: 2, TCPChecksum: 2,
				TTL: 1, IPChecksum: 2, SourceAddr: 4, DestinationAddr: 4, Other: before.Rest(),
			}
			if name == "IPv6" {
				delete(want, TTL)
				delete(want, IPChecksum)
				want[HopLimit], want[SourceAddr], want[DestinationAddr] = 1, 16, 16
			}
			if diff := cmp.Diff(want, bytesOf); diff != "" {
				t.Errorf("bytes that make a field differ (-want +got):\n%s", diff)
			}
			if same := Differences(before, before); same != nil {
				t.Errorf("a packet differs from itself in %v", same)
			}
		})
	}
}
