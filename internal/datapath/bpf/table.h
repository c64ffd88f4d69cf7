/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The connection table: 64-byte entries, found through 8-way buckets of words.
 *
 * Both directions of a NAT connection have a slot: the client's packets are found by their own
 * tuple, and so are the server's replies. A tuple's home is one bucket and its neighbour in the
 * same pair of cache lines.
 *
 *   insert: fill the entry, publish it by compare-and-swap of an empty slot (a full barrier)
 *   read:   load the slot once, address the entry by the index in it, compare the whole key,
 *           load the slot again; a change means a miss
 *   remove: compare-and-swap the state to DEAD (who wins, removes), clear the slots, give the
 *           entry back a sweep later
 */
#pragma once

#include "half_open.h"
#include "limits.h"
#include "maps.h"
#include "packet.h"

static __always_inline __u64 mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	return hash ^ (hash >> 32);
}

/* hash_tuple: kind is protocol and family, ports are the source's and the destination's. A product's bits
 * depend on those of lower places alone: what differs most goes in at the bottom, and mix folds the top,
 * which depends on all, down for the next round. */
static __always_inline __u64 hash_tuple(const union addr *source, const union addr *destination,
					__u32 ports, __u16 kind)
{
	__u64 hash = hash_seed;

	hash = mix(hash, source->half[1] ^ destination->half[1] >> 32);
	if (IS_V6(kind >> 8)) {
		hash = mix(hash, source->half[0]);
		hash = mix(hash, destination->half[0]);
		hash = mix(hash, destination->half[1]);
	}
	hash = mix(hash, (__u64)kind << 32 | ports);
	return mix(hash, 0); /* without it, homes get full ten times as often as by chance */
}

static __always_inline void hash_packet(struct packet *p)
{
	p->hash = hash_tuple(&p->source, &p->destination, PORTS(p, sport), KIND(p));
}

static __always_inline __u64 hash_forward(const struct conn *c)
{
	return hash_tuple(&c->client, &c->vaddr, PORTS(c, cport), KIND(c));
}

/* server_port is where the real server has the connection. */
static __always_inline __be16 server_port(const struct conn *c, const struct dest *d, __u64 state)
{
	return state & STATE_FLAG_OWN_PORT ? c->vport : d->port;
}

/* The tuple of a reply before it is translated: from the real server to the client. */
static __always_inline __u64 hash_reverse(const struct conn *c, const struct dest *d, __u64 state)
{
	return hash_tuple(&d->addr, &c->client, server_port(c, d, state) | (__u32)c->cport << 16, KIND(c));
}

static __always_inline __u64 slot_word(__u64 hash, __u32 index)
{
	return (hash & 0xffffffff00000000ull) | index;
}

static __always_inline struct conn *conn_at(__u32 index)
{
	return bpf_map_lookup_elem(&conns, &index);
}

static __always_inline struct dest *dest_at(__u32 slot)
{
	return bpf_map_lookup_elem(&dests, &slot);
}

static __always_inline struct bucket *bucket_at(__u64 hash, __u32 neighbour)
{
	__u32 key = ((__u32)hash & bucket_mask) ^ neighbour;

	return bpf_map_lookup_elem(&buckets, &key);
}

static __always_inline bool same_addr(const union addr *a, const union addr *b)
{
	return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

static __always_inline bool is_forward(const struct conn *c, const struct packet *p)
{
	return PORTS(c, cport) == PORTS(p, sport) && KIND(c) == KIND(p) &&
	       same_addr(&c->client, &p->source) && same_addr(&c->vaddr, &p->destination);
}

static __always_inline bool is_reverse(const struct conn *c, const struct packet *p)
{
	struct dest *d;

	if (c->cport != p->dport || KIND(c) != KIND(p) || !same_addr(&c->client, &p->destination))
		return false;
	d = dest_at(c->dest);
	return d && server_port(c, d, READ(c->state)) == p->sport && same_addr(&d->addr, &p->source);
}

static __always_inline bool in_use(__u64 state)
{
	return STATE_LIFE(state) == LIFE_LIVE || STATE_LIFE(state) == LIFE_NEW;
}

/* owner gives the entry of a slot's word if the packet belongs to it, else NULL. */
static __always_inline struct conn *owner(const struct packet *p, __u64 word)
{
	struct conn *c = conn_at(SLOT_INDEX(word));

	if (!c || !in_use(READ(c->state)))
		return NULL; /* ended, its slot not yet cleared */
	if ((__u32)word & SLOT_REVERSE ? is_reverse(c, p) : is_forward(c, p))
		return c;
	return NULL;
}

/* search gives the word of the slot that the packet belongs to, or 0: slot by slot, for find. */
__noinline __u64 search(const struct packet *p)
{
	if (!p)
		return 0; /* never so, but the verifier can't know */
	for (__u32 neighbour = 0; neighbour < 2; neighbour++) {
		struct bucket *b = bucket_at(p->hash, neighbour);

		if (!b)
			return 0;
		for (__u32 i = 0; i < BUCKET_SLOTS; i++) {
			__u64 word = READ(b->slot[i]);

			if (word >> 32 == p->hash >> 32 && owner(p, word) && READ(b->slot[i]) == word)
				return word;
		}
	}
	return 0;
}

/* The upper half of a slot's word, alone. */
static __always_inline __u32 signature_in(const struct bucket *b, __u32 i)
{
	return READ(((const pair32 *)&b->slot[i])[1]);
}

/* signed_by gives the first slot of a bucket with the signature, or BUCKET_SLOTS: in two instructions
 * a slot, as a home is looked through for each packet, and twice for a connection's first. */
static __always_inline __u32 signed_by(const struct bucket *b, __u32 signature)
{
#pragma unroll
	for (__u32 i = 0; i < BUCKET_SLOTS; i++)
		if (signature_in(b, i) == signature)
			return i;
	return BUCKET_SLOTS;
}

/* find gives the entry that the packet belongs to, or NULL; *slot is the lower half of its slot's word. */
static __always_inline struct conn *find(const struct packet *p, __u32 *slot)
{
	struct conn *c = NULL;
	__u64 word = 0;

	for (__u32 neighbour = 0; neighbour < 2; neighbour++) {
		struct bucket *b = bucket_at(p->hash, neighbour);
		__u32 i = b ? signed_by(b, p->hash >> 32) : BUCKET_SLOTS;

		if (!b || i == BUCKET_SLOTS)
			continue;
		word = READ(b->slot[i]);
		c = owner(p, word);
		if (c && READ(b->slot[i]) == word)
			break;
		/* Another connection with this signature, or one that is being ended or replaced. */
		word = search(p);
		c = word ? conn_at(SLOT_INDEX(word)) : NULL;
		break;
	}
	MERGE(c);
	MERGE(word);
	*slot = word;
	return c;
}

/* take gives the index of a free entry in state FREE, or 0 when there is none. */
static __always_inline __u32 take(void)
{
	__u32 zero = 0;
	struct pool *pl = bpf_map_lookup_elem(&pool, &zero);

	if (!pl)
		return 0;
	for (int try = 0; try < 32; try++) {
		__u64 head = READ(pl->head);
		__u32 index = (__u32)head;
		struct conn *c;
		__u64 next;

		if (!index)
			break;
		c = conn_at(index);
		if (!c)
			return 0;
		/* Stale if somebody else takes it now; then the tag has changed and the swap fails. */
		next = ((head >> 32) + 1) << 32 | READ(c->dest);
		if (__sync_val_compare_and_swap(&pl->head, head, next) == head) {
			__sync_fetch_and_add(&pl->live, 1);
			return index;
		}
	}
	if (READ(pl->fresh) < conn_capacity) {
		__u32 index = __sync_fetch_and_add(&pl->fresh, 1) + 1;

		if (index <= conn_capacity) {
			__sync_fetch_and_add(&pl->live, 1);
			return index;
		}
		__sync_fetch_and_add(&pl->fresh, -1);
	}
	return 0;
}

/* give puts a RESTING entry back among the free. The sweep alone calls it. */
static __always_inline void give(struct conn *c, __u32 index)
{
	__u32 zero = 0;
	struct pool *pl = bpf_map_lookup_elem(&pool, &zero);

	if (!pl)
		return;
	/* The other side only takes: that many of its wins in a row, with none of ours, is not
	 * seen; and if it were, the entry stays RESTING and the next sweep tries again. */
	for (int try = 0; try < 64; try++) {
		__u64 head = READ(pl->head);

		WRITE(c->dest, (__u32)head);
		WRITE(c->state, (READ(c->state) & ~(STATE_GENERATION - 1)) + STATE_GENERATION);
		if (__sync_val_compare_and_swap(&pl->head, head,
						(head & 0xffffffff00000000ull) | index) == head) {
			__sync_fetch_and_add(&pl->live, -1);
			return;
		}
		WRITE(c->state, READ(c->state) | (__u64)LIFE_RESTING << STATE_LIFE_SHIFT);
	}
}

/* publish puts word into an empty slot of the hash's home: its position 0..15, or -1 if full. */
static __always_inline int publish(__u64 hash, __u64 word)
{
	for (__u32 neighbour = 0; neighbour < 2; neighbour++) {
		struct bucket *b = bucket_at(hash, neighbour);

		if (!b)
			return -1;
		for (__u32 i = 0; i < BUCKET_SLOTS; i++)
			if (!READ(b->slot[i]) && !__sync_val_compare_and_swap(&b->slot[i], 0, word))
				return neighbour * BUCKET_SLOTS + i;
	}
	return -1;
}

/* retract removes word from the hash's home. */
static __always_inline void retract(__u64 hash, __u64 word)
{
	for (__u32 neighbour = 0; neighbour < 2; neighbour++) {
		struct bucket *b = bucket_at(hash, neighbour);

		if (!b)
			return;
		for (__u32 i = 0; i < BUCKET_SLOTS; i++)
			if (READ(b->slot[i]) == word &&
			    __sync_val_compare_and_swap(&b->slot[i], word, 0) == word)
				return;
	}
}

static __always_inline __u64 with_life(__u64 state, enum life life)
{
	return (state & ~(7ull << STATE_LIFE_SHIFT)) | (__u64)life << STATE_LIFE_SHIFT;
}

static __always_inline bool expired(const struct conn *c, __u64 state, __u32 now)
{
	__s32 idle = now - READ(c->seen);

	return idle > 0 && (__u64)idle >= STATE_TIMEOUT(state) * 1000;
}

static __always_inline void count_persistent(__u32 slot, __u64 change)
{
	__u64 *n = bpf_map_lookup_elem(&dest_persistent, &slot);

	if (n)
		__sync_fetch_and_add(n, change);
}

/* count_conns changes a server's numbers, and then tells its service's scheduler. */
static __always_inline void count_conns(__u32 slot, __u64 change)
{
	struct dest_conns *n = bpf_map_lookup_elem(&dest_conns, &slot);
	struct dest *d = dest_at(slot);
	__u64 *dirty, bit, before;
	__u32 service;

	if (!n || !d)
		return;
	before = __sync_fetch_and_add(&n->word, change);
	MERGE(before); /* an add whose result is used is a full barrier */
	if (READ(d->upper) || before & CONNS_OVERLOAD)
		judge(n, d, before, before + change);
	service = READ(d->service);
	dirty = bpf_map_lookup_elem(&dirty_groups, &service);
	bit = 1ull << (READ(d->group) % GROUPS);
	if (dirty && !(READ(*dirty) & bit))
		__sync_fetch_and_or(dirty, bit);
}

/* controller_of gives the template that a connection belongs to, if it is still that. */
static __always_inline struct conn *controller_of(__u32 index)
{
	struct controller *owner = bpf_map_lookup_elem(&controllers, &index);
	struct conn *t = owner ? conn_at(READ(owner->index)) : NULL;

	if (!t || READ(t->state) >> STATE_GENERATION_SHIFT != READ(owner->generation))
		return NULL;
	return t;
}

/* count_end takes a connection, or a template, from its server's numbers. */
static __always_inline void count_end(const struct conn *c, __u32 index, __u32 slot, __u64 state)
{
	struct conn *t;

	if (c->family & FAMILY_TEMPLATE) {
		count_persistent(slot, -1);
		return;
	}
	count_conns(slot, state & STATE_FLAG_INACTIVE ? -CONNS_INACTIVE : -CONNS_ACTIVE);
	if (!(state & STATE_FLAG_CONTROLLED))
		return;
	t = controller_of(index);
	if (t)
		__sync_fetch_and_add(&t->hop, -CONTROLLED_ONE - (state & STATE_FLAG_INACTIVE ? 0 : CONTROLLED_ACTIVE));
}

/* expire ends a LIVE connection or template: whoever swaps its state first removes it and moves the
 * counters. Returns 1 if that was this call. */
__noinline int expire(__u32 index)
{
	struct conn *c = conn_at(index);
	__u64 state, forward, reverse;
	struct dest *d;
	__u32 slot;

	if (!c)
		return 0;
	state = READ(c->state);
	if (STATE_LIFE(state) != LIFE_LIVE)
		return 0;
	/* Read before the swap: if our CPU is taken away behind it, the entry may be another's then. */
	slot = READ(c->dest);
	d = dest_at(slot);
	forward = hash_forward(c);
	reverse = d ? hash_reverse(c, d, state) : 0;
	if (__sync_val_compare_and_swap(&c->state, state, with_life(state, LIFE_DEAD)) != state)
		return 0;
	retract(forward, slot_word(forward, index));
	if (STATE_FORWARD(state) == FORWARD_MASQ)
		retract(reverse, slot_word(reverse, index | SLOT_REVERSE));
	count_half_open(state, 0);
	count_end(c, index, slot, state);
	return 1;
}
