/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A packet of a known connection. */
#pragma once

#include "access.h"
#include "count.h"
#include "forward.h"
#include "local.h"

/* is_new_mac tells whether the frame's MAC is that of its interface all the same, changed since it was
 * written down: the kernel gives it with the way back to the sender. */
__noinline int is_new_mac(struct xdp_md *ctx, const union addr *sender, __u8 family, __u32 ifindex)
{
	struct bpf_fib_lookup fib = {};
	void *data = (void *)(long)ctx->data;
	__u64 *mac;

	if (!sender || data + ETH_HLEN > (void *)(long)ctx->data_end)
		return 0;
	mac = bpf_map_lookup_elem(&ingress_macs, &ifindex);
	if (!mac || route(ctx, sender, family, &fib) != BPF_FIB_LKUP_RET_SUCCESS ||
	    fib.ifindex != ifindex || mac_word(fib.smac) != mac_word(data))
		return 0;
	WRITE(*mac, mac_word(fib.smac));
	return 1;
}

/* is_for_us tells whether the frame's MAC is that of the interface it came by: on a segment that
 * floods, frames for other machines arrive too, and forwarding them would double them. */
static __always_inline bool is_for_us(struct xdp_md *ctx, const struct packet *p)
{
	__u32 ifindex = p->in;
	__u64 *mac = bpf_map_lookup_elem(&ingress_macs, &ifindex);

	if (!mac || READ(*mac) == p->mac || !READ(*mac))
		return true;
	return is_new_mac(ctx, &p->source, p->family, p->in);
}

/* server_gone drops a packet whose server was deleted; with expire_nodest_conn its connection ends, and the
 * packet goes the way of those that have none. */
static __always_inline int server_gone(struct xdp_md *ctx, const struct packet *p, __u32 index,
				       const struct control *k)
{
	if (!tuned(k, TUNE_EXPIRE_NODEST_CONN))
		return finish(OUTCOME_DROP_SERVER_GONE, XDP_DROP);
	expire(index);
	return hand_on_packet(ctx, p, STAGE_NEW);
}

static __always_inline int from_client(struct xdp_md *ctx, const struct packet *p, struct conn *c,
				       __u32 index, const struct control *k)
{
	__u32 slot = c->dest;
	struct dest *d = dest_at(slot);
	__u64 state;

	if (!d)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	if (!(d->flags & DEST_AVAILABLE))
		return server_gone(ctx, p, index, k);
	count_in(slot, p->length);
	observe(c, index, observation(p, false), d, k);
	state = READ(c->state);
	return deliver(ctx, p, d, slot, server_port(c, d, state), STATE_FORWARD(state), READ(k->now));
}

static __always_inline int from_server(struct xdp_md *ctx, const struct packet *p, struct conn *c,
				       __u32 index, const struct control *k)
{
	__u32 slot = c->dest;
	struct dest *d = dest_at(slot);

	if (!d)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	count_out(d, slot, p->length);
	observe(c, index, observation(p, true), d, k);
	if (p->protocol == IPPROTO_UDP && READ(c->state) & STATE_FLAG_CONTROLLED)
		assure(index);
	return to_client(ctx, p, c, READ(k->now));
}

/* end_connection answers TCP with an RST. A UDP client is told nothing: its next datagram is scheduled. */
static __always_inline int end_connection(struct xdp_md *ctx, const struct packet *p, __u32 index)
{
	struct scratch *s = scratch();

	if (!s)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	s->packet = *p;
	if (p->protocol == IPPROTO_TCP)
		return hand_on(ctx, STAGE_RESET);
	expire(index);
	return hand_on(ctx, STAGE_NEW);
}

static __always_inline int known(struct xdp_md *ctx, const struct packet *p, struct conn *c,
				 __u32 slot_word, const struct control *k)
{
	if (!is_for_us(ctx, p))
		return finish(OUTCOME_PASS_OTHERHOST, XDP_PASS);
	if (READ(c->state) & STATE_FLAG_RESET && p->event != EVENT_RST)
		return end_connection(ctx, p, SLOT_INDEX(slot_word));
	if (slot_word & SLOT_REVERSE)
		return from_server(ctx, p, c, SLOT_INDEX(slot_word), k);
	if (is_standby(&p->destination, k))
		return finish(OUTCOME_PASS_STANDBY, XDP_PASS);
	if (refuses(p, k))
		return finish(OUTCOME_DROP_ACCESS, XDP_DROP);
	return from_client(ctx, p, c, SLOT_INDEX(slot_word), k);
}

/* is_stale tells whether the connection found is over for this packet, and a new one may begin. */
static __always_inline bool is_stale(const struct conn *c, const struct packet *p, __u32 slot_word,
				     const struct control *k)
{
	__u64 state = READ(c->state);

	if (expired(c, state, READ(k->now)))
		return true;
	return p->flags & PACKET_SYN && !(slot_word & SLOT_REVERSE) && is_over(c, state, k);
}

/* end_reused ends the connection whose ends a SYN uses again. That is once a server is chosen: the
 * schedulers of ip_vs still count it then, for its timer has yet to run. */
__noinline int end_reused(const struct packet *p)
{
	struct control *k = control();
	struct conn *c;
	__u32 slot;

	if (!p || !k)
		return 0;
	c = find(p, &slot);
	if (!c || slot & SLOT_REVERSE || !is_over(c, READ(c->state), k))
		return 0;
	return expire(SLOT_INDEX(slot));
}
