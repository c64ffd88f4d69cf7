/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Fragments: the first has the ports, and leaves behind which connection it belongs to; the later
 * ones are looked up by the datagram's identification. A later one for a VIP whose first was not
 * seen is never passed, as the host would put the datagram together and answer for the VIP: it is held for
 * its first (hold.h). */
#pragma once

#include "existing.h"
#include "parse.h"

struct fragment_key {
	union addr source;
	union addr destination;
	__u32 id;
	__u32 protocol;
};

struct fragment {
	__u32 slot_word;  /* as in a bucket: reverse << 31 | index */
	__u32 generation; /* of the entry, so that a new connection in it is not meant */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

struct fragment_header { /* RFC 8200, Section 4.5 */
	__u8 next;
	__u8 reserved;
	__be16 offset; /* in 8 bytes << 3, more << 0 */
	__be32 id;
};

#define FRAGMENT6_MORE 1
#define FRAGMENT6_OFFSET 0xfff8

/* identify reads the identification. It is also what is left of the parsing: for a first fragment
 * the ports are read and *first is set. */
static __always_inline enum parsed identify(struct xdp_md *ctx, struct packet *p, __u32 *id,
					    bool *first)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;

	if (p->family == FAMILY_V4) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return PARSED_MALFORMED;
		*id = ip->id;
		*first = !(ip->frag_off & bpf_htons(IP_OFFSET));
		if (p->protocol == IPPROTO_ICMP)
			return PARSED_PROTOCOL;
		return *first ? parse_transport(ip + 1, end, p) : PARSED_FRAGMENT;
	} else {
		struct fragment_header *f = data + ETH_HLEN + sizeof(struct ipv6hdr);

		if ((void *)(f + 1) > end)
			return PARSED_MALFORMED;
		*id = f->id;
		*first = !(f->offset & bpf_htons(FRAGMENT6_OFFSET));
		p->protocol = f->next;
		p->flags |= PACKET_FRAGMENT_HEADER;
		p->transport += FRAGMENT_HEADER;
		if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
			return PARSED_PROTOCOL;
		return *first ? parse_transport(f + 1, end, p) : PARSED_FRAGMENT;
	}
}

static __always_inline struct fragment_key fragment_key(const struct packet *p, __u32 id)
{
	struct fragment_key key = { .id = id, .protocol = p->protocol };

	key.source = p->source;
	key.destination = p->destination;
	return key;
}

/* remember leaves behind for the later fragments which connection the first belongs to. */
static __always_inline void remember(const struct packet *p, __u32 id)
{
	struct fragment_key key = fragment_key(p, id);
	struct fragment f = {};
	struct conn *c = find(p, &f.slot_word);

	if (!c)
		return;
	f.generation = READ(c->state) >> STATE_GENERATION_SHIFT;
	bpf_map_update_elem(&fragments, &key, &f, BPF_ANY);
}

static __always_inline int later_to_host(struct xdp_md *ctx, const struct packet *p,
					 const struct conn *c, const struct dest *d)
{
	__u64 gain;

	if (STATE_FORWARD(READ(c->state)) == FORWARD_MASQ && !replace_addr(ctx, p, false, &d->addr, &gain))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return finish(OUTCOME_PASS_LOCAL_SERVER, XDP_PASS);
}

/* In a later fragment the addresses alone are translated: ports and checksum were in the first. */
static __always_inline int later_to_server(struct xdp_md *ctx, struct packet *p,
					   const struct conn *c, __u32 now)
{
	struct dest *d = dest_at(c->dest);
	enum resolved r;
	__u64 gain;
	__u64 hop;
	__u32 mtu;

	if (!d)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	if (!(d->flags & DEST_AVAILABLE))
		return finish(OUTCOME_DROP_SERVER_GONE, XDP_DROP);
	count_in(c->dest, p->length);
	if (d->flags & DEST_LOCAL)
		return later_to_host(ctx, p, c, d);
	if (STATE_FORWARD(READ(c->state)) == FORWARD_TUNNEL) {
		p->hash = hash_forward(c); /* its first took this way */
		return into_tunnel(ctx, p, c->dest, OUTCOME_FORWARD_FRAGMENT);
	}
	r = resolve_dest(ctx, d, now, &hop, &mtu);
	if (r != HOP_FOUND)
		return unresolved(ctx, p, r);
	if (STATE_FORWARD(READ(c->state)) == FORWARD_MASQ &&
	    !replace_addr(ctx, p, false, &d->addr, &gain))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return send(ctx, p, hop, OUTCOME_FORWARD_FRAGMENT);
}

static __always_inline int later_to_client(struct xdp_md *ctx, const struct packet *p,
					   struct conn *c, __u32 now)
{
	struct dest *d = dest_at(c->dest);
	enum resolved r;
	__u64 gain;
	__u64 hop;

	if (!d)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	count_out(d, c->dest, p->length);
	r = resolve_client(ctx, c, now, &hop);
	if (r != HOP_FOUND)
		return unresolved(ctx, p, r);
	if (!replace_addr(ctx, p, true, &c->vaddr, &gain))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return send(ctx, p, hop, OUTCOME_FORWARD_FRAGMENT);
}

/* refuses_fragment: a rule for a port does not see the later ones, whose first it stops. */
static __always_inline bool refuses_fragment(const struct packet *p)
{
	struct control *k = control();

	return k && refuses(p, k);
}

/* later sends a fragment without ports after its first. */
static __always_inline int later(struct xdp_md *ctx, struct packet *p,
				 const struct fragment *f)
{
	struct conn *c = conn_at(SLOT_INDEX(f->slot_word));

	if (!c || !in_use(READ(c->state)) || READ(c->state) >> STATE_GENERATION_SHIFT != f->generation)
		return finish(OUTCOME_DROP_FRAGMENT, XDP_DROP);
	if (!(f->slot_word & SLOT_REVERSE) && refuses_fragment(p))
		return finish(OUTCOME_DROP_ACCESS, XDP_DROP);
	/* IPv4 answers no fragment but the first (RFC 1122, Section 3.2.2). */
	if (p->hops <= 1 && p->family == FAMILY_V4)
		return finish(OUTCOME_DROP_FRAGMENT, XDP_DROP);
	if (p->hops <= 1)
		return answer(ctx, p, f->slot_word & SLOT_REVERSE ? &c->vaddr : &p->destination,
			      ANSWER_TIME_EXCEEDED, 0);
	if (f->slot_word & SLOT_REVERSE)
		return later_to_client(ctx, p, c, now_ms());
	return later_to_server(ctx, p, c, now_ms());
}
