package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Counter is one verdict's reason and how often it was given. Each packet is in exactly one.
type Counter struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"` // pass | forward | hold | answer | drop
	Help    string `json:"help"`
	Value   uint64 `json:"value"`
}

// The verdicts.
const (
	verdictPass    = "pass"
	verdictForward = "forward"
	verdictHold    = "hold"
	verdictAnswer  = "answer"
	verdictDrop    = "drop"
)

// counters describes every outcome of the programs, in the order in which they are shown.
var counters = []struct {
	outcome directorOutcome
	Counter
}{
	{directorOutcomeOUTCOME_PASS_OTHER, Counter{Name: "other", Verdict: verdictPass, Help: "not IPv4 or IPv6: ARP, VLAN-tagged, ..."}},
	{directorOutcomeOUTCOME_PASS_PROTOCOL, Counter{Name: "protocol", Verdict: verdictPass, Help: "echo and other protocols; IP options and extension headers"}},
	{directorOutcomeOUTCOME_PASS_MALFORMED, Counter{Name: "malformed", Verdict: verdictPass, Help: "lengths that do not fit, left to the host to refuse"}},
	{directorOutcomeOUTCOME_PASS_NOT_OURS, Counter{Name: "not_ours", Verdict: verdictPass, Help: "no service and no connection"}},
	{directorOutcomeOUTCOME_PASS_NO_CONN, Counter{Name: "no_connection", Verdict: verdictPass, Help: "TCP to a service without SYN and without a connection: the host resets it"}},
	{directorOutcomeOUTCOME_PASS_OTHERHOST, Counter{Name: "other_host", Verdict: verdictPass, Help: "for a service, but the frame is for another machine's MAC"}},
	{directorOutcomeOUTCOME_PASS_LOCAL_SERVER, Counter{Name: "local_server", Verdict: verdictPass, Help: "to a server on this host"}},
	{directorOutcomeOUTCOME_PASS_STANDBY, Counter{Name: "standby", Verdict: verdictPass, Help: "for a VIP that another director has: what this one gets is for its own server"}},
	{directorOutcomeOUTCOME_FORWARD_ROUTE, Counter{Name: "route", Verdict: verdictForward, Help: "to a server by direct routing"}},
	{directorOutcomeOUTCOME_FORWARD_MASQ_IN, Counter{Name: "masq_in", Verdict: verdictForward, Help: "to a server by NAT"}},
	{directorOutcomeOUTCOME_FORWARD_MASQ_OUT, Counter{Name: "masq_out", Verdict: verdictForward, Help: "a server's reply to the client by NAT"}},
	{directorOutcomeOUTCOME_FORWARD_ICMP, Counter{Name: "icmp", Verdict: verdictForward, Help: "an ICMP error that followed its connection"}},
	{directorOutcomeOUTCOME_FORWARD_FRAGMENT, Counter{Name: "fragment", Verdict: verdictForward, Help: "a later fragment that followed its first"}},
	{directorOutcomeOUTCOME_FORWARD_STATELESS, Counter{Name: "stateless", Verdict: verdictForward, Help: "by direct routing or a tunnel without an entry: the table is full"}},
	{directorOutcomeOUTCOME_FORWARD_TUNNEL, Counter{Name: "tunnel", Verdict: verdictForward, Help: "to a server in a tunnel"}},
	{directorOutcomeOUTCOME_FORWARD_LOCAL_CLIENT, Counter{Name: "local_client", Verdict: verdictForward, Help: "a server's reply to a client on this host"}},
	{directorOutcomeOUTCOME_HOLD_FRAGMENT, Counter{Name: "fragment", Verdict: verdictHold, Help: "a fragment that came before its datagram's first, and waits for it"}},
	{directorOutcomeOUTCOME_HOLD_REPLAY, Counter{Name: "replay", Verdict: verdictHold, Help: "a fragment that begins the replay of those that wait, and is judged with them"}},
	{directorOutcomeOUTCOME_ANSWER_UNREACHABLE, Counter{Name: "unreachable", Verdict: verdictAnswer, Help: "port unreachable: no server takes connections"}},
	{directorOutcomeOUTCOME_ANSWER_TIME_EXCEEDED, Counter{Name: "time_exceeded", Verdict: verdictAnswer, Help: "TTL or hop limit used up"}},
	{directorOutcomeOUTCOME_ANSWER_TOO_BIG, Counter{Name: "too_big", Verdict: verdictAnswer, Help: "larger than the MTU towards the server"}},
	{directorOutcomeOUTCOME_ANSWER_RESET, Counter{Name: "reset", Verdict: verdictAnswer, Help: "RST: the connection was ended, at a drain's deadline"}},
	{directorOutcomeOUTCOME_ANSWER_ASK_NEIGHBOUR, Counter{Name: "ask_neighbour", Verdict: verdictAnswer, Help: "became an ARP request or neighbour solicitation"}},
	{directorOutcomeOUTCOME_DROP_SERVER_GONE, Counter{Name: "server_gone", Verdict: verdictDrop, Help: "the connection's server was deleted"}},
	{directorOutcomeOUTCOME_DROP_NO_ROUTE, Counter{Name: "no_route", Verdict: verdictDrop, Help: "no route to the server or client"}},
	{directorOutcomeOUTCOME_DROP_NO_NEIGHBOUR, Counter{Name: "no_neighbour", Verdict: verdictDrop, Help: "the next hop's MAC was asked for, no answer yet"}},
	{directorOutcomeOUTCOME_DROP_TABLE_FULL, Counter{Name: "table_full", Verdict: verdictDrop, Help: "no free entry for a new connection, and it needs one (NAT)"}},
	{directorOutcomeOUTCOME_DROP_BUCKET_FULL, Counter{Name: "bucket_full", Verdict: verdictDrop, Help: "no free slot where a new connection belongs"}},
	{directorOutcomeOUTCOME_DROP_CONTENDED, Counter{Name: "contended", Verdict: verdictDrop, Help: "two CPUs began the same connection, or its service was changing"}},
	{directorOutcomeOUTCOME_DROP_RATE_LIMIT, Counter{Name: "rate_limit", Verdict: verdictDrop, Help: "ICMP answers beyond the limit"}},
	{directorOutcomeOUTCOME_DROP_FRAGMENT, Counter{Name: "fragment", Verdict: verdictDrop, Help: "a later fragment whose first was not seen, and that is not held"}},
	{directorOutcomeOUTCOME_DROP_NO_SOURCE, Counter{Name: "no_source", Verdict: verdictDrop, Help: "for a tunnel, and the director has no address on the way to the server"}},
	{directorOutcomeOUTCOME_DROP_TUNNEL_MTU, Counter{Name: "tunnel_mtu", Verdict: verdictDrop, Help: "too large for its tunnel, and its sender cannot be told"}},
	{directorOutcomeOUTCOME_DROP_TUNNEL_ERROR, Counter{Name: "tunnel_error", Verdict: verdictDrop, Help: "an ICMP error about a tunnel, of no connection that it quotes; its MTU was noted"}},
	{directorOutcomeOUTCOME_DROP_LOOPBACK, Counter{Name: "loopback", Verdict: verdictDrop, Help: "from outside, by NAT to a server on a loopback address: as with ip_vs, use -g"}},
	{directorOutcomeOUTCOME_DROP_HALF_OPEN, Counter{Name: "half_open", Verdict: verdictDrop, Help: "half-open connections have their share of the table, and it needs an entry (NAT)"}},
	{directorOutcomeOUTCOME_DROP_OVERLOAD, Counter{Name: "overload", Verdict: verdictDrop, Help: "one of so many new connections, by the tune drop_packet"}},
	{directorOutcomeOUTCOME_DROP_ACCESS, Counter{Name: "access", Verdict: verdictDrop, Help: "an access rule denies it: see drover acl list"}},
	{directorOutcomeOUTCOME_DROP_LIMIT, Counter{Name: "limit", Verdict: verdictDrop, Help: "its source begins more connections than drover acl limit allows"}},
	{directorOutcomeOUTCOME_DROP_LEASE, Counter{Name: "lease", Verdict: verdictDrop, Help: "a question for a VIP's MAC, and the director that has the VIP is dead or stands still"}},
	{directorOutcomeOUTCOME_DROP_INTERNAL, Counter{Name: "internal", Verdict: verdictDrop, Help: "a defect of Drover's: please report it"}},
}

// readCounters adds up the outcomes over the CPUs.
func readCounters(outcomes *ebpf.Map) ([]Counter, error) {
	all := make([]Counter, 0, len(counters))
	for _, described := range counters {
		c := described.Counter
		var each []uint64
		if err := outcomes.Lookup(uint32(described.outcome), &each); err != nil {
			return nil, fmt.Errorf("read the counters: %w", err)
		}
		for _, n := range each {
			c.Value += n
		}
		all = append(all, c)
	}
	return all, nil
}
