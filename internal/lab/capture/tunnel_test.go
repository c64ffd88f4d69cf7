package capture

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"drover/internal/lab"
)

// TestDecodeTunnel: the inner packet is read as if it had come alone, and differs from itself in nothing.
func TestDecodeTunnel(t *testing.T) {
	from, to := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.11")
	outer := func(protocol layers.IPProtocol) *layers.IPv4 {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	}
	gue := &layers.UDP{SrcPort: 50000, DstPort: lab.TunnelPort}
	for _, test := range []struct {
		name, kind string
		length     int
		inner      []byte
		outer      []gopacket.SerializableLayer
	}{
		{"IPIP", "IPIP", 20, frame(t, ipv4(layers.IPProtocolTCP), tcp(), gopacket.Payload("GET /")), []gopacket.SerializableLayer{outer(layers.IPProtocolIPv4)}},
		{"IPIP, v6 in v4", "IPIP", 20, frame(t, ipv6(), tcp(), gopacket.Payload("GET /")), []gopacket.SerializableLayer{outer(layers.IPProtocolIPv6)}},
		{"GUE", "GUE", 32, frame(t, ipv4(layers.IPProtocolTCP), tcp(), gopacket.Payload("GET /")), []gopacket.SerializableLayer{outer(layers.IPProtocolUDP), gue, gopacket.Payload{0, 4, 0, 0}}},
		{"GUE with private flags", "GUE", 40, frame(t, ipv4(layers.IPProtocolTCP), tcp(), gopacket.Payload("GET /")), []gopacket.SerializableLayer{outer(layers.IPProtocolUDP), gue, gopacket.Payload{2, 4, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0}}},
		{"GRE", "GRE", 24, frame(t, ipv6(), tcp(), gopacket.Payload("GET /")), []gopacket.SerializableLayer{outer(layers.IPProtocolGRE), gopacket.Payload{0, 0, 0x86, 0xdd}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			alone, _ := Decode(test.inner)
			got, ok := Decode(frame(t, append(test.outer, gopacket.Payload(test.inner[14:]))...))
			if !ok || got.Tunnel == nil {
				t.Fatalf("read %v, tunnel %v", ok, got.Tunnel)
			}
			want := Tunnel{Kind: test.kind, Source: from, Destination: to, Length: test.length}
			if diff := cmp.Diff(want, *got.Tunnel, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("tunnel (-want +got):\n%s", diff)
			}
			if differ := Differences(alone, got); differ != nil || got.Damage != "" || got.Rest() != alone.Rest() {
				t.Errorf("differs in %v, damage %q, rest %d and %d", differ, got.Damage, alone.Rest(), got.Rest())
			}
			got.Data[len(got.Data)-1] ^= 1
			if diff := cmp.Diff([]string{Other}, Differences(alone, got)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			spoiled := frame(t, append(test.outer, gopacket.Payload(test.inner[14:]))...)
			binary.BigEndian.PutUint16(spoiled[24:], 0x1234)
			if p, _ := Decode(spoiled); p.Damage == "" {
				t.Error("a wrong checksum of the outer header is not seen")
			}
		})
	}
}
