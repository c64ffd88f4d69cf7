// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/* A real server's side: packets for a VIP come out of their tunnel, and the host takes them. */
#include "clamp.h"
#include "inner.h"
#include "tunnels.h"

const enum outcome *unused_outcome __attribute__((unused)); /* bpf2go takes it from here */

static __always_inline void count(enum outcome o)
{
	__u32 row = o;
	__u64 *n = bpf_map_lookup_elem(&outcomes, &row);

	if (n)
		++*n;
}

/* allowed: from one whose tunnels this server takes. */
static __always_inline enum outcome allowed(struct tunnel *t)
{
	struct limits *set;
	__u32 zero = 0;

	set = bpf_map_lookup_elem(&settings, &zero);
	if (!set)
		return OUTCOME_DROP_INTERNAL;
	if (set->check_sources && !bpf_map_lookup_elem(&sources, &t->source))
		return OUTCOME_DROP_SOURCE;
	return OUTCOMES;
}

/* strip takes the outer headers away and puts the Ethernet header in front of the inner packet. */
static __always_inline enum outcome strip(struct xdp_md *ctx, struct tunnel *t)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr eth;

	if (data + sizeof(eth) > end)
		return OUTCOME_DROP_INTERNAL;
	__builtin_memcpy(&eth, data, sizeof(eth));
	eth.h_proto = bpf_htons(t->inner_protocol == IPPROTO_IPIP ? ETH_P_IP : ETH_P_IPV6);
	if (bpf_xdp_adjust_head(ctx, t->inner - ETH_HLEN))
		return OUTCOME_DROP_INTERNAL;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + sizeof(eth) > end)
		return OUTCOME_DROP_INTERNAL;
	__builtin_memcpy(data, &eth, sizeof(eth));
	return t->outcome;
}

/* Until the inner packet is known to be for a VIP nothing is changed or dropped, but what comes from a
 * wrong source: all that is not ours is the host's. */
static __always_inline enum outcome decapsulate(struct xdp_md *ctx)
{
	struct tunnel t = {};
	enum outcome o;

	o = parse_outer(ctx, &t);
	if (o != OUTCOMES && o != OUTCOME_PASS_FRAGMENT)
		return o;
	if (!bpf_map_lookup_elem(&own, &t.destination))
		return OUTCOME_PASS_NOT_OURS;
	if (o == OUTCOMES)
		o = parse_tunnel(ctx, &t);
	if (o == OUTCOMES)
		o = parse_inner(ctx, &t);
	if (o == OUTCOMES)
		o = allowed(&t);
	if (o == OUTCOMES)
		o = verify(ctx, &t);
	if (o == OUTCOMES)
		o = complete(ctx, &t);
	if (o == OUTCOMES)
		o = carry_ecn(ctx, &t);
	if (o == OUTCOMES)
		o = strip(ctx, &t);
	return o;
}

SEC("xdp.frags")
int drover_decap(struct xdp_md *ctx)
{
	enum outcome o = decapsulate(ctx);

	count(o);
	return o >= OUTCOME_DROP_SOURCE ? XDP_DROP : XDP_PASS;
}

SEC("tc")
int drover_clamp(struct __sk_buff *skb)
{
	clamp(skb);
	return TC_ACT_UNSPEC; /* -1, TCX_NEXT: other programs, and then out */
}

char _license[] SEC("license") = "Dual BSD/GPL";
