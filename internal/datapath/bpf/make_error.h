/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* ICMP errors that the director sends about a packet, from the VIP: RFC 792, RFC 4443. */
#pragma once

#include "checksum.h"
#include "protocol.h"
#include "stages.h"

#define ANSWERS_PER_SECOND 1000 /* on each CPU */
#define QUOTE4 (sizeof(struct iphdr) + 8)    /* RFC 792: the header and 64 bits */
#define QUOTE6 (sizeof(struct ipv6hdr) + 16)
#define QUOTE6_SHORT (sizeof(struct ipv6hdr) + 8) /* of a packet that is shorter than that */
#define ERROR_HOPS 64

struct rate {
	__u32 second;
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rate);
} answer_rate SEC(".maps");

static __always_inline bool within_rate(__u32 now)
{
	__u32 zero = 0;
	struct rate *r = bpf_map_lookup_elem(&answer_rate, &zero);

	if (!r)
		return false;
	if (r->second != now / 1000) {
		r->second = now / 1000;
		r->count = 0;
	}
	return r->count++ < ANSWERS_PER_SECOND;
}

static __always_inline void swap_macs(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
}

/* quote cuts the packet down to what an error quotes and makes room in front of it. */
static __always_inline bool quote(struct xdp_md *ctx, __u32 keep, __u32 room)
{
	int cut = ETH_HLEN + (int)keep - (int)bpf_xdp_get_buff_len(ctx);
	struct ethhdr eth;
	void *data = (void *)(long)ctx->data;

	if (data + sizeof(eth) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memcpy(&eth, data, sizeof(eth));
	if (bpf_xdp_adjust_tail(ctx, cut) || bpf_xdp_adjust_head(ctx, -(int)room))
		return false;
	data = (void *)(long)ctx->data;
	if (data + sizeof(eth) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memcpy(data, &eth, sizeof(eth));
	swap_macs(data);
	return true;
}

/* What an error says: its type and code. */
struct kind {
	__u8 type;
	__u8 code;
};

static __always_inline struct kind kind4(const struct scratch *s)
{
	switch (s->answer) {
	case ANSWER_RELAYED:
		return (struct kind){ s->type, s->code };
	case ANSWER_UNREACHABLE:
		return (struct kind){ ICMP_DEST_UNREACH, ICMP_PORT_UNREACH };
	case ANSWER_TIME_EXCEEDED:
		return (struct kind){ ICMP_TIME_EXCEEDED, 0 };
	default:
		return (struct kind){ ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED };
	}
}

static __always_inline struct kind kind6(const struct scratch *s)
{
	switch (s->answer) {
	case ANSWER_RELAYED:
		return (struct kind){ s->type, s->code };
	case ANSWER_UNREACHABLE:
		return (struct kind){ ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH };
	case ANSWER_TIME_EXCEEDED:
		return (struct kind){ ICMPV6_TIME_EXCEED, 0 };
	default:
		return (struct kind){ ICMPV6_PKT_TOOBIG, 0 };
	}
}

static __always_inline bool make_error4(struct xdp_md *ctx, const struct scratch *s)
{
	struct kind kind = kind4(s);
	struct iphdr *ip, *quoted;
	struct icmp_error *icmp;
	void *data;

	if (!quote(ctx, QUOTE4, sizeof(*ip) + sizeof(*icmp)))
		return false;
	data = (void *)(long)ctx->data;
	if (data + ETH_HLEN + sizeof(*ip) + sizeof(*icmp) + QUOTE4 > (void *)(long)ctx->data_end)
		return false;
	ip = data + ETH_HLEN;
	icmp = (void *)(ip + 1);
	quoted = (void *)(icmp + 1);
	__builtin_memset(ip, 0, sizeof(*ip) + sizeof(*icmp));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*icmp) + QUOTE4);
	ip->ttl = ERROR_HOPS;
	ip->protocol = IPPROTO_ICMP;
	ip->saddr = s->vip.word[3];
	ip->daddr = quoted->saddr;
	ip->check = fold(bpf_csum_diff(NULL, 0, (void *)ip, sizeof(*ip), 0));
	icmp->type = kind.type;
	icmp->code = kind.code;
	icmp->mtu4 = bpf_htons(s->mtu);
	icmp->check = fold(bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp) + QUOTE4, 0));
	return true;
}

static __always_inline bool quote6(struct xdp_md *ctx, const struct scratch *s, const __u32 keep)
{
	struct kind kind = kind6(s);
	const __u32 length = sizeof(struct icmp_error) + keep;
	__be32 pseudo[2] = { bpf_htonl(length), bpf_htonl(IPPROTO_ICMPV6) };
	struct ipv6hdr *ip, *quoted;
	struct icmp_error *icmp;
	void *data;
	__s64 sum;

	if (!quote(ctx, keep, sizeof(*ip) + sizeof(*icmp)))
		return false;
	data = (void *)(long)ctx->data;
	if (data + ETH_HLEN + sizeof(*ip) + length > (void *)(long)ctx->data_end)
		return false;
	ip = data + ETH_HLEN;
	icmp = (void *)(ip + 1);
	quoted = (void *)(icmp + 1);
	__builtin_memset(ip, 0, sizeof(*ip) + sizeof(*icmp));
	ip->version = 6;
	ip->payload_len = bpf_htons(length);
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = ERROR_HOPS;
	__builtin_memcpy(&ip->saddr, &s->vip, sizeof(s->vip));
	ip->daddr = quoted->saddr;
	icmp->type = kind.type;
	icmp->code = kind.code;
	icmp->mtu6 = bpf_htonl(s->mtu);
	sum = bpf_csum_diff(NULL, 0, (void *)&ip->saddr, 2 * sizeof(ip->saddr), 0);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	sum = bpf_csum_diff(NULL, 0, (void *)icmp, length, sum);
	icmp->check = fold(sum);
	return true;
}

/* make_error makes of the packet what scratch says. */
static __always_inline bool make_error(struct xdp_md *ctx, const struct scratch *s)
{
	if (s->packet.family == FAMILY_V4)
		return make_error4(ctx, s);
	if (s->packet.length < QUOTE6)
		return quote6(ctx, s, QUOTE6_SHORT);
	return quote6(ctx, s, QUOTE6);
}

static __always_inline enum outcome answered(enum answer what)
{
	switch (what) {
	case ANSWER_UNREACHABLE:
		return OUTCOME_ANSWER_UNREACHABLE;
	case ANSWER_TIME_EXCEEDED:
		return OUTCOME_ANSWER_TIME_EXCEEDED;
	default:
		return OUTCOME_ANSWER_TOO_BIG;
	}
}
