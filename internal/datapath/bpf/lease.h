/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Leases of VIPs: the daemon that has a virtual router as MASTER renews one with each advert. When it has run out,
 * the daemon is dead or stands still, and another host has taken over: questions for the VIP's MAC are dropped here,
 * which this host's kernel would answer for as long as it has the address. Packets that arrive all the same go on. */
#pragma once

#include "neighbour.h"

static __always_inline bool has_lapsed(const union addr *vip)
{
	__u64 *until = bpf_map_lookup_elem(&leases, vip);

	return until && READ(*until) < bpf_ktime_get_boot_ns();
}

/* asks_lapsed_arp tells whether an ARP request is for a VIP whose lease has run out. */
static __always_inline bool asks_lapsed_arp(struct xdp_md *ctx)
{
	struct arp *a = (void *)(long)ctx->data;
	struct control *k = control();
	union addr vip = {};

	if (!k || !(READ(k->uses) & USES_LEASES) || (void *)(a + 1) > (void *)(long)ctx->data_end ||
	    a->protocol_type != bpf_htons(ETH_P_IP) || a->operation != bpf_htons(ARPOP_REQUEST))
		return false;
	vip.word[2] = bpf_htonl(0xffff);
	__builtin_memcpy(&vip.word[3], a->target, 4);
	return has_lapsed(&vip);
}

/* asks_lapsed_ndp tells the same of a neighbour solicitation, whose options do not matter here. */
static __always_inline bool asks_lapsed_ndp(struct xdp_md *ctx)
{
	struct ndp *n = (void *)(long)ctx->data;
	struct control *k = control();
	union addr vip;

	if (!k || !(READ(k->uses) & USES_LEASES) || (void *)&n->option > (void *)(long)ctx->data_end ||
	    n->type != NDP_SOLICITATION)
		return false;
	vip = n->target;
	return has_lapsed(&vip);
}
