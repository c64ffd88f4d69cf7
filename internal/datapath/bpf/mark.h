/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Firewall marks. XDP runs before netfilter, so packets are marked by rules of our own, which work as those
 * of the mangle table: in order, each that matches changes the mark, later ones what earlier ones did. Only
 * packets without a connection are looked at. */
#pragma once

#include "maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * MAX_MARK_RULES); /* a list is made in the half that is not in force */
	__type(key, __u32);
	__type(value, struct mark_rule);
} mark_rules SEC(".maps"); /* Go; hits: programs */

/* The marks of packets that are made on this host, by their hash: the host's own, as SO_MARK or its netfilter
 * gave them. TC egress sees them, and XDP asks for them. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} host_marks SEC(".maps"); /* programs */

/* outside is not 0 unless a port lies in a range; without branches, as 256 rules are verified. */
static __always_inline __u64 outside(__u16 port, const __u16 range[2])
{
	return IF_NEGATIVE((__s64)port - READ(range[0])) | IF_NEGATIVE((__s64)READ(range[1]) - port);
}

static __always_inline __u64 differs(const union addr *a, const union addr *mask, const union addr *want)
{
	return ((a->half[0] & mask->half[0]) ^ want->half[0]) | ((a->half[1] & mask->half[1]) ^ want->half[1]);
}

/* A step of the classifier: which rule, and what is known of the packet beside its addresses. */
struct marking {
	__u32 row;
	__u32 ifindex;
	__u32 mark;
	__u32 any_port; /* 1: the packet has no ports, as a later fragment */
	__u32 matched;  /* how many rules */
};

/* apply_rule lets one rule change the mark if it matches. */
__noinline int apply_rule(const struct packet *p, struct marking *m)
{
	struct mark_rule *r;
	__u64 miss;
	__u32 row;

	if (!p || !m)
		return 0;
	row = m->row; /* Linux 6.1 takes keys from the stack, and not from memory of an argument */
	r = bpf_map_lookup_elem(&mark_rules, &row);
	if (!r)
		return 0;
	miss = differs(&p->source, &r->source_mask, &r->source) |
	       differs(&p->destination, &r->destination_mask, &r->destination);
	if (r->family)
		miss |= r->family ^ p->family;
	if (r->protocol)
		miss |= r->protocol ^ p->protocol;
	if (r->ifindex)
		miss |= r->ifindex ^ m->ifindex;
	if (!m->any_port)
		miss |= outside(bpf_ntohs(p->sport), r->sports) | outside(bpf_ntohs(p->dport), r->dports);
	if (miss)
		return 0;
	__sync_fetch_and_add(&r->hits, 1);
	m->mark = (m->mark & ~r->mask) ^ r->value;
	m->matched++;
	return 1;
}

/* mark_packet goes through the list in force. */
static __always_inline void mark_packet(const struct packet *p, struct marking *m)
{
	struct control *k = control();
	__u32 list = k ? READ(k->marks) : 0;
	__u32 first = list >> 31 ? MAX_MARK_RULES : 0;
	__u32 count = list & 0x7fffffff;

	for (__u32 i = 0; i < MAX_MARK_RULES; i++) {
		if (i >= count)
			break;
		m->row = first + i;
		apply_rule(p, m);
	}
}

/* host_mark gives the mark that a packet of this host came with. */
static __always_inline __u32 host_mark(const struct packet *p)
{
	__u64 key = p->hash;
	__u32 *mark = bpf_map_lookup_elem(&host_marks, &key);

	return mark ? *mark : 0;
}

/* mark_of gives the packet's mark, which began as another; 0 is none. */
static __always_inline __u32 mark_of(const struct packet *p, __u32 mark)
{
	struct marking m = { .ifindex = p->in, .mark = mark };

	mark_packet(p, &m);
	return m.mark;
}

/* mark_of_fragment gives the mark that a later fragment would have if its datagram's ports were right. */
static __always_inline __u32 mark_of_fragment(const struct packet *p)
{
	struct marking m = { .ifindex = p->in, .any_port = 1 };

	mark_packet(p, &m);
	return m.mark;
}
