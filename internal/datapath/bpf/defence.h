/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* ip_vs's defences (drop_entry, drop_packet, secure_tcp), judged by the timer each second. In each, mode 1
 * waits until memory is scarce and becomes mode 2, which goes back to 1 when it is not; 3 is always on. What
 * ip_vs counts in pages of memory are here entries of the connection table: the free ones, against
 * amemthresh. */
#pragma once

#include "half_open.h"

#define JUDGE_INTERVAL 1000 /* ms */
#define DROP_TURNS 16       /* so many passes over the table, of two seconds each, until all had their turn */

/* is_on gives what a mode comes to, and moves it between 1 and 2. */
static __always_inline bool is_on(struct control *c, enum tune tune, bool scarce)
{
	__u32 mode = tuned(c, tune);

	if (mode == 1 && scarce)
		__sync_val_compare_and_swap(&c->tune[tune], 1, 2);
	if (mode == 2 && !scarce)
		__sync_val_compare_and_swap(&c->tune[tune], 2, 1);
	return mode == 3 || (mode && scarce);
}

/* drop_rate_of gives which of the new connections are dropped: the more, the less is free. */
static __always_inline __u32 drop_rate_of(struct control *c, __u32 threshold, __u32 available)
{
	bool scarce = available < threshold;

	if (!is_on(c, TUNE_DROP_PACKET, scarce))
		return 0;
	if (tuned(c, TUNE_DROP_PACKET) == 3)
		return tuned(c, TUNE_AM_DROPRATE);
	return threshold / ((threshold - available) ?: 1);
}

__noinline int judge_defences(struct control *c)
{
	__u32 zero = 0, available, threshold, defence = 0;
	struct pool *pl = bpf_map_lookup_elem(&pool, &zero);
	bool scarce;

	if (!pl || !c)
		return 0;
	available = READ(pl->live) < conn_capacity ? conn_capacity - (__u32)READ(pl->live) : 0;
	threshold = tuned(c, TUNE_AMEMTHRESH);
	scarce = available < threshold;
	if (is_on(c, TUNE_DROP_ENTRY, scarce))
		defence |= DEFENCE_ENTRIES;
	if (is_on(c, TUNE_SECURE_TCP, scarce))
		defence |= DEFENCE_STATES;
	WRITE(c->defence, defence);
	WRITE(c->drop_rate, drop_rate_of(c, threshold, available));
	return 0;
}

/* drop_turn gives whose turn it is in a pass over the table, 0 if drop_entry is off: each second about 1/32
 * of the entries have theirs, as with ip_vs. */
static __always_inline __u32 drop_turn(const struct control *c, __u64 pass)
{
	return READ(c->defence) & DEFENCE_ENTRIES ? 1 + pass % DROP_TURNS : 0;
}

static __always_inline bool is_dropped_entry(const struct conn *c, __u64 state, __u32 index, __u32 turn)
{
	return turn && index % DROP_TURNS + 1 == turn && gives_way(c, state);
}

/* is_dropped tells whether a new connection's packet is one of those that drop_packet drops. */
static __always_inline bool is_dropped(struct control *k)
{
	__u32 rate = READ(k->drop_rate);

	return rate && __sync_fetch_and_add(&k->drop_count, 1) % rate == rate - 1;
}
