/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The client's segments must fit into the tunnel, and how large they are the server's SYN-ACK says,
 * which does not pass the director: so it is lowered here, on its way out. */
#pragma once

#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include "outer.h"

#define TCP_OPTIONS_MOST 40
#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
#define TCP_OPTION_MSS_LENGTH 4
#define TCP_FLAGS 13
#define TCP_FLAG_SYN_BIT 0x02
#define TCP_CHECK 16

struct options {
	__u8 byte[TCP_OPTIONS_MOST]; /* zeroes, TCP_OPTION_END, behind the last */
};

#define NO_MSS 0xffff
#define MSS_FOUND 0x100 /* set beside the offset */

/* next_option steps over the option at an offset: it gives the offset of the next one, that of the
 * segment size with MSS_FOUND, or NO_MSS. A global function, so that the verifier, which knows nothing
 * of what it returns, walks through the caller's loop only once. */
__noinline __u32 next_option(const struct options *options, __u32 at)
{
	if (!options || at > TCP_OPTIONS_MOST - TCP_OPTION_MSS_LENGTH)
		return NO_MSS;
	switch (options->byte[at]) {
	case TCP_OPTION_END:
		return NO_MSS;
	case TCP_OPTION_NOP:
		return at + 1;
	case TCP_OPTION_MSS:
		if (options->byte[at + 1] != TCP_OPTION_MSS_LENGTH)
			return NO_MSS;
		return MSS_FOUND | (at + 2);
	}
	return options->byte[at + 1] < 2 ? NO_MSS : at + options->byte[at + 1];
}

/* find_mss gives the offset of the segment size within the TCP options; 0 if there is none. */
static __always_inline __u32 find_mss(const struct options *options)
{
	__u32 at = 0;

	for (int i = 0; i < TCP_OPTIONS_MOST; i++) {
		at = next_option(options, at);
		if (at >= MSS_FOUND)
			return at == NO_MSS ? 0 : at & ~MSS_FOUND;
	}
	return 0;
}

/* lower writes a smaller segment size. bpf_l4_csum_replace knows of sums that the device completes. */
static __always_inline void lower(struct __sk_buff *skb, __u32 tcp, __u32 at, __u16 most)
{
	__be16 was, now = bpf_htons(most), from, to;
	__u64 *count;
	__u32 zero = 0;

	if (bpf_skb_load_bytes(skb, at, &was, sizeof(was)) || bpf_ntohs(was) <= most)
		return;
	from = was, to = now;
	if ((at - tcp) & 1) /* it lies across two words of the sum */
		from = __builtin_bswap16(was), to = __builtin_bswap16(now);
	if (bpf_l4_csum_replace(skb, tcp + TCP_CHECK, from, to, sizeof(to)) ||
	    bpf_skb_store_bytes(skb, at, &now, sizeof(now), 0))
		return;
	count = bpf_map_lookup_elem(&clamped, &zero);
	if (count)
		++*count;
}

static __always_inline void clamp_tcp(struct __sk_buff *skb, __u32 tcp, __u16 most)
{
	struct options options = {};
	struct tcphdr header;
	__u32 length, at;

	if (bpf_skb_load_bytes(skb, tcp, &header, sizeof(header)))
		return;
	if (!(((__u8 *)&header)[TCP_FLAGS] & TCP_FLAG_SYN_BIT))
		return;
	length = header.doff * 4;
	if (length <= sizeof(header) || length > sizeof(header) + TCP_OPTIONS_MOST)
		return;
	length -= sizeof(header);
	asm volatile("" : "+r"(length));
	if (length == 0 || length > TCP_OPTIONS_MOST)
		return;
	if (bpf_skb_load_bytes(skb, tcp + sizeof(header), &options, length))
		return;
	at = find_mss(&options);
	if (at)
		lower(skb, tcp, tcp + sizeof(header) + at, most);
}

static __always_inline void clamp(struct __sk_buff *skb)
{
	struct limits *set;
	union addr from = {};
	__u32 zero = 0;

	set = bpf_map_lookup_elem(&settings, &zero);
	if (!set)
		return;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP ||
		    ip.frag_off & bpf_htons(IP_OFFSET))
			return;
		v4_addr(&from, ip.saddr);
		if (set->mss4 && bpf_map_lookup_elem(&vips, &from))
			clamp_tcp(skb, ETH_HLEN + ip.ihl * 4, set->mss4);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_TCP)
			return;
		__builtin_memcpy(&from, &ip.saddr, sizeof(from));
		if (set->mss6 && bpf_map_lookup_elem(&vips, &from))
			clamp_tcp(skb, ETH_HLEN + sizeof(ip), set->mss6);
	}
}
