/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What became of a packet, and every map with who writes it. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "checksum.h" /* and union addr */

enum outcome {
	OUTCOME_DECAP_IPIP,
	OUTCOME_DECAP_GUE,
	OUTCOME_DECAP_GRE,
	OUTCOME_PASS_OTHER,     /* no tunnel's packet */
	OUTCOME_PASS_NOT_OURS,  /* a tunnel's packet for another address than this server's */
	OUTCOME_PASS_NOT_VIP,   /* what is in the tunnel is for no VIP of this server */
	OUTCOME_PASS_FRAGMENT,  /* of an outer packet: the host puts it together */
	OUTCOME_PASS_OPTIONS,   /* of GUE or GRE, that ip_vs does not send */
	OUTCOME_PASS_MALFORMED, /* lengths that do not fit: left to the host to refuse */
	OUTCOME_DROP_SOURCE,    /* the outer source is no director of the list */
	OUTCOME_DROP_CHECKSUM,  /* of UDP or GRE */
	OUTCOME_DROP_ECN,       /* congestion was met, and the inner packet can't tell (RFC 6040) */
	OUTCOME_DROP_INTERNAL,  /* a map is missing: a defect of ours */
	OUTCOMES,
};

/* Segment sizes that a SYN of a VIP may name at most, in bytes; 0: not lowered. */
struct limits {
	__u32 mss4;
	__u32 mss6;
	__u32 check_sources; /* only what is in sources may tunnel to this server */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct limits);
} settings SEC(".maps"); /* Go */

#define ADDRESSES(name)                                                                            \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__uint(max_entries, 65536);                                                        \
		__type(key, union addr);                                                           \
		__type(value, __u8);                                                               \
	} name SEC(".maps")

ADDRESSES(vips);    /* Go */
ADDRESSES(own);     /* Go: the server's own addresses, to which tunnels lead */
ADDRESSES(sources); /* Go: the directors */

/* The UDP ports of GUE, in host byte order. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u16);
	__type(value, __u8);
} gue_ports SEC(".maps"); /* Go */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps"); /* programs */

/* SYNs whose segment size was lowered. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} clamped SEC(".maps"); /* programs */

/* A piece of a packet that is being summed up, and room for its padding. */
#define PIECE 512
struct piece {
	__u8 byte[PIECE + 4];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct piece);
} pieces SEC(".maps"); /* programs */

static __always_inline void v4_addr(union addr *a, __be32 v4)
{
	a->half[0] = 0;
	a->half[1] = bpf_htonl(0xffff) | (__u64)v4 << 32;
}
