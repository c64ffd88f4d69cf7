/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Sending a packet on: by direct routing (the MACs and the TTL alone change) or by NAT. */
#pragma once

#include "checksum.h"
#include "hop.h"
#include "stages.h"
#include "state.h"

/* lower takes one off TTL or hop limit; false if the header is not all there. */
static __always_inline bool lower(void *data, void *end, __u8 family)
{
	if (family == FAMILY_V4) {
		struct iphdr *ip = data + ETH_HLEN;
		__u32 check;

		if ((void *)(ip + 1) > end)
			return false;
		ip->ttl--;
		/* TTL is the high byte of its word: one less there is one more in the checksum, and what
		 * overflows goes round (RFC 1141). */
		check = ip->check + bpf_htons(0x100);
		ip->check = check + (check >= 0xffff);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return false;
		ip->hop_limit--;
	}
	return true;
}

static __always_inline void put_macs(void *data, __u64 destination, __u64 source)
{
	*(__u32 *)data = (__u32)destination;
	*(__u16 *)(data + 4) = (__u16)(destination >> 32);
	*(__u16 *)(data + 6) = (__u16)source;
	*(__u32 *)(data + 8) = (__u32)(source >> 16);
}

/* leave gives the verdict for a frame that is ready to go out by a device. */
static __always_inline int leave(struct xdp_md *ctx, const struct device *d, enum outcome outcome)
{
	if (d->flags & DEVICE_TX && d->ifindex == ctx->ingress_ifindex)
		return finish(outcome, XDP_TX);
	return finish(outcome, bpf_redirect(d->ifindex, 0));
}

/* send lowers TTL or hop limit, puts the MACs on, and gives the verdict for the device that the hop
 * names. */
static __always_inline int send(struct xdp_md *ctx, const struct packet *p, __u64 hop,
				enum outcome outcome)
{
	struct device *d = device_at(HOP_DEVICE(hop));
	void *data = (void *)(long)ctx->data;

	if (!d || !lower(data, (void *)(long)ctx->data_end, p->family))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	put_macs(data, hop, READ(d->mac));
	return leave(ctx, d, outcome);
}

/* send_made is send for a packet of our own making, which no TTL is taken from. */
static __always_inline int send_made(struct xdp_md *ctx, __u64 hop, enum outcome outcome)
{
	struct device *d = device_at(HOP_DEVICE(hop));
	void *data = (void *)(long)ctx->data;

	if (!d || data + ETH_HLEN > (void *)(long)ctx->data_end)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	put_macs(data, hop, READ(d->mac));
	return leave(ctx, d, outcome);
}

#define SMALLEST_MTU 68 /* RFC 791, Section 3.2 */

/* mtu_for gives the MTU that a packet must be answered with instead of being sent; 0: it fits. In generic
 * mode the size is no reason: GRO may have joined frames (which is then better switched off, as a load
 * says: the kernel does not redirect joined ones). */
static __always_inline __u32 mtu_for(const struct packet *p, __u64 hop, __u32 mtu)
{
	struct device *d;

	if (p->length <= (mtu ?: SMALLEST_MTU))
		return 0;
	d = device_at(HOP_DEVICE(hop));
	if (!d || d->flags & DEVICE_GENERIC)
		return 0;
	if (!mtu)
		mtu = READ(d->mtu);
	return mtu && p->length > mtu ? mtu : 0;
}

/* unresolved ends a packet whose next hop is not known. It is never passed to the host: the VIP is
 * local there, and the host would reset the connection. */
static __always_inline int unresolved(struct xdp_md *ctx, const struct packet *p, enum resolved r)
{
	struct scratch *s;

	if (r == HOP_NO_ROUTE)
		return finish(OUTCOME_DROP_NO_ROUTE, XDP_DROP);
	if (r != HOP_ASK)
		return finish(OUTCOME_DROP_NO_NEIGHBOUR, XDP_DROP);
	s = scratch();
	if (!s)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	s->packet = *p;
	return hand_on(ctx, STAGE_ASK);
}

/* fix_transport replaces one port and mends the checksum by gain, what the addresses gave it. */
static __always_inline bool fix_transport(void *transport, void *end, const struct packet *p,
					  bool source, __be16 port, __u64 gain)
{
	struct udphdr *udp = transport; /* the ports lie as in TCP */
	struct tcphdr *tcp = transport;
	__be16 *at = source ? &udp->source : &udp->dest;

	if ((void *)(udp + 1) > end)
		return false;
	gain += replaced16(*at, port);
	*at = port;
	if (p->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return false;
		tcp->check = adjusted(tcp->check, gain);
	} else if (udp->check) { /* none stays none (RFC 768) */
		udp->check = adjusted(udp->check, gain) ?: 0xffff;
	}
	return true;
}

/* replace_addr rewrites source or destination in the IP header; *gain is what TCP's and UDP's
 * checksum gets by it. */
static __always_inline bool replace_addr(struct xdp_md *ctx, const struct packet *p, bool source,
					 const union addr *to, __u64 *gain)
{
	const union addr *from = source ? &p->source : &p->destination;
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (p->family == FAMILY_V4) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return false;
		*gain = replaced32(from->word[3], to->word[3]);
		*(source ? &ip->saddr : &ip->daddr) = to->word[3];
		ip->check = adjusted(ip->check, *gain);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return false;
		*gain = replaced_addr(from, to);
		__builtin_memcpy(source ? &ip->saddr : &ip->daddr, to, sizeof(*to));
	}
	return true;
}

/* translate rewrites the source or destination address and port of the packet. */
static __always_inline bool translate(struct xdp_md *ctx, const struct packet *p, bool source,
				      const union addr *to, __be16 port)
{
	void *transport = (void *)(long)ctx->data + ETH_HLEN;
	void *end = (void *)(long)ctx->data_end;
	__u64 gain;

	if (!replace_addr(ctx, p, source, to, &gain))
		return false;
	transport += p->family == FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (p->flags & PACKET_FRAGMENT_HEADER)
		transport += FRAGMENT_HEADER;
	return fix_transport(transport, end, p, source, port, gain);
}

/* to_server sends a packet to its server, whose port is changed to port by NAT. */
static __always_inline int to_server(struct xdp_md *ctx, const struct packet *p, struct dest *d,
				     __be16 port, __u32 forwarding, __u32 now)
{
	enum resolved r;
	__u64 hop;
	__u32 mtu;

	if (p->hops <= 1)
		return answer(ctx, p, &p->destination, ANSWER_TIME_EXCEEDED, 0);
	r = resolve_dest(ctx, d, now, &hop, &mtu);
	if (r != HOP_FOUND)
		return unresolved(ctx, p, r);
	mtu = mtu_for(p, hop, mtu);
	if (mtu)
		return answer(ctx, p, &p->destination, ANSWER_TOO_BIG, mtu);
	if (forwarding == FORWARD_ROUTE)
		return send(ctx, p, hop, OUTCOME_FORWARD_ROUTE);
	if (forwarding == FORWARD_STATELESS)
		return send(ctx, p, hop, OUTCOME_FORWARD_STATELESS);
	if (!translate(ctx, p, false, &d->addr, port))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return send(ctx, p, hop, OUTCOME_FORWARD_MASQ_IN);
}

/* from_here tells whether the packet was made on this host: see local.h. */
static __always_inline bool from_here(const struct packet *p)
{
	struct control *k = control();

	return k && READ(k->inner) && READ(k->inner) == p->in;
}

/* into_lo gives a server's reply to a client on this host, by way of the pair. */
static __always_inline int into_lo(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	struct control *k = control();

	if (!k || !READ(k->inner) || data + ETH_HLEN > (void *)(long)ctx->data_end)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	put_macs(data, 0, 0); /* lo's */
	return finish(OUTCOME_FORWARD_LOCAL_CLIENT, bpf_redirect(READ(k->inner), 0));
}

/* to_local_client does so by NAT. */
static __always_inline int to_local_client(struct xdp_md *ctx, const struct packet *p, struct conn *c)
{
	if (!translate(ctx, p, true, &c->vaddr, c->vport))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return into_lo(ctx);
}

/* to_client sends a real server's reply on, from the VIP. */
static __always_inline int to_client(struct xdp_md *ctx, const struct packet *p, struct conn *c,
				     __u32 now)
{
	enum resolved r;
	__u64 hop;
	__u32 mtu;

	if (READ(c->state) & STATE_FLAG_LOCAL)
		return to_local_client(ctx, p, c);
	if (p->hops <= 1)
		return answer(ctx, p, &c->vaddr, ANSWER_TIME_EXCEEDED, 0);
	r = resolve_client(ctx, c, now, &hop);
	if (r != HOP_FOUND)
		return unresolved(ctx, p, r);
	mtu = mtu_for(p, hop, 0);
	if (mtu)
		return answer(ctx, p, &c->vaddr, ANSWER_TOO_BIG, mtu);
	if (!translate(ctx, p, true, &c->vaddr, c->vport))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return send(ctx, p, hop, OUTCOME_FORWARD_MASQ_OUT);
}
