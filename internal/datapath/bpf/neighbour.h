/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Asking for a next hop's MAC from XDP, and hearing the answer: ARP (RFC 826, RFC 5227) and
 * neighbour discovery (RFC 4861, Sections 4.3 and 4.4). Needed when the kernel has no entry: nobody
 * on this machine talks to the server, and a flush or a link flap took the managed entry away. */
#pragma once

#include "checksum.h"
#include "hop.h"
#include "protocol.h"
#include "stages.h"

struct arp {
	struct ethhdr eth;
	__be16 hardware_type;
	__be16 protocol_type;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target[4];
} __attribute__((packed));

/* A solicitation with its source link-layer option, and an advertisement with its target one: the
 * same layout. */
struct ndp {
	struct ethhdr eth;
	struct ipv6hdr ip;
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 flags;
	union addr target;
	__u8 option;
	__u8 option_length; /* in 8 bytes */
	__u8 mac[ETH_ALEN];
} __attribute__((packed));

#define NDP_SOLICITATION 135
#define NDP_ADVERTISEMENT 136
#define NDP_SOURCE_MAC 1
#define NDP_TARGET_MAC 2
#define NDP_HOPS 255

static __always_inline void put_mac(__u8 *to, __u64 mac)
{
	*(__u16 *)to = (__u16)mac;
	*(__u16 *)(to + 2) = (__u16)(mac >> 16);
	*(__u16 *)(to + 4) = (__u16)(mac >> 32);
}

/* learn keeps the MAC of a next hop that was asked for; others are no business of ours. */
static __always_inline void learn(struct xdp_md *ctx, struct neighbour_key *key, __u64 mac)
{
	struct neighbour *n;

	key->device = device_row(ctx->ingress_ifindex);
	n = bpf_map_lookup_elem(&neighbours, key);
	if (!n)
		return;
	WRITE(n->mac, mac);
	WRITE(n->learned, now_ms());
}

/* resize gives the packet a size, whatever it was. */
static __always_inline bool resize(struct xdp_md *ctx, __u32 size)
{
	return !bpf_xdp_adjust_tail(ctx, (int)size - (int)bpf_xdp_get_buff_len(ctx));
}

static __always_inline bool make_arp_request(struct xdp_md *ctx, const struct device *d,
					     const union addr *target)
{
	struct arp *a;

	if (!resize(ctx, sizeof(*a)))
		return false;
	a = (void *)(long)ctx->data;
	if ((void *)(a + 1) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memset(a, 0, sizeof(*a));
	put_mac(a->eth.h_dest, HOP_MAC);
	put_mac(a->eth.h_source, d->mac);
	a->eth.h_proto = bpf_htons(ETH_P_ARP);
	a->hardware_type = bpf_htons(ARPHRD_ETHER);
	a->protocol_type = bpf_htons(ETH_P_IP);
	a->hardware_length = ETH_ALEN;
	a->protocol_length = 4;
	a->operation = bpf_htons(ARPOP_REQUEST);
	put_mac(a->sender_mac, d->mac);
	__builtin_memcpy(a->sender, &d->addr4, 4);
	__builtin_memcpy(a->target, &target->word[3], 4);
	return true;
}

static __always_inline void set_solicited_node(struct ndp *n, const union addr *target)
{
	/* ff02::1:ffXX:XXXX and 33:33:ff:XX:XX:XX (RFC 4291, Section 2.7.1; RFC 2464, Section 7) */
	n->ip.daddr.s6_addr32[0] = bpf_htonl(0xff020000);
	n->ip.daddr.s6_addr32[2] = bpf_htonl(1);
	n->ip.daddr.s6_addr32[3] = bpf_htonl(0xff000000) | (target->word[3] & bpf_htonl(0xffffff));
	n->eth.h_dest[0] = 0x33;
	n->eth.h_dest[1] = 0x33;
	__builtin_memcpy(&n->eth.h_dest[2], &n->ip.daddr.s6_addr32[3], 4);
}

static __always_inline bool make_solicitation(struct xdp_md *ctx, const struct device *d,
					      const union addr *target)
{
	/* Without an address of our own it is the question of duplicate address detection: no
	 * source, no option, answered to all nodes. */
	bool own = d->addr6.half[0] || d->addr6.half[1];
	__u32 length = sizeof(struct ndp) - ETH_HLEN - sizeof(struct ipv6hdr) - (own ? 0 : 8);
	__be32 pseudo[2] = { bpf_htonl(length), bpf_htonl(IPPROTO_ICMPV6) };
	struct ndp *n;
	__s64 sum;

	if (!resize(ctx, sizeof(*n)))
		return false;
	n = (void *)(long)ctx->data;
	if ((void *)(n + 1) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memset(n, 0, sizeof(*n));
	set_solicited_node(n, target);
	put_mac(n->eth.h_source, d->mac);
	n->eth.h_proto = bpf_htons(ETH_P_IPV6);
	n->ip.version = 6;
	n->ip.payload_len = bpf_htons(length);
	n->ip.nexthdr = IPPROTO_ICMPV6;
	n->ip.hop_limit = NDP_HOPS;
	__builtin_memcpy(&n->ip.saddr, &d->addr6, sizeof(d->addr6));
	n->type = NDP_SOLICITATION;
	__builtin_memcpy(&n->target, target, sizeof(n->target));
	if (own) {
		n->option = NDP_SOURCE_MAC;
		n->option_length = 1;
		put_mac(n->mac, d->mac);
	}
	sum = bpf_csum_diff(NULL, 0, (void *)&n->ip.saddr, 32, 0);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	/* Without the option its 8 bytes are zero, and count for nothing. */
	sum = bpf_csum_diff(NULL, 0, (void *)&n->type, 32, sum);
	n->check = fold(sum);
	return true;
}

/* ask turns the packet at hand into the question; the client sends its own again. */
static __always_inline int ask(struct xdp_md *ctx, const struct neighbour_key *key, __u8 family)
{
	struct device *d = device_at(key->device);
	bool made;

	if (!d || !d->ifindex || !d->mac)
		return finish(OUTCOME_DROP_NO_NEIGHBOUR, XDP_DROP);
	made = family == FAMILY_V4 ? make_arp_request(ctx, d, &key->addr) :
				     make_solicitation(ctx, d, &key->addr);
	if (!made)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return finish(OUTCOME_ANSWER_ASK_NEIGHBOUR, bpf_redirect(d->ifindex, 0));
}

/* hear_arp learns from any ARP message of a host that was asked for; the host sees it too. */
static __always_inline void hear_arp(struct xdp_md *ctx)
{
	struct arp *a = (void *)(long)ctx->data;
	struct neighbour_key key = {};

	if ((void *)(a + 1) > (void *)(long)ctx->data_end ||
	    a->hardware_type != bpf_htons(ARPHRD_ETHER) || a->protocol_type != bpf_htons(ETH_P_IP))
		return;
	key.addr.word[2] = bpf_htonl(0xffff);
	__builtin_memcpy(&key.addr.word[3], a->sender, 4);
	learn(ctx, &key, mac_word(a->sender_mac));
}

static __always_inline void hear_advertisement(struct xdp_md *ctx)
{
	struct ndp *n = (void *)(long)ctx->data;
	struct neighbour_key key = {};

	if ((void *)(n + 1) > (void *)(long)ctx->data_end || n->type != NDP_ADVERTISEMENT ||
	    n->ip.hop_limit != NDP_HOPS || n->option != NDP_TARGET_MAC)
		return;
	key.addr = n->target;
	learn(ctx, &key, mac_word(n->mac));
}
