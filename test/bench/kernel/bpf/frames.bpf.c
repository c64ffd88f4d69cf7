// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/* For benchmarks: makes frames of many flows and sends them to a director, and counts at the servers'
 * end what arrives. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "Dual BSD/GPL";

#define HEADERS (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define FIRST_PORT 1024

struct flows {
	__u32 count;
	__u32 stride; /* no common divisor with count: the order in which flows take turns */
	__u32 next;
	__u32 made;
	__u32 ifindex;         /* where frames go out */
	__u32 tcp_sum;         /* of the pseudo header and the TCP header, without the source port */
	__u8 headers[HEADERS]; /* of each frame, but for the source port and the TCP checksum */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flows);
} flows SEC(".maps");

/* How a frame came to the servers. */
enum arrival {
	ARRIVED_OTHER,        /* not one of the bench: ARP, a frame that was not rewritten, ... */
	ARRIVED_ROUTED,       /* TCP to the VIP */
	ARRIVED_MASQUERADED,  /* TCP to a server */
	ARRIVED_TUNNELLED,    /* IPIP to a server */
	ARRIVALS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ARRIVALS);
	__type(key, enum arrival);
	__type(value, __u64);
} arrivals SEC(".maps");

/* Set before loading; network byte order. */
const volatile __be32 servers_net = 0; /* of a /24 */

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Run by BPF_PROG_TEST_RUN in live-frame mode, in the namespace of the device. */
SEC("xdp")
int make_frame(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	__u32 zero = 0;
	struct flows *f = bpf_map_lookup_elem(&flows, &zero);
	struct tcphdr *tcp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	__u32 flow;

	if (!f || data + HEADERS > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	flow = f->next;
	f->made++;
	f->next += f->stride;
	if (f->next >= f->count)
		f->next -= f->count;
	__builtin_memcpy(data, f->headers, HEADERS);
	tcp->source = bpf_htons(FIRST_PORT + flow);
	tcp->check = fold(f->tcp_sum + tcp->source);
	return bpf_redirect(f->ifindex, 0);
}

static __always_inline enum arrival arrival_of(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return ARRIVED_OTHER;
	if (ip->protocol == IPPROTO_IPIP)
		return ARRIVED_TUNNELLED;
	if (ip->protocol != IPPROTO_TCP)
		return ARRIVED_OTHER;
	return (ip->daddr & bpf_htonl(0xffffff00)) == servers_net ? ARRIVED_MASQUERADED :
								   ARRIVED_ROUTED;
}

/* Attached where the servers are. */
SEC("xdp")
int count_frame(struct xdp_md *ctx)
{
	enum arrival key = arrival_of(ctx);
	__u64 *count = bpf_map_lookup_elem(&arrivals, &key);

	if (count)
		(*count)++;
	return XDP_DROP;
}

/* Attached to the director's front where no program of Drover's is: a veth receives redirected frames
 * only with one. */
SEC("xdp")
int pass_frame(struct xdp_md *ctx)
{
	return XDP_PASS;
}
