/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Packets that are made on this host, at TC egress: see local.h. */
#pragma once

#include "local.h"
#include "parse.h"
#include "service.h"

#define TC_ACT_UNSPEC (-1) /* of linux/pkt_cls.h: on to the next program, if there is one */

/* read_skb fills in what the tables are asked with. False for what is none of ours: fragments, options. */
static __always_inline bool read_skb(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr v4;
	struct ipv6hdr v6;
	__be16 ports[2];
	__u8 flags = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &v4, sizeof(v4)) || *(__u8 *)&v4 != V4_WITHOUT_OPTIONS ||
		    v4.frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET))
			return false;
		set_v4(&p->source, v4.saddr);
		set_v4(&p->destination, v4.daddr);
		p->family = FAMILY_V4;
		p->protocol = v4.protocol;
		p->length = bpf_ntohs(v4.tot_len);
		p->transport = ETH_HLEN + sizeof(v4);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &v6, sizeof(v6)))
			return false;
		set_v6(&p->source, &v6.saddr);
		set_v6(&p->destination, &v6.daddr);
		p->family = FAMILY_V6;
		p->protocol = v6.nexthdr;
		p->length = bpf_ntohs(v6.payload_len) + sizeof(v6);
		p->transport = ETH_HLEN + sizeof(v6);
	} else {
		return false;
	}
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return false;
	if (bpf_skb_load_bytes(skb, p->transport, ports, sizeof(ports)))
		return false;
	p->sport = ports[0];
	p->dport = ports[1];
	p->event = EVENT_NONE;
	if (p->protocol == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, p->transport + TCP_FLAGS_OFFSET, &flags, sizeof(flags)))
			return false;
		note_tcp_flags(p, flags);
	}
	hash_packet(p);
	return true;
}

/* check_at gives the offset of the transport's checksum, and the flags of the helpers that mend it. */
static __always_inline __u32 check_at(const struct packet *p)
{
	return p->transport + (p->protocol == IPPROTO_TCP ? offsetof(struct tcphdr, check) :
							     offsetof(struct udphdr, check));
}

/* mend_source gives the packet another source. The helpers know of checksums that the device is yet to
 * fill in. */
static __always_inline bool mend_source(struct __sk_buff *skb, const struct packet *p, const union addr *to,
					__be16 port)
{
	__u64 flags = p->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 check = check_at(p);
	__s64 difference;

	if (p->family == FAMILY_V4) {
		__be32 from = p->source.word[3], v4 = to->word[3];

		if (bpf_l4_csum_replace(skb, check, from, v4, flags | BPF_F_PSEUDO_HDR | sizeof(v4)) ||
		    bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), from, v4, sizeof(v4)) ||
		    bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, saddr), &v4, sizeof(v4), 0))
			return false;
	} else {
		difference = bpf_csum_diff((__be32 *)&p->source, sizeof(p->source), (__be32 *)to, sizeof(*to), 0);
		if (difference < 0 ||
		    bpf_l4_csum_replace(skb, check, 0, difference, flags | BPF_F_PSEUDO_HDR) ||
		    bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, saddr), to, sizeof(*to), 0))
			return false;
	}
	return !bpf_l4_csum_replace(skb, check, p->sport, port, flags | sizeof(port)) &&
	       !bpf_skb_store_bytes(skb, p->transport, &port, sizeof(port), 0);
}

/* answers_here tells whether a packet is a reply of a server on this host, and gives it the VIP's source. */
static __always_inline bool answers_here(struct __sk_buff *skb, const struct packet *p)
{
	struct control *k = control();
	union addr vip;
	struct conn *c;
	struct dest *d;
	__be16 port;
	__u32 slot;

	c = find(p, &slot);
	if (!c || !k || !(slot & SLOT_REVERSE))
		return false;
	d = dest_at(c->dest);
	if (!d || !(d->flags & DEST_LOCAL))
		return false;
	count_out(d, c->dest, p->length);
	vip = c->vaddr;
	port = c->vport;
	observe(c, SLOT_INDEX(slot), observation(p, true), d, k);
	if (p->protocol == IPPROTO_UDP && READ(c->state) & STATE_FLAG_CONTROLLED)
		assure(SLOT_INDEX(slot));
	return mend_source(skb, p, &vip, port);
}

/* keep_mark has XDP find the mark of a packet of this host: XDP sees none. */
static __always_inline void keep_mark(const struct packet *p, __u32 mark)
{
	__u64 key = p->hash;

	if (mark)
		bpf_map_update_elem(&host_marks, &key, &mark, BPF_ANY);
	else
		bpf_map_delete_elem(&host_marks, &key); /* an earlier one's with the same ports */
}

/* asks_service tells whether a packet of this host is for a service, or for a connection to one. */
static __always_inline bool asks_service(struct packet *p, __u32 mark, const struct control *k)
{
	struct scratch *s = scratch();
	struct conn *known;
	__u32 slot;

	if (!s || !is_virtual(&p->destination) || is_standby(&p->destination, k))
		return false;
	known = find(p, &slot);
	if (known && !(p->flags & PACKET_SYN)) /* a SYN may begin anew (is_over) */
		return !(slot & SLOT_REVERSE);
	if (READ(k->uses) & USES_HOST_MARKS)
		keep_mark(p, mark);
	else
		mark = 0;
	if (known)
		return !(slot & SLOT_REVERSE);
	s->packet = *p;
	return find_service(s, mark, READ(k->uses));
}

/* leave_host is at the egress of the interfaces: replies of servers here. */
static __always_inline int leave_host(struct __sk_buff *skb)
{
	struct control *k = control();
	struct packet p = {};

	if (k && READ(k->uses) & USES_LOCAL && read_skb(skb, &p))
		answers_here(skb, &p);
	return TC_ACT_UNSPEC;
}

/* stay_on_host is at the egress of lo: the same, and clients here. */
static __always_inline int stay_on_host(struct __sk_buff *skb)
{
	struct control *k = control();
	struct packet p = {};

	if (!k || !READ(k->outer) || !read_skb(skb, &p))
		return TC_ACT_UNSPEC;
	if (READ(k->uses) & USES_LOCAL && answers_here(skb, &p))
		return TC_ACT_UNSPEC;
	if (asks_service(&p, skb->mark, k))
		return bpf_redirect(READ(k->outer), 0);
	return TC_ACT_UNSPEC;
}

/* into_host is at the ingress of the pair: what arrives goes on into lo. */
static __always_inline int into_host(struct __sk_buff *skb)
{
	const __u8 macs[2 * ETH_ALEN] = {};

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_UNSPEC;
	bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
	return bpf_redirect(LOOPBACK_IFINDEX, BPF_F_INGRESS);
}
