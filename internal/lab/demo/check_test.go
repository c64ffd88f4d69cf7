package demo

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"drover/internal/lab"
	"drover/internal/lab/capture"
)

// A wire is a packet of a made-up recording, that may be spoiled before it is encoded.
type wire struct {
	node, network  string
	from, to       lab.MAC
	source, target string // addresses
	sport, dport   layers.TCPPort
	ttl            uint8
	seq            uint32
	window         uint16
	payload        string
	checksum       bool   // leave it wrong
	outer          string // source and destination of the IPIP tunnel it is in; "" for none
}

func (w wire) packet(t *testing.T) capture.Packet {
	t.Helper()
	ip := &layers.IPv4{
		Version: 4, TTL: w.ttl, Protocol: layers.IPProtocolTCP,
		SrcIP: net.ParseIP(w.source).To4(), DstIP: net.ParseIP(w.target).To4(),
	}
	tcp := &layers.TCP{SrcPort: w.sport, DstPort: w.dport, Seq: w.seq, ACK: true, Window: w.window}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buffer := gopacket.NewSerializeBuffer()
	all := []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: net.HardwareAddr(w.from), DstMAC: net.HardwareAddr(w.to), EthernetType: layers.EthernetTypeIPv4},
	}
	if from, to, ok := strings.Cut(w.outer, " "); ok {
		all = append(all, &layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolIPv4,
			SrcIP: net.ParseIP(from).To4(), DstIP: net.ParseIP(to).To4(),
		})
	}
	all = append(all, ip, tcp, gopacket.Payload(w.payload))
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		t.Fatal(err)
	}
	frame := buffer.Bytes()
	if w.checksum {
		frame[50] ^= 1
	}
	p, ok := capture.Decode(frame)
	if !ok {
		t.Fatal("the packet is not read")
	}
	p.Node, p.Network = w.node, w.network
	return p
}

// The hosts, as a lab numbers them.
var (
	router   = lab.MAC{2, 0, 0, 0, 2, 0xfe}
	front    = lab.MAC{2, 0, 0, 0, 2, 1}
	back     = lab.MAC{2, 0, 0, 0, 3, 1}
	frontRS1 = lab.MAC{2, 0, 0, 0, 2, 11}
	backRS1  = lab.MAC{2, 0, 0, 0, 3, 11}
	nobody   = lab.MAC{2, 0, 0, 0, 9, 9}

	backRouter = lab.MAC{2, 0, 0, 0, 3, 0xfe}
)

const client, vip, rip = "203.0.113.10", "192.0.2.100", "198.51.100.11"

// topologies are those of the labs, as far as they are asked for here.
var topologies = map[lab.Mode]*lab.Topology{
	lab.DR:  topology(frontRS1, "front", "192.0.2.11/24"),
	lab.NAT: topology(backRS1, "back", rip+"/24"),
	lab.TUN: topology(backRS1, "back", rip+"/24"),
}

// Places in the recordings of drWires and natWires.
const (
	requestIn = iota
	requestOut
	replySent
	replyAtRouter
	replyReturned // by the director: NAT alone
)

// drWires is one request through the director to rs1, and the reply past it.
func drWires() []wire {
	return []wire{
		requestIn:     {lab.Director, "front", router, front, client, vip, 40000, 80, 63, 7, 500, "GET / ", false, ""},
		requestOut:    {lab.Director, "front", front, frontRS1, client, vip, 40000, 80, 62, 7, 500, "GET / ", false, ""},
		replySent:     {"rs1", "front", frontRS1, router, vip, client, 80, 40000, 64, 9, 501, "HTTP/1.1 ", false, ""},
		replyAtRouter: {lab.Gate, "front", frontRS1, router, vip, client, 80, 40000, 64, 9, 501, "HTTP/1.1 ", false, ""},
	}
}

// natWires is one request through the director to rs1, and the reply through it.
func natWires() []wire {
	return []wire{
		requestIn:     {lab.Director, "front", router, front, client, vip, 40000, 80, 63, 7, 500, "GET / ", false, ""},
		requestOut:    {lab.Director, "back", back, backRS1, client, rip, 40000, 8080, 62, 7, 500, "GET / ", false, ""},
		replySent:     {lab.Director, "back", backRS1, back, rip, client, 8080, 40000, 64, 9, 501, "HTTP/1.1 ", false, ""},
		replyAtRouter: {lab.Gate, "front", front, router, vip, client, 80, 40000, 63, 9, 501, "HTTP/1.1 ", false, ""},
		replyReturned: {lab.Director, "front", front, router, vip, client, 80, 40000, 63, 9, 501, "HTTP/1.1 ", false, ""},
	}
}

// tunWires is one request through the director and the router to rs1, and the reply past the director.
func tunWires() []wire {
	const tunnel = "192.0.2.1 " + rip
	return []wire{
		requestIn:     {lab.Director, "front", router, front, client, vip, 40000, 80, 63, 7, 500, "GET / ", false, ""},
		requestOut:    {lab.Director, "front", front, router, client, vip, 40000, 80, 62, 7, 500, "GET / ", false, tunnel},
		replySent:     {"rs1", "back", backRS1, backRouter, vip, client, 80, 40000, 64, 9, 501, "HTTP/1.1 ", false, ""},
		replyAtRouter: {lab.Gate, "back", backRS1, backRouter, vip, client, 80, 40000, 64, 9, 501, "HTTP/1.1 ", false, ""},
	}
}

const (
	drListing  = "TCP  192.0.2.100:80  1 1 0 46 0\n  -> 192.0.2.11:80  1 1 0 46 0\n"
	natListing = "TCP  192.0.2.100:80  1 1 1 46 49\n  -> 198.51.100.11:8080  1 1 1 46 49\n"
)

// failedOf judges a recording of one mode, and gives what failed.
func failedOf(t *testing.T, mode lab.Mode, wires []wire, listing string) []string {
	t.Helper()
	var packets []capture.Packet
	for _, w := range wires {
		packets = append(packets, w.packet(t))
	}
	var failed []string
	for _, c := range newEvidence(plays[mode], topologies[mode], lab.V4, packets).checks(listing) {
		if !c.OK {
			failed = append(failed, c.Name+": "+c.Detail)
		}
	}
	return failed
}

// TestChecksDR spoils one thing at a time: the check that it belongs to says so.
func TestChecksDR(t *testing.T) {
	const (
		only     = "only MACs, TTL and IP checksum change: "
		asked    = client + ":40000 > " + vip + ":80 [.]: "
		bypass   = "replies bypass the director: "
		counters = "ipvsadm's counters are those of the wire: ipvsadm says "
	)
	for _, test := range []struct {
		name    string
		spoil   func([]wire) []wire
		listing string
		want    []string
	}{
		{"as it should be", func(w []wire) []wire { return w }, drListing, nil},
		{"TTL kept", set(requestOut, func(w *wire) { w.ttl = 63 }), drListing, []string{only + asked + "TTL or hop limit 63 became 63"}},
		{"window", set(requestOut, func(w *wire) { w.window = 9 }), drListing, []string{only + asked + "TCP checksum, other bytes changed"}},
		{"VIP", set(requestOut, func(w *wire) { w.target = "192.0.2.11" }), drListing, []string{only + asked + "destination address, TCP checksum changed"}},
		{"checksum", set(requestOut, func(w *wire) { w.checksum = true }), drListing, []string{only + asked + "TCP checksum changed"}},
		{"to nobody", set(requestOut, func(w *wire) { w.to = nobody }), drListing, []string{only + asked + "went to 02:00:00:00:09:09"}},
		{"lost", drop(requestOut), drListing, []string{
			only + "1 packets did not come out of the director, first " + client + ":40000 > " + vip + ":80 [.]",
			counters + "1 1 0 46 0, recorded 0 0 0 0 0",
		}},
		{"twice", repeat(requestOut), drListing, []string{only + "1 packets came out that never went in, first " + client + ":40000 > " + vip + ":80 [.]"}},
		{"reply through the director", set(replyAtRouter, func(w *wire) { w.node = lab.Director }), drListing, []string{bypass + "1 packets from 192.0.2.100:80 at the director's port"}},
		{"reply to the director", set(replySent, func(w *wire) { w.to = front }), drListing, []string{bypass + "a reply at rs1 went from rs1 to director"}},
		{"reply lost", drop(replyAtRouter), drListing, []string{bypass + "1 packets sent by the servers, 0 at the router"}},
		{"not counted", func(w []wire) []wire { return w }, "TCP  192.0.2.100:80  0 0 0 0 0\n", []string{counters + "0 0 0 0 0, recorded 1 1 0 46 0"}},
		{"no such service", func(w []wire) []wire { return w }, "", []string{counters + "nothing, recorded 1 1 0 46 0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, failedOf(t, lab.DR, test.spoil(drWires()), test.listing)); diff != "" {
				t.Errorf("failed checks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChecksNAT(t *testing.T) {
	const (
		requests = "requests get the server's address and port: " + client + ":40000 > " + vip + ":80 [.]: "
		replies  = "replies get the VIP and its port back: " + rip + ":8080 > " + client + ":40000 [.]: "
		through  = "replies come back through the director: "
	)
	for _, test := range []struct {
		name  string
		spoil func([]wire) []wire
		want  []string
	}{
		{"as it should be", func(w []wire) []wire { return w }, nil},
		{"port kept", set(requestOut, func(w *wire) { w.dport = 80 }), []string{requests + "went to 198.51.100.11:80, not 198.51.100.11:8080"}},
		{"client's address", set(requestOut, func(w *wire) { w.sport = 1 }), []string{
			"requests get the server's address and port: 1 packets did not come out of the director, first " + client + ":40000 > " + vip + ":80 [.]",
			"ipvsadm's counters are those of the wire: ipvsadm says 1 1 1 46 49, recorded 0 0 1 0 49",
		}},
		{"checksum", set(requestOut, func(w *wire) { w.checksum = true }), []string{requests + "TCP checksum 0xc033, computed 0xc133"}},
		{"VIP's port", set(replyReturned, func(w *wire) { w.sport = 8080 }), []string{replies + "came from 192.0.2.100:8080, not 192.0.2.100:80"}},
		{"not to the router", set(replyReturned, func(w *wire) { w.to = nobody }), []string{replies + "went to 02:00:00:00:09:09"}},
		{"reply past the director", set(replyAtRouter, func(w *wire) { w.from = backRS1 }), []string{through + "a reply came from rs1"}},
		{"no reply", drop(replyAtRouter), []string{through + "no reply at the router"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, failedOf(t, lab.NAT, test.spoil(natWires()), natListing)); diff != "" {
				t.Errorf("failed checks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChecksTUN(t *testing.T) {
	const (
		tunnel = "requests go to a server in a tunnel: " + client + ":40000 > " + vip + ":80 [.]: "
		bypass = "replies bypass the director: "
	)
	for _, test := range []struct {
		name  string
		spoil func([]wire) []wire
		want  []string
	}{
		{"as it should be", func(w []wire) []wire { return w }, nil},
		{"no tunnel", set(requestOut, func(w *wire) { w.outer = "" }), []string{tunnel + "went without a tunnel"}},
		{"tunnel from elsewhere", set(requestOut, func(w *wire) { w.outer = vip + " " + rip }), []string{tunnel + "the tunnel is from " + vip}},
		{"tunnel to nobody", set(requestOut, func(w *wire) { w.outer = "192.0.2.1 198.51.100.99" }), []string{tunnel + "the tunnel leads to 198.51.100.99"}},
		{"window", set(requestOut, func(w *wire) { w.window = 9 }), []string{tunnel + "TCP checksum, other bytes changed"}},
		{"not by the router", set(requestOut, func(w *wire) { w.to = nobody }), []string{tunnel + "went to 02:00:00:00:09:09"}},
		{"reply through the director", set(replyAtRouter, func(w *wire) { w.node, w.network = lab.Director, "front" }), []string{bypass + "1 packets from 192.0.2.100:80 at the director's port"}},
		{"reply lost", drop(replyAtRouter), []string{bypass + "1 packets sent by the servers, 0 at the router"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, failedOf(t, lab.TUN, test.spoil(tunWires()), drListing)); diff != "" {
				t.Errorf("failed checks (-want +got):\n%s", diff)
			}
		})
	}
}

// set changes one packet.
func set(i int, change func(*wire)) func([]wire) []wire {
	return func(w []wire) []wire { change(&w[i]); return w }
}

func drop(i int) func([]wire) []wire {
	return func(w []wire) []wire { return slices.Delete(w, i, i+1) }
}

func repeat(i int) func([]wire) []wire {
	return func(w []wire) []wire { return append(w, w[i]) }
}

func TestCheckAnswers(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers [3]int
		failure string
		want    string
	}{
		{"all", [3]int{6, 4, 2}, "", "true 12 of 12; true rs1 6, rs2 4, rs3 2"},
		{"unfair", [3]int{4, 4, 4}, "", "true 12 of 12; false rs1 answered 4 requests, not 6"},
		{"by a stranger", [3]int{6, 4, 1}, "", "false 11 of 12: not by a real server of the lab; false rs3 answered 1 requests, not 2"},
		{"refused", [3]int{}, "curl: (7) refused", "false 0 of 12: curl: (7) refused; false rs1 answered 0 requests, not 6"},
	} {
		t.Run(test.name, func(t *testing.T) {
			shares := plays[lab.DR].shares()
			for i := range shares {
				shares[i].Answers = test.answers[i]
			}
			c := checkAnswers(shares, test.failure)
			got := fmt.Sprintf("%v %s; %v %s", c[0].OK, c[0].Detail, c[1].OK, c[1].Detail)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("checks (-want +got):\n%s", diff)
			}
		})
	}
}
