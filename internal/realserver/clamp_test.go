package realserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// TestClamp: SYNs from a VIP name at most the limit, with a right checksum, and nothing else is changed.
func TestClamp(t *testing.T) {
	mss := func(size uint16) []byte { return []byte{2, 4, byte(size >> 8), byte(size)} }
	const limit = 1412
	for _, row := range []struct {
		name    string
		source  func(f family) netip.Addr
		ack     bool
		syn     bool
		options []byte
		want    []byte // nil: unchanged
	}{
		{"SYN-ACK", family.fromVIP, true, true, mss(1460), mss(limit)},
		{"SYN", family.fromVIP, false, true, mss(9000), mss(limit)},
		{"after others", family.fromVIP, true, true, append([]byte{3, 3, 7, 1}, mss(1460)...), append([]byte{3, 3, 7, 1}, mss(limit)...)},
		{"across two words", family.fromVIP, true, true, append([]byte{1}, append(mss(1460), 1, 1, 0)...), append([]byte{1}, append(mss(limit), 1, 1, 0)...)},
		{"at the end of 40 bytes", family.fromVIP, true, true, append(nops(36), mss(1460)...), append(nops(36), mss(limit)...)},
		{"never raised", family.fromVIP, true, true, mss(limit - 1), nil},
		{"as it is", family.fromVIP, true, true, mss(limit), nil},
		{"no SYN", family.fromVIP, true, false, mss(1460), nil},
		{"no VIP's", family.fromServer, true, true, mss(1460), nil},
		{"no option", family.fromVIP, true, true, nil, nil},
		{"behind the end", family.fromVIP, true, true, append([]byte{0, 0, 0, 0}, mss(1460)...), nil},
		{"of a wrong length", family.fromVIP, true, true, []byte{2, 3, 9, 9}, nil},
		{"behind one of no length", family.fromVIP, true, true, append([]byte{8, 0, 1, 1}, mss(1460)...), nil},
		{"behind one that is too long", family.fromVIP, true, true, append([]byte{8, 41, 1, 1}, mss(1460)...), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t)
			own := []netip.Addr{v4.server, v6.server}
			err := fill(&r.objects.serverMaps, Config{VIPs: []netip.Addr{v4.vip, v6.vip}}, own, limits{limit, limit})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				in := synFrame(t, f, row.source(f), row.syn, row.ack, row.options)
				want := in
				if row.want != nil {
					want = synFrame(t, f, row.source(f), row.syn, row.ack, row.want)
				}
				check(t, f.name, want, r.egress(in))
			}
		})
	}
}

func (f family) fromVIP() netip.Addr    { return f.vip }
func (f family) fromServer() netip.Addr { return f.server }

func nops(n int) []byte {
	all := make([]byte, n)
	for i := range all {
		all[i] = 1
	}
	return all
}

// synFrame is a server's segment with these options.
func synFrame(t *testing.T, f family, from netip.Addr, syn, ack bool, options []byte) []byte {
	t.Helper()
	header := ip(f, from, f.client, layers.IPProtocolTCP, 0)
	tcp := &layers.TCP{SrcPort: 80, DstPort: 40000, Seq: 7, SYN: syn, ACK: ack, Window: 500}
	if err := tcp.SetNetworkLayerForChecksum(header.(gopacket.NetworkLayer)); err != nil {
		t.Fatal(err)
	}
	segment := serialize(t, tcp)
	segment = append(segment, options...) // gopacket knows better than to write wrong ones
	segment[12] = byte(len(segment)/4) << 4
	segment[16], segment[17] = 0, 0
	packet := serialize(t, header, gopacket.Payload(segment))
	start, addresses := 20, packet[12:20]
	if f == v6 {
		start, addresses = 40, packet[8:40]
	}
	pseudo := append(append([]byte{}, addresses...), 0, 6, 0, byte(len(segment)))
	binary.BigEndian.PutUint16(packet[start+16:], ^sumOf(append(pseudo, packet[start:]...)))
	return frame(t, f, packet)
}

// egress gives a frame to the TC program.
func (r *rig) egress(frame []byte) []byte {
	r.t.Helper()
	options := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	verdict, err := r.objects.DroverClamp.Run(&options)
	if err != nil {
		r.t.Fatalf("run the program: %v", err)
	}
	if int32(verdict) != -1 {
		r.t.Fatalf("verdict %d, want -1: the next program's turn", int32(verdict))
	}
	return options.DataOut
}

// TestSegmentSizes: what is chosen fits with the largest headers that the server takes.
func TestSegmentSizes(t *testing.T) {
	for _, row := range []struct {
		cfg  Config
		own  []netip.Addr
		want limits
	}{
		{Config{}, []netip.Addr{v4.server}, limits{}},
		{Config{ClampMSS: true, MSS: 1200}, []netip.Addr{v4.server}, limits{1200, 1200}},
		{Config{ClampMSS: true}, []netip.Addr{v4.server}, limits{1432, 1412}},
		{Config{ClampMSS: true}, []netip.Addr{v4.server, v6.server}, limits{1412, 1392}},
		{Config{ClampMSS: true, Ports: []uint16{guePort}}, []netip.Addr{v6.server}, limits{1400, 1380}},
	} {
		got, err := row.cfg.sizesOf(1500, row.own)
		check(t, fmt.Sprintf("%+v", row.cfg), nil, err)
		check(t, fmt.Sprintf("%+v, %v", row.cfg, row.own), row.want.v4, got.v4)
		check(t, fmt.Sprintf("%+v, %v", row.cfg, row.own), row.want.v6, got.v6)
	}
	if _, err := (Config{ClampMSS: true}).sizesOf(120, []netip.Addr{v6.server}); err == nil {
		t.Error("an MTU of 120 leaves room")
	}
}
