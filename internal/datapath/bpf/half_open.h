/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Half-open connections: a SYN was seen, and nothing more. Anybody can make them with forged addresses, so
 * they have a share of the table and no more (half_open_max); how many there are is counted where a
 * connection's state changes, never for its other packets. */
#pragma once

#include "maps.h"

/* Of UDP and of templates no state is one of these. */
static __always_inline bool is_half_open(__u64 state)
{
	return (state & STATE_MASK) == TCP_SYN_RECV || (state & STATE_MASK) == TCP_SYNACK;
}

/* count_half_open counts a change of state; 0 is that of no connection. */
static __always_inline void count_half_open(__u64 before, __u64 after)
{
	__u32 change = (__u32)is_half_open(after) - (__u32)is_half_open(before);
	__u32 zero = 0;
	struct pool *pl;

	if (!change)
		return;
	pl = bpf_map_lookup_elem(&pool, &zero);
	if (pl)
		__sync_fetch_and_add(&pl->half_open, change);
}

/* is_crowded tells whether they have their share. Of CPUs that ask at once each may add one. */
static __always_inline bool is_crowded(const struct control *k)
{
	__u32 zero = 0;
	struct pool *pl = bpf_map_lookup_elem(&pool, &zero);
	__u32 percent = tuned(k, TUNE_HALF_OPEN_MAX);
	__u64 share = (__u64)conn_capacity * percent / 100;

	return pl && percent < 100 && (__s32)READ(pl->half_open) >= (__s64)share;
}

/* has_spare tells whether a quarter of the table is free. One that gives its place leaves an entry that rests
 * for seconds: a flood of such would take all that is free. */
static __always_inline bool has_spare(void)
{
	__u32 zero = 0;
	struct pool *pl = bpf_map_lookup_elem(&pool, &zero);

	return pl && READ(pl->live) < conn_capacity - conn_capacity / 4;
}

/* gives_way tells what ends to make room: half-open connections, and templates of clients that never
 * finished a handshake. An established connection never gives way to a SYN. */
static __always_inline bool gives_way(const struct conn *c, __u64 state)
{
	if (STATE_LIFE(state) != LIFE_LIVE)
		return false;
	if (c->family & FAMILY_TEMPLATE)
		return !(state & STATE_ASSURED) && !CONTROLLED(READ(c->hop));
	return is_half_open(state);
}
