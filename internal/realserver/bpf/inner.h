/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The inner packet: whose it is, its checksum, and the congestion that the outer one met. */
#pragma once

#include "outer.h"
#include "sum.h"

/* parse_inner gives OUTCOMES for a packet to a VIP that lies within the outer one. The end becomes that
 * of the inner packet. */
static __always_inline enum outcome parse_inner(struct xdp_md *ctx, struct tunnel *t)
{
	__u32 length, header;
	union addr to = {};

	if (t->inner_protocol == IPPROTO_IPIP) {
		struct iphdr *ip = header_at(ctx, t->inner, sizeof(*ip));

		if (!ip || ip->version != 4 || ip->ihl < 5)
			return OUTCOME_PASS_MALFORMED;
		length = bpf_ntohs(ip->tot_len);
		header = ip->ihl * 4U;
		if (length < header)
			return OUTCOME_PASS_MALFORMED;
		v4_addr(&to, ip->daddr);
	} else if (t->inner_protocol == IPPROTO_IPV6) {
		struct ipv6hdr *ip = header_at(ctx, t->inner, sizeof(*ip));

		if (!ip || ip->version != 6)
			return OUTCOME_PASS_MALFORMED;
		length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
		header = sizeof(*ip);
		__builtin_memcpy(&to, &ip->daddr, sizeof(to));
	} else {
		return OUTCOME_PASS_OPTIONS;
	}
	if (t->inner + length > t->end)
		return OUTCOME_PASS_MALFORMED;
	/* A remote checksum in the header would write another address than the one looked up below. */
	if (t->field && (t->start < header || t->field + 2U > length))
		return OUTCOME_PASS_MALFORMED;
	if (!bpf_map_lookup_elem(&vips, &to))
		return OUTCOME_PASS_NOT_VIP;
	t->end = t->inner + length;
	return OUTCOMES;
}

/* verify checks the checksum of UDP (RFC 768) or GRE (RFC 2784, Section 2.3), if there is one. */
static __always_inline enum outcome verify(struct xdp_md *ctx, struct tunnel *t)
{
	__u64 sum, pseudo = 0;

	if (!t->check_end)
		return OUTCOMES;
	if (t->protocol == IPPROTO_UDP)
		pseudo = t->pseudo + bpf_htons(IPPROTO_UDP);
	sum = sum_of(ctx, t->header, t->check_end - t->header);
	if (sum == SUM_FAILED)
		return OUTCOME_DROP_INTERNAL;
	return fold(sum + pseudo) ? OUTCOME_DROP_CHECKSUM : OUTCOMES;
}

/* complete puts the transport checksum in that remote checksum offload left out. */
static __always_inline enum outcome complete(struct xdp_md *ctx, struct tunnel *t)
{
	__u32 from = t->inner + t->start;
	__sum16 check;
	__u64 sum;

	if (!t->field)
		return OUTCOMES;
	sum = sum_of(ctx, from, t->end - from);
	if (sum == SUM_FAILED)
		return OUTCOME_DROP_INTERNAL;
	check = fold(sum);
	if (!check)
		check = 0xffff; /* the same number; a zero would say that UDP has none */
	if (bpf_xdp_store_bytes(ctx, t->inner + t->field, &check, sizeof(check)))
		return OUTCOME_DROP_INTERNAL;
	return OUTCOMES;
}

enum ecn { ECN_NONE, ECN_ECT1, ECN_ECT0, ECN_CE }; /* RFC 3168, Section 5 */

/* decapsulated_ecn is the inner field after decapsulation (RFC 6040, Figure 4); ~0 to drop. */
static __always_inline __u32 decapsulated_ecn(__u32 outer, __u32 inner)
{
	if (outer == ECN_CE)
		return inner == ECN_NONE ? ~0U : ECN_CE;
	if (outer == ECN_ECT1 && inner == ECN_ECT0)
		return ECN_ECT1;
	return inner;
}

static __always_inline enum outcome carry_ecn(struct xdp_md *ctx, struct tunnel *t)
{
	__u32 ecn, was;

	if (t->inner_protocol == IPPROTO_IPIP) {
		struct iphdr *ip = header_at(ctx, t->inner, sizeof(*ip));

		if (!ip)
			return OUTCOME_DROP_INTERNAL;
		was = ip->tos & ECN_MASK;
		ecn = decapsulated_ecn(t->tos & ECN_MASK, was);
		if (ecn == ~0U)
			return OUTCOME_DROP_ECN;
		if (ecn != was) {
			ip->tos = (ip->tos & ~ECN_MASK) | ecn;
			ip->check = adjusted(ip->check, replaced16(bpf_htons(was), bpf_htons(ecn)));
		}
	} else {
		struct ipv6hdr *ip = header_at(ctx, t->inner, sizeof(*ip));

		if (!ip)
			return OUTCOME_DROP_INTERNAL;
		/* The traffic class ends in the upper half of the second byte. */
		was = ip->flow_lbl[0] >> 4 & ECN_MASK;
		ecn = decapsulated_ecn(t->tos & ECN_MASK, was);
		if (ecn == ~0U)
			return OUTCOME_DROP_ECN;
		ip->flow_lbl[0] = (ip->flow_lbl[0] & ~(ECN_MASK << 4)) | ecn << 4;
	}
	return OUTCOMES;
}
