/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Servers and clients on this host.
 *
 * A packet for a server here is passed: as it came with direct routing and tunnels, or with the server's
 * address and port by NAT, whose replies a program at TC egress gives the VIP's again, as packets that are
 * made here never cross XDP.
 *
 * A client here reaches a VIP of this host by lo. A program at its TC egress takes what is for a service to
 * a pair of veth devices, whose other end has drover_xdp. What XDP passes there, and replies to the
 * client, go back into lo as if they had come by it: the host would refuse its own address as a source
 * on any other device. That holds for a server's own reply, by direct routing and tunnels, too. */
#pragma once

#include "forward.h"

/* answers_local_client tells whether a packet without a service is a server's own reply to a client here. Where
 * clients here have no mark, they ask from the VIP itself, and no server can answer that by direct routing. */
static __always_inline bool answers_local_client(const struct packet *p)
{
	struct control *k = control();
	struct packet asked = {};
	struct conn *c;
	__u32 slot;

	if (!k || !(READ(k->uses) & USES_HOST_MARKS))
		return false;
	asked.source = p->destination;
	asked.destination = p->source;
	asked.sport = p->dport;
	asked.dport = p->sport;
	asked.protocol = p->protocol;
	asked.family = p->family;
	hash_packet(&asked);
	c = find(&asked, &slot);
	return c && !(slot & SLOT_REVERSE) && READ(c->state) & STATE_FLAG_LOCAL;
}

/* to_host gives a packet to a server on this host. */
static __always_inline int to_host(struct xdp_md *ctx, const struct packet *p, const struct dest *d,
				   __be16 port, __u32 forwarding)
{
	if (forwarding != FORWARD_MASQ)
		return finish(OUTCOME_PASS_LOCAL_SERVER, XDP_PASS);
	/* The host takes no packet for 127.0.0.1 from outside, nor does ip_vs give it one. */
	if (d->flags & DEST_LOOPBACK && !from_here(p))
		return finish(OUTCOME_DROP_LOOPBACK, XDP_DROP);
	if (!translate(ctx, p, false, &d->addr, port))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return finish(OUTCOME_PASS_LOCAL_SERVER, XDP_PASS);
}

/* deliver sends a packet to its server, wherever that is. */
static __always_inline int deliver(struct xdp_md *ctx, const struct packet *p, struct dest *d, __u32 slot,
				   __be16 port, __u32 forwarding, __u32 now)
{
	if (d->flags & DEST_LOCAL)
		return to_host(ctx, p, d, port, forwarding);
	if (forwarding == FORWARD_TUNNEL)
		return into_tunnel(ctx, p, slot, OUTCOME_FORWARD_TUNNEL);
	return to_server(ctx, p, d, port, forwarding, now);
}
