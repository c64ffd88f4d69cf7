/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Fragments that come before their first, which alone has the ports. XDP sends no packet but the one that it
 * is given, so they are kept here in a ring, and the first, when it comes, is passed as far as TC ingress:
 * replay_fragments sends it and then those that wait for it to the pair (local.h), where drover_xdp sees
 * them in order. Memory is what the two maps have, whatever comes. */
#pragma once

#include "fragments.h"

#define HELD_SLOTS 256
#define HELD_FRAME 2048
#define HELD_TIME 2000 /* ms: what waits longer is forgotten */

enum held_state { HELD_FREE, HELD_BUSY, HELD_FULL };

struct held {
	struct fragment_key key;
	__u32 state; /* enum held_state */
	__u32 at;    /* ms */
	__u32 length;
	__u32 pad;
	__u8 frame[HELD_FRAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HELD_SLOTS);
	__type(key, __u32);
	__type(value, struct held);
} held_fragments SEC(".maps"); /* programs */

/* The datagrams that are waited for. */
struct awaited {
	__u32 at; /* ms, when the first of those that wait came */
	__u32 in; /* interface that the datagram's first came in by; 0: it did not yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct fragment_key);
	__type(value, struct awaited);
} awaited SEC(".maps"); /* programs */

/* await gives what is known of a datagram whose fragments wait. */
static __always_inline struct awaited *await(const struct fragment_key *key, __u32 now)
{
	struct awaited *w = bpf_map_lookup_elem(&awaited, key);

	return w && now - READ(w->at) < HELD_TIME ? w : NULL;
}

static __always_inline void copy_key(struct fragment_key *to, const struct fragment_key *from)
{
	to->source = from->source;
	to->destination = from->destination;
	to->id = from->id;
	to->protocol = from->protocol;
}

static __always_inline bool same_key(const struct fragment_key *a, const struct fragment_key *b)
{
	__u64 differ = (a->source.half[0] ^ b->source.half[0]) | (a->source.half[1] ^ b->source.half[1]) |
		       (a->destination.half[0] ^ b->destination.half[0]) |
		       (a->destination.half[1] ^ b->destination.half[1]) | (a->id ^ b->id) |
		       (a->protocol ^ b->protocol);

	return !differ;
}

/* keep_frame copies the packet into the ring, in the place of the oldest there. */
static __always_inline bool keep_frame(struct xdp_md *ctx, const struct fragment_key *key, __u32 now)
{
	__u32 length = bpf_xdp_get_buff_len(ctx);
	__u32 zero = 0, at, state;
	struct recorder *r;
	struct held *h;

	r = bpf_map_lookup_elem(&recorders, &zero);
	if (!r || !length || length > HELD_FRAME)
		return false;
	at = __sync_fetch_and_add(&r->held, 1) % HELD_SLOTS;
	h = bpf_map_lookup_elem(&held_fragments, &at);
	if (!h)
		return false;
	state = READ(h->state);
	if (state == HELD_BUSY || __sync_val_compare_and_swap(&h->state, state, HELD_BUSY) != state)
		return false; /* another CPU has gone once round the ring, or sends what is here */
	copy_key(&h->key, key);
	h->at = now;
	h->length = length;
	MERGE(length);
	length = ((length - 1) & (HELD_FRAME - 1)) + 1;
	state = bpf_xdp_load_bytes(ctx, 0, h->frame, length) ? HELD_FREE : HELD_FULL;
	__sync_lock_test_and_set(&h->state, state);
	return state == HELD_FULL;
}

/* hold keeps a fragment until its first comes. */
static __always_inline bool hold(struct xdp_md *ctx, const struct fragment_key *key, __u32 now)
{
	struct awaited w = { .at = now };

	if (!keep_frame(ctx, key, now))
		return false;
	if (!await(key, now))
		bpf_map_update_elem(&awaited, key, &w, BPF_ANY);
	return true;
}
