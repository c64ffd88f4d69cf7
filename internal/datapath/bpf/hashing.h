/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* sh, dh and mh: a bucket of a table by the hash of an address, and its server. Go fills the
 * tables. */
#pragma once

#include "schedule.h"

/* fold_address makes 32 bits of an address: IPv4 as it is, IPv6 by xor. */
static __always_inline __u32 fold_address(const union addr *a, __u8 family)
{
	__u32 v = bpf_ntohl(a->word[3]);

	if (family == FAMILY_V6)
		v ^= bpf_ntohl(a->word[0] ^ a->word[1] ^ a->word[2]);
	return v;
}

static __always_inline __u16 hashed_port(const struct service *s, const struct packet *p)
{
	return s->flags & SERVICE_HASH_PORT ? bpf_ntohs(p->sport) : 0;
}

/* Multiplicative hash of the address, as ip_vs's hash_32(v, 8). */
static __always_inline __u32 hash_address(const union addr *a, __u8 family, __u16 port)
{
	return (fold_address(a, family) + port) * 0x61c88647u >> 24;
}

/* pick_small_table is sh and dh: a bucket of the table that was built with the list. */
static __always_inline __u32 pick_small_table(const struct service *s, const struct packet *p)
{
	struct block_head *head = block_head(s);
	__u32 hash, table;
	__u64 e;

	if (!head || !head->table)
		return NO_SERVER;
	table = s->block + head->table;
	if (s->scheduler == SCHED_DH)
		hash = hash_address(&p->destination, p->family, 0);
	else
		hash = hash_address(&p->source, p->family,
				    hashed_port(s, p));
	e = element(table, hash);
	if (takes(head, e))
		return ELEMENT_SLOT(e);
	if (s->scheduler != SCHED_SH || !(s->flags & SERVICE_HASH_FALLBACK))
		return NO_SERVER;
	/* The probe adds the hash twice, as ip_vs does: once as the start, once as the offset. */
	for (__u32 i = 0; i < HASH_BUCKETS; i++) {
		e = element(table, ((i + hash) % HASH_BUCKETS + hash) % HASH_BUCKETS);
		if (takes(head, e))
			return ELEMENT_SLOT(e);
	}
	return NO_SERVER;
}

static __always_inline __u64 rotate(__u64 x, int left)
{
	return x << left | x >> (64 - left);
}

static __always_inline void sip_round(__u64 v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* maglev_bucket hashes a number to one of mh's buckets: SipHash-1-3 of its 4 bytes, the low 32
 * bits, with the key that ip_vs has. */
__noinline __u32 maglev_bucket(__u32 number)
{
	const __u64 key = 2654435761;
	__u64 data = 4ull << 56 | number;
	__u64 v[4] = {
		key ^ 0x736f6d6570736575ull, key ^ 0x646f72616e646f6dull,
		key ^ 0x6c7967656e657261ull, key ^ 0x7465646279746573ull,
	};

	v[3] ^= data;
	sip_round(v);
	v[0] ^= data;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return (__u32)(v[0] ^ v[1] ^ v[2] ^ v[3]) % MAGLEV_BUCKETS;
}

/* maglev_element gives the server of a bucket; of none there is neither slot nor weight. */
static __always_inline __u64 maglev_element(__u32 block, __u32 table, __u32 bucket)
{
	__u64 word = element(table, bucket / MAGLEV_WORD);
	__u32 i = word >> bucket % MAGLEV_WORD * 16 & MAGLEV_NONE;

	return i < MAX_SERVERS ? element(block + 1, i) : 0;
}

/* probe tries PROBES buckets, from one on, by hashing with another number added each time. */
#define PROBES 64
__noinline __u64 probe(__u32 block, __u32 number, __u32 bucket, __u32 from)
{
	struct block_head *head = bpf_map_lookup_elem(&blocks, &block);
	__u32 table;

	if (!head)
		return 0;
	table = block + READ(head->table);
	for (__u32 i = 0; i < PROBES; i++) {
		__u32 again = number + (from + i + bucket) % MAGLEV_BUCKETS;
		__u64 e = maglev_element(block, table, maglev_bucket(again));

		if (takes(head, e))
			return e;
	}
	return 0;
}

/* pick_maglev is mh. As many probes as there are buckets find any server that has some, or do not:
 * then ip_vs gives up, too. Some more are made here, to the next multiple of PROBES. */
static __always_inline __u32 pick_maglev(const struct service *s, const struct packet *p)
{
	struct block_head *head = block_head(s);
	__u32 number = fold_address(&p->source, p->family) + hashed_port(s, p);
	__u32 bucket = maglev_bucket(number);
	__u64 e;

	if (!head || !READ(head->max_weight))
		return NO_SERVER;
	e = maglev_element(s->block, s->block + READ(head->table), bucket);
	if (takes(head, e))
		return ELEMENT_SLOT(e);
	if (!(s->flags & SERVICE_HASH_FALLBACK))
		return NO_SERVER;
	for (__u32 from = 0; from < MAGLEV_BUCKETS; from += PROBES) {
		e = probe(s->block, number, bucket, from);
		if (ELEMENT_WEIGHT(e))
			return ELEMENT_SLOT(e);
	}
	return NO_SERVER;
}

static __always_inline __u32 pick_table(const struct service *s, const struct packet *p)
{
	return s->scheduler == SCHED_MH ? pick_maglev(s, p) : pick_small_table(s, p);
}
