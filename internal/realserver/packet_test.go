package realserver

import (
	"net"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// The verdicts of an XDP program (enum xdp_action, linux/bpf.h).
const (
	xdpDrop = 1
	xdpPass = 2
)

const guePort = 6080

// A family's addresses: those of the VIP, the server, the director and the client.
type family struct {
	name                          string
	vip, server, director, client netip.Addr
}

var (
	v4 = family{"v4", addr("192.0.2.100"), addr("198.51.100.11"), addr("192.0.2.1"), addr("203.0.113.10")}
	v6 = family{"v6", addr("2001:db8:2::100"), addr("2001:db8:3::11"), addr("2001:db8:2::1"), addr("2001:db8:1::10")}

	families = []family{v4, v6}
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// rig is the programs, attached to nothing: packets are given to them by BPF_PROG_TEST_RUN.
type rig struct {
	t       testing.TB
	objects serverObjects
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t}
	if err := loadServerObjects(&r.objects, nil); err != nil {
		t.Fatalf("load the programs (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := r.objects.Close(); err != nil {
			t.Error(err)
		}
	})
	r.set(Config{VIPs: []netip.Addr{v4.vip, v6.vip}, Ports: []uint16{guePort}})
	return r
}

func (r *rig) set(cfg Config) {
	r.t.Helper()
	own := []netip.Addr{v4.server, v6.server}
	if err := fill(&r.objects.serverMaps, cfg, own, limits{}); err != nil {
		r.t.Fatal(err)
	}
}

// run gives a frame to the XDP program.
func (r *rig) run(frame []byte) (verdict uint32, out []byte) {
	r.t.Helper()
	options := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	verdict, err := r.objects.DroverDecap.Run(&options)
	if err != nil {
		r.t.Fatalf("run the program: %v", err)
	}
	return verdict, options.DataOut
}

// counted gives the counters that are not zero.
func (r *rig) counted() map[string]uint64 {
	r.t.Helper()
	all, err := readCounters(&r.objects.serverMaps)
	if err != nil {
		r.t.Fatal(err)
	}
	counted := map[string]uint64{}
	for _, c := range all {
		if c.Value > 0 {
			counted[c.Verdict+" "+c.Name] = c.Value
		}
	}
	return counted
}

var (
	directorMAC = net.HardwareAddr{2, 0, 0, 0, 2, 1}
	serverMAC   = net.HardwareAddr{2, 0, 0, 0, 3, 11}
)

func ethernet(f family) *layers.Ethernet {
	kind := layers.EthernetTypeIPv4
	if f == v6 {
		kind = layers.EthernetTypeIPv6
	}
	return &layers.Ethernet{SrcMAC: directorMAC, DstMAC: serverMAC, EthernetType: kind}
}

// ip is a header of the family; tos has the ECN field in its lowest bits.
func ip(f family, from, to netip.Addr, protocol layers.IPProtocol, tos uint8) gopacket.SerializableLayer {
	if f == v6 {
		return &layers.IPv6{
			Version: 6, TrafficClass: tos, HopLimit: 63, NextHeader: protocol,
			SrcIP: from.AsSlice(), DstIP: to.AsSlice(),
		}
	}
	return &layers.IPv4{
		Version: 4, TOS: tos, TTL: 63, Protocol: protocol, Flags: layers.IPv4DontFragment,
		SrcIP: from.AsSlice(), DstIP: to.AsSlice(),
	}
}

// inner is a client's packet to the VIP, from its IP header on.
func inner(t testing.TB, f family, to netip.Addr, tos uint8, payload int) []byte {
	t.Helper()
	header := ip(f, f.client, to, layers.IPProtocolTCP, tos)
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 80, Seq: 7, PSH: true, ACK: true, Ack: 9, Window: 500}
	if err := tcp.SetNetworkLayerForChecksum(header.(gopacket.NetworkLayer)); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, payload)
	for i := range data {
		data[i] = byte(i*7 + 3)
	}
	return serialize(t, header, tcp, gopacket.Payload(data))
}

func serialize(t testing.TB, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, all...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// A tunnel is a way to wrap an inner packet.
type tunnel struct {
	name     string
	counter  string
	protocol layers.IPProtocol // of the outer packet; 0: by the inner family
	checksum bool              // of UDP or GRE
	remote   bool              // GUE: the inner checksum is left to the receiver
}

var tunnels = []tunnel{
	{"IPIP", "ipip", 0, false, false},
	{"GUE", "gue", layers.IPProtocolUDP, false, false},
	{"GUE with checksum", "gue", layers.IPProtocolUDP, true, false},
	{"GUE with remote checksum", "gue", layers.IPProtocolUDP, true, true},
	{"GRE", "gre", layers.IPProtocolGRE, false, false},
	{"GRE with checksum", "gre", layers.IPProtocolGRE, true, false},
}

// wrap makes the frame that a director would send. inner's family is in; outer's is out.
func (w tunnel) wrap(t testing.TB, out, in family, tos uint8, packet []byte) []byte {
	t.Helper()
	return serialize(t, w.layers(t, out, in, tos, packet)...)
}

func (w tunnel) layers(t testing.TB, out, in family, tos uint8, packet []byte) []gopacket.SerializableLayer {
	t.Helper()
	protocol, next := w.protocol, layers.IPProtocolIPv4
	if in == v6 {
		next = layers.IPProtocolIPv6
	}
	if protocol == 0 {
		protocol = next
	}
	header := ip(out, out.director, out.server, protocol, tos)
	all := []gopacket.SerializableLayer{ethernet(out), header}
	switch protocol {
	case layers.IPProtocolUDP:
		udp := &layers.UDP{SrcPort: 0xc123, DstPort: guePort}
		gue := []byte{0, byte(next), 0, 0}
		if w.remote {
			gue, packet = remoteChecksum(gue, in, packet)
		}
		if w.checksum {
			if err := udp.SetNetworkLayerForChecksum(header.(gopacket.NetworkLayer)); err != nil {
				t.Fatal(err)
			}
			return append(all, udp, gopacket.Payload(append(gue, packet...)))
		}
		return append(all, plainUDP{udp}, gopacket.Payload(append(gue, packet...)))
	case layers.IPProtocolGRE:
		gre := &layers.GRE{Protocol: ethernet(in).EthernetType, ChecksumPresent: w.checksum}
		all = append(all, gre)
	}
	return append(all, gopacket.Payload(packet))
}

// plainUDP is UDP whose checksum stays 0.
type plainUDP struct{ *layers.UDP }

func (u plainUDP) SerializeTo(b gopacket.SerializeBuffer, options gopacket.SerializeOptions) error {
	options.ComputeChecksums = false
	return u.UDP.SerializeTo(b, options)
}

// remoteChecksum takes the TCP checksum of a packet back to the sum of its pseudo header, as a sender
// with checksum offload has it, and tells the receiver in GUE's private option.
func remoteChecksum(gue []byte, f family, packet []byte) (header, changed []byte) {
	start, addresses := 20, packet[12:20]
	if f == v6 {
		start, addresses = 40, packet[8:40]
	}
	const tcpChecksum = 16
	changed = append([]byte{}, packet...)
	length := len(packet) - start
	pseudo := append(append([]byte{}, addresses...), 0, 6, byte(length>>8), byte(length))
	sum := sumOf(pseudo)
	changed[start+tcpChecksum], changed[start+tcpChecksum+1] = byte(sum>>8), byte(sum)
	gue[0], gue[3] = 2, 1 // two words, private flags
	return append(gue, 0x80, 0, 0, 0, 0, byte(start), 0, byte(start+tcpChecksum)), changed
}

// sumOf is the one's complement sum (RFC 1071).
func sumOf(data []byte) uint16 {
	var sum uint32
	for i := 0; i < len(data); i += 2 {
		sum += uint32(data[i]) << 8
		if i+1 < len(data) {
			sum += uint32(data[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
