/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Cutting an ICMP error down to what a tunnel takes. An error may be as long as 1280 bytes (RFC 4443,
 * Section 2.4 (c)), and with an outer header it does not fit through a link of that MTU. Of the packet that it
 * is about it then quotes less: the receiver needs no more than its headers. */
#pragma once

#include "protocol.h"
#include "sum.h"

#define ERROR_LEAST (2 * sizeof(struct ipv6hdr) + ICMP_HEADER + 8) /* with the ports that it quotes */

/* shorten_error cuts an error of a family from length to keep bytes behind the Ethernet header, an even
 * number, and makes its checksum anew: without the sum of what is gone. 0, or a negative number. */
__noinline long shorten_error(struct xdp_md *ctx, __u32 family, __u32 length, __u32 keep)
{
	int cut = ETH_HLEN + (int)keep - (int)bpf_xdp_get_buff_len(ctx);
	struct icmp_error *icmp;
	__s64 whole, kept;
	void *data, *end;
	__u64 gain;

	if (keep < ERROR_LEAST)
		return -1;
	whole = sum_bytes(ctx, length);
	kept = sum_bytes(ctx, keep);
	if (whole < 0 || kept < 0 || bpf_xdp_adjust_tail(ctx, cut))
		return -1;
	gain = (__u32)kept + (__u64)(__u32)~whole;
	data = (void *)(long)ctx->data + ETH_HLEN;
	end = (void *)(long)ctx->data_end;
	if (family == FAMILY_V4) {
		struct iphdr *ip = data;
		__be16 total = bpf_htons(keep);

		icmp = (void *)(ip + 1);
		if ((void *)(icmp + 1) > end)
			return -1;
		ip->check = adjusted(ip->check, replaced16(ip->tot_len, total));
		ip->tot_len = total;
	} else {
		struct ipv6hdr *ip = data;
		__be16 payload = bpf_htons(keep - sizeof(*ip));

		icmp = (void *)(ip + 1);
		if ((void *)(icmp + 1) > end)
			return -1;
		gain += replaced16(ip->payload_len, payload); /* the pseudo-header's length */
		ip->payload_len = payload;
	}
	icmp->check = adjusted(icmp->check, gain);
	return 0;
}
