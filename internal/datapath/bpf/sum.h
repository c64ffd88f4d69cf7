/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The sum of a packet's bytes, for the checksum of a header in front of it. */
#pragma once

#include "checksum.h"
#include "maps.h"

#define SUM_CHUNK 256
#define SUM_CHUNKS 64 /* 16 KiB: more than the largest frame */

struct sum_chunk {
	__u8 byte[SUM_CHUNK];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sum_chunk);
} sum_chunks SEC(".maps"); /* programs: bpf_csum_diff takes no bytes of later buffers of a frame */

/* sum_bytes gives the sum of so many bytes behind the Ethernet header, or a negative number. */
__noinline long sum_bytes(struct xdp_md *ctx, __u32 length)
{
	__u32 zero = 0;
	struct sum_chunk *chunk = bpf_map_lookup_elem(&sum_chunks, &zero);
	__s64 sum = 0;
	__u32 at = 0;
	__u32 rest;

	if (!chunk)
		return -1;
	for (int i = 0; i < SUM_CHUNKS && length - at >= SUM_CHUNK; i++, at += SUM_CHUNK) {
		if (bpf_xdp_load_bytes(ctx, ETH_HLEN + at, chunk, SUM_CHUNK))
			return -1;
		sum = bpf_csum_diff(NULL, 0, (void *)chunk, SUM_CHUNK, sum);
	}
	rest = length - at;
	MERGE(rest);
	MERGE(at);
	if (!rest)
		return sum & 0xffffffff;
	if (rest > SUM_CHUNK)
		return -1;
	__builtin_memset(chunk, 0, sizeof(*chunk));
	/* 1 to SUM_CHUNK, which the verifier of 6.1 does not see by itself. */
	rest = ((rest - 1) & (SUM_CHUNK - 1)) + 1;
	if (bpf_xdp_load_bytes(ctx, ETH_HLEN + at, chunk, rest))
		return -1;
	sum = bpf_csum_diff(NULL, 0, (void *)chunk, SUM_CHUNK, sum);
	return sum & 0xffffffff;
}

/* is_whole tells whether the packet has a checksum of its own over all that is behind its IP header. */
static __always_inline bool is_whole(struct xdp_md *ctx, const struct scratch *s)
{
	const struct packet *p = &s->packet;
	void *end = (void *)(long)ctx->data_end;
	struct udphdr *udp = (void *)(long)ctx->data + ETH_HLEN;
	__u32 header;

	if (s->outcome == OUTCOME_FORWARD_ICMP)
		return true;
	if (s->outcome == OUTCOME_FORWARD_FRAGMENT ||
	    p->flags & (PACKET_FIRST_FRAGMENT | PACKET_FRAGMENT_HEADER))
		return false;
	if (p->protocol != IPPROTO_UDP)
		return true;
	header = p->family == FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	udp = (void *)udp + header;
	/* What lies behind the datagram (RFC 9868) its checksum does not cover. */
	return (void *)(udp + 1) <= end && udp->check && bpf_ntohs(udp->len) + header == p->length;
}

/* sum_packet gives the sum of an IP packet, and does not look at its data if it need not: the header of
 * IPv4 sums up to nothing, and what TCP, UDP or ICMP protect to the complement of the pseudo-header
 * (which is what the kernel calls local checksum offload). If they protect it wrongly, the tunnel's
 * checksum is wrong too, and the server throws it away a step earlier. Negative: an error. */
static __always_inline __s64 sum_packet(struct xdp_md *ctx, const struct scratch *s)
{
	const struct packet *p = &s->packet;
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;

	if (!is_whole(ctx, s))
		return sum_bytes(ctx, p->length);
	if (p->family == FAMILY_V4) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -1;
		if (ip->protocol == IPPROTO_ICMP)
			return 0xffff; /* it has no pseudo-header */
		return (__u64)(__u32)~ip->saddr + (__u32)~ip->daddr +
		       (__u16)~bpf_htons(ip->protocol) +
		       (__u16)~bpf_htons(p->length - sizeof(*ip));
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -1;
		/* Addresses and length are in the header and, complemented, in the rest. */
		return (__u64)*(__be32 *)ip + *(__be16 *)&ip->nexthdr +
		       (__u16)~bpf_htons(ip->nexthdr);
	}
}
