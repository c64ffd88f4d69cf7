/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The values that programs and Go share through maps. bpf2go makes the Go types from these. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>


/* Both families in 16 bytes; IPv4 as ::ffff:a.b.c.d (RFC 4291, Section 2.5.5.2). */
union addr {
	__u8 byte[16];
	__be32 word[4];
	__u64 half[2];
};

#define FAMILY_V4 4
#define FAMILY_V6 6
#define FAMILY_TEMPLATE 0x80 /* with one of them: of a persistence template, which no packet's tuple is like */
#define IS_V6(family) ((family) & 2)

/* Of a firewall mark's service: no protocol, no port, and the mark in the place of the address, as ip_vs has it:
 * in the first four bytes of an IPv6 address, in the last four of an IPv4 one. */
struct service_key {
	union addr addr;
	__be16 port;
	__u8 protocol;
	__u8 family;
	__u32 epoch; /* only those of control.epoch are in force */
};

struct stats {
	__u64 conns;
	__u64 in_packets;
	__u64 out_packets;
	__u64 in_bytes;
	__u64 out_bytes;
};

enum scheduler {
	SCHED_RR,
	SCHED_WRR,
	SCHED_LC,
	SCHED_WLC,
	SCHED_SED,
	SCHED_NQ,
	SCHED_SH,
	SCHED_DH,
	SCHED_MH,
	SCHED_FO,
	SCHED_OVF,
	SCHED_LBLC,
	SCHED_LBLCR,
	SCHED_TWOS,
};

/* Values of IP_VS_SVC_F_* in linux/ip_vs.h. */
#define SERVICE_PERSISTENT 0x1
#define SERVICE_ONE_PACKET 0x4
#define SERVICE_HASH_FALLBACK 0x8 /* sh-fallback, mh-fallback */
#define SERVICE_HASH_PORT 0x10    /* sh-port, mh-port */

struct service {
	__u32 id;    /* row of dirty_groups; 0 is nobody's */
	__u32 block; /* first chunk of the list of servers in blocks */
	__u32 flags; /* SERVICE_* */
	__u8 scheduler;
	__u8 pad[3];
	__u32 created; /* order of creation, for listings */
	__u32 persistence; /* seconds of -p */
	/* Its counters are those of its servers, and this: what it keeps of deleted servers, less what
	 * servers had counted before they came or before -Z. Here, so that one write changes both. */
	struct stats carried;
	union addr mask; /* clients that differ in other bits only are one to persistence */
	__u32 timeouts;  /* row of timeout_sets; 0: those of control */
	__u32 pad2[7];
};

/* A block is one version of a service's list of servers: a head, the servers in list order (the
 * newest first), and what the scheduler looks things up in. It is made aside and swapped in whole by
 * one update of the service; only cursor, slack and minima are written by the programs. */
#define CHUNK_WORDS 8
struct chunk {
	__u64 word[CHUNK_WORDS];
};

struct block_head {
	__u64 cursor; /* rr, wrr: current weight << 32 | 1 + index of the last pick;
		       * lblc, lblcr: by which what is remembered is this service's, not written */
	__u32 servers;
	__u32 chunks;     /* of the whole block, head included */
	__u32 step;       /* wrr: greatest common divisor of the weights; rr: 1 */
	__u32 max_weight; /* wrr: the largest weight - (step - 1); others: 1; 0: all weights are 0 */
	__u32 table;      /* first chunk behind the list, counted from the head: sh, dh, mh: buckets;
			   * twos: sums of weights; others: a minimum for each group of servers */
	/* lc, wlc, sed, nq, fo, ovf, lblc, lblcr: what a server's connections cost */
	__u32 active_cost;
	__u32 inactive_cost;
	__u32 base_cost;
	__u32 rule; /* RULE_* */
	__u32 none_cost;  /* 1: what no server costs */
	__u64 none; /* 0: the element that is no server */
	__u64 slack; /* lblc, lblcr: bits of the groups with a server that has less than half of its
		      * weight in active connections */
};

#define RULE_IDLE_FIRST 0x1 /* nq: a server without active connections costs nothing */
#define RULE_OVERFLOW 0x2   /* ovf: one with more of them than its weight takes none */
#define RULE_SLACK 0x4      /* lblc, lblcr: slack is kept */
#define RULE_LIMITS 0x8     /* any: there are servers with thresholds */

/* An element of a list or bucket: weight << 32 | destination slot. For rr and lc, which do not look
 * at weights, any weight but 0 is written as 1. */
#define ELEMENT_SLOT(e) ((__u32)(e))
#define ELEMENT_WEIGHT(e) ((__u32)((e) >> 32))

#define MAX_SERVERS 1024 /* of one service */

/* The schedulers that compare costs keep the best server of each group of the list. A change of a
 * server's connections makes its group dirty (see dirty_groups); the scheduler looks anew at the
 * dirty ones alone. */
#define GROUP_SERVERS 16
#define GROUPS (MAX_SERVERS / GROUP_SERVERS) /* as many as a word has bits */
struct minimum {
	__u64 cost;
	__u64 element; /* as in the list */
};
#define CHUNK_MINIMA 4
struct minima {
	struct minimum of[CHUNK_MINIMA];
};
#define HASH_BUCKETS 256 /* of sh and dh */

/* mh: each bucket has 16 bits, the index of a server in the list. */
#define MAGLEV_BUCKETS 4093
#define MAGLEV_WORD 4 /* buckets in a word */
#define MAGLEV_NONE 0xffff

#define DEST_USED 0x1      /* the slot is taken, by a server or by the trash */
#define DEST_AVAILABLE 0x2 /* a server of a service; not set in the trash */
#define DEST_LOCAL 0x4     /* its address is one of this host's own */
#define DEST_TIMEOUTS 0x8  /* its service has timeouts of its own */
#define DEST_LOOPBACK 0x20 /* with DEST_LOCAL: the address is one of the loopback's */
#define DEST_DRAIN 0x10    /* a client whose last connection has ended is not kept by persistence */

/* Values of IP_VS_CONN_F_FWD_MASK in linux/ip_vs.h. */
#define FORWARD_MASQ 0
#define FORWARD_TUNNEL 2
#define FORWARD_ROUTE 3
#define FORWARD_STATELESS 4 /* ours: ROUTE without an entry */

/* Values of IP_VS_CONN_F_TUNNEL_TYPE_* and IP_VS_TUNNEL_ENCAP_FLAG_* in linux/ip_vs.h. */
#define TUNNEL_IPIP 0
#define TUNNEL_GUE 1
#define TUNNEL_GRE 2
#define TUNNEL_FLAG_CHECKSUM 1
#define TUNNEL_FLAG_REMOTE_CHECKSUM 2
#define TUNNEL_TYPE(word) ((word) & 0xff)
#define TUNNEL_FLAGS(word) ((word) >> 8 & 0xff)
#define TUNNEL_PORT(word) ((word) >> 16)

/* Where to send a frame: destination MAC in the low 48 bits as they lie on the wire, row of devices
 * in the high 16. One aligned word, so that no reader sees half of it. 0: not known. */
#define HOP_DEVICE(word) ((__u32)((word) >> 48))
#define MAC_BITS 0xffffffffffffull
#define HOP_MAC MAC_BITS
#define HOP_GUESS (1ull << 63) /* of a client's hop: not looked up yet */
#define MAX_DEVICES 64

struct hop {
	__u64 word;
	__u32 refresh; /* clock, ms, when the route is asked for again */
	__u16 mtu;     /* IP bytes; 0: not known */
	__u16 via;     /* whose MAC it is: the next hop's address, folded; 0: not known */
};

/* What a server becomes when its service is written with a new list, and not before: so a change of many
 * servers takes effect with one write. Go alone; the programs see it when it was copied to its place. */
struct dest_next {
	__u32 block; /* of the service; 0: nothing is to come */
	__u32 service;
	__u32 weight;
	__u32 last_weight;
	__u32 upper;
	__u32 lower;
	__u32 tunnel;
	__u8 forwarding;
	__u8 zero;  /* 1: its counters begin anew */
	__u8 flags; /* DEST_*, but the first two */
	__u8 pad;
};

/* A real server of one service, or one that was deleted and still has connections: the trash, where
 * it is found again when it is added again. Go writes all of it but the hop and the path, field by field
 * in the mapped memory. What every packet needs is in the first cache line. */
struct dest {
	union addr addr;
	struct hop hop; /* programs */
	__be16 port;
	__u8 forwarding;
	__u8 flags;
	__u8 family;
	__u8 protocol;
	__be16 vport;
	union addr vaddr; /* with vport and protocol: the service that it belongs to */
	__u32 service;    /* its number; 0 when the service is gone */
	__u32 weight;

	__u32 removed; /* seconds of the monotonic clock when it went to the trash */
	__u32 upper;
	__u32 lower;
	__u32 group;  /* of the service's list */
	__u32 last_weight; /* that was not 0, since it was added: what mh's buckets go by */
	struct dest_next next;
	__u32 pad[3];

	/* What a tunnel needs, in a cache line of its own. */
	union addr source; /* of the outer header: the director's address towards the server; 0: not known */
	__u32 tunnel;      /* TUNNEL_* | TUNNEL_FLAG_* << 8 | GUE's port << 16; written in one piece */
	__u32 path_mtu;    /* programs: what ICMP told of the way to the server, IP bytes; 0: nothing */
	__u32 path_looked; /* programs: clock, ms, when path_mtu was looked up; 0: never */
	__u8 rip_family;   /* of addr; another than family's only behind a tunnel */
	__u8 pad2[3];
	__u32 timeouts;    /* row of timeout_sets, with DEST_TIMEOUTS */
	__u32 pad3[7];
};

/* ActiveConn and InActConn in one word, so that a change of state moves both at once. */
#define CONNS_ACTIVE 1ull
#define CONNS_INACTIVE (1ull << 32)
#define CONNS_OVERLOAD (1ull << 63) /* its upper threshold was reached, and the lower not yet fallen below */
#define ACTIVE_CONNS(word) ((__u32)(word))
#define INACTIVE_CONNS(word) ((__u32)((word) >> 32) & 0x7fffffff)
struct dest_conns {
	__u64 word; /* CONNS_OVERLOAD | inactive << 32 | active */
};

#define DEVICE_TX 0x1      /* XDP_TX reaches the wire (not so on veth) */
#define DEVICE_GENERIC 0x2 /* GRO may have joined frames: their size says nothing of the wire's */

struct device {
	__u32 ifindex; /* 0: a free row */
	__u32 flags;
	__u64 mac;         /* low 48 bits, as on the wire */
	__be32 addr4;      /* sender of ARP requests; 0: an ARP probe (RFC 5227) */
	__u32 mtu;         /* IP bytes; 0: not known */
	union addr addr6;  /* link-local sender of neighbour solicitations; 0: none */
};

/* Next hops that the kernel has no entry for, and that were asked for by XDP itself. */
struct neighbour_key {
	union addr addr;
	__u32 device; /* row of devices */
};

struct neighbour {
	__u64 mac;     /* low 48 bits; 0: never answered */
	__u32 learned; /* clock, ms */
	__u32 asked;   /* clock, ms */
};

/* What lblc and lblcr remember is found by the service's cursor (see block_head) and a destination
 * address: a new service, or another scheduler, has a new cursor, and so remembers nothing. */
struct locality_key {
	__u64 cursor;
	union addr destination;
};

/* A remembered server: its slot in the low bits, and above them some of a hash of its address, as the
 * slot may have been given to another meanwhile. 0: none. */
#define NAME_SLOT_BITS 20
#define NAME_SLOT(name) ((name) & ((1u << NAME_SLOT_BITS) - 1))

struct locality {
	__u32 server;
	__u32 used; /* clock, ms */
};

/* A ring: who joined last is at joined - 1. */
struct replicas {
	__u32 used;    /* clock, ms */
	__u32 changed; /* clock, ms */
	__u32 size;    /* servers in it, deleted ones too */
	__u32 joined;  /* how many ever */
	__u32 server[MAX_SERVERS];
};

/* What ICMP errors told of the way to a server that packets are tunnelled to; by its address. */
struct path {
	union addr source; /* of the outer headers */
	__u32 mtu;   /* IP bytes; 0: nothing was told */
	__u32 noted; /* clock, ms */
};

/* A server's rates per second, << RATE_SHIFT. */
#define RATE_SHIFT 10
struct rates {
	struct stats average;
	struct stats last; /* what was counted at stamp */
	__u32 stamp;       /* clock, ms; 0: never */
	__u32 pad;
};

/* One connection in one cache line.
 *
 * While an entry is NEW or LIVE, its state word is changed by compare-and-swap alone, and only who wins
 * moves the counters of the destination. Its life:
 *
 *   FREE --alloc--> NEW --confirm--> LIVE --expire--> DEAD --sweep--> RESTING --sweep--> FREE
 *                    \--a rival was first--------------^
 *
 * An entry rests for RESTING_TIME before it is used again, so that a program that has just read its
 * index does not meet a different connection there, even if its CPU was taken away meanwhile. */
struct conn {
	union addr client;
	union addr vaddr;
	__be16 cport;
	__be16 vport;
	__u8 protocol;
	__u8 family;
	__u16 hop_age; /* clock >> 6 when hop was asked for */
	__u64 state;   /* see STATE_* */
	__u32 seen;    /* clock, ms, of the last packet; of a RESTING entry, since when */
	__u32 dest;    /* slot; in a FREE entry the next free one */
	__u64 hop;     /* to the client, for NAT's replies; a word as in struct hop. Of a template: how many
			* connections belong to it, and in the high 32 bits how many of them are active */
};
#define CONTROLLED_ONE 1ull
#define CONTROLLED_ACTIVE (1ull << 32)
#define CONTROLLED(word) ((__u32)(word))

/* Who a connection belongs to: index of its template, and the template's generation at that time. */
struct controller {
	__u32 index;
	__u32 generation;
};

/* Numbers as in IP_VS_TCP_S_* (linux/ip_vs.h); the sync protocol carries them. */
enum tcp_state {
	TCP_NONE,
	TCP_ESTABLISHED,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_SYNACK,
};

/* State word: state (4 bits), flags (12), timeout in seconds (24), generation (24). Of a template the state
 * is but whether one of its connections was established. */
#define STATE_MASK 0xfull
#define STATE_ASSURED 1ull
#define STATE_FLAG_OWN_PORT (1ull << 4)   /* the server's port is the one that the client named */
#define STATE_FLAG_CONTROLLED (1ull << 5) /* it belongs to a template: see controllers */
#define STATE_FLAG_LOCAL (1ull << 6)      /* the client is this host */
#define STATE_FLAG_RESET (1ull << 7)      /* to be ended: its next packet is answered with RST */
#define STATE_FLAG_INACTIVE (1ull << 8)
#define STATE_FLAG_NOOUTPUT (1ull << 9) /* replies are not seen: DR, TUN */
#define STATE_FORWARD_SHIFT 10 /* FORWARD_*: the server's when the connection began */
#define STATE_FORWARD(word) (((word) >> STATE_FORWARD_SHIFT) & 3)
#define STATE_LIFE_SHIFT 12
#define STATE_LIFE(word) (((word) >> STATE_LIFE_SHIFT) & 7)
#define STATE_TIMEOUT_SHIFT 16
#define STATE_TIMEOUT(word) (((word) >> STATE_TIMEOUT_SHIFT) & 0xffffff)
#define STATE_GENERATION_SHIFT 40
#define STATE_GENERATION (1ull << STATE_GENERATION_SHIFT)

enum life {
	LIFE_FREE,
	LIFE_NEW,
	LIFE_LIVE,
	LIFE_DEAD,
	LIFE_RESTING,
};

/* A bucket: one cache line of slots. A slot is one word: signature << 32 | reverse << 31 | index. */
#define BUCKET_SLOTS 8
#define SLOT_REVERSE 0x80000000u
#define SLOT_INDEX(word) ((__u32)(word) & 0x7fffffffu)
struct bucket {
	__u64 slot[BUCKET_SLOTS];
};

/* Entries that are free. */
struct pool {
	__u64 head;  /* tag << 32 | index of the first free entry; the tag counts pops (ABA) */
	__u32 fresh; /* entries from here on were never used */
	__u32 half_open; /* connections of a SYN and nothing more; after an upgrade it may be some below 0 */
	__u64 live;  /* entries that are not FREE */
};

/* A rule that marks packets: mark = (mark & ~mask) ^ value. Addresses are masked already. */
#define MAX_MARK_RULES 256
#define INTERFACE_NAME 16 /* IFNAMSIZ of linux/if.h */
struct mark_rule {
	union addr source;
	union addr source_mask;
	union addr destination;
	union addr destination_mask;
	__u16 sports[2]; /* first and last, host byte order */
	__u16 dports[2];
	__u32 ifindex;  /* 0: any */
	__u8 protocol;  /* 0: any */
	__u8 family;    /* 0: any */
	__u16 pad;
	__u32 value;
	__u32 mask;
	__u64 hits;     /* programs */
	__u8 interface[INTERFACE_NAME]; /* for listings */
	__u64 pad2;
};

/* What became of a packet, for the flight recorder and for who watches; see end.h. */
#define NOTES 8192
#define NOTE_REPLY 0x10000 /* in state: a server's packet */
struct note {
	union addr source;
	union addr destination;
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 family;
	__u8 outcome; /* OUTCOMES: as it came */
	__u8 event;   /* enum tcp_event */
	__u32 at;     /* clock, ms */
	__u32 ifindex;
	__u32 mark;
	__u32 server; /* slot; 0: no connection */
	__u32 state;  /* of the connection: the low 16 bits of its state word */
	__u32 pad;
};

struct recorder {
	__u64 written; /* notes ever */
	__u64 skipped; /* beyond the rate */
	__u32 held;    /* fragments ever held: the next is in place held % HELD_SLOTS */
	__u32 pad;
};

#define EVENT_FRAME 2048 /* a power of two */
struct event {
	struct note note;
	__u64 at;     /* ns of the monotonic clock: note's own is a coarse one */
	__u32 length; /* of the frame */
	__u32 kept;   /* bytes of frame */
	__u8 frame[EVENT_FRAME];
};

/* What to watch for. */
struct watch {
	union addr addr; /* masked; of source or destination */
	union addr mask;
	__u64 outcomes;  /* a bit for each */
	__u64 hidden;    /* programs: events beyond the rate, or without room */
	__u32 ifindex;   /* 0: any */
	__u32 snap;      /* bytes of frames to keep; 0: none */
	__be16 port;     /* of source or destination; 0: any */
	__u8 protocol;   /* 0: any */
	__u8 pad[5];
};

/* Access rules; see access.h. */
#define MAX_ACCESS_RULES 131072 /* less one: 0 is no rule */
#define MAX_ACCESS_REASONS 4096
#define ACCESS_KEYS 8
#define ACCESS_LAYERS 7       /* 8 to this power is more than the beginnings that there can be */
#define ACCESS_CANDIDATES 64  /* rules that are looked at for one packet */
#define ACCESS_TREE 0x80000000u
struct access_node {
	__u64 key[ACCESS_KEYS]; /* ascending; what is not used: all ones */
};

struct access_tree {
	__u32 first[ACCESS_LAYERS]; /* node of each layer */
	__u32 layers;
	__u32 leaves; /* first node of what the beginnings lead to */
	__u32 pad[7];
};

#define ACCESS_DENY 0x1
#define ACCESS_VIP 0x2 /* for one VIP */
struct access_rule {
	union addr prefix;
	union addr vip;
	__u64 hits;     /* programs */
	__u32 next;     /* the next that covers the same sources; 0: none */
	__u32 expires;  /* seconds of CLOCK_MONOTONIC; 0: never */
	__u32 ifindex;  /* 0: any */
	__u16 reason;   /* row of access_reasons */
	__be16 port;
	__u8 protocol;  /* 0: any, and any port */
	__u8 family;
	__u8 bits;
	__u8 flags;     /* ACCESS_* */
};

struct access_reason {
	__u8 text[64];
};

/* What is in use anywhere, so that who does not use it does not pay for it. */
#define USES_MARKS 0x1    /* mark_rules has rules */
#define USES_ACCESS 0x2   /* there are access rules */
#define USES_STANDBY 0x4  /* standby has VIPs */
#define USES_FTP 0x8      /* there is a service on port 21 */
#define USES_ANY_PORT 0x10 /* there is a service on port 0 */
#define USES_LOCAL 0x20   /* there is a server on this host, by NAT */
#define USES_LEASES 0x80      /* there is a VIP of a virtual router */
#define USES_HOST_MARKS 0x40 /* there is a firewall mark's service: marks of packets made here count */

#define WATCH_TRACE 0x1
#define WATCH_CAPTURE 0x2

/* The settings of drover tune, by ip_vs's names where it has them (Documentation/networking/ipvs-sysctl.rst). */
enum tune {
	TUNE_AM_DROPRATE,
	TUNE_AMEMTHRESH,
	TUNE_CONN_REUSE_MODE,
	TUNE_DROP_ENTRY,
	TUNE_DROP_PACKET,
	TUNE_EXPIRE_NODEST_CONN,
	TUNE_EXPIRE_QUIESCENT_TEMPLATE,
	TUNE_IGNORE_TUNNELED,
	TUNE_LBLC_EXPIRATION,
	TUNE_LBLCR_EXPIRATION,
	TUNE_NAT_ICMP_SEND,
	TUNE_PMTU_DISC,
	TUNE_RUN_ESTIMATION,
	TUNE_SCHEDULE_ICMP,
	TUNE_SECURE_TCP,
	TUNE_SLOPPY_TCP,
	TUNE_HALF_OPEN_MAX, /* ours: percent of the connection table */
	TUNES,
};
#define TUNE_ROWS 48

/* The clock, written by the timer, and the timeouts, written by Go in the mapped memory: what every
 * packet needs, under one key. */
#define TCP_STATES 16 /* a power of two; ip_vs has 11 */
struct control {
	__u32 now;             /* ms of CLOCK_MONOTONIC, 32 bits of them */
	__u32 last_dest;       /* the highest slot in use */
	__u32 uses;            /* Go: USES_* */
	__u32 watch;           /* Go: WATCH_* */
	__u32 udp;             /* seconds */
	__u32 overflow;        /* programs: clock, ms, when the table was last full; 0: never */
	__u32 tcp[TCP_STATES]; /* seconds, by state */
	__u32 next_chunk;      /* Go: where the search for free chunks goes on, command after command */
	__u32 epoch;           /* Go: of the services in force; one store of it is a whole transaction */
	__u32 marks;           /* Go: the list in force: its half << 31 | number of rules */
	__u32 inner;           /* Go: index of the veth device that has drover_xdp for packets from here; 0: none */
	__u32 outer;           /* Go: index of its peer */
	__u32 access;          /* Go: rules << 1 | the half in force */
	__u32 second;          /* the timer: seconds of CLOCK_MONOTONIC */
	__u32 limit_rate;      /* Go: connections a source may begin in a second; 0: any */
	__u32 limit_burst;     /* Go: and at once */
	__u32 watch_until;     /* Go: clock, ms: who watches renews it */
	__u32 tune[TUNE_ROWS]; /* Go: by enum tune; the timer moves modes between 1 and 2 */
	__u32 tunes;           /* Go: so many of them are set; a later version may know more */
	__u32 defence;         /* the timer: DEFENCE_* */
	__u32 drop_rate;       /* the timer: each so many-th new connection is dropped; 0: none */
	__u32 drop_count;      /* programs: new connections since there is a rate */
	__u32 pad[4];
};

#define DEFENCE_ENTRIES 0x1 /* half-open connections are ended by and by */
#define DEFENCE_STATES 0x2  /* secure_tcp's table of states is in force */

/* A service's own timeouts, seconds; 0: control's. */
struct timeouts {
	__u32 udp;
	__u32 tcp[TCP_STATES]; /* by state */
	__u32 pad[3];
};

/* Of the sweep; the timer alone. */
struct sweep {
	__u32 cursor;  /* next entry */
	__u32 longest; /* ns, the longest callback */
	__u32 rate_cursor; /* next server to estimate rates of */
	__u32 judged;      /* clock, ms, when the defences were last judged */
	__u64 passes;
	__u64 ticks;
};
