/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The tunnels that ip_vs sends: IPIP (RFC 2003, 2473, 4213), GUE (draft-ietf-intarea-gue) and GRE
 * (RFC 2784). Each step finds the inner packet, and returns an outcome or OUTCOMES to go on. */
#pragma once

#include <linux/udp.h>

#include "outer.h"

static __always_inline enum outcome parse_ipip(struct tunnel *t)
{
	t->inner = t->header;
	t->inner_protocol = t->protocol;
	t->outcome = OUTCOME_DECAP_IPIP;
	return OUTCOMES;
}

struct gre {
	__be16 flags;
	__be16 protocol;
};
#define GRE_CHECKSUM 0x8000
#define GRE_CHECKSUM_LENGTH 4 /* and a reserved field */

static __always_inline enum outcome parse_gre(struct xdp_md *ctx, struct tunnel *t)
{
	struct gre *gre = header_at(ctx, t->header, sizeof(*gre));

	if (!gre)
		return OUTCOME_PASS_MALFORMED;
	if (gre->flags & ~bpf_htons(GRE_CHECKSUM))
		return OUTCOME_PASS_OPTIONS; /* keys and sequence numbers, version 1, routing */
	if (gre->protocol == bpf_htons(ETH_P_IP))
		t->inner_protocol = IPPROTO_IPIP;
	else if (gre->protocol == bpf_htons(ETH_P_IPV6))
		t->inner_protocol = IPPROTO_IPV6;
	else
		return OUTCOME_PASS_OPTIONS;
	t->inner = t->header + sizeof(*gre);
	if (gre->flags) {
		t->inner += GRE_CHECKSUM_LENGTH;
		t->check_end = t->end;
	}
	t->outcome = OUTCOME_DECAP_GRE;
	return OUTCOMES;
}

/* Version 0 (Section 3.1 of the draft); hlen counts the words that follow. */
struct gue {
	__u8 hlen : 5, control : 1, version : 2;
	__u8 protocol;
	__be16 flags;
};
#define GUE_PRIVATE 1 /* of flags: a word with private flags follows, in Linux's use */
#define GUE_REMOTE_CHECKSUM (1U << 31) /* of those: start and offset of the checksum follow */

/* Remote checksum offload (draft-herbert-vxlan-rco): the transport checksum has the sum of its pseudo
 * header only, and where to put the rest is told here. */
struct gue_remote {
	__be32 private;
	__be16 start, field; /* offsets in the inner packet */
};

static __always_inline enum outcome parse_gue_options(struct xdp_md *ctx, struct gue *gue,
						      struct tunnel *t)
{
	struct gue_remote *remote;

	if (!gue->flags && !gue->hlen)
		return OUTCOMES;
	if (gue->flags != bpf_htons(GUE_PRIVATE) || gue->hlen != sizeof(*remote) / 4)
		return OUTCOME_PASS_OPTIONS;
	remote = header_at(ctx, t->inner, sizeof(*remote));
	if (!remote)
		return OUTCOME_PASS_MALFORMED;
	if (remote->private != bpf_htonl(GUE_REMOTE_CHECKSUM))
		return OUTCOME_PASS_OPTIONS;
	t->start = bpf_ntohs(remote->start);
	t->field = bpf_ntohs(remote->field);
	t->inner += sizeof(*remote);
	/* A field that is not a word of what is summed up can't be that of a checksum. */
	if (!t->field || t->field < t->start || (t->field - t->start) & 1)
		return OUTCOME_PASS_MALFORMED;
	return OUTCOMES;
}

static __always_inline enum outcome parse_gue(struct xdp_md *ctx, struct tunnel *t)
{
	struct {
		struct udphdr udp;
		struct gue gue;
	} *h = header_at(ctx, t->header, sizeof(*h));
	__u16 port;

	if (!h)
		return OUTCOME_PASS_OTHER;
	port = bpf_ntohs(h->udp.dest);
	if (!bpf_map_lookup_elem(&gue_ports, &port))
		return OUTCOME_PASS_OTHER;
	if (bpf_ntohs(h->udp.len) < sizeof(*h) || t->header + bpf_ntohs(h->udp.len) > t->end)
		return OUTCOME_PASS_MALFORMED;
	if (h->gue.version || h->gue.control)
		return OUTCOME_PASS_OPTIONS;
	t->end = t->header + bpf_ntohs(h->udp.len);
	if (h->udp.check) { /* none is allowed over IPv6 too (RFC 6935) */
		t->check_end = t->end;
		t->pseudo += h->udp.len;
	}
	t->inner = t->header + sizeof(*h);
	t->inner_protocol = h->gue.protocol;
	t->outcome = OUTCOME_DECAP_GUE;
	return parse_gue_options(ctx, &h->gue, t);
}

static __always_inline enum outcome parse_tunnel(struct xdp_md *ctx, struct tunnel *t)
{
	if (t->protocol == IPPROTO_UDP)
		return parse_gue(ctx, t);
	if (t->protocol == IPPROTO_GRE)
		return parse_gre(ctx, t);
	return parse_ipip(t);
}
