/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A packet as parsed, and what the stages hand to each other. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "types.h"

/* Neighbouring fields, read as one: a pair of ports, or protocol and family. */
typedef __u32 __attribute__((may_alias)) pair32;
typedef __u16 __attribute__((may_alias)) pair16;
#define PORTS(x, first) (*(const pair32 *)&(x)->first)
#define KIND(x) (*(const pair16 *)&(x)->protocol)

#define READ(x) (*(volatile typeof(x) *)&(x))
#define WRITE(x, v) (*(volatile typeof(x) *)&(x) = (v))

/* All ways to x meet here: what follows is compiled, and verified, once and not for each of them. */
#define MERGE(x) asm volatile("" : "+r"(x))

/* All ones if x < 0, else 0: without a branch, which the compiler would else make of it. */
#define IF_NEGATIVE(x)                          \
	({                                      \
		__s64 sign = (x);               \
		asm volatile("" : "+r"(sign)); \
		sign >>= 63;                    \
		asm volatile("" : "+r"(sign)); \
		sign;                           \
	})

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET 0x1fff

/* Rows of a TCP transition table. */
enum tcp_event { EVENT_SYN, EVENT_FIN, EVENT_ACK, EVENT_RST, EVENT_NONE };

#define PACKET_SYN 0x1            /* the SYN bit, whatever else is set */
#define PACKET_RST 0x2
#define PACKET_FIRST_FRAGMENT 0x4 /* more follow: its connection is remembered for them */
#define PACKET_FRAGMENT_HEADER 0x8 /* IPv6: a fragment header before TCP or UDP */
#define PACKET_REUSES 0x10        /* a SYN with the ends of a connection that is over, and still there */
#define PACKET_QUOTED 0x20        /* what an ICMP error quoted, turned round: schedule_icmp */
#define FRAGMENT_HEADER 8 /* bytes (RFC 8200, Section 4.5) */

/* Packets of one direction of one flow, and what forwarding needs to know of this one. */
struct packet {
	union addr source;
	union addr destination;
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 family;
	__u8 event; /* enum tcp_event */
	__u8 flags; /* PACKET_* */
	__u16 transport; /* offset of the TCP or UDP header in the frame */
	__u16 hops;      /* TTL or hop limit */
	__u32 length;    /* bytes of the IP packet, header included: what ip_vs counts */
	__u32 in;        /* interface that it came in by: of a fragment that was held, at first */
	__u32 pad;
	__u64 hash;
	__u64 mac;       /* the frame's destination, low 48 bits as on the wire */
};

enum answer {
	ANSWER_UNREACHABLE,
	ANSWER_TIME_EXCEEDED,
	ANSWER_TOO_BIG,
	ANSWER_RELAYED, /* an error that came about a tunnel's packet: of scratch's type and code */
};

struct scratch {
	struct packet packet;
	struct service service;
	struct service_key key; /* the service's */
	union addr vip; /* the source of an answer */
	__u64 state;    /* the state word that a new entry was filled with */
	__u32 mark; /* the packet's firewall mark; 0: none */
	__u32 slot; /* the server that the scheduler chose */
	struct controller controller; /* the template that a new connection is to belong to; index 0: none */
	__u32 answer;
	__u32 mtu;
	__u32 fragment; /* identification of the datagram that a fragment belongs to */
	struct neighbour_key ask; /* whose MAC is to be asked for */
	__u32 outcome; /* of a packet that goes into a tunnel */
	__u8 type;     /* of ANSWER_RELAYED */
	__u8 code;
};
