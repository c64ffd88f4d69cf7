/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Resetting a connection that is to be ended: its next packet, from whichever side, is answered with an RST
 * that its sender must believe, as its numbers are taken from that very packet (RFC 9293, Section 3.5.2). The
 * other side learns it from the sender, whose host answers with an RST itself. */
#pragma once

#include "make_error.h"
#include "parse.h"
#include "sum.h"

struct numbers {
	__be32 seq;
	__be32 ack;
	__u8 flags;
};

/* reset_numbers gives those of an answer to a segment with so many bytes of data. */
static __always_inline struct numbers reset_numbers(const struct tcphdr *tcp, __u32 data)
{
	__u8 flags = ((const __u8 *)tcp)[TCP_FLAGS_OFFSET];
	struct numbers n = { .seq = tcp->ack_seq, .flags = TCP_RST };

	if (flags & TCP_ACK)
		return n;
	n.seq = 0;
	n.ack = bpf_htonl(bpf_ntohl(tcp->seq) + data + !!(flags & TCP_SYN) + !!(flags & TCP_FIN));
	n.flags = TCP_RST | TCP_ACK;
	return n;
}

static __always_inline void fill_reset(struct tcphdr *tcp, const struct packet *p, struct numbers n)
{
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = p->dport;
	tcp->dest = p->sport;
	tcp->seq = n.seq;
	tcp->ack_seq = n.ack;
	((__u8 *)tcp)[TCP_FLAGS_OFFSET - 1] = sizeof(*tcp) / 4 << 4;
	((__u8 *)tcp)[TCP_FLAGS_OFFSET] = n.flags;
}

static __always_inline __sum16 tcp_sum(const struct tcphdr *tcp, const void *addresses, const __u32 size)
{
	__be32 pseudo[2] = { bpf_htonl(sizeof(*tcp)), bpf_htonl(IPPROTO_TCP) };
	__s64 sum = bpf_csum_diff(NULL, 0, (void *)addresses, size, 0);

	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	return fold(bpf_csum_diff(NULL, 0, (void *)tcp, sizeof(*tcp), sum));
}

/* cut_to leaves so many bytes of the frame, its MACs swapped. */
static __always_inline bool cut_to(struct xdp_md *ctx, __u32 length)
{
	void *data;

	if (bpf_xdp_adjust_tail(ctx, (int)length - (int)bpf_xdp_get_buff_len(ctx)))
		return false;
	data = (void *)(long)ctx->data;
	if (data + ETH_HLEN > (void *)(long)ctx->data_end)
		return false;
	swap_macs(data);
	return true;
}

static __always_inline bool make_reset4(struct xdp_md *ctx, const struct packet *p)
{
	struct numbers n;
	struct tcphdr *tcp;
	struct iphdr *ip;
	void *data = (void *)(long)ctx->data;

	ip = data + ETH_HLEN;
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return false;
	n = reset_numbers(tcp, p->length - sizeof(*ip) - tcp->doff * 4);
	if (!cut_to(ctx, ETH_HLEN + sizeof(*ip) + sizeof(*tcp)))
		return false;
	data = (void *)(long)ctx->data;
	ip = data + ETH_HLEN;
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*tcp));
	ip->frag_off = bpf_htons(IP_DONT_FRAGMENT);
	ip->ttl = ERROR_HOPS;
	ip->protocol = IPPROTO_TCP;
	ip->saddr = p->destination.word[3];
	ip->daddr = p->source.word[3];
	ip->check = fold(bpf_csum_diff(NULL, 0, (void *)ip, sizeof(*ip), 0));
	fill_reset(tcp, p, n);
	tcp->check = tcp_sum(tcp, &ip->saddr, 2 * sizeof(ip->saddr));
	return true;
}

static __always_inline bool make_reset6(struct xdp_md *ctx, const struct packet *p)
{
	struct numbers n;
	struct tcphdr *tcp;
	struct ipv6hdr *ip;
	void *data = (void *)(long)ctx->data;

	ip = data + ETH_HLEN;
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return false;
	n = reset_numbers(tcp, p->length - sizeof(*ip) - tcp->doff * 4);
	if (!cut_to(ctx, ETH_HLEN + sizeof(*ip) + sizeof(*tcp)))
		return false;
	data = (void *)(long)ctx->data;
	ip = data + ETH_HLEN;
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 6;
	ip->payload_len = bpf_htons(sizeof(*tcp));
	ip->nexthdr = IPPROTO_TCP;
	ip->hop_limit = ERROR_HOPS;
	__builtin_memcpy(&ip->saddr, &p->destination, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &p->source, sizeof(ip->daddr));
	fill_reset(tcp, p, n);
	tcp->check = tcp_sum(tcp, &ip->saddr, 2 * sizeof(ip->saddr));
	return true;
}

static __always_inline bool make_reset(struct xdp_md *ctx, const struct packet *p)
{
	return p->family == FAMILY_V4 ? make_reset4(ctx, p) : make_reset6(ctx, p);
}

/* reset answers the packet, and its connection is over as if its sender had reset it. */
static __always_inline int reset(struct xdp_md *ctx, const struct packet *p)
{
	struct conn *c;
	__u32 slot;

	c = find(p, &slot);
	if (c && (READ(c->state) & STATE_MASK) == TCP_SYN_RECV)
		expire(SLOT_INDEX(slot)); /* as ip_vs has it, a client's RST would leave it half-open */
	else if (c)
		move_state(SLOT_INDEX(slot), IPPROTO_TCP, EVENT_RST, !!(slot & SLOT_REVERSE));
	if (!make_reset(ctx, p))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return finish(OUTCOME_ANSWER_RESET, bpf_redirect(p->in, 0));
}
