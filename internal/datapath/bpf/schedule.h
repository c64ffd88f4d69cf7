/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The schedulers, exactly as ip_vs picks: list order is the newest server first, ties go to list
 * order, a weight of 0 takes nothing. Package schedule has the slow models of the same. */
#pragma once

#include "limits.h"
#include "stages.h"

#define NO_SERVER 0 /* slot 0 is nobody's */

/* schedule hands a packet on to its service's scheduler. */
static __always_inline int schedule(struct xdp_md *ctx, const struct service *service)
{
	switch (service->scheduler) {
	case SCHED_RR:
	case SCHED_WRR:
		return hand_on(ctx, STAGE_WALK);
	case SCHED_SH:
	case SCHED_DH:
	case SCHED_MH:
		return hand_on(ctx, STAGE_TABLE);
	case SCHED_LBLC:
	case SCHED_LBLCR:
	case SCHED_TWOS:
		return hand_on(ctx, STAGE_RAND);
	default:
		return hand_on(ctx, STAGE_LEAST);
	}
}

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

/* takes tells whether the server of an element takes connections. */
static __always_inline bool takes(const struct block_head *head, __u64 e)
{
	return ELEMENT_WEIGHT(e) && !(READ(head->rule) & RULE_LIMITS && is_overloaded(ELEMENT_SLOT(e)));
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

/* usable_weight gives the weight of an element's server, 0 of one at its threshold, negative of none. Without
 * branches that go on, as in next_in_list. */
static __always_inline __s64 usable_weight(__u32 block, __u32 i)
{
	__u32 key = block + 1 + i / CHUNK_WORDS;
	struct chunk *c = bpf_map_lookup_elem(&blocks, &key);
	struct dest_conns *n;
	__u32 slot;
	__u64 e;

	if (!c)
		return -1;
	e = READ(c->word[i % CHUNK_WORDS]);
	slot = ELEMENT_SLOT(e);
	n = bpf_map_lookup_elem(&dest_conns, &slot);
	if (!n)
		return -1;
	return ELEMENT_WEIGHT(e) & ~IF_NEGATIVE(READ(n->word));
}

/* most_of gives the largest weight of a list's servers that are not at their threshold. */
__noinline __u64 most_of(__u32 block)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);
	__s64 most = 0;

	if (!head)
		return 0;
	for (__u32 i = 0; i < MAX_SERVERS; i++) {
		__s64 weight;

		if (i >= READ(head->servers))
			break;
		weight = usable_weight(block, i);
		if (weight < 0)
			break;
		most += (weight - most) & IF_NEGATIVE(most - weight);
	}
	return most;
}

/* next_from goes on in a list from i for a server of at least a weight that is not at its threshold.
 * Returns 1 + its position, or 0 at the end of the list. */
__noinline __u32 next_from(__u32 block, __u32 i, __u64 least)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);

	if (!head || !least)
		return 0;
	for (__u32 n = 0; n < MAX_SERVERS; n++, i++) {
		__s64 weight;

		if (i >= READ(head->servers))
			break;
		weight = usable_weight(block, i);
		if (weight < 0)
			break;
		if ((__u64)weight >= least)
			return i + 1;
	}
	return 0;
}

/* fitting lowers a weight by steps to what a server has; 0 and less: there is none down there. */
static __always_inline __s64 fitting(__s64 weight, __s64 step, __s64 most)
{
	return weight > most ? weight - (__s64)((__u64)(weight - most + step - 1) / (__u64)step * step) : weight;
}

/* next_within_limits is next_in_list where servers have thresholds: the current weight may have to fall by
 * more than a step until a server has it. If all are at theirs it gives a cursor without a position, or 0 to
 * leave the cursor alone: ip_vs goes to the head of the list, unless it was in a round's last pass. */
__noinline __u64 next_within_limits(__u32 block, __u64 cursor)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);
	__s64 weight = cursor >> 32;
	__u32 step, most, highest, found;

	if (!head)
		return 0;
	highest = READ(head->max_weight);
	step = READ(head->step);
	if (!highest || !step)
		return 0;
	found = next_from(block, (__u32)cursor, weight);
	if (found)
		return (__u64)weight << 32 | found;
	most = most_of(block);
	if (!most)
		return (__u32)cursor && weight <= step ? 0 : (__u64)highest << 32;
	weight = fitting(weight - step, step, most);
	if (weight <= 0)
		weight = fitting(highest, step, most);
	return (__u64)weight << 32 | next_from(block, 0, weight);
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

		if (READ(head->rule) & RULE_LIMITS)
			cursor = next_within_limits(s->block, old);
		else
			cursor = next_in_list(s->block, old);
		if (!cursor || __sync_val_compare_and_swap(&head->cursor, old, cursor) == old)
			break;
	}
	return (__u32)cursor ? ELEMENT_SLOT(element(s->block + 1, (__u32)cursor - 1)) : NO_SERVER;
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

/* better gives the other candidate if that is less for this weight: of equal ones, the first. */
static __always_inline struct candidate better(struct candidate best, struct candidate other,
					       __u64 weight)
{
	return less(other.cost, weight, best.cost, ELEMENT_WEIGHT(best.element)) ? other : best;
}

static __always_inline __u64 cost_of(const struct block_head *head, __u32 rule, __u64 conns)
{
	if (rule & RULE_IDLE_FIRST && !(__u32)conns)
		return 0;
	return (__u64)(__u32)conns * head->active_cost + INACTIVE_CONNS(conns) * head->inactive_cost +
	       head->base_cost;
}

static __always_inline void note_slack(struct block_head *head, __u32 group, __u64 any)
{
	__u64 bit = 1ull << (group % GROUPS);

	if (any)
		__sync_fetch_and_or(&head->slack, bit);
	else
		__sync_fetch_and_and(&head->slack, ~bit);
}

/* look_at_group finds the best server of a group anew; the first of equal ones, as in the list. Behind the
 * last server there are elements of weight 0. */
__noinline int look_at_group(__u32 block, __u32 group)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);
	__u32 key = block + 1 + group * (GROUP_SERVERS / CHUNK_WORDS);
	struct candidate best;
	struct minimum *m;
	__u64 slack = 0;
	__u32 rule;

	if (!head)
		return 0;
	rule = READ(head->rule);
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
			__u64 conns, weight = ELEMENT_WEIGHT(e);

			if (!n)
				return 0;
			conns = READ(n->word);
			if (rule & RULE_SLACK)
				slack |= IF_NEGATIVE(2 * (__u64)(__u32)conns - weight);
			weight &= ~IF_NEGATIVE(conns); /* CONNS_OVERLOAD */
			if (rule & RULE_OVERFLOW)
				weight &= ~IF_NEGATIVE(weight - (__u32)conns);
			best = better(best, (struct candidate){ cost_of(head, rule, conns), e }, weight);
		}
	}
	WRITE(m->cost, best.cost);
	WRITE(m->element, best.element);
	if (rule & RULE_SLACK)
		note_slack(head, group, slack);
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
			best = better(best,
				      (struct candidate){ READ(m->of[i].cost), READ(m->of[i].element) },
				      ELEMENT_WEIGHT(READ(m->of[i].element)));
	}
	return ELEMENT_SLOT(best.element);
}

/* catch_up looks at what has changed since the last time. */
static __always_inline void catch_up(__u32 block, const struct block_head *head, __u32 id)
{
	__u64 *dirty = bpf_map_lookup_elem(&dirty_groups, &id);

	if (dirty && READ(*dirty))
		look_at_dirty(block, head, __sync_lock_test_and_set(dirty, 0));
}

/* least_of is lc, wlc, sed, nq, fo and ovf: the slot that costs least, of a block, by the service's
 * number. A list that was swapped in has no minima until its bits are set, a moment later: then all
 * groups are looked at. */
__noinline __u32 least_of(__u32 block, __u32 id)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);
	__u32 slot;

	if (!head || !READ(head->max_weight))
		return NO_SERVER;
	catch_up(block, head, id);
	slot = least_of_groups(block, head);
	if (slot)
		return slot;
	look_at_dirty(block, head, ~0ull);
	return least_of_groups(block, head);
}

static __always_inline __u32 pick_least(const struct service *s)
{
	return least_of(s->block, s->id);
}
