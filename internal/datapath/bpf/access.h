/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Access rules: which sources may reach the services. Of the rules whose prefix covers a source the longest
 * prefix wins, and of one prefix the rule that says most about the destination: port, then VIP, then
 * interface. Without a rule a source is let in.
 *
 * Prefixes cut the addresses into intervals; a rule is found by searching for the last interval that begins at
 * or before the source. The beginnings lie in a tree of cache lines: a line of a layer has the first
 * beginnings of 8 lines of the layer below. A source of IPv6 is searched for by its first half, and where
 * prefixes are longer than that, in a tree of its own by the second. For IPv4 an index by the first 16 bits says
 * where to look: mostly in one line. Go builds it all aside, in the half of the maps that is not in force. */
#pragma once

#include "maps.h"

#define ACCESS_NODES 262144 /* in each half: 2 beginnings a prefix, 8 in a node, with what they lead to and what is above; and one for each of the index */
#define ACCESS_INDEX 65536  /* in each half */
#define ACCESS_TREES 4096   /* in each half: those of the families, and of networks of 64 bits */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * ACCESS_NODES);
	__type(key, __u32);
	__type(value, struct access_node);
} access_nodes SEC(".maps"); /* Go */

/* What the addresses with the same first 16 bits lead to: a rule or 0, if it is the same for all; a node with
 * ACCESS_LINE, whose keys have the last 16 bits of up to 8 beginnings << 32, and what they lead to; or the tree, with
 * ACCESS_CROWDED. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * ACCESS_INDEX);
	__type(key, __u32);
	__type(value, __u64); /* an array has 8 bytes for each anyway */
} access_index SEC(".maps"); /* Go */

#define ACCESS_LINE 0x40000000u
#define ACCESS_CROWDED 0x20000000u

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * ACCESS_TREES);
	__type(key, __u32);
	__type(value, struct access_tree);
} access_trees SEC(".maps"); /* Go */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * MAX_ACCESS_RULES);
	__type(key, __u32);
	__type(value, struct access_rule);
} access_rules SEC(".maps"); /* Go; hits: programs */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * MAX_ACCESS_REASONS);
	__type(key, __u32);
	__type(value, struct access_reason);
} access_reasons SEC(".maps"); /* Go alone */

static __always_inline __u64 node_key(__u32 node, __u32 i)
{
	struct access_node *n = bpf_map_lookup_elem(&access_nodes, &node);

	return n ? READ(n->key[i % ACCESS_KEYS]) : ~0ull;
}

/* not_above gives 1 if a is at most b; without a branch, as the next step depends on it. */
static __always_inline __u32 not_above(__u64 a, __u64 b)
{
	__u64 borrow = (~b & a) | (~(b ^ a) & (b - a));

	borrow = borrow >> 63 ^ 1;
	MERGE(borrow); /* or the compiler branches on it, and the verifier walks each way by itself */
	return borrow;
}

/* last_not_above gives which of a node's keys is the last that is not above a number. */
static __always_inline __u32 last_not_above(const struct access_node *n, __u64 x)
{
	__u32 at = 0;

	at += not_above(READ(n->key[4]), x) << 2;
	at += not_above(READ(n->key[(at + 2) % ACCESS_KEYS]), x) << 1;
	at += not_above(READ(n->key[(at + 1) % ACCESS_KEYS]), x);
	return at;
}

/* search_tree gives what the interval of a number leads to: a rule, a tree with ACCESS_TREE, or 0. */
__noinline __u32 search_tree(__u32 tree, __u64 x)
{
	struct access_tree *t = bpf_map_lookup_elem(&access_trees, &tree);
	__u32 i = 0;

	if (!t || !READ(t->layers))
		return 0;
	for (__u32 layer = 0; layer < ACCESS_LAYERS; layer++) {
		__u32 node = READ(t->first[layer]) + i;
		struct access_node *n;

		if (layer >= READ(t->layers))
			break;
		n = bpf_map_lookup_elem(&access_nodes, &node);
		if (!n)
			return 0;
		i = i * ACCESS_KEYS + last_not_above(n, x);
	}
	return node_key(READ(t->leaves) + i / ACCESS_KEYS, i);
}

static __always_inline __u32 search_v4(__u32 half, __u32 address)
{
	__u32 at = half * ACCESS_INDEX + (address >> 16), node;
	__u64 *found = bpf_map_lookup_elem(&access_index, &at);
	struct access_node *n;

	if (!found)
		return 0;
	at = READ(*found);
	if (at & ACCESS_CROWDED)
		return search_tree(half * ACCESS_TREES, address);
	if (!(at & ACCESS_LINE))
		return at;
	node = at & ~ACCESS_LINE;
	n = bpf_map_lookup_elem(&access_nodes, &node);
	if (!n)
		return 0;
	at = last_not_above(n, (__u64)(address & 0xffff) << 32 | 0xffffffff);
	return (__u32)READ(n->key[at % ACCESS_KEYS]);
}

/* rule_of gives the first rule to look at for a source, or 0. */
static __always_inline __u32 rule_of(const union addr *source, __u8 family, __u32 half)
{
	__u32 first_tree = half * ACCESS_TREES, found;

	if (family == FAMILY_V4)
		return search_v4(half, bpf_ntohl(source->word[3]));
	found = search_tree(first_tree + 1, bpf_be64_to_cpu(source->half[0]));
	if (found & ACCESS_TREE)
		found = search_tree(found & ~ACCESS_TREE, bpf_be64_to_cpu(source->half[1]));
	return found;
}

static __always_inline bool is_for(const struct access_rule *r, const struct packet *p, __u32 ifindex)
{
	if (r->ifindex && r->ifindex != ifindex)
		return false;
	if (r->flags & ACCESS_VIP &&
	    (r->vip.half[0] != p->destination.half[0] || r->vip.half[1] != p->destination.half[1]))
		return false;
	return !r->protocol || (r->protocol == p->protocol && r->port == p->dport);
}

#define JUDGED 0x80000000u

/* judge_by gives JUDGED and ACCESS_DENY or not if a rule holds: it is for the packet, and has not run out. Else
 * it gives the next rule. */
__noinline __u32 judge_by(__u32 row, const struct packet *p, __u32 ifindex)
{
	struct access_rule *r = bpf_map_lookup_elem(&access_rules, &row);
	struct control *k = control();

	if (!r || !p || !k)
		return 0;
	if (!is_for(r, p, ifindex) || (r->expires && (__s32)(READ(k->second) - r->expires) >= 0))
		return READ(r->next) & ~JUDGED;
	__sync_fetch_and_add(&r->hits, 1);
	return JUDGED | (r->flags & ACCESS_DENY);
}

/* is_denied tells whether the rules deny a packet to a service. */
__noinline int is_denied(const struct packet *p, __u32 ifindex)
{
	struct control *k = control();
	__u32 half, found;

	if (!p || !k)
		return 0;
	half = READ(k->access) & 1;
	found = rule_of(&p->source, p->family, half);
	for (int i = 0; i < ACCESS_CANDIDATES; i++) {
		if (!found || found & JUDGED)
			break;
		found = judge_by(half * MAX_ACCESS_RULES + found, p, ifindex);
	}
	return found & JUDGED && found & ACCESS_DENY;
}

/* refuses is is_denied where there are rules. */
static __always_inline bool refuses(const struct packet *p, const struct control *k)
{
	return READ(k->uses) & USES_ACCESS && is_denied(p, p->in);
}
