/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The counters that ipvsadm --stats prints, at the server; a service's are their sum (see
 * struct service, carried). */
#pragma once

#include "maps.h"

static __always_inline struct stats *stats_of(__u32 slot)
{
	return bpf_map_lookup_elem(&dest_stats, &slot);
}

static __always_inline void count_in(__u32 slot, __u32 bytes)
{
	struct stats *s = stats_of(slot);

	if (!s)
		return;
	s->in_packets++;
	s->in_bytes += bytes;
}

/* count_out counts what a server sends; as by ip_vs, not while it is deleted. */
static __always_inline void count_out(const struct dest *d, __u32 slot, __u32 bytes)
{
	struct stats *s = stats_of(slot);

	if (!s || !(d->flags & DEST_AVAILABLE))
		return;
	s->out_packets++;
	s->out_bytes += bytes;
}

static __always_inline void count_new(__u32 slot)
{
	struct stats *s = stats_of(slot);

	if (s)
		s->conns++;
}
