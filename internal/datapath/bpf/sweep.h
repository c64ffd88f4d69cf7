/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The timer: it keeps the clock and ends connections whose time is up, a bounded slice of the table
 * at a time, with no process of ours alive. */
#pragma once

#include "defence.h"
#include "rate.h"
#include "table.h"

#define CLOCK_MONOTONIC 1
#define SLICE 1024           /* entries looked at in one callback, and */
#define SLICE_ENDED 256      /* how many of them may end: each costs two or three cache misses */
#define TICK_LONGEST 25      /* ms */
#define PASS 2000            /* ms that a pass over the used part of the table should take */
#define RESTING_TIME 1000    /* ms */
#define OVERFLOW_TIME 60000  /* ms: so long there may be connections without entries */
#define NS_PER_MS 1000000ull
#define NS_PER_SECOND 1000000000ull
#define TEMPLATE_STEP 60     /* seconds */

/* prolong lets a template live on for a minute, as connections belong to it. That is its timeout from
 * then on, as with ip_vs. */
static __always_inline int prolong(struct conn *c, __u64 state, __u32 now)
{
	__u64 word = state & ~(0xffffffull << STATE_TIMEOUT_SHIFT);

	word |= (__u64)TEMPLATE_STEP << STATE_TIMEOUT_SHIFT;
	WRITE(c->seen, now);
	__sync_val_compare_and_swap(&c->state, state, word);
	return 0;
}

static __always_inline bool keeps_connections(const struct conn *c)
{
	return c->family & FAMILY_TEMPLATE && CONTROLLED(READ(c->hop));
}

/* has_lost_server tells of what ends, with expire_nodest_conn, when its server is deleted; a template after its
 * connections. */
static __always_inline bool has_lost_server(const struct conn *c)
{
	struct dest *d = dest_at(READ(c->dest));

	return d && !(READ(d->flags) & DEST_AVAILABLE) && !keeps_connections(c);
}

/* sweep_entry moves one entry on in its life, and returns 1 if it ended a connection. A function of its
 * own, verified once. */
__noinline int sweep_entry(__u32 index, __u32 now, __u32 turn, __u32 nodest)
{
	struct conn *c = conn_at(index);
	__u64 state;

	if (!c)
		return 0;
	state = READ(c->state);
	switch (STATE_LIFE(state)) {
	case LIFE_LIVE:
		if (is_dropped_entry(c, state, index, turn))
			return expire(index);
		if (nodest && has_lost_server(c))
			return expire(index);
		if (!expired(c, state, now))
			return 0;
		return keeps_connections(c) ? prolong(c, state, now) : expire(index);
	case LIFE_DEAD:
		WRITE(c->seen, now);
		WRITE(c->state, with_life(state, LIFE_RESTING));
		break;
	case LIFE_RESTING:
		if (now - READ(c->seen) >= RESTING_TIME)
			give(c, index);
		break;
	}
	return 0;
}

/* sweep_slice sweeps the next entries, and gives the time until the next slice is due, in ms. */
static __always_inline __u32 sweep_slice(struct sweep *k, const struct control *c, __u32 now)
{
	__u32 zero = 0;
	struct pool *pl = bpf_map_lookup_elem(&pool, &zero);
	__u32 used, index, ended = 0, wait, turn, nodest;

	if (!pl)
		return TICK_LONGEST;
	used = READ(pl->fresh);
	index = k->cursor;
	turn = drop_turn(c, k->passes);
	nodest = tuned(c, TUNE_EXPIRE_NODEST_CONN);
	for (__u32 i = 0; i < SLICE; i++) {
		if (++index > used) {
			index = 0;
			k->passes++;
			break;
		}
		ended += sweep_entry(index, now, turn, nodest) & 1;
		if (ended >= SLICE_ENDED)
			break;
	}
	k->cursor = index;
	if (ended >= SLICE_ENDED)
		return 1;
	wait = PASS / (used / SLICE + 1);
	return wait > TICK_LONGEST ? TICK_LONGEST : wait ?: 1;
}

/* tick is one turn of the timer: ms until the next. */
static __always_inline __u32 tick(__u32 now)
{
	__u32 zero = 0;
	struct sweep *k = bpf_map_lookup_elem(&sweeps, &zero);
	struct control *c = control();

	if (!k || !c)
		return TICK_LONGEST;
	WRITE(c->now, now);
	WRITE(c->second, bpf_ktime_get_ns() / NS_PER_SECOND);
	if (READ(c->overflow) && now - READ(c->overflow) > OVERFLOW_TIME)
		WRITE(c->overflow, 0);
	k->ticks++;
	estimate_some(k, c, now);
	if (now - k->judged >= JUDGE_INTERVAL) {
		judge_defences(c);
		k->judged = now;
	}
	return sweep_slice(k, c, now);
}

static int on_timer(void *map, __u32 *key, struct timer_value *v)
{
	__u64 begin = bpf_ktime_get_ns();
	__u32 wait = tick(begin / NS_PER_MS);
	struct sweep *k = bpf_map_lookup_elem(&sweeps, key);
	__u64 took = bpf_ktime_get_ns() - begin;

	if (k && took > k->longest)
		k->longest = took;
	bpf_timer_start(&v->timer, wait * NS_PER_MS, 0);
	return 0;
}
