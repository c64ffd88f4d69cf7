/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* ICMP errors about a packet that went into a tunnel (RFC 2003, Section 4): they come to the director, quote
 * the outer header, and belong to the client, as errors about the packet inside. */
#pragma once

#include "make_error.h"
#include "relay_error.h"
#include "tunnel.h"

#define QUOTED_PORTS 8 /* bytes behind the inner header that are needed, and RFC 792's least */

/* What an error about a tunnel's packet says, and of what. */
struct complaint {
	union addr director; /* the outer header's source */
	union addr server;   /* and its destination */
	__u32 mtu;  /* of the path, when it is too narrow */
	__u32 strip; /* bytes from the error's IP header to the packet inside */
	__u8 family; /* of the error and of the outer header */
	__u8 inner;  /* family of the packet inside; 0: it is not quoted */
	__u8 type;
	__u8 code;
};

static __always_inline bool is_narrow(const struct complaint *c)
{
	if (c->family == FAMILY_V4)
		return c->type == ICMP_DEST_UNREACH && c->code == ICMP_FRAG_NEEDED;
	return c->type == ICMPV6_PKT_TOOBIG;
}

/* The errors that reach the client: no parameter problem, which is about the outer header alone. */
static __always_inline bool is_told(const struct complaint *c)
{
	if (c->family == FAMILY_V4)
		return c->type == ICMP_DEST_UNREACH || c->type == ICMP_TIME_EXCEEDED;
	return c->type >= ICMPV6_DEST_UNREACH && c->type <= ICMPV6_TIME_EXCEED;
}

static __always_inline __u8 family_of_protocol(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_IPIP:
		return FAMILY_V4;
	case IPPROTO_IPV6:
		return FAMILY_V6;
	default:
		return 0;
	}
}

/* read_shim reads what is between the outer header and the packet inside, if it is what we send. */
static __always_inline bool read_shim(struct xdp_md *ctx, struct complaint *c, __u8 protocol)
{
	__be32 word[3] = {};

	switch (protocol) {
	case IPPROTO_UDP:
		/* Of so little, whether it was a datagram of the host's own cannot be told. */
		if (bpf_xdp_load_bytes(ctx, ETH_HLEN + c->strip, word, sizeof(word)))
			return is_narrow(c);
		if (word[2] & bpf_htonl(0xff00ffff)) /* not version 0, an option, or flags */
			return false;
		c->inner = family_of_protocol(bpf_ntohl(word[2]) >> 16);
		c->strip += sizeof(struct udphdr) + GUE_HEADER;
		return c->inner;
	case IPPROTO_GRE:
		if (bpf_xdp_load_bytes(ctx, ETH_HLEN + c->strip, word, sizeof(word[0])))
			return true;
		if (word[0] & bpf_htonl(0x7fff0000))
			return false;
		c->strip += word[0] & bpf_htonl(GRE_FLAG_CHECKSUM) ? GRE_HEADER + GRE_CHECKSUM :
								     GRE_HEADER;
		switch (bpf_ntohl(word[0]) & 0xffff) {
		case ETH_P_IP:
			c->inner = FAMILY_V4;
			return true;
		case ETH_P_IPV6:
			c->inner = FAMILY_V6;
			return true;
		}
		return false;
	default:
		c->inner = family_of_protocol(protocol);
		return c->inner;
	}
}

/* read_complaint reads the error and the outer header that it quotes; false if it is about no tunnel. */
static __always_inline bool read_complaint(struct xdp_md *ctx, __u8 family, struct complaint *c)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u8 protocol;

	c->family = family;
	if (family == FAMILY_V4) {
		struct icmp_error *icmp = data + ETH_HLEN + sizeof(struct iphdr);
		struct iphdr *ip = (void *)(icmp + 1);

		if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl != 5 ||
		    ip->frag_off & bpf_htons(IP_OFFSET))
			return false;
		c->type = icmp->type;
		c->code = icmp->code;
		c->mtu = bpf_ntohs(icmp->mtu4);
		c->strip = sizeof(*ip) + sizeof(*icmp) + sizeof(*ip);
		set_v4(&c->director, ip->saddr);
		set_v4(&c->server, ip->daddr);
		protocol = ip->protocol;
	} else {
		struct icmp_error *icmp = data + ETH_HLEN + sizeof(struct ipv6hdr);
		struct ipv6hdr *ip = (void *)(icmp + 1);

		if ((void *)(ip + 1) > end || ip->version != 6)
			return false;
		c->type = icmp->type;
		c->code = icmp->code;
		c->mtu = bpf_ntohl(icmp->mtu6);
		c->strip = sizeof(*ip) + sizeof(*icmp) + sizeof(*ip);
		set_v6(&c->director, &ip->saddr);
		set_v6(&c->server, &ip->daddr);
		protocol = ip->nexthdr;
	}
	return is_told(c) && read_shim(ctx, c, protocol);
}

/* read_inner reads the packet inside, as far as it is quoted. */
static __always_inline bool read_inner(struct xdp_md *ctx, const struct complaint *c, struct packet *p)
{
	__u32 at = ETH_HLEN + c->strip;
	__be16 ports[2] = {};

	p->family = c->inner;
	if (c->inner == FAMILY_V4) {
		struct iphdr ip = {};

		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl != 5 ||
		    ip.frag_off & bpf_htons(IP_OFFSET))
			return false;
		set_v4(&p->source, ip.saddr);
		set_v4(&p->destination, ip.daddr);
		p->protocol = ip.protocol;
		at += sizeof(ip);
	} else if (c->inner == FAMILY_V6) {
		struct ipv6hdr ip = {};

		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.version != 6)
			return false;
		set_v6(&p->source, &ip.saddr);
		set_v6(&p->destination, &ip.daddr);
		p->protocol = ip.nexthdr;
		at += sizeof(ip);
	} else {
		return false;
	}
	if (bpf_xdp_get_buff_len(ctx) < at + QUOTED_PORTS ||
	    bpf_xdp_load_bytes(ctx, at, ports, sizeof(ports)))
		return false;
	p->sport = ports[0];
	p->dport = ports[1];
	p->length = bpf_xdp_get_buff_len(ctx) - ETH_HLEN - c->strip;
	return true;
}

/* translate_complaint says in the words of the packet's family what the error says in those of the outer
 * header's. Of another family, all that is not about the MTU is an unreachable address (RFC 2473,
 * Section 8; RFC 4213, Section 3.4). */
static __always_inline void translate_complaint(struct scratch *s, const struct complaint *c,
						const struct dest *d)
{
	__u32 overhead = shim_size(READ(d->tunnel)) +
			 (c->family == FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	__u32 mtu = READ(d->path_mtu);

	s->answer = ANSWER_RELAYED;
	s->type = c->type;
	s->code = c->code;
	s->mtu = 0;
	if (is_narrow(c)) {
		s->answer = ANSWER_TOO_BIG;
		s->mtu = mtu > overhead ? mtu - overhead : 0;
	} else if (c->family != c->inner) {
		s->type = c->inner == FAMILY_V4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH;
		s->code = c->inner == FAMILY_V4 ? ICMP_HOST_UNREACH : ICMPV6_ADDR_UNREACH;
	}
}

/* strip takes off what is in front of the packet inside. */
static __always_inline bool strip(struct xdp_md *ctx, const struct complaint *c)
{
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;

	if (bpf_xdp_adjust_head(ctx, c->strip))
		return false;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return false;
	eth->h_proto = c->inner == FAMILY_V4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	return true;
}

/* tell_client turns the error into one about the packet inside, from the VIP. */
static __always_inline int tell_client(struct xdp_md *ctx, struct scratch *s, struct conn *conn,
				       const struct complaint *c, __u32 now)
{
	struct dest *d = dest_at(conn->dest);
	enum resolved found;
	__u64 hop;

	if (!d || !same_addr(&d->addr, &c->server) ||
	    STATE_FORWARD(READ(conn->state)) != FORWARD_TUNNEL)
		return finish(OUTCOME_DROP_TUNNEL_ERROR, XDP_DROP);
	if (is_narrow(c))
		look_at_path(d, now);
	translate_complaint(s, c, d);
	if (!within_rate(now))
		return finish(OUTCOME_DROP_RATE_LIMIT, XDP_DROP);
	found = resolve_client(ctx, conn, now, &hop);
	if (found != HOP_FOUND)
		return unresolved(ctx, &s->packet, found);
	count_out(d, conn->dest, s->packet.length);
	s->vip = conn->vaddr;
	if (!strip(ctx, c) || !make_error(ctx, s))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return send_made(ctx, hop, OUTCOME_FORWARD_ICMP);
}

/* relay_tunnel_error notes a path MTU, and tells the client. What is about no tunnel of ours is the
 * host's. */
static __always_inline int relay_tunnel_error(struct xdp_md *ctx, struct scratch *s)
{
	struct packet *p = &s->packet;
	struct complaint c = {};
	__u32 now = now_ms();
	struct path *path;
	struct conn *conn;
	__u32 slot;

	if (!read_complaint(ctx, p->family, &c)) {
		if (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP)
			return finish(OUTCOME_PASS_NOT_OURS, XDP_PASS);
		return finish(OUTCOME_PASS_PROTOCOL, XDP_PASS);
	}
	path = bpf_map_lookup_elem(&paths, &c.server);
	if (!path || !same_addr(&path->source, &c.director))
		return finish(OUTCOME_PASS_NOT_OURS, XDP_PASS);
	if (!is_for_us(ctx, p))
		return finish(OUTCOME_PASS_OTHERHOST, XDP_PASS);
	if (is_narrow(&c))
		note_path_mtu(path, c.family, c.mtu, now);
	if (!read_inner(ctx, &c, p))
		return finish(OUTCOME_DROP_TUNNEL_ERROR, XDP_DROP);
	hash_packet(p);
	conn = find(p, &slot);
	if (!conn || slot & SLOT_REVERSE)
		return finish(OUTCOME_DROP_TUNNEL_ERROR, XDP_DROP);
	return tell_client(ctx, s, conn, &c, now);
}
