/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A new connection: fill an entry, publish it, and settle with another CPU that does the same. */
#pragma once

#include "existing.h"
#include "fragments.h"

#define NO_PLACE (-1)
#define QUOTED_TIMEOUT 3 /* seconds: of a connection that an ICMP error began, until its first packet */

/* client_hop is the way that the client's packet came: the first guess for NAT's replies, until the
 * route is looked up, and after that if the kernel has no neighbour entry. */
static __always_inline __u64 client_hop(struct xdp_md *ctx, const struct packet *p)
{
	void *data = (void *)(long)ctx->data;

	if (data + ETH_HLEN > (void *)(long)ctx->data_end || from_here(p))
		return 0;
	return mac_word(data + ETH_ALEN) | (__u64)device_row(p->in) << 48 | HOP_GUESS;
}

static __always_inline void fill_tuple(struct conn *c, const struct packet *p)
{
	c->client = p->source;
	c->vaddr = p->destination;
	c->cport = p->sport;
	c->vport = p->dport;
	c->protocol = p->protocol;
	c->family = p->family;
	c->hop = 0;
	c->hop_age = 0;
}

/* fill gives the entry's state word; flags are what is known of it beforehand, STATE_FLAG_*. */
static __always_inline __u64 fill(struct conn *c, const struct packet *p, const struct dest *d,
				  __u32 slot, __u64 flags, const struct control *k)
{
	/* The generation goes on from the entry's last use. */
	__u64 word = READ(c->state) & ~(STATE_GENERATION - 1);

	word |= STATE_FLAG_INACTIVE | flags | (__u64)(d->forwarding & 3) << STATE_FORWARD_SHIFT;
	if (d->forwarding != FORWARD_MASQ)
		word |= STATE_FLAG_NOOUTPUT;
	fill_tuple(c, p);
	c->dest = slot;
	c->seen = READ(k->now);
	if (p->flags & PACKET_QUOTED)
		word |= (__u64)QUOTED_TIMEOUT << STATE_TIMEOUT_SHIFT;
	else
		word = next_state(word, observation(p, false), d, k);
	word = with_life(word, LIFE_NEW);
	WRITE(c->state, word);
	return word;
}

/* The oldest of what gives way among the 16 slots of a home, or 0. */
static __always_inline __u32 oldest_half_open(__u64 hash, __u32 now)
{
	__u32 oldest = 0;
	__u32 age = 0;

	for (__u32 neighbour = 0; neighbour < 2; neighbour++) {
		struct bucket *b = bucket_at(hash, neighbour);

		if (!b)
			return 0;
		for (__u32 i = 0; i < BUCKET_SLOTS; i++) {
			__u32 index = SLOT_INDEX(READ(b->slot[i]));
			struct conn *c = conn_at(index);

			if (!c)
				continue;
			if (!gives_way(c, READ(c->state)))
				continue;
			if (!oldest || now - READ(c->seen) > age) {
				oldest = index;
				age = now - READ(c->seen);
			}
		}
	}
	return oldest;
}

/* make_room ends the oldest half-open connection of a full home. Returns 1 if it ended one. */
__noinline int make_room(__u64 hash, __u32 now)
{
	__u32 index = oldest_half_open(hash, now);

	return index ? expire(index) : 0;
}

/* admits tells whether the packet may begin a connection with an entry: a half-open one must be within their
 * share of the table, or take the place of the oldest in its home. */
static __always_inline bool admits(const struct packet *p, const struct control *k)
{
	if (p->protocol != IPPROTO_TCP || p->event != EVENT_SYN || !is_crowded(k))
		return true;
	return has_spare() && make_room(p->hash, READ(k->now)) && !is_crowded(k);
}

/* without_entry sends the packet on by hash; outcome is what it is dropped as if that can't be. */
static __always_inline int without_entry(struct xdp_md *ctx, struct scratch *s, enum outcome outcome)
{
	s->outcome = outcome;
	return hand_on(ctx, STAGE_STATELESS);
}

/* publish_or_make_room gives the position, or NO_PLACE. */
static __always_inline int publish_or_make_room(__u64 hash, __u64 word, __u32 now)
{
	int position = publish(hash, word);

	if (position < 0 && make_room(hash, now))
		position = publish(hash, word);
	return position;
}

/* lost_to settles with entries of the same key. Each CPU publishes first and looks then, so of two at
 * least one sees the other. A LIVE rival wins; of two NEW ones the lower position wins, and kills the
 * other, whose own confirm then fails: exactly one of the two swaps succeeds. */
__noinline int lost_to(const struct packet *p, __u64 my_word, int my_position)
{
	if (!p)
		return 1; /* never so, but the verifier can't know */
	for (__u32 neighbour = 0; neighbour < 2; neighbour++) {
		struct bucket *b = bucket_at(p->hash, neighbour);

		if (!b)
			return 1;
		for (__u32 i = 0; i < BUCKET_SLOTS; i++) {
			__u64 word = READ(b->slot[i]);
			struct conn *c;
			__u64 state;

			if (word >> 32 != my_word >> 32 || word == my_word ||
			    (__u32)word & SLOT_REVERSE)
				continue;
			c = conn_at(SLOT_INDEX(word));
			if (!c || !is_forward(c, p))
				continue;
			state = READ(c->state);
			if (STATE_LIFE(state) == LIFE_LIVE)
				return 1;
			if (STATE_LIFE(state) != LIFE_NEW)
				continue;
			if ((int)(neighbour * BUCKET_SLOTS + i) < my_position)
				return 1;
			if (__sync_val_compare_and_swap(&c->state, state,
							with_life(state, LIFE_DEAD)) != state &&
			    STATE_LIFE(READ(c->state)) == LIFE_LIVE)
				return 1; /* it confirmed before we could kill it */
		}
	}
	return 0;
}

/* lost_to_rival looks for other slots with the signature, which there are when two CPUs race. */
static __always_inline bool lost_to_rival(const struct packet *p, __u64 my_word, int my_position)
{
	__u32 signature = my_word >> 32;
	__u64 n = 0;

	for (__u32 neighbour = 0; neighbour < 2; neighbour++) {
		struct bucket *b = bucket_at(p->hash, neighbour);

		if (!b)
			return true;
#pragma unroll
		for (__u32 i = 0; i < BUCKET_SLOTS; i++) {
			__u64 differs = signature_in(b, i) ^ signature;

			MERGE(differs); /* a sum without branches, whatever the compiler thinks */
			n += (differs - 1) >> 63;
		}
	}
	return n > 1 && lost_to(p, my_word, my_position);
}

/* withdraw takes back an entry that was never confirmed. If a rival has killed it, the sweep may have it
 * already, and it is not ours to write any more. */
static __always_inline void withdraw(struct conn *c, __u64 state, __u64 hash, __u64 word)
{
	retract(hash, word);
	__sync_val_compare_and_swap(&c->state, state, with_life(state, LIFE_DEAD));
}

/* confirm makes the entry LIVE, and counts it at its server: from the very word that it swapped, as
 * the next packet may move it on at once. False if a rival killed the entry meanwhile. */
static __always_inline bool confirm(struct conn *c, __u64 state, __u32 slot)
{
	if (__sync_val_compare_and_swap(&c->state, state, with_life(state, LIFE_LIVE)) != state)
		return false;
	if (c->family & FAMILY_TEMPLATE)
		count_persistent(slot, 1);
	else
		count_conns(slot, state & STATE_FLAG_INACTIVE ? CONNS_INACTIVE : CONNS_ACTIVE);
	count_half_open(0, state);
	return true;
}

/* own has a new entry belong to the packet's template, if that is still there, and gives the flag that
 * tells so. The template counts it first: so it does not end meanwhile. */
static __always_inline __u64 own(const struct scratch *s, __u32 index)
{
	struct controller *owner = bpf_map_lookup_elem(&controllers, &index);
	struct conn *t = conn_at(s->controller.index);
	__u64 state;

	if (!s->controller.index || !t || !owner)
		return 0;
	__sync_fetch_and_add(&t->hop, 1);
	state = READ(t->state);
	if (STATE_LIFE(state) != LIFE_LIVE ||
	    state >> STATE_GENERATION_SHIFT != s->controller.generation) {
		__sync_fetch_and_add(&t->hop, -1);
		return 0;
	}
	*owner = s->controller;
	return STATE_FLAG_CONTROLLED;
}

/* begin_controlled tells the template of a connection's beginning. */
static __always_inline void begin_controlled(__u32 index, __u64 state)
{
	if (!(state & STATE_FLAG_INACTIVE))
		count_controlled(index, CONTROLLED_ACTIVE);
	if ((state & STATE_MASK) == TCP_ESTABLISHED)
		assure(index);
}

/* disown undoes own for an entry that does not come to life. */
static __always_inline void disown(__u32 index, __u64 flags)
{
	struct conn *t = flags & STATE_FLAG_CONTROLLED ? controller_of(index) : NULL;

	if (t)
		__sync_fetch_and_add(&t->hop, -1);
}

/* names_port tells whether the server has the connection on the port that the client named: where the server
 * has none of its own, and, with persistence, for other ports than the service's. */
static __always_inline __u64 names_port(const struct scratch *s, const struct dest *d)
{
	bool mapped = d->port && (!(s->service.flags & SERVICE_PERSISTENT) ||
				  s->packet.dport == s->key.port);

	return mapped ? 0 : STATE_FLAG_OWN_PORT;
}

static __always_inline bool is_one_packet(const struct scratch *s)
{
	return s->service.flags & SERVICE_ONE_PACKET && s->packet.protocol == IPPROTO_UDP;
}

/* send_once is one-packet scheduling: each datagram is a connection, and leaves no entry. */
static __always_inline int send_once(struct xdp_md *ctx, struct scratch *s, struct dest *d, __u32 now)
{
	const struct packet *p = &s->packet;
	__be16 port = names_port(s, d) ? p->dport : d->port;

	count_new(s->slot);
	count_in(s->slot, p->length);
	return deliver(ctx, p, d, s->slot, port, d->forwarding, now);
}

/* publish_reverse gives a NAT connection its second slot, by which replies are found. */
static __always_inline bool publish_reverse(struct conn *c, const struct dest *d, __u32 index,
					    __u32 now)
{
	__u64 hash = hash_reverse(c, d, READ(c->state));
	__u64 word = slot_word(hash, index | SLOT_REVERSE);

	if (publish_or_make_room(hash, word, now) < 0)
		return false;
	/* Whoever ended the connection before this slot was there could not clear it. */
	if (STATE_LIFE(READ(c->state)) != LIFE_LIVE) {
		retract(hash, word);
		return false;
	}
	return true;
}

/* serves tells whether the server is still one of the service. It is not when the service's list was
 * swapped while a scheduler read the old one, and the block has been used again. */
static __always_inline bool serves(const struct dest *d, const struct service_key *key)
{
	return d->flags & DEST_AVAILABLE && d->vport == key->port && d->protocol == key->protocol &&
	       d->family == key->family && same_addr(&d->vaddr, &key->addr);
}

static __always_inline int connect(struct xdp_md *ctx, struct scratch *s)
{
	const struct packet *p = &s->packet;
	__u32 slot = s->slot;
	struct dest *d = dest_at(slot);
	struct control *k = control();
	__u32 forwarding, now;
	struct conn *c;
	__u32 index;
	__u64 word, state, flags;
	int position;

	if (!d || !k)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	now = READ(k->now);
	if (!serves(d, &s->key))
		return finish(OUTCOME_DROP_CONTENDED, XDP_DROP);
	if (is_one_packet(s))
		return send_once(ctx, s, d, now);
	if (!admits(p, k))
		return without_entry(ctx, s, OUTCOME_DROP_HALF_OPEN);
	index = take();
	if (!index) {
		make_room(p->hash, now); /* an entry that rests now is free in a second */
		return without_entry(ctx, s, OUTCOME_DROP_TABLE_FULL);
	}
	c = conn_at(index);
	if (!c)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	flags = own(s, index);
	WRITE(s->state, fill(c, p, d, slot, flags | names_port(s, d) | (from_here(p) ? STATE_FLAG_LOCAL : 0), k));
	state = READ(s->state); /* not known to the verifier, which would follow each value */
	if (d->forwarding == FORWARD_MASQ)
		c->hop = client_hop(ctx, p);
	word = slot_word(p->hash, index);
	position = publish_or_make_room(p->hash, word, now);
	if (position < 0) {
		disown(index, flags);
		WRITE(c->state, with_life(READ(c->state), LIFE_DEAD));
		return without_entry(ctx, s, OUTCOME_DROP_TABLE_FULL);
	}
	if (lost_to_rival(p, word, position) || !confirm(c, state, slot)) {
		disown(index, flags);
		withdraw(c, state, p->hash, word);
		return hand_on(ctx, STAGE_KNOWN); /* the one that was first */
	}
	forwarding = STATE_FORWARD(state);
	if (forwarding == FORWARD_MASQ && !publish_reverse(c, d, index, now)) {
		expire(index);
		return finish(OUTCOME_DROP_BUCKET_FULL, XDP_DROP);
	}
	if (flags & STATE_FLAG_CONTROLLED)
		begin_controlled(index, state);
	if (p->flags & PACKET_FIRST_FRAGMENT)
		remember(p, s->fragment);
	count_new(slot);
	if (p->flags & PACKET_QUOTED)
		return hand_on(ctx, STAGE_ICMP); /* where the error finds the connection now */
	count_in(slot, p->length);
	return deliver(ctx, p, d, slot, server_port(c, d, state), forwarding, now);
}
