/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Sending a packet on in a tunnel: IP in IP (RFC 2003, RFC 2473, RFC 4213), GUE version 0
 * (draft-ietf-intarea-gue-09, Section 3) or GRE (RFC 2784), in the bytes that ip_vs sends. */
#pragma once

#include "forward.h"
#include "path.h"
#include "protocol.h"
#include "shorten.h"
#include "sum.h"

#define TUNNEL_PORTS 0xc000 /* GUE's source ports: the dynamic ones (RFC 6335, Section 6) */

/* shim_size gives the bytes between the outer IP header and the packet. */
static __always_inline __u32 shim_size(__u32 tunnel)
{
	switch (TUNNEL_TYPE(tunnel)) {
	case TUNNEL_GUE:
		return sizeof(struct udphdr) + GUE_HEADER;
	case TUNNEL_GRE:
		return TUNNEL_FLAGS(tunnel) & TUNNEL_FLAG_CHECKSUM ? GRE_HEADER + GRE_CHECKSUM : GRE_HEADER;
	default:
		return 0;
	}
}

/* What the outer header takes over from the packet, and what a tunnel's checksum needs of it. */
struct inner {
	__u64 sum; /* of its bytes; 0 when there is no checksum */
	__u32 length;
	__u32 size; /* of what comes in front */
	__u8 protocol; /* as the outer header names it */
	__u8 class; /* TOS or traffic class, with ECN */
	__u8 hops;
	bool dont_fragment;
};

static __always_inline bool has_checksum(__u32 tunnel)
{
	switch (TUNNEL_TYPE(tunnel)) {
	case TUNNEL_GUE: /* ip_vs makes UDP's for remote checksum offload too */
		return TUNNEL_FLAGS(tunnel) & (TUNNEL_FLAG_CHECKSUM | TUNNEL_FLAG_REMOTE_CHECKSUM);
	case TUNNEL_GRE:
		return TUNNEL_FLAGS(tunnel) & TUNNEL_FLAG_CHECKSUM;
	default:
		return false;
	}
}

/* discovers_path: without pmtu_disc what is IPv4 inside goes without DF, as large as the next hop takes it, and
 * whoever finds it too large on the way fragments it. */
static __always_inline bool discovers_path(__u8 family)
{
	struct control *k = control();

	return family == FAMILY_V6 || (k && tuned(k, TUNE_PMTU_DISC));
}

static __always_inline bool look_inside(struct xdp_md *ctx, const struct scratch *s, __u32 tunnel,
					struct inner *in)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__s64 sum = 0;

	if (has_checksum(tunnel))
		sum = sum_packet(ctx, s);
	if (sum < 0)
		return false;
	in->sum = sum;
	in->length = s->packet.length;
	if (s->packet.family == FAMILY_V4) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return false;
		in->protocol = IPPROTO_IPIP;
		in->class = ip->tos;
		in->hops = ip->ttl;
		in->dont_fragment = ip->frag_off & bpf_htons(IP_DONT_FRAGMENT) && discovers_path(s->packet.family);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return false;
		in->protocol = IPPROTO_IPV6;
		in->class = bpf_ntohl(*(__be32 *)ip) >> 20;
		in->hops = ip->hop_limit;
		in->dont_fragment = false;
	}
	/* The tunnel starts without congestion experienced (RFC 3168, Section 9.1.1: full functionality). */
	if ((in->class & ECN_MASK) == ECN_CE)
		in->class = (in->class & ~ECN_MASK) | ECN_ECT0;
	return true;
}

static __always_inline __u8 outer_protocol(__u32 tunnel, const struct inner *in)
{
	switch (TUNNEL_TYPE(tunnel)) {
	case TUNNEL_GUE:
		return IPPROTO_UDP;
	case TUNNEL_GRE:
		return IPPROTO_GRE;
	default:
		return in->protocol;
	}
}

/* put_outer4 writes the outer header; *pseudo is what UDP's checksum gets of its addresses. */
static __always_inline bool put_outer4(struct xdp_md *ctx, const struct dest *d, __u32 tunnel,
				       const struct inner *in, __u64 *pseudo)
{
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__be32 *word = (void *)ip;
	/* Whoever fragments it on the way needs an identification (RFC 6864, Section 4). */
	__u32 id = in->dont_fragment ? 0 : bpf_get_prandom_u32() << 16;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return false;
	eth->h_proto = bpf_htons(ETH_P_IP);
	word[0] = bpf_htonl(0x45000000 | (__u32)in->class << 16 | (in->length + in->size));
	word[1] = bpf_htonl(id | (in->dont_fragment ? IP_DONT_FRAGMENT : 0));
	word[2] = bpf_htonl((__u32)in->hops << 24 | (__u32)outer_protocol(tunnel, in) << 16);
	word[3] = d->source.word[3];
	word[4] = d->addr.word[3];
	*pseudo = (__u64)word[3] + word[4];
	ip->check = fold(*pseudo + word[0] + word[1] + word[2]);
	return true;
}

static __always_inline __u64 sum_addr(const union addr *a)
{
	return (__u64)a->word[0] + a->word[1] + a->word[2] + a->word[3];
}

static __always_inline bool put_outer6(struct xdp_md *ctx, const struct dest *d, __u32 tunnel,
				       const struct inner *in, __u64 *pseudo)
{
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	__be32 *word = (void *)ip;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return false;
	eth->h_proto = bpf_htons(ETH_P_IPV6);
	word[0] = bpf_htonl(0x60000000 | (__u32)in->class << 20);
	word[1] = bpf_htonl((in->length + in->size - sizeof(*ip)) << 16 |
			    (__u32)outer_protocol(tunnel, in) << 8 | in->hops);
	__builtin_memcpy(&ip->saddr, &d->source, sizeof(d->source));
	__builtin_memcpy(&ip->daddr, &d->addr, sizeof(d->addr));
	*pseudo = sum_addr(&d->source) + sum_addr(&d->addr);
	return true;
}

/* put_gue writes the UDP header, its source port from the flow, and GUE's of 4 bytes: version, type and
 * header length 0, the protocol, no flags. ip_vs sends the option of remote checksum offload only with
 * packets whose checksum is not made yet, and such do not come in by a wire. */
static __always_inline bool put_gue(struct xdp_md *ctx, struct udphdr *udp, __u32 tunnel, __u64 hash,
				    const struct inner *in, __u64 pseudo)
{
	__be32 *gue = (void *)(udp + 1);
	__u32 length = in->length + sizeof(*udp) + GUE_HEADER;
	__be32 *word = (void *)udp;

	if ((void *)(gue + 1) > (void *)(long)ctx->data_end)
		return false;
	word[0] = bpf_htonl((TUNNEL_PORTS | (hash >> 32 & 0x3fff)) << 16 | TUNNEL_PORT(tunnel));
	word[1] = bpf_htonl(length << 16);
	*gue = bpf_htonl((__u32)in->protocol << 16);
	if (in->sum)
		udp->check = fold(pseudo + bpf_htons(IPPROTO_UDP) + bpf_htons(length) + word[0] +
				  word[1] + *gue + in->sum) ?: 0xffff;
	return true;
}

static __always_inline bool put_gre(struct xdp_md *ctx, __be32 *gre, const struct inner *in)
{
	__u32 ether_type = in->protocol == IPPROTO_IPIP ? ETH_P_IP : ETH_P_IPV6;

	if ((void *)(gre + 1) > (void *)(long)ctx->data_end)
		return false;
	gre[0] = bpf_htonl(ether_type);
	if (!in->sum)
		return true;
	if ((void *)(gre + 2) > (void *)(long)ctx->data_end)
		return false;
	gre[0] = bpf_htonl(GRE_FLAG_CHECKSUM | ether_type);
	gre[1] = (__u16)fold(gre[0] + in->sum); /* and two bytes of zero */
	return true;
}

/* encapsulate puts the outer headers before the packet. The MACs are left to send. */
static __always_inline bool encapsulate(struct xdp_md *ctx, const struct dest *d, __u32 tunnel,
					__u64 hash, const struct inner *in)
{
	bool v4 = d->rip_family == FAMILY_V4;
	__u64 pseudo;
	void *shim;

	if (bpf_xdp_adjust_head(ctx, -(int)in->size))
		return false;
	if (v4 ? !put_outer4(ctx, d, tunnel, in, &pseudo) : !put_outer6(ctx, d, tunnel, in, &pseudo))
		return false;
	shim = (void *)(long)ctx->data + ETH_HLEN;
	shim += v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	switch (TUNNEL_TYPE(tunnel)) {
	case TUNNEL_GUE:
		return put_gue(ctx, shim, tunnel, hash, in, pseudo);
	case TUNNEL_GRE:
		return put_gre(ctx, shim, in);
	default:
		return true;
	}
}

#define LONGEST_PACKET 0xffff /* bytes: RFC 791, Section 3.1 */

/* room gives the largest packet that may go into the tunnel; of LONGEST_PACKET when no MTU is known. */
static __always_inline __u32 room(struct dest *d, __u8 family, __u64 hop, __u32 mtu, __u32 size, __u32 now)
{
	__u32 path = discovers_path(family) ? path_mtu(d, now) : 0;
	struct device *device;

	if (!mtu) {
		device = device_at(HOP_DEVICE(hop));
		mtu = device ? READ(device->mtu) : 0;
	}
	if (!mtu)
		mtu = LONGEST_PACKET;
	if (path && path < mtu)
		mtu = path;
	return mtu > size ? mtu - size : 0;
}

/* may_be_joined tells whether a frame that is too large may be several that GRO has joined: then its
 * size says nothing, and the kernel decides, if an outer header can say it at all. */
static __always_inline bool may_be_joined(const struct packet *p, __u64 hop, __u32 size)
{
	struct device *d = device_at(HOP_DEVICE(hop));

	return d && d->flags & DEVICE_GENERIC && p->length > READ(d->mtu) &&
	       p->length + size <= LONGEST_PACKET;
}

/* made_to_fit shortens what does not fit, if it is an ICMP error, which nobody could be told of. */
static __always_inline bool made_to_fit(struct xdp_md *ctx, struct scratch *s, __u32 mtu)
{
	__u32 keep = mtu & ~1;

	if (s->outcome != OUTCOME_FORWARD_ICMP ||
	    shorten_error(ctx, s->packet.family, s->packet.length, keep))
		return false;
	s->packet.length = keep;
	return true;
}

/* too_large ends a packet that does not fit. ICMP errors and later fragments are not answered. IPv6 is told
 * of less than 1280 too, as by ip_vs: there is nothing else to tell. */
static __always_inline int too_large(struct xdp_md *ctx, const struct packet *p, __u32 outcome,
				     __u32 mtu)
{
	if (mtu < SMALLEST_MTU || outcome == OUTCOME_FORWARD_ICMP || outcome == OUTCOME_FORWARD_FRAGMENT)
		return finish(OUTCOME_DROP_TUNNEL_MTU, XDP_DROP);
	return answer(ctx, p, &p->destination, ANSWER_TOO_BIG, mtu);
}

/* send_in_tunnel sends the packet to scratch's server, and counts it as scratch's outcome. */
static __always_inline int send_in_tunnel(struct xdp_md *ctx, struct scratch *s)
{
	struct packet *p = &s->packet;
	struct dest *d = dest_at(s->slot);
	__u32 now = now_ms();
	struct inner in = {};
	enum resolved r;
	__u32 tunnel, mtu;
	__u64 hop;

	if (!d)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	if (p->hops <= 1)
		return answer(ctx, p, &p->destination, ANSWER_TIME_EXCEEDED, 0);
	if (!(d->source.half[0] | d->source.half[1]))
		return finish(OUTCOME_DROP_NO_SOURCE, XDP_DROP);
	r = resolve_dest(ctx, d, now, &hop, &mtu);
	if (r != HOP_FOUND) {
		p->family = d->rip_family; /* of the question */
		return unresolved(ctx, p, r);
	}
	tunnel = READ(d->tunnel);
	in.size = shim_size(tunnel);
	in.size += d->rip_family == FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	mtu = room(d, p->family, hop, mtu, in.size, now);
	if (p->length > mtu && !may_be_joined(p, hop, in.size) && !made_to_fit(ctx, s, mtu))
		return too_large(ctx, p, s->outcome, mtu);
	if (!lower((void *)(long)ctx->data, (void *)(long)ctx->data_end, p->family) ||
	    !look_inside(ctx, s, tunnel, &in) ||
	    !encapsulate(ctx, d, tunnel, p->hash, &in))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return send_made(ctx, hop, s->outcome);
}
