// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/* For benchmarks: makes packets of many flows in place and hands each to the program under test. The
 * floor is measured the same way, so that the making of packets can be taken off. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "Dual BSD/GPL";

#define FRAME 60 /* bytes, as Go hands it in */
#define HEADERS (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr))

struct flows {
	__u32 count;
	__u32 stride; /* no common divisor with count: the order in which flows take turns */
	__u32 next;
	__u32 source; /* the first client, host byte order */
	__u32 spread; /* between the addresses of two flows; 0: as few addresses as there can be */
	__u64 macs[2];  /* bytes 0 to 7 and 8 to 11 of the frame */
	__be32 destination;
	__be16 port;
	__u16 ip_check;
	__u8 tcp_flags;
	__u8 pad[7];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flows);
} bench_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_target SEC(".maps");

SEC("xdp.frags")
int bench_floor(struct xdp_md *ctx)
{
	return XDP_TX;
}

/* unwrap takes the headers off again that a tunnel has put in front: the kernel gives every repeat of a
 * run the frame as the last one left it. */
static __always_inline int unwrap(struct xdp_md *ctx)
{
	__u32 length = ctx->data_end - ctx->data;

	return length > FRAME ? bpf_xdp_adjust_head(ctx, length - FRAME) : 0;
}

SEC("xdp.frags")
int bench_flow(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct flows *f = bpf_map_lookup_elem(&bench_flows, &zero);
	struct iphdr *ip;
	struct tcphdr *tcp;
	void *data;
	__u32 flow;

	if (unwrap(ctx))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	ip = data + sizeof(struct ethhdr);
	tcp = (void *)(ip + 1);
	if (!f || data + HEADERS > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	flow = f->next;
	f->next += f->stride;
	if (f->next >= f->count)
		f->next -= f->count;
	/* Only what the program under test changes, in the widths in which it reads: a load that spans
	 * several stores just made waits for them, which no packet from a NIC does. */
	*(__u64 *)data = f->macs[0];
	*(__u32 *)(data + 8) = f->macs[1];
	*(__be16 *)(data + 12) = bpf_htons(ETH_P_IP); /* a tunnel's header lay here */
	ip->ttl = 64;
	ip->check = f->ip_check;
	ip->saddr = bpf_htonl(f->source + (flow >> 15) + flow * f->spread);
	ip->daddr = f->destination;
	tcp->source = bpf_htons(1024 + (flow & 0x7fff));
	tcp->dest = f->port;
	*((__u8 *)tcp + 13) = f->tcp_flags;
	tcp->check = 0;
	bpf_tail_call(ctx, &bench_target, 0);
	return XDP_ABORTED;
}
