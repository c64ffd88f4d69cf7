/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Thresholds: a server that has reached its upper one (-x) takes no new connections until it has fewer than
 * the lower one (-y), or without that than three quarters of the upper. Active and inactive ones count. */
#pragma once

#include "maps.h"

static __always_inline __u64 total_conns(__u64 word)
{
	return (__u64)ACTIVE_CONNS(word) + INACTIVE_CONNS(word);
}

/* judge sets or clears a server's overload after a change of its connections, from before to after. */
static __always_inline void judge(struct dest_conns *n, const struct dest *d, __u64 before,
				  __u64 after)
{
	__u32 upper = READ(d->upper), lower = READ(d->lower);
	__u64 total = total_conns(after);

	if (total > total_conns(before)) {
		if (upper && total >= upper && !(before & CONNS_OVERLOAD))
			__sync_fetch_and_or(&n->word, CONNS_OVERLOAD);
		return;
	}
	if (total == total_conns(before) || !(before & CONNS_OVERLOAD))
		return;
	if (lower ? total < lower : total * 4 < (__u64)upper * 3 || !upper)
		__sync_fetch_and_and(&n->word, ~CONNS_OVERLOAD);
}

/* is_overloaded tells of a server whether it is at its threshold. */
static __always_inline bool is_overloaded(__u32 slot)
{
	struct dest_conns *n = bpf_map_lookup_elem(&dest_conns, &slot);

	return n && READ(n->word) & CONNS_OVERLOAD;
}
