/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The schedulers, exactly as ip_vs picks: list order is the newest server first, ties go to list
 * order, a weight of 0 takes nothing. Package schedule has the slow models of the same. */
#pragma once

#include "stages.h"

#define NO_SERVER 0 /* slot 0 is nobody's */

/* All ones if x < 0, else 0: without a branch, which the compiler would else make of it. */
#define IF_NEGATIVE(x)                          \
	({                                      \
		__s64 sign = (x);               \
		asm volatile("" : "+r"(sign)); \
		sign >>= 63;                    \
		asm volatile("" : "+r"(sign)); \
		sign;                           \
	})

static __always_inline struct block_head *block_head(const struct service *s)
{
	__u32 key = s->block;

	return bpf_map_lookup_elem(&blocks, &key);
}

/* element i of the words that begin at a chunk; 0 outside of the map: no server, no weight. */
static __always_inline __u64 element(__u32 first, __u32 i)
{
	__u32 key = first + i / CHUNK_WORDS;
	struct chunk *c = bpf_map_lookup_elem(&blocks, &key);

	return c ? READ(c->word[i % CHUNK_WORDS]) : 0;
}

/* next_in_list walks on from the cursor for a weight of at least the current one, which falls by a
 * step at each end of the list and starts again at the largest: wrr. rr is the same with 1 for both.
 * Two passes always find one, as the largest weight is never below max_weight. Returns the cursor
 * after it, or 0.
 *
 * Without branches but the last: each one costs the verifier a pending state in each round. */
__noinline __u64 next_in_list(__u32 block, __u64 cursor)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);
	__s64 weight = cursor >> 32;
	__u32 i = (__u32)cursor;

	if (!head || !READ(head->max_weight))
		return 0;
	for (__u32 round = 0; round < 2 * MAX_SERVERS + 2; round++, i++) {
		/* All ones: i is in the list. A read of unknown value each round, so that the
		 * verifier does not follow each length by itself. */
		__s64 inside = IF_NEGATIVE((__s64)i - READ(head->servers));
		__s64 used_up;
		struct chunk *c;
		__u32 key;

		i &= inside;
		weight -= READ(head->step) & ~inside;
		used_up = IF_NEGATIVE(weight - 1);
		weight = (weight & ~used_up) | (READ(head->max_weight) & used_up);
		key = block + 1 + i / CHUNK_WORDS;
		c = bpf_map_lookup_elem(&blocks, &key);
		if (!c)
			return 0;
		if (ELEMENT_WEIGHT(READ(c->word[i % CHUNK_WORDS])) >= (__u64)weight)
			return (__u64)weight << 32 | (i + 1);
	}
	return 0;
}

/* pick_walk is rr and wrr: who swaps the cursor has picked. On the rare loss to other CPUs for the
 * third time it takes what it found: two connections then go to one server. */
static __always_inline __u32 pick_walk(const struct service *s)
{
	struct block_head *head = block_head(s);
	__u64 cursor = 0;

	if (!head)
		return NO_SERVER;
	for (int try = 0; try < 3; try++) {
		__u64 old = READ(head->cursor);

		cursor = next_in_list(s->block, old);
		if (!cursor || __sync_val_compare_and_swap(&head->cursor, old, cursor) == old)
			break;
	}
	return cursor ? ELEMENT_SLOT(element(s->block + 1, (__u32)cursor - 1)) : NO_SERVER;
}

static __always_inline struct minimum *minimum_of(__u32 block, const struct block_head *head,
						   __u32 group)
{
	__u32 key = block + head->table + group / CHUNK_MINIMA;
	struct minima *m = bpf_map_lookup_elem(&blocks, &key);

	return m ? &m->of[group % CHUNK_MINIMA] : NULL;
}

/* less tells whether a costs less than b for its weight: cost / weight, by cross-multiplication. A
 * weight of 0 is never less (cost * w < 0), and any other is less than none: cost 1, weight 0. */
static __always_inline bool less(__u64 cost_a, __u64 weight_a, __u64 cost_b, __u64 weight_b)
{
	return cost_a * weight_b < cost_b * weight_a;
}

/* A candidate: a server, and what it costs. */
struct candidate {
	__u64 cost;
	__u64 element; /* as in the list */
};

/* none is the candidate that any server beats. It is read from the head, so that the verifier takes it
 * for unknown from the beginning, and finds each round to be like the one before. */
static __always_inline struct candidate none(const struct block_head *head)
{
	return (struct candidate){ READ(head->none_cost), READ(head->none) };
}

static __always_inline struct candidate better(struct candidate best, struct candidate other)
{
	if (less(other.cost, ELEMENT_WEIGHT(other.element), best.cost, ELEMENT_WEIGHT(best.element)))
		return other;
	return best;
}

static __always_inline __u64 cost_of(const struct block_head *head, __u64 conns)
{
	if (head->idle_first && !(__u32)conns)
		return 0;
	return (__u64)(__u32)conns * head->active_cost + (conns >> 32) * head->inactive_cost +
	       head->base_cost;
}

/* look_at_group finds the best server of a group anew; the first of equal ones, as in the list. Behind the
 * last server there are elements of weight 0. */
__noinline int look_at_group(__u32 block, __u32 group)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);
	__u32 key = block + 1 + group * (GROUP_SERVERS / CHUNK_WORDS);
	struct candidate best;
	struct minimum *m;

	if (!head)
		return 0;
	m = minimum_of(block, head, group);
	if (!m)
		return 0;
	best = none(head);
	for (__u32 half = 0; half < GROUP_SERVERS / CHUNK_WORDS; half++, key++) {
		struct chunk *c = bpf_map_lookup_elem(&blocks, &key);

		if (!c)
			return 0;
		for (__u32 i = 0; i < CHUNK_WORDS; i++) {
			__u64 e = READ(c->word[i]);
			__u32 slot = ELEMENT_SLOT(e);
			struct dest_conns *n = bpf_map_lookup_elem(&dest_conns, &slot);

			if (!n)
				return 0;
			best = better(best, (struct candidate){ cost_of(head, READ(n->word)), e });
		}
	}
	WRITE(m->cost, best.cost);
	WRITE(m->element, best.element);
	return 1;
}

/* look_at_dirty looks at the groups whose bits are set. */
static __always_inline void look_at_dirty(__u32 block, const struct block_head *head, __u64 dirty)
{
	for (__u32 group = 0; group < GROUPS && dirty >> group; group++) {
		if (group * GROUP_SERVERS >= READ(head->servers))
			break;
		if (dirty >> group & 1)
			look_at_group(block, group);
	}
}

/* least_of_groups compares the groups' best. */
static __always_inline __u32 least_of_groups(__u32 block, const struct block_head *head)
{
	__u32 servers = READ(head->servers);
	__u32 key = block + head->table;
	struct candidate best = none(head);

	for (__u32 group = 0; group < GROUPS; group += CHUNK_MINIMA, key++) {
		struct minima *m = bpf_map_lookup_elem(&blocks, &key);

		if (!m || group * GROUP_SERVERS >= servers)
			break;
		/* A chunk's minima that are of no group are none's. */
		for (__u32 i = 0; i < CHUNK_MINIMA; i++)
			best = better(best, (struct candidate){ READ(m->of[i].cost),
								READ(m->of[i].element) });
	}
	return ELEMENT_SLOT(best.element);
}

/* pick_least is lc, wlc, sed and nq. A list that was swapped in has no minima until its bits are set,
 * a moment later: then all groups are looked at. */
static __always_inline __u32 pick_least(const struct service *s)
{
	struct block_head *head = block_head(s);
	__u32 id = s->id;
	__u64 *dirty = bpf_map_lookup_elem(&dirty_groups, &id);
	__u32 slot;

	if (!head || !dirty || !READ(head->max_weight))
		return NO_SERVER;
	if (READ(*dirty))
		look_at_dirty(s->block, head, __sync_lock_test_and_set(dirty, 0));
	slot = least_of_groups(s->block, head);
	if (slot)
		return slot;
	look_at_dirty(s->block, head, ~0ull);
	return least_of_groups(s->block, head);
}

/* Multiplicative hash of the address, IPv6 folded by xor, as ip_vs's hash_32(v, 8). */
static __always_inline __u32 hash_address(const union addr *a, __u8 family, __u16 port)
{
	__u32 v = bpf_ntohl(a->word[3]);

	if (family == FAMILY_V6)
		v ^= bpf_ntohl(a->word[0] ^ a->word[1] ^ a->word[2]);
	return (v + port) * 0x61c88647u >> 24;
}

/* pick_table is sh and dh: a bucket of the table that was built with the list. */
static __always_inline __u32 pick_table(const struct service *s, const struct packet *p)
{
	struct block_head *head = block_head(s);
	__u32 hash, table;
	__u64 e;

	if (!head || !head->table)
		return NO_SERVER;
	table = s->block + head->table;
	if (s->scheduler == SCHED_DH)
		hash = hash_address(&p->destination, p->family, 0);
	else
		hash = hash_address(&p->source, p->family,
				    s->flags & SERVICE_SH_PORT ? bpf_ntohs(p->sport) : 0);
	e = element(table, hash);
	if (ELEMENT_WEIGHT(e))
		return ELEMENT_SLOT(e);
	if (s->scheduler != SCHED_SH || !(s->flags & SERVICE_SH_FALLBACK))
		return NO_SERVER;
	/* The probe adds the hash twice, as ip_vs does: once as the start, once as the offset. */
	for (__u32 i = 0; i < HASH_BUCKETS; i++) {
		e = element(table, ((i + hash) % HASH_BUCKETS + hash) % HASH_BUCKETS);
		if (ELEMENT_WEIGHT(e))
			return ELEMENT_SLOT(e);
	}
	return NO_SERVER;
}
