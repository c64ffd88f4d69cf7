/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What became of a packet. Each packet ends in exactly one of these, and is counted there. */
#pragma once

enum outcome {
	OUTCOME_PASS_OTHER,     /* not IPv4 or IPv6: ARP, VLAN-tagged, ... */
	OUTCOME_PASS_PROTOCOL,  /* not TCP, UDP or an ICMP error; or IP options, extension headers */
	OUTCOME_PASS_MALFORMED, /* lengths that do not fit: left to the host to refuse */
	OUTCOME_PASS_NOT_OURS,  /* no service and no connection */
	OUTCOME_PASS_NO_CONN,   /* TCP to a service, without SYN and without a connection */
	OUTCOME_PASS_OTHERHOST, /* ours by its addresses, but the frame is for another machine's MAC */
	OUTCOME_PASS_LOCAL_SERVER, /* to a server on this host */
	OUTCOME_PASS_STANDBY,   /* for a VIP that another director has */
	OUTCOME_FORWARD_ROUTE,
	OUTCOME_FORWARD_MASQ_IN,
	OUTCOME_FORWARD_MASQ_OUT,
	OUTCOME_FORWARD_ICMP,
	OUTCOME_FORWARD_FRAGMENT,
	OUTCOME_FORWARD_STATELESS, /* the table is full: by hash, without an entry */
	OUTCOME_FORWARD_TUNNEL,
	OUTCOME_FORWARD_LOCAL_CLIENT, /* a server's reply to a client on this host */
	OUTCOME_HOLD_FRAGMENT, /* it waits for its datagram's first */
	OUTCOME_HOLD_REPLAY,   /* of a datagram that is waited for: on to TC, and from there to the pair */
	OUTCOME_ANSWER_UNREACHABLE,
	OUTCOME_ANSWER_TIME_EXCEEDED,
	OUTCOME_ANSWER_TOO_BIG,
	OUTCOME_ANSWER_RESET, /* TCP, of a connection that was to be ended */
	OUTCOME_ANSWER_ASK_NEIGHBOUR, /* the packet became an ARP request or neighbour solicitation */
	OUTCOME_DROP_SERVER_GONE,     /* its server was deleted */
	OUTCOME_DROP_NO_ROUTE,
	OUTCOME_DROP_NO_NEIGHBOUR, /* asked for, no answer yet */
	OUTCOME_DROP_TABLE_FULL,
	OUTCOME_DROP_BUCKET_FULL,
	OUTCOME_DROP_CONTENDED, /* two CPUs raced for the same new connection; the client asks again */
	OUTCOME_DROP_RATE_LIMIT, /* an ICMP answer over the limit */
	OUTCOME_DROP_FRAGMENT,  /* a later fragment whose first was not seen, and that is not held */
	OUTCOME_DROP_NO_SOURCE,    /* tunnel: the director has no address towards the server */
	OUTCOME_DROP_TUNNEL_MTU,   /* tunnel: it does not fit, and its sender cannot be told */
	OUTCOME_DROP_TUNNEL_ERROR, /* about a tunnel's packet, but quotes too little to find its connection */
	OUTCOME_DROP_LOOPBACK, /* NAT: its server is on a loopback address, and it came from outside */
	OUTCOME_DROP_HALF_OPEN, /* half-open connections have their share, and it needs an entry (NAT) */
	OUTCOME_DROP_OVERLOAD,  /* drop_packet: one of so many new connections */
	OUTCOME_DROP_ACCESS,   /* an access rule denies it */
	OUTCOME_DROP_LIMIT,    /* its source begins too many connections */
	OUTCOME_DROP_LEASE,    /* a question for a VIP's MAC, and the daemon that has the VIP is dead */
	OUTCOME_DROP_INTERNAL,  /* a map or stage is missing: a defect of ours */
	OUTCOMES,
};
