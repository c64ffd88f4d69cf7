/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The programs that a packet may be handed on to, by tail call. The entry holds only what every
 * packet of a known connection needs. */
#pragma once

#include "maps.h"

enum stage {
	STAGE_NEW,       /* no connection: is there a service? */
	STAGE_WALK,      /* rr, wrr */
	STAGE_LEAST,     /* lc, wlc, sed, nq, fo, ovf */
	STAGE_TABLE,     /* sh, dh, mh */
	STAGE_CONNECT,   /* a server was chosen */
	STAGE_STATELESS, /* the table is full */
	STAGE_ANSWER,    /* the packet becomes an ICMP error to its sender */
	STAGE_ASK,       /* the packet becomes a question for a MAC */
	STAGE_ICMP,      /* an ICMP packet came */
	STAGE_FRAGMENT,  /* a fragment came */
	STAGE_RAND,      /* twos, lblc, lblcr */
	STAGE_TUNNEL,    /* the packet goes to scratch's server in a tunnel */
	STAGE_TUNNEL_ERROR, /* an ICMP error came that may be about a tunnel's packet */
	STAGE_PERSIST,   /* a new connection of a persistent service */
	STAGE_RESET,     /* a packet of a connection that is to be ended */
	STAGE_KNOWN,     /* another CPU has begun the packet's connection */
	STAGE_TEMPLATE,  /* a server was chosen, for all that the client will ask for */
	STAGES,
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, STAGES);
	__type(key, __u32);
	__type(value, __u32);
} stages SEC(".maps");

/* hand_on does not return unless the stage is missing. */
static __always_inline int hand_on(struct xdp_md *ctx, enum stage stage)
{
	bpf_tail_call(ctx, &stages, stage);
	return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
}

/* hand_on_packet does so with a packet that scratch does not hold yet. */
static __always_inline int hand_on_packet(struct xdp_md *ctx, const struct packet *p,
					  enum stage stage)
{
	struct scratch *s = scratch();

	if (!s)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	s->packet = *p;
	return hand_on(ctx, stage);
}

/* into_tunnel sends the packet to a server behind a tunnel. outcome is what it is counted as then. */
static __always_inline int into_tunnel(struct xdp_md *ctx, const struct packet *p, __u32 slot,
				       enum outcome outcome)
{
	struct scratch *s = scratch();

	if (!s)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	s->packet = *p;
	s->slot = slot;
	s->outcome = outcome;
	return hand_on(ctx, STAGE_TUNNEL);
}

/* answer turns the packet into an ICMP error from the VIP to its sender. */
static __always_inline int answer(struct xdp_md *ctx, const struct packet *p, const union addr *vip,
				  enum answer what, __u32 mtu)
{
	struct scratch *s = scratch();

	if (!s)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	s->packet = *p;
	s->vip = *vip;
	s->answer = what;
	s->mtu = mtu;
	return hand_on(ctx, STAGE_ANSWER);
}
