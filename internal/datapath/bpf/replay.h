/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Fragments that XDP has passed, at TC ingress: see hold.h. */
#pragma once

#include "hold.h"

#define TC_ACT_SHOT 2 /* of linux/pkt_cls.h */

/* read_fragment tells a fragment of a datagram that XDP may hold, and whether it is the first. */
static __always_inline bool read_fragment(struct __sk_buff *skb, struct fragment_key *key, bool *first)
{
	struct fragment_header f;
	struct ipv6hdr v6;
	struct iphdr v4;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &v4, sizeof(v4)) ||
		    !(v4.frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET)))
			return false;
		set_v4(&key->source, v4.saddr);
		set_v4(&key->destination, v4.daddr);
		key->id = v4.id;
		key->protocol = v4.protocol;
		*first = !(v4.frag_off & bpf_htons(IP_OFFSET));
		return true;
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, ETH_HLEN, &v6, sizeof(v6)) ||
	    v6.nexthdr != IPPROTO_FRAGMENT || bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(v6), &f, sizeof(f)))
		return false;
	set_v6(&key->source, &v6.saddr);
	set_v6(&key->destination, &v6.daddr);
	key->id = f.id;
	key->protocol = f.next;
	*first = !(f.offset & bpf_htons(FRAGMENT6_OFFSET));
	return true;
}

struct replay {
	struct __sk_buff *skb;
	struct fragment_key key;
	__u32 now;
	__u32 oldest; /* slot of the ring */
	__u32 pair;   /* interface */
};

/* replay_one sends what is in one place of the ring, if it is of the datagram: the skb becomes it. */
static long replay_one(__u32 i, struct replay *r)
{
	__u32 at = (r->oldest + i) % HELD_SLOTS;
	struct held *h = bpf_map_lookup_elem(&held_fragments, &at);
	__u32 length;

	if (!h || READ(h->state) != HELD_FULL || !same_key(&h->key, &r->key) || r->now - h->at >= HELD_TIME)
		return 0;
	if (__sync_val_compare_and_swap(&h->state, HELD_FULL, HELD_BUSY) != HELD_FULL)
		return 0;
	length = h->length;
	MERGE(length);
	length = ((length - 1) & (HELD_FRAME - 1)) + 1;
	if (!bpf_skb_change_tail(r->skb, length, 0) &&
	    !bpf_skb_store_bytes(r->skb, 0, h->frame, length, BPF_F_RECOMPUTE_CSUM))
		bpf_clone_redirect(r->skb, r->pair, 0);
	__sync_lock_test_and_set(&h->state, HELD_FREE);
	return 0;
}

/* replay sends a fragment of a datagram that is waited for to the pair, and after the first those that wait. */
static __always_inline int replay(struct __sk_buff *skb)
{
	struct replay r = { .skb = skb };
	struct control *k = control();
	struct recorder *ring;
	struct awaited *w;
	__u32 zero = 0;
	bool first = false;

	if (!k || !read_fragment(skb, &r.key, &first))
		return TC_ACT_UNSPEC;
	r.now = now_ms();
	r.pair = READ(k->outer);
	w = await(&r.key, r.now);
	ring = bpf_map_lookup_elem(&recorders, &zero);
	if (!w || !READ(w->in) || !r.pair || !ring)
		return TC_ACT_UNSPEC;
	bpf_skb_pull_data(skb, skb->len);
	bpf_clone_redirect(skb, r.pair, 0);
	r.oldest = READ(ring->held) % HELD_SLOTS;
	if (first)
		bpf_loop(HELD_SLOTS, replay_one, &r, 0);
	return TC_ACT_SHOT;
}
