/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* lblc and lblcr: connections to a destination address go on to the server, or to one of the set of
 * servers, that it had before, as long as that has not too much to do. */
#pragma once

#include "twochoices.h"

/* expiration gives lblc_expiration or lblcr_expiration, ms: after it destinations are forgotten, and sets lose
 * a server. */
static __always_inline __u32 expiration(enum tune tune)
{
	struct control *k = control();

	return k ? tuned(k, tune) * 1000 : 0;
}

static __always_inline __u32 name_of(__u32 slot, const struct dest *d)
{
	const union addr *a = &d->addr;
	__u32 v = a->word[0] ^ a->word[1] ^ a->word[2] ^ a->word[3] ^ d->port;

	return v * 0x61c88647u >> NAME_SLOT_BITS << NAME_SLOT_BITS | slot;
}

/* weight_of gives a remembered server's weight; 0 if it is not the service's any more. One that was
 * deleted is, as long as it is in the trash. */
static __always_inline __u64 weight_of(__u32 name, const struct dest *d, __u32 service)
{
	/* One of them is below 0 unless both are 0, and name is not. */
	__s64 other = (__u64)(d->service ^ service) | (__u64)(name ^ name_of(NAME_SLOT(name), d));

	return (__u64)READ(d->weight) & ~IF_NEGATIVE(-other);
}

/* only_available is 0 unless the server is in its service's list. */
static __always_inline __u64 only_available(const struct dest *d, __u64 weight)
{
	return weight & -(__u64)!!(READ(d->flags) & DEST_AVAILABLE);
}

/* overburdened tells whether a server has more active connections than its weight, while another
 * has not half as many as its own. */
static __always_inline bool overburdened(const struct service *s, struct block_head *head,
					 __u32 slot, __u64 weight)
{
	struct dest_conns *n = bpf_map_lookup_elem(&dest_conns, &slot);

	if (!n || (__u32)READ(n->word) <= weight)
		return false;
	catch_up(s->block, head, s->id);
	return READ(head->slack);
}

/* fit_slot gives the slot of a remembered server that can go on, or NO_SERVER. */
static __always_inline __u32 fit_slot(const struct service *s, struct block_head *head,
				      __u32 name)
{
	__u32 slot = NAME_SLOT(name);
	struct dest *d = bpf_map_lookup_elem(&dests, &slot);
	__u64 weight;

	if (!d)
		return NO_SERVER;
	weight = only_available(d, weight_of(name, d, s->id));
	return weight && !overburdened(s, head, slot, weight) ? slot : NO_SERVER;
}

static __always_inline struct locality_key locality_key(const struct block_head *head,
							const struct packet *p)
{
	return (struct locality_key){ .cursor = head->cursor, .destination = p->destination };
}

static __always_inline __u32 pick_lblc(const struct service *s, const struct packet *p)
{
	struct block_head *head = block_head(s);
	struct locality fresh = { .used = now_ms() };
	struct locality_key key;
	struct locality *l;
	struct dest *d;
	__u32 slot;

	if (!head)
		return NO_SERVER;
	key = locality_key(head, p);
	l = bpf_map_lookup_elem(&localities, &key);
	if (l && fresh.used - READ(l->used) <= expiration(TUNE_LBLC_EXPIRATION)) {
		WRITE(l->used, fresh.used);
		slot = fit_slot(s, head, READ(l->server));
		if (slot)
			return slot;
	}
	slot = pick_least(s);
	d = bpf_map_lookup_elem(&dests, &slot);
	if (!slot || !d)
		return NO_SERVER;
	fresh.server = name_of(slot, d);
	bpf_map_update_elem(&localities, &key, &fresh, BPF_ANY);
	return slot;
}

static __always_inline __u32 replica(const struct replicas *r, __u32 nth)
{
	return READ(r->server[(READ(r->joined) - 1 - nth) % MAX_SERVERS]);
}

/* The server of a set that was found so far; weight 0: none. */
struct found {
	__u64 cost;
	__u64 weight;
	__u32 nth;
	__u32 name;
};

/* Sets are walked by functions that look at a few servers, and are verified once. */
#define REPLICAS_AT_ONCE 16

/* find_least looks for the least loaded server that takes connections; of equal ones who joined
 * last. */
__noinline int find_least(struct replicas *r, struct found *best, __u32 from, __u32 service)
{
	if (!r || !best)
		return 0;
	for (__u32 nth = from; nth < from + REPLICAS_AT_ONCE && nth < READ(r->joined); nth++) {
		__u32 name = replica(r, nth), slot = NAME_SLOT(name);
		struct dest *d = bpf_map_lookup_elem(&dests, &slot);
		__u64 weight, cost;

		if (!d)
			return 0;
		weight = only_available(d, weight_of(name, d, service));
		cost = overhead(slot);
		if (weight && !is_overloaded(slot) && (!best->weight || less(cost, weight, best->cost, best->weight)))
			*best = (struct found){ cost, weight, nth, name };
	}
	return 1;
}

/* find_most looks for the most loaded server of those that have a weight; deleted ones count. */
__noinline int find_most(struct replicas *r, struct found *most, __u32 from, __u32 service)
{
	if (!r || !most)
		return 0;
	for (__u32 nth = from; nth < from + REPLICAS_AT_ONCE && nth < READ(r->joined); nth++) {
		__u32 name = replica(r, nth), slot = NAME_SLOT(name);
		struct dest *d = bpf_map_lookup_elem(&dests, &slot);
		__u64 weight, cost;

		if (!d)
			return 0;
		weight = weight_of(name, d, service);
		cost = overhead(slot);
		if (weight && (!most->weight || less(most->cost, most->weight, cost, weight)))
			*most = (struct found){ cost, weight, nth, name };
	}
	return 1;
}

static __always_inline __u32 least_of_set(struct replicas *r, __u32 service)
{
	struct found best = {};

	for (__u32 from = 0; from < MAX_SERVERS && from < READ(r->joined); from += REPLICAS_AT_ONCE)
		find_least(r, &best, from, service);
	return best.name;
}

static __always_inline void remove_most(struct replicas *r, __u32 service, __u32 now)
{
	struct found most = {};

	for (__u32 from = 0; from < MAX_SERVERS && from < READ(r->joined); from += REPLICAS_AT_ONCE)
		find_most(r, &most, from, service);
	if (!most.weight)
		return;
	WRITE(r->server[(READ(r->joined) - 1 - most.nth) % MAX_SERVERS], 0);
	__sync_fetch_and_add(&r->size, -1);
	WRITE(r->changed, now);
}

/* join puts a server into a set, unless it is there. Two CPUs at once may put it there twice. */
static __always_inline void join(struct replicas *r, __u32 name, __u32 now)
{
	__u32 at;

	for (__u32 nth = 0; nth < MAX_SERVERS && nth < READ(r->joined); nth++)
		if (replica(r, nth) == name)
			return;
	at = __sync_fetch_and_add(&r->joined, 1);
	WRITE(r->server[at % MAX_SERVERS], name);
	__sync_fetch_and_add(&r->size, 1);
	WRITE(r->changed, now);
}

static __always_inline void begin_set(const struct locality_key *key, __u32 name, __u32 now)
{
	__u32 zero = 0;
	struct replicas *r = bpf_map_lookup_elem(&first_replicas, &zero);

	if (!r)
		return;
	r->used = now;
	r->changed = now;
	r->size = 1;
	r->joined = 1;
	r->server[0] = name;
	bpf_map_update_elem(&replica_sets, key, r, BPF_ANY);
}

/* The least loaded server is found before the most loaded one leaves: one may be both. */
static __always_inline __u32 pick_lblcr(const struct service *s, const struct packet *p)
{
	struct block_head *head = block_head(s);
	__u32 now = now_ms(), old = expiration(TUNE_LBLCR_EXPIRATION);
	struct locality_key key;
	struct replicas *r;
	struct dest *d;
	__u32 slot;

	if (!head)
		return NO_SERVER;
	key = locality_key(head, p);
	r = bpf_map_lookup_elem(&replica_sets, &key);
	if (r && now - READ(r->used) > old)
		r = NULL;
	if (r) {
		__u32 least = least_of_set(r, s->id);

		WRITE(r->used, now);
		if (READ(r->size) > 1 && now - READ(r->changed) > old)
			remove_most(r, s->id, now);
		slot = fit_slot(s, head, least);
		if (slot)
			return slot;
	}
	slot = pick_least(s);
	d = bpf_map_lookup_elem(&dests, &slot);
	if (!slot || !d)
		return NO_SERVER;
	if (r)
		join(r, name_of(slot, d), now);
	else
		begin_set(&key, name_of(slot, d), now);
	return slot;
}
