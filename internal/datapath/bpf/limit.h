/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* How many connections a source may begin in a second: a bucket of tokens for each address, of IPv6 for each
 * network of 64 bits. What is longest unused gives way. */
#pragma once

#include "maps.h"

struct bucket_of_tokens {
	__u32 tokens; /* in thousandths */
	__u32 filled; /* clock, ms */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, union addr);
	__type(value, struct bucket_of_tokens);
} sources SEC(".maps"); /* programs */

/* is_over_limit takes a token for a new connection, and tells whether there was none. */
__noinline int is_over_limit(const struct packet *p)
{
	struct bucket_of_tokens fresh, *b;
	struct control *k = control();
	__u64 tokens, most;
	union addr source;
	__u32 now;

	if (!p || !k || !READ(k->limit_rate))
		return 0;
	source = p->source;
	if (p->family == FAMILY_V6)
		source.half[1] = 0;
	now = READ(k->now);
	most = (__u64)READ(k->limit_burst) * 1000;
	b = bpf_map_lookup_elem(&sources, &source);
	if (!b) {
		fresh = (struct bucket_of_tokens){ most - 1000, now };
		bpf_map_update_elem(&sources, &source, &fresh, BPF_ANY);
		return 0;
	}
	/* A token a second is one thousandth a millisecond. */
	tokens = READ(b->tokens) + (__u64)(now - READ(b->filled)) * READ(k->limit_rate);
	if (tokens > most)
		tokens = most;
	WRITE(b->filled, now);
	WRITE(b->tokens, tokens < 1000 ? tokens : tokens - 1000);
	return tokens < 1000;
}
