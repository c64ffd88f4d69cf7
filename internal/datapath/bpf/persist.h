/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Persistence: the first connection of a client, or of all clients that a mask takes for one, leaves a
 * template behind, and the later ones go to its server. A template is an entry of the connection table, of
 * client & mask, port 0, and what it is for. As with ip_vs it lives for the service's -p after the last
 * connection began, and as long as one of its connections does, in steps of a minute. */
#pragma once

#include "connect.h"
#include "schedule.h"
#include "service.h"

/* template_packet makes the tuple that the packet's template is found by. It holds for one port of the VIP,
 * or for the whole VIP: of a service on port 0, and of FTP, whose data come to other ports. A mark's is
 * for all that has the mark. */
static __always_inline void template_packet(struct packet *t, const struct scratch *s)
{
	const struct packet *p = &s->packet;

	t->source.half[0] = p->source.half[0] & s->service.mask.half[0];
	t->source.half[1] = p->source.half[1] & s->service.mask.half[1];
	t->destination = s->key.addr;
	t->sport = 0;
	t->dport = s->key.port == bpf_htons(FTP_PORT) ? 0 : s->key.port;
	t->protocol = s->key.protocol;
	t->family = s->key.family | FAMILY_TEMPLATE;
	hash_packet(t);
}

/* is_in_use tells whether one of a template's connections goes on: of UDP any that is there. */
static __always_inline bool is_in_use(const struct conn *t)
{
	__u64 count = READ(t->hop);

	return t->protocol == IPPROTO_UDP ? CONTROLLED(count) : count >> 32;
}

/* is_kept tells whether a template leads to its server still. */
static __always_inline bool is_kept(const struct conn *t, const struct control *k)
{
	struct dest *d = dest_at(t->dest);

	if (!d || !(d->flags & DEST_AVAILABLE))
		return false;
	if (d->flags & DEST_DRAIN && !is_in_use(t))
		return false;
	return READ(d->weight) || !tuned(k, TUNE_EXPIRE_QUIESCENT_TEMPLATE);
}

/* invalidate takes a template out of the buckets. It stays in listings until its time is over, with ports
 * that nobody has, as ip_vs's do. */
__noinline int invalidate(__u32 index)
{
	struct conn *t = conn_at(index);
	__u64 hash;

	if (!t)
		return 0;
	hash = hash_forward(t);
	retract(hash, slot_word(hash, index));
	__sync_fetch_and_or(&t->state, STATE_FLAG_OWN_PORT);
	WRITE(t->vport, 0xffff);
	return 1;
}

/* keep goes on with a template's server, and lets its time begin again. */
static __always_inline int keep(struct xdp_md *ctx, struct scratch *s, struct conn *t, __u32 index,
				const struct control *k)
{
	WRITE(t->seen, READ(k->now));
	s->slot = t->dest;
	s->controller.index = index;
	s->controller.generation = READ(t->state) >> STATE_GENERATION_SHIFT;
	return hand_on(ctx, STAGE_CONNECT);
}

/* persist sends the packet to the server of its client's template; without one a server is scheduled. */
static __always_inline int persist(struct xdp_md *ctx, struct scratch *s)
{
	struct control *k = control();
	struct packet wanted = {};
	struct conn *t;
	__u32 slot;

	if (!k)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	template_packet(&wanted, s);
	t = find(&wanted, &slot);
	if (t && expired(t, READ(t->state), READ(k->now)) && !CONTROLLED(READ(t->hop))) {
		expire(SLOT_INDEX(slot));
		t = NULL;
	}
	if (!t)
		return schedule(ctx, &s->service);
	if (!is_kept(t, k)) {
		invalidate(SLOT_INDEX(slot));
		return schedule(ctx, &s->service);
	}
	if (s->packet.flags & PACKET_REUSES)
		end_reused(&s->packet);
	return keep(ctx, s, t, SLOT_INDEX(slot), k);
}

/* fill_template gives the state word. */
static __always_inline __u64 fill_template(struct conn *c, const struct packet *t,
					   const struct scratch *s, const struct dest *d, __u32 now)
{
	__u64 word = READ(c->state) & ~(STATE_GENERATION - 1);

	word |= (__u64)(d->forwarding & 3) << STATE_FORWARD_SHIFT;
	if (!t->dport)
		word |= STATE_FLAG_OWN_PORT;
	word |= (__u64)(s->service.persistence & 0xffffff) << STATE_TIMEOUT_SHIFT;
	fill_tuple(c, t);
	c->dest = s->slot;
	c->seen = now;
	word = with_life(word, LIFE_NEW);
	WRITE(c->state, word);
	return word;
}

/* begin_template leaves a template for the server that was scheduled. If another CPU was first, its
 * server is taken. */
static __always_inline int begin_template(struct xdp_md *ctx, struct scratch *s)
{
	struct dest *d = dest_at(s->slot);
	struct control *k = control();
	struct packet t = {};
	struct conn *c;
	__u64 word, state;
	__u32 index, slot;
	int position;

	if (!d || !k)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	template_packet(&t, s);
	if (!admits(&s->packet, k))
		return without_entry(ctx, s, OUTCOME_DROP_HALF_OPEN);
	index = take();
	c = conn_at(index);
	if (!index || !c) {
		make_room(t.hash, READ(k->now));
		return without_entry(ctx, s, OUTCOME_DROP_TABLE_FULL);
	}
	WRITE(s->state, fill_template(c, &t, s, d, READ(k->now)));
	state = READ(s->state);
	word = slot_word(t.hash, index);
	position = publish_or_make_room(t.hash, word, READ(k->now));
	if (position < 0) {
		WRITE(c->state, with_life(READ(c->state), LIFE_DEAD));
		return without_entry(ctx, s, OUTCOME_DROP_TABLE_FULL);
	}
	if (!lost_to_rival(&t, word, position) && confirm(c, state, s->slot))
		return keep(ctx, s, c, index, k);
	withdraw(c, state, t.hash, word);
	c = find(&t, &slot);
	if (!c)
		return finish(OUTCOME_DROP_CONTENDED, XDP_DROP);
	return keep(ctx, s, c, SLOT_INDEX(slot), k);
}
