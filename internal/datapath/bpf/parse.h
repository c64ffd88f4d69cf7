/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The frame's headers, read once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "packet.h"

enum parsed {
	PARSED_TRANSPORT, /* TCP or UDP, all of struct packet but the hash is filled in */
	PARSED_ICMP,
	PARSED_FRAGMENT,
	PARSED_ARP,
	PARSED_OTHER,
	PARSED_PROTOCOL,
	PARSED_MALFORMED,
};

/* The flags byte of a TCP header (RFC 9293, Section 3.1). */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_FLAGS_OFFSET 13

/* Addresses are written in the halves in which they are compared: a load that spans two stores waits
 * for both to reach the cache. */
static __always_inline void set_v4(union addr *a, __be32 v4)
{
	a->half[0] = 0;
	a->half[1] = bpf_htonl(0xffff) | (__u64)v4 << 32;
}

static __always_inline void set_v6(union addr *a, const struct in6_addr *v6)
{
	const __u64 *half = (const __u64 *)v6;

	a->half[0] = half[0];
	a->half[1] = half[1];
}

/* note_tcp_flags: priority as in ip_vs: RST, SYN, FIN, ACK. */
static __always_inline void note_tcp_flags(struct packet *p, __u8 flags)
{
	p->event = EVENT_ACK;
	if ((flags & (TCP_RST | TCP_SYN | TCP_FIN | TCP_ACK)) == TCP_ACK)
		return; /* what most are */
	if (flags & TCP_RST)
		p->event = EVENT_RST, p->flags |= PACKET_RST;
	else if (flags & TCP_SYN)
		p->event = EVENT_SYN;
	else if (flags & TCP_FIN)
		p->event = EVENT_FIN;
	else if (flags & TCP_ACK)
		p->event = EVENT_ACK;
	else
		p->event = EVENT_NONE;
	if (flags & TCP_SYN)
		p->flags |= PACKET_SYN;
}

static __always_inline enum parsed parse_tcp(void *transport, void *end, struct packet *p)
{
	struct tcphdr *tcp = transport;

	if ((void *)(tcp + 1) > end)
		return PARSED_MALFORMED;
	p->sport = tcp->source;
	p->dport = tcp->dest;
	note_tcp_flags(p, ((__u8 *)tcp)[TCP_FLAGS_OFFSET]);
	return PARSED_TRANSPORT;
}

static __always_inline enum parsed parse_udp(void *transport, void *end, struct packet *p)
{
	struct udphdr *udp = transport;

	if ((void *)(udp + 1) > end)
		return PARSED_MALFORMED;
	p->sport = udp->source;
	p->dport = udp->dest;
	p->event = EVENT_NONE;
	return PARSED_TRANSPORT;
}

static __always_inline enum parsed parse_transport(void *transport, void *end, struct packet *p)
{
	__u32 header = p->protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);

	if (ETH_HLEN + p->length < p->transport + header)
		return PARSED_MALFORMED; /* what follows is the frame's padding */
	if (p->protocol == IPPROTO_TCP)
		return parse_tcp(transport, end, p);
	return parse_udp(transport, end, p);
}

/* A frame in several buffers shows only its first between data and end. */
static __always_inline bool frame_holds(struct xdp_md *ctx, void *data, void *end, __u32 length)
{
	return length + ETH_HLEN <= end - data || length + ETH_HLEN <= bpf_xdp_get_buff_len(ctx);
}

#define V4_WITHOUT_OPTIONS 0x45 /* version and header length, RFC 791, Section 3.1 */

static __always_inline enum parsed parse_v4(struct xdp_md *ctx, void *data, void *end,
					    struct packet *p)
{
	struct iphdr *ip = data + ETH_HLEN;
	__u16 fragment;

	if ((void *)(ip + 1) > end)
		return PARSED_MALFORMED;
	if (*(__u8 *)ip != V4_WITHOUT_OPTIONS)
		return ip->version != 4 || ip->ihl < 5 ? PARSED_MALFORMED : PARSED_PROTOCOL;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_ICMP)
		return PARSED_PROTOCOL;
	p->length = bpf_ntohs(ip->tot_len);
	if (p->length < sizeof(*ip) || !frame_holds(ctx, data, end, p->length))
		return PARSED_MALFORMED;
	set_v4(&p->source, ip->saddr);
	set_v4(&p->destination, ip->daddr);
	p->family = FAMILY_V4;
	p->protocol = ip->protocol;
	p->hops = ip->ttl;
	p->transport = ETH_HLEN + sizeof(*ip);
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & (IP_MORE_FRAGMENTS | IP_OFFSET))
		return PARSED_FRAGMENT;
	if (p->protocol == IPPROTO_ICMP)
		return PARSED_ICMP;
	return parse_transport(ip + 1, end, p);
}

static __always_inline enum parsed parse_v6(struct xdp_md *ctx, void *data, void *end,
					    struct packet *p)
{
	struct ipv6hdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return PARSED_MALFORMED;
	if (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP && ip->nexthdr != IPPROTO_ICMPV6 &&
	    ip->nexthdr != IPPROTO_FRAGMENT)
		return PARSED_PROTOCOL;
	p->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (!frame_holds(ctx, data, end, p->length))
		return PARSED_MALFORMED;
	set_v6(&p->source, &ip->saddr);
	set_v6(&p->destination, &ip->daddr);
	p->family = FAMILY_V6;
	p->protocol = ip->nexthdr;
	p->hops = ip->hop_limit;
	p->transport = ETH_HLEN + sizeof(*ip);
	if (p->protocol == IPPROTO_FRAGMENT)
		return PARSED_FRAGMENT;
	if (p->protocol == IPPROTO_ICMPV6)
		return PARSED_ICMP;
	return parse_transport(ip + 1, end, p);
}

static __always_inline enum parsed parse(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u16 type;

	if (data + ETH_HLEN > end)
		return PARSED_OTHER;
	p->mac = *(__u64 *)data & MAC_BITS;
	type = *(__be16 *)(data + 2 * ETH_ALEN); /* struct ethhdr is packed: it is read by bytes */
	if (type == bpf_htons(ETH_P_IP))
		return parse_v4(ctx, data, end, p);
	if (type == bpf_htons(ETH_P_IPV6))
		return parse_v6(ctx, data, end, p);
	if (type == bpf_htons(ETH_P_ARP))
		return PARSED_ARP;
	return PARSED_OTHER;
}
