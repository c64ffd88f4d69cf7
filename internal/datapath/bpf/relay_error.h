/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* ICMP errors about packets of a connection: they follow it, as with ip_vs. From outside, the error
 * quotes a reply that the VIP sent, and belongs to the real server. From inside (NAT), it quotes what
 * the real server received, and belongs to the client, who must see the VIP in it. */
#pragma once

#include "existing.h"
#include "protocol.h"

static __always_inline bool is_error(__u8 family, __u8 type)
{
	if (family == FAMILY_V4)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
		       type == ICMP_PARAMETERPROB || type == ICMP_SOURCE_QUENCH;
	return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
}

static __always_inline bool quoted_ports(void *ports, void *end, struct packet *p)
{
	if (ports + 4 > end || (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP))
		return false;
	/* The quoted packet went the other way. */
	p->dport = *(__be16 *)ports;
	p->sport = *(__be16 *)(ports + 2);
	return true;
}

/* quoted fills in the tuple, turned round: that of a packet which would answer the quoted one. */
static __always_inline bool quoted(struct xdp_md *ctx, struct packet *p)
{
	void *end = (void *)(long)ctx->data_end;
	void *at = (void *)(long)ctx->data;

	if (p->family == FAMILY_V4) {
		struct iphdr *ip = at + ETH_HLEN + sizeof(*ip) + ICMP_HEADER;

		if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl != 5 ||
		    ip->frag_off & bpf_htons(IP_OFFSET))
			return false;
		set_v4(&p->destination, ip->saddr);
		set_v4(&p->source, ip->daddr);
		p->protocol = ip->protocol;
		return quoted_ports(ip + 1, end, p);
	} else {
		struct ipv6hdr *ip = at + ETH_HLEN + sizeof(*ip) + ICMP_HEADER;

		if ((void *)(ip + 1) > end || ip->version != 6)
			return false;
		set_v6(&p->destination, &ip->saddr);
		set_v6(&p->source, &ip->daddr);
		p->protocol = ip->nexthdr;
		return quoted_ports(ip + 1, end, p);
	}
}

/* The rewriting of an error, outside and inside: one address for another, one port for another. */
struct relay {
	const union addr *to;
	__be16 port;
	bool from_server; /* outer source and quoted destination, instead of the other two */
};

static __always_inline bool rewrite4(struct xdp_md *ctx, const struct relay *r)
{
	struct iphdr *ip = (void *)(long)ctx->data + ETH_HLEN;
	struct icmp_error *icmp = (void *)(ip + 1);
	struct iphdr *inner = (void *)(icmp + 1);
	__be16 *port = (void *)(inner + 1);
	__be32 *outer_addr, *inner_addr;
	__u64 gain, outer;
	__sum16 check;

	if ((void *)(port + 2) > (void *)(long)ctx->data_end)
		return false;
	outer_addr = r->from_server ? &ip->saddr : &ip->daddr;
	inner_addr = r->from_server ? &inner->daddr : &inner->saddr;
	if (r->from_server)
		port++;
	outer = replaced32(*outer_addr, r->to->word[3]);
	*outer_addr = r->to->word[3];
	ip->check = adjusted(ip->check, outer);
	gain = replaced32(*inner_addr, r->to->word[3]);
	*inner_addr = r->to->word[3];
	check = inner->check;
	inner->check = adjusted(check, gain);
	gain += replaced16(check, inner->check) + replaced16(*port, r->port);
	*port = r->port;
	icmp->check = adjusted(icmp->check, gain);
	return true;
}

static __always_inline bool rewrite6(struct xdp_md *ctx, const struct relay *r)
{
	struct ipv6hdr *ip = (void *)(long)ctx->data + ETH_HLEN;
	struct icmp_error *icmp = (void *)(ip + 1);
	struct ipv6hdr *inner = (void *)(icmp + 1);
	__be16 *port = (void *)(inner + 1);
	union addr *outer_addr, *inner_addr;
	__u64 gain;

	if ((void *)(port + 2) > (void *)(long)ctx->data_end)
		return false;
	outer_addr = (void *)(r->from_server ? &ip->saddr : &ip->daddr);
	inner_addr = (void *)(r->from_server ? &inner->daddr : &inner->saddr);
	if (r->from_server)
		port++;
	/* The outer addresses are in ICMPv6's pseudo-header. */
	gain = replaced_addr(outer_addr, r->to) + replaced_addr(inner_addr, r->to) +
	       replaced16(*port, r->port);
	__builtin_memcpy(outer_addr, r->to, sizeof(*r->to));
	__builtin_memcpy(inner_addr, r->to, sizeof(*r->to));
	*port = r->port;
	icmp->check = adjusted(icmp->check, gain);
	return true;
}

static __always_inline int relay(struct xdp_md *ctx, const struct packet *p, const struct relay *r,
				 __u64 hop)
{
	if (r && !(p->family == FAMILY_V4 ? rewrite4(ctx, r) : rewrite6(ctx, r)))
		return finish(OUTCOME_PASS_MALFORMED, XDP_PASS);
	return send(ctx, p, hop, OUTCOME_FORWARD_ICMP);
}

static __always_inline int relay_to_host(struct xdp_md *ctx, const struct packet *p,
					 const struct conn *c, const struct dest *d)
{
	struct relay r = { .to = &d->addr, .port = server_port(c, d, READ(c->state)), .from_server = false };

	if (STATE_FORWARD(READ(c->state)) == FORWARD_MASQ &&
	    !(p->family == FAMILY_V4 ? rewrite4(ctx, &r) : rewrite6(ctx, &r)))
		return finish(OUTCOME_PASS_MALFORMED, XDP_PASS);
	return finish(OUTCOME_PASS_LOCAL_SERVER, XDP_PASS);
}

static __always_inline int relay_to_server(struct xdp_md *ctx, const struct packet *p,
					   const struct conn *c, __u32 now)
{
	struct dest *d = dest_at(c->dest);
	struct relay r;
	enum resolved found;
	__u64 hop;
	__u32 mtu;

	if (!d)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	if (d->flags & DEST_AVAILABLE)
		count_in(c->dest, p->length);
	if (d->flags & DEST_LOCAL)
		return relay_to_host(ctx, p, c, d);
	if (STATE_FORWARD(READ(c->state)) == FORWARD_TUNNEL)
		return into_tunnel(ctx, p, c->dest, OUTCOME_FORWARD_ICMP);
	found = resolve_dest(ctx, d, now, &hop, &mtu);
	if (found != HOP_FOUND)
		return unresolved(ctx, p, found);
	if (STATE_FORWARD(READ(c->state)) != FORWARD_MASQ)
		return relay(ctx, p, NULL, hop);
	r = (struct relay){ .to = &d->addr, .port = server_port(c, d, READ(c->state)), .from_server = false };
	return relay(ctx, p, &r, hop);
}

static __always_inline int relay_to_client(struct xdp_md *ctx, const struct packet *p,
					   struct conn *c, __u32 now)
{
	struct relay r = { .to = &c->vaddr, .port = c->vport, .from_server = true };
	struct dest *d = dest_at(c->dest);
	enum resolved found;
	__u64 hop;

	if (!d)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	count_out(d, c->dest, p->length);
	found = resolve_client(ctx, c, now, &hop);
	if (found != HOP_FOUND)
		return unresolved(ctx, p, found);
	return relay(ctx, p, &r, hop);
}

/* may_begin tells whether an error of no connection has its server scheduled (schedule_icmp): it quotes what a
 * VIP sent, maybe through another director. It marks the packet so. */
static __always_inline bool may_begin(struct packet *p)
{
	struct control *k = control();

	if (!k || !tuned(k, TUNE_SCHEDULE_ICMP) || p->flags & PACKET_QUOTED || p->hops <= 1 ||
	    !is_virtual(&p->destination))
		return false;
	p->event = EVENT_NONE;
	p->flags = PACKET_QUOTED;
	return true;
}

static __always_inline int relay_error(struct xdp_md *ctx, struct packet *p)
{
	struct control *k = control();
	__u32 now = now_ms();
	struct conn *c;
	__u32 slot;

	if (!quoted(ctx, p))
		return hand_on(ctx, STAGE_TUNNEL_ERROR);
	if (k && is_standby(&p->destination, k))
		return finish(OUTCOME_PASS_STANDBY, XDP_PASS);
	hash_packet(p);
	c = find(p, &slot);
	if (!c)
		return may_begin(p) ? hand_on(ctx, STAGE_NEW) : hand_on(ctx, STAGE_TUNNEL_ERROR);
	if (!is_for_us(ctx, p))
		return finish(OUTCOME_PASS_OTHERHOST, XDP_PASS);
	if (p->hops <= 1)
		return finish(OUTCOME_PASS_PROTOCOL, XDP_PASS);
	if (slot & SLOT_REVERSE)
		return relay_to_client(ctx, p, c, now);
	return relay_to_server(ctx, p, c, now);
}
