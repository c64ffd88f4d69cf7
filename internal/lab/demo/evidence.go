package demo

import (
	"bytes"
	"net/netip"
	"slices"

	"drover/internal/lab"
	"drover/internal/lab/capture"
)

// Evidence is a recording, and what is needed to judge it.
type evidence struct {
	play
	topology *lab.Topology
	family   lab.Family
	service  netip.AddrPort
	client   netip.Addr
	packets  []capture.Packet

	requests, replies crossings // replies are empty but in NAT
}

func newEvidence(p play, t *lab.Topology, f lab.Family, packets []capture.Packet) *evidence {
	e := &evidence{
		play: p, topology: t, family: f, packets: packets,
		service: service(t, f), client: t.Addr(lab.Client, f),
	}
	e.requests = e.match(e.isRequest, e.isForwarded)
	if p.mode == lab.NAT {
		e.replies = e.match(e.isReply, e.isReturned)
	}
	return e
}

// servers is their network, the last one recorded.
func (e *evidence) servers() string { return e.networks[len(e.networks)-1] }

// inside is the network on which the director sends to the servers.
func (e *evidence) inside() string {
	if e.mode == lab.TUN {
		return "front"
	}
	return e.servers()
}

// mac is that of a node on a network.
func (e *evidence) mac(node, network string) lab.MAC {
	port, _ := e.topology.Port(node, network)
	return port.MAC
}

// isRequest: the client's, on its way into the director.
func (e *evidence) isRequest(p capture.Packet) bool {
	return e.at(p, lab.Director, "front") && p.Destination == e.service && bytes.Equal(p.To, e.mac(lab.Director, "front"))
}

// isForwarded: the client's, sent by the director.
func (e *evidence) isForwarded(p capture.Packet) bool {
	return e.at(p, lab.Director, e.inside()) && p.Source.Addr() == e.client && bytes.Equal(p.From, e.mac(lab.Director, e.inside()))
}

// isReply: a server's, on its way into the director.
func (e *evidence) isReply(p capture.Packet) bool {
	return e.at(p, lab.Director, e.inside()) && p.Destination.Addr() == e.client && bytes.Equal(p.To, e.mac(lab.Director, e.inside()))
}

// isReturned: a reply, sent by the director.
func (e *evidence) isReturned(p capture.Packet) bool {
	return e.at(p, lab.Director, "front") && p.Destination.Addr() == e.client && bytes.Equal(p.From, e.mac(lab.Director, "front"))
}

func (e *evidence) at(p capture.Packet, node, network string) bool {
	return p.Node == node && p.Network == network
}

// crossings are the packets of one direction, before and after the director.
type crossings struct {
	pairs    []pair
	lost     []capture.Packet // went in, never came out
	invented []capture.Packet // came out, never went in
}

type pair struct{ before, after capture.Packet }

// identity is what the director leaves alone in both modes.
type identity struct {
	client   netip.AddrPort
	seq, ack uint32
	flags    string
	payload  string
}

func (e *evidence) identify(p capture.Packet) identity {
	client := p.Source
	if p.Destination.Addr() == e.client {
		client = p.Destination
	}
	return identity{client, p.Seq, p.Ack, p.Flags, string(p.Payload)}
}

// match pairs what went in with what came out, a repeated packet with its own repetition.
func (e *evidence) match(in, out func(capture.Packet) bool) crossings {
	var c crossings
	waiting := map[identity][]capture.Packet{}
	for _, p := range e.packets {
		if out(p) {
			waiting[e.identify(p)] = append(waiting[e.identify(p)], p)
		}
	}
	for _, p := range e.packets {
		if !in(p) {
			continue
		}
		id := e.identify(p)
		if len(waiting[id]) == 0 {
			c.lost = append(c.lost, p)
			continue
		}
		c.pairs = append(c.pairs, pair{p, waiting[id][0]})
		waiting[id] = waiting[id][1:]
	}
	for _, rest := range waiting {
		c.invented = append(c.invented, rest...)
	}
	return c
}

// fromService are the packets of the VIP at a node's port: the clients' side of the director, and in modes
// without a way back through it, the servers' network.
func (e *evidence) fromService(node string) []capture.Packet {
	network := "front"
	if e.mode != lab.NAT && node != lab.Director {
		network = e.servers()
	}
	return slices.DeleteFunc(slices.Clone(e.packets), func(p capture.Packet) bool {
		return !e.at(p, node, network) || p.Source != e.service
	})
}

// owner names the node of a MAC; the MAC itself if it is nobody's.
func (e *evidence) owner(mac []byte) string {
	for _, p := range e.topology.Ports {
		if bytes.Equal(p.MAC, mac) {
			return p.Node
		}
	}
	return lab.MAC(mac).String()
}
