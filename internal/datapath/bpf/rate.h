/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The rates that ipvsadm --rate prints, estimated by the timer as ip_vs does: every two seconds the
 * average moves a quarter of the way to what was counted since. A service's is the sum of its servers'. */
#pragma once

#include "maps.h"

#define RATE_INTERVAL 2000 /* ms */
#define RATE_SLOTS 128     /* servers looked at in one callback */
#define MAX_CPUS 512

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct rates);
} dest_rates SEC(".maps"); /* the timer */

static __always_inline void add_stats(struct stats *to, const struct stats *s)
{
	to->conns += s->conns;
	to->in_packets += s->in_packets;
	to->out_packets += s->out_packets;
	to->in_bytes += s->in_bytes;
	to->out_bytes += s->out_bytes;
}

/* toward moves an average a quarter of the way to the rate of so many in so many ms. */
static __always_inline __u64 toward(__u64 average, __u64 counted, __u32 elapsed)
{
	__u64 rate = (counted << RATE_SHIFT) * 1000 / elapsed;

	return average + (((__s64)(rate - average)) >> 2);
}

/* estimate brings a server's rates up to date, if it is time. */
__noinline int estimate(__u32 slot, __u32 now)
{
	struct rates *r = bpf_map_lookup_elem(&dest_rates, &slot);
	struct stats total = {};
	__u32 elapsed;

	if (!r)
		return 0;
	elapsed = now - r->stamp;
	if (elapsed < RATE_INTERVAL)
		return 0;
	for (__u32 cpu = 0; cpu < MAX_CPUS; cpu++) {
		struct stats *s = bpf_map_lookup_percpu_elem(&dest_stats, &slot, cpu);

		if (!s)
			break;
		add_stats(&total, s);
	}
	/* The first look only begins; as does one after a long time. */
	if (r->stamp && elapsed < 16 * RATE_INTERVAL) {
		r->average.conns = toward(r->average.conns, total.conns - r->last.conns, elapsed);
		r->average.in_packets =
			toward(r->average.in_packets, total.in_packets - r->last.in_packets, elapsed);
		r->average.out_packets =
			toward(r->average.out_packets, total.out_packets - r->last.out_packets, elapsed);
		r->average.in_bytes =
			toward(r->average.in_bytes, total.in_bytes - r->last.in_bytes, elapsed);
		r->average.out_bytes =
			toward(r->average.out_bytes, total.out_bytes - r->last.out_bytes, elapsed);
	}
	r->last = total;
	r->stamp = now ?: 1;
	return 0;
}

/* estimate_some looks at the next servers in use. */
static __always_inline void estimate_some(struct sweep *k, struct control *c, __u32 now)
{
	__u32 slot = k->rate_cursor;

	if (!tuned(c, TUNE_RUN_ESTIMATION))
		return;
	for (__u32 i = 0; i < RATE_SLOTS; i++) {
		if (++slot > READ(c->last_dest)) {
			slot = 0;
			break;
		}
		estimate(slot, now);
	}
	k->rate_cursor = slot;
}
