/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* When the table is full and nothing half-open can give way: new connections by direct routing go
 * to a server by the hash of their addresses and ports (by sh, dh, mh and fo to their own), without
 * an entry. So do their later packets, as long as the table is full and for a while after. A change
 * of the list moves some of them; NAT cannot do without an entry. */
#pragma once

#include "connect.h"
#include "hashing.h"

#define STATELESS_TRIES 64

/* overflowed tells whether connections without entries may be under way. */
static __always_inline bool overflowed(void)
{
	struct control *c = control();

	return c && READ(c->overflow);
}

static __always_inline void note_overflow(void)
{
	struct control *c = control();

	if (c)
		WRITE(c->overflow, READ(c->now) ?: 1);
}

/* pick_by_hash gives the first server from the hash's place on that takes connections. */
static __always_inline __u32 pick_by_hash(const struct service *s, __u64 hash)
{
	struct block_head *head = block_head(s);
	__u32 i;

	if (!head || !READ(head->servers))
		return NO_SERVER;
	i = (hash >> 32) % READ(head->servers);
	for (__u32 try = 0; try < STATELESS_TRIES; try++, i++) {
		__u64 e = element(s->block + 1, i % (READ(head->servers) ?: 1));

		if (takes(head, e))
			return ELEMENT_SLOT(e);
	}
	return NO_SERVER;
}

/* hash_client is for persistence, which knows clients alone, as far as its mask tells them apart. */
static __always_inline __u64 hash_client(const struct service *s, const struct packet *p)
{
	__u64 hash = mix(hash_seed, p->source.half[0] & s->mask.half[0]);

	return mix(mix(hash, p->source.half[1] & s->mask.half[1]), 0);
}

/* pick_again gives the same server for each packet of a connection. */
static __always_inline __u32 pick_again(const struct service *s, const struct packet *p)
{
	switch (s->scheduler) {
	case SCHED_SH:
	case SCHED_DH:
	case SCHED_MH:
		return pick_table(s, p);
	case SCHED_FO:
		return pick_least(s);
	default:
		return pick_by_hash(s, s->flags & SERVICE_PERSISTENT ? hash_client(s, p) : p->hash);
	}
}

static __always_inline int stateless(struct xdp_md *ctx, struct scratch *s)
{
	const struct packet *p = &s->packet;
	__u32 slot = pick_again(&s->service, p);
	struct dest *d = dest_at(slot);

	if (!slot || !d || !serves(d, &s->key) || d->forwarding == FORWARD_MASQ || p->flags & PACKET_QUOTED)
		return finish(s->outcome == OUTCOME_DROP_HALF_OPEN ? OUTCOME_DROP_HALF_OPEN : OUTCOME_DROP_TABLE_FULL,
			      XDP_DROP);
	count_in(slot, p->length);
	if (d->flags & DEST_LOCAL)
		return finish(OUTCOME_PASS_LOCAL_SERVER, XDP_PASS);
	if (d->forwarding == FORWARD_TUNNEL)
		return into_tunnel(ctx, p, slot, OUTCOME_FORWARD_STATELESS);
	return to_server(ctx, p, d, d->port, FORWARD_STATELESS, now_ms());
}
