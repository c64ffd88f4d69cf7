/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* twos: of two servers drawn at random, each as likely as its weight says, the less loaded one. */
#pragma once

#include "schedule.h"

/* share_of gives a random share of a sum of weights, 1 to all of it. */
static __always_inline __u64 share_of(__u64 sum, __u32 random)
{
	__u64 all = sum + 1;
	/* Bits from 32 on of all * random, which has more than 64. */
	__u64 share = (all >> 32) * random + ((all & 0xffffffff) * random >> 32);

	return share ?: 1; /* the same server, but never one of weight 0 before it */
}

/* walked goes through the servers that are not at their thresholds until their weights make up a share, and
 * gives the sum of those it went by and the element where it stopped. */
struct walked {
	__u64 sum;
	__u64 element; /* 0: all servers were not enough */
};

__noinline int walk_weights(__u32 block, __u64 share, struct walked *w)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);

	if (!head || !w)
		return 0;
	for (__u32 i = 0; i < MAX_SERVERS; i++) {
		__s64 weight;

		if (i >= READ(head->servers))
			break;
		weight = usable_weight(block, i);
		if (weight < 0)
			break;
		w->sum += weight;
		if (w->sum >= share) {
			w->element = element(block + 1, i);
			break;
		}
	}
	return 1;
}

/* drawn_within_limits is drawn where servers have thresholds, so that the sums change with every packet. */
static __always_inline __u64 drawn_within_limits(__u32 block, __u32 random)
{
	struct walked all = {}, w = {};

	walk_weights(block, ~0ull, &all);
	if (!all.sum)
		return 0;
	walk_weights(block, share_of(all.sum, random), &w);
	return w.element;
}

/* drawn gives the element at which a random share of all weights is used up, 0 to all of them.
 * Behind the list lie the sums of the weights, each server's with those before it; the first sum
 * that is not below the share is searched for in halves. */
static __always_inline __u64 drawn(__u32 block, const struct block_head *head, __u32 random)
{
	__u32 servers = READ(head->servers);
	__u32 sums = block + READ(head->table);
	__u64 share = share_of(element(sums, servers - 1), random);
	__u32 i = 0;

	for (__u32 step = MAX_SERVERS / 2; step; step /= 2) {
		/* All ones: there are that many, and all of them are below. */
		__s64 below = IF_NEGATIVE((__s64)i + step - 1 - servers) &
			      IF_NEGATIVE(element(sums, i + step - 1) - share);

		i += step & below;
	}
	return element(block + 1, i);
}

/* overhead is the load of wlc: an active connection counts as much as 256 inactive ones. */
static __always_inline __u64 overhead(__u32 slot)
{
	struct dest_conns *n = bpf_map_lookup_elem(&dest_conns, &slot);
	__u64 word = n ? READ(n->word) : 0;

	return ((__u64)ACTIVE_CONNS(word) << 8) + INACTIVE_CONNS(word);
}

/* less_loaded gives the slot for two random numbers. The second wins only with less overhead for
 * its weight. */
__noinline __u32 less_loaded(__u32 block, __u32 first, __u32 second)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);
	__u64 a, b;

	if (!head || !READ(head->max_weight))
		return NO_SERVER;
	if (READ(head->rule) & RULE_LIMITS) {
		a = drawn_within_limits(block, first);
		b = drawn_within_limits(block, second);
	} else {
		a = drawn(block, head, first);
		b = drawn(block, head, second);
	}
	if (less(overhead(ELEMENT_SLOT(b)), ELEMENT_WEIGHT(b),
		 overhead(ELEMENT_SLOT(a)), ELEMENT_WEIGHT(a)))
		return ELEMENT_SLOT(b);
	return ELEMENT_SLOT(a);
}

static __always_inline __u32 pick_two(const struct service *s)
{
	return less_loaded(s->block, bpf_get_prandom_u32(), bpf_get_prandom_u32());
}
