package demo

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/lab"
	"drover/internal/lab/capture"
)

// verdict makes a check: it holds unless there is a complaint, which is then its detail.
func verdict(name, complaint, detail string) Check {
	if complaint != "" {
		return Check{Name: name, Detail: complaint}
	}
	return Check{Name: name, OK: true, Detail: detail}
}

func checkAnswers(shares []Share, failure string) []Check {
	answered, unfair := 0, ""
	var parts []string
	for _, s := range shares {
		answered += s.Answers
		parts = append(parts, fmt.Sprintf("%s %d", s.Server, s.Answers))
		if s.Answers != s.Want && unfair == "" {
			unfair = fmt.Sprintf("%s answered %d requests, not %d", s.Server, s.Answers, s.Want)
		}
	}
	count := fmt.Sprintf("%d of %d", answered, requests)
	if failure == "" && answered != requests {
		failure = "not by a real server of the lab"
	}
	if failure != "" {
		failure = count + ": " + failure
	}
	return []Check{
		verdict("every request is answered", failure, count),
		verdict("the servers' shares follow the scheduler", unfair, strings.Join(parts, ", ")),
	}
}

// What the director may change.
var (
	byDR       = []string{capture.DestinationMAC, capture.SourceMAC, capture.TTL, capture.HopLimit, capture.IPChecksum}
	byNAT      = append(slices.Clone(byDR), capture.TCPChecksum)
	forRequest = append(slices.Clone(byNAT), capture.DestinationAddr, capture.DestinationPort)
	forReply   = append(slices.Clone(byNAT), capture.SourceAddr, capture.SourcePort)
)

// checks judges the recording, and ipvsadm's listing of the counters by it.
func (e *evidence) checks(listing string) []Check {
	if e.mode == lab.NAT {
		return []Check{
			e.checkCrossings("requests get the server's address and port", e.requests, forRequest, e.toServer),
			e.checkCrossings("replies get the VIP and its port back", e.replies, forReply, e.toClient),
			e.checkReturn(),
			e.checkCounters(listing),
		}
	}
	if e.mode == lab.TUN {
		return []Check{
			e.checkCrossings("requests go to a server in a tunnel", e.requests, byDR, e.toServer),
			e.checkBypass(),
			e.checkCounters(listing),
		}
	}
	name := "only MACs, TTL and IP checksum change"
	if e.family == lab.V6 {
		name = "only MACs and hop limit change"
	}
	return []Check{
		e.checkCrossings(name, e.requests, byDR, e.toServer),
		e.checkBypass(),
		e.checkCounters(listing),
	}
}

// checkCrossings: every packet came out once, one hop older, with right checksums, with nothing changed
// but what may be, and sent to whom it should.
func (e *evidence) checkCrossings(name string, c crossings, may []string, sent func(pair) string) Check {
	complaint := ""
	switch {
	case len(c.lost) > 0:
		complaint = fmt.Sprintf("%d packets did not come out of the director, first %s", len(c.lost), describe(c.lost[0]))
	case len(c.invented) > 0:
		complaint = fmt.Sprintf("%d packets came out that never went in, first %s", len(c.invented), describe(c.invented[0]))
	case len(c.pairs) == 0:
		complaint = "no packet crossed the director"
	}
	for _, p := range c.pairs {
		if complaint != "" {
			break
		}
		if complaint = judge(p, may); complaint == "" {
			complaint = sent(p)
		}
		if complaint != "" {
			complaint = describe(p.before) + ": " + complaint
		}
	}
	return verdict(name, complaint, fmt.Sprintf("%d packets, byte for byte", len(c.pairs)))
}

func judge(p pair, may []string) string {
	changed := slices.DeleteFunc(capture.Differences(p.before, p.after), func(f string) bool { return slices.Contains(may, f) })
	if len(changed) > 0 {
		return strings.Join(changed, ", ") + " changed"
	}
	if p.after.TTL != p.before.TTL-1 {
		return fmt.Sprintf("TTL or hop limit %d became %d", p.before.TTL, p.after.TTL)
	}
	return p.after.Damage
}

// toServer: the packet has the MAC of a server and, in NAT, its address and port; in direct routing
// still the VIP's, and in a tunnel too.
func (e *evidence) toServer(p pair) string {
	if e.mode == lab.TUN {
		return e.inTunnel(p)
	}
	node := e.owner(p.after.To)
	if !slices.Contains(lab.Servers, node) {
		return "went to " + node
	}
	want := e.service
	if e.mode == lab.NAT {
		want = netip.AddrPortFrom(e.topology.Addr(node, e.family), e.port)
	}
	if p.after.Destination != want {
		return fmt.Sprintf("went to %v, not %v", p.after.Destination, want)
	}
	return ""
}

// inTunnel: the packet, still the VIP's, is in a tunnel from the director to a server, by way of the router.
func (e *evidence) inTunnel(p pair) string {
	t := p.after.Tunnel
	isServer := func(rs string) bool { return t.Destination == e.topology.Addr(rs, e.family) }
	switch {
	case t == nil:
		return "went without a tunnel"
	case t.Source != e.topology.Addr(lab.Director, e.family):
		return fmt.Sprintf("the tunnel is from %v", t.Source)
	case !slices.ContainsFunc(lab.Servers, isServer):
		return fmt.Sprintf("the tunnel leads to %v", t.Destination)
	case p.after.Destination != e.service:
		return fmt.Sprintf("went to %v, not %v", p.after.Destination, e.service)
	case e.owner(p.after.To) != lab.Gate:
		return "went to " + e.owner(p.after.To)
	}
	return ""
}

func (e *evidence) toClient(p pair) string {
	if p.after.Source != e.service {
		return fmt.Sprintf("came from %v, not %v", p.after.Source, e.service)
	}
	if !bytes.Equal(p.after.To, e.mac(lab.Gate, "front")) {
		return "went to " + e.owner(p.after.To)
	}
	return ""
}

// checkBypass: replies go from the servers to the router, and none is at the director's port.
func (e *evidence) checkBypass() Check {
	complaint, sent := "", 0
	for _, rs := range lab.Servers {
		for _, p := range e.fromService(rs) {
			sent++
			if e.owner(p.From) != rs || e.owner(p.To) != lab.Gate {
				complaint = fmt.Sprintf("a reply at %s went from %s to %s", rs, e.owner(p.From), e.owner(p.To))
			}
		}
	}
	arrived := len(e.fromService(lab.Gate))
	switch n := len(e.fromService(lab.Director)); {
	case n > 0:
		complaint = fmt.Sprintf("%d packets from %v at the director's port", n, e.service)
	case sent == 0:
		complaint = "no reply from a server"
	case sent != arrived:
		complaint = fmt.Sprintf("%d packets sent by the servers, %d at the router", sent, arrived)
	}
	return verdict("replies bypass the director", complaint, fmt.Sprintf("%d packets, server to router", sent))
}

// checkReturn: on the clients' side, replies are the director's alone.
func (e *evidence) checkReturn() Check {
	complaint := ""
	arrived := e.fromService(lab.Gate)
	for _, p := range arrived {
		if !bytes.Equal(p.From, e.mac(lab.Director, "front")) {
			complaint = "a reply came from " + e.owner(p.From)
		}
	}
	if len(arrived) == 0 {
		complaint = "no reply at the router"
	}
	return verdict("replies come back through the director", complaint, fmt.Sprintf("%d packets", len(arrived)))
}

// checkCounters holds the service's line of `ipvsadm -Ln --stats` against the recording.
func (e *evidence) checkCounters(listing string) Check {
	connections := map[netip.AddrPort]bool{}
	in, out := [2]int{}, [2]int{} // packets, bytes
	for _, p := range e.requests.pairs {
		connections[p.before.Source] = true
		in[0], in[1] = in[0]+1, in[1]+length(p.before)
	}
	for _, p := range e.replies.pairs {
		out[0], out[1] = out[0]+1, out[1]+length(p.before)
	}
	want := fmt.Sprintf("%d %d %d %d %d", len(connections), in[0], out[0], in[1], out[1])
	got := "nothing"
	for line := range strings.Lines(listing) {
		if fields := strings.Fields(line); len(fields) == 7 && fields[1] == e.service.String() {
			got = strings.Join(fields[2:], " ")
		}
	}
	complaint := ""
	if got != want {
		complaint = fmt.Sprintf("ipvsadm says %s, recorded %s", got, want)
	}
	return verdict("ipvsadm's counters are those of the wire", complaint,
		fmt.Sprintf("%d connections, %d in, %d out", len(connections), in[0], out[0]))
}

// length is what ip_vs counts: from the IP header on. Nothing is padded on a veth.
func length(p capture.Packet) int { return len(p.Data) - 14 }

func describe(p capture.Packet) string {
	return fmt.Sprintf("%v > %v [%s]", p.Source, p.Destination, p.Flags)
}
