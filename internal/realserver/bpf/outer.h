/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The outer IP header, and what a tunnel is known by. */
#pragma once

#include <stdbool.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "maps.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET 0x1fff
#define ECN_MASK 3

/* A tunnel's packet as far as it is parsed. Offsets are in the frame; lengths are in bytes. */
struct tunnel {
	union addr source;
	union addr destination;
	__u64 pseudo; /* sum of the addresses and the length, for UDP's checksum */
	__u32 header; /* offset of what follows the outer IP header */
	__u32 end;    /* offset of the outer packet's end */
	__u32 inner;  /* offset of the inner IP header */
	__u32 check_end; /* what the checksum of UDP or GRE covers ends here; 0: none to check */
	__u16 start, field; /* remote checksum: offsets in the inner packet; field 0: none */
	__u8 protocol; /* what follows the outer IP header */
	__u8 inner_protocol; /* IPPROTO_IPIP or IPPROTO_IPV6 */
	__u8 tos;      /* the outer one */
	__u8 outcome;  /* enum outcome, if it is decapsulated */
};

/* Headers begin at most at this offset: Ethernet, IPv6, UDP, GUE with remote checksum. */
#define HEADER_MOST (ETH_HLEN + 40 + 8 + 12)

/* header_at gives a pointer to size bytes that can be read and written, or NULL. */
static __always_inline void *header_at(struct xdp_md *ctx, __u32 offset, __u32 size)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	asm volatile("" : "+r"(offset)); /* the register that is bounded is the one that is added */
	if (offset > HEADER_MOST)
		return NULL;
	data += offset;
	return data + size > end ? NULL : data;
}

static __always_inline bool is_tunnel(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 || protocol == IPPROTO_UDP ||
	       protocol == IPPROTO_GRE;
}

/* Each step returns an outcome, or OUTCOMES to go on. */
static __always_inline enum outcome outer_v4(struct xdp_md *ctx, struct tunnel *t)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end || ip->version != 4)
		return OUTCOME_PASS_MALFORMED;
	if (!is_tunnel(ip->protocol) || ip->ihl != 5)
		return OUTCOME_PASS_OTHER;
	v4_addr(&t->source, ip->saddr);
	v4_addr(&t->destination, ip->daddr);
	t->pseudo = bpf_csum_diff(NULL, 0, &ip->saddr, 8, 0);
	t->protocol = ip->protocol;
	t->tos = ip->tos;
	t->header = ETH_HLEN + sizeof(*ip);
	t->end = ETH_HLEN + bpf_ntohs(ip->tot_len);
	if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET))
		return OUTCOME_PASS_FRAGMENT;
	return OUTCOMES;
}

static __always_inline enum outcome outer_v6(struct xdp_md *ctx, struct tunnel *t)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return OUTCOME_PASS_MALFORMED;
	if (!is_tunnel(ip->nexthdr) && ip->nexthdr != IPPROTO_FRAGMENT)
		return OUTCOME_PASS_OTHER;
	__builtin_memcpy(&t->source, &ip->saddr, sizeof(t->source));
	__builtin_memcpy(&t->destination, &ip->daddr, sizeof(t->destination));
	t->pseudo = bpf_csum_diff(NULL, 0, (__be32 *)&ip->saddr, 32, 0);
	t->protocol = ip->nexthdr;
	t->tos = bpf_ntohl(*(__be32 *)ip) >> 20;
	t->header = ETH_HLEN + sizeof(*ip);
	t->end = t->header + bpf_ntohs(ip->payload_len);
	if (ip->nexthdr == IPPROTO_FRAGMENT)
		return OUTCOME_PASS_FRAGMENT;
	return OUTCOMES;
}

static __always_inline enum outcome parse_outer(struct xdp_md *ctx, struct tunnel *t)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	enum outcome o = OUTCOME_PASS_OTHER;

	if ((void *)(eth + 1) > end)
		return OUTCOME_PASS_OTHER;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		o = outer_v4(ctx, t);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		o = outer_v6(ctx, t);
	if (o == OUTCOMES && (t->end < t->header || t->end > bpf_xdp_get_buff_len(ctx)))
		return OUTCOME_PASS_MALFORMED;
	return o;
}
