/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The states of a connection, as ip_vs keeps them. */
#pragma once

#include "table.h"

enum direction {
	FROM_CLIENT,        /* replies are seen too */
	FROM_SERVER,
	FROM_CLIENT_ONLY,   /* replies bypass us: a FIN of the client is all there will be */
};
#define SECURE 4 /* with a direction: while secure_tcp is on */

#define NO TCP_NONE
#define ES TCP_ESTABLISHED
#define SS TCP_SYN_SENT
#define SR TCP_SYN_RECV
#define FW TCP_FIN_WAIT
#define TW TCP_TIME_WAIT
#define CL TCP_CLOSE
#define CW TCP_CLOSE_WAIT
#define LA TCP_LAST_ACK
#define LI TCP_LISTEN
#define SA TCP_SYNACK

/* The next state by direction, event and state; measured against ip_vs of Linux 6.1. */
static const __u8 tcp_next[8][4][16] = {
	[FROM_CLIENT] = {
		/*               NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
		[EVENT_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
		[EVENT_FIN] = { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR },
	},
	[FROM_SERVER] = {
		[EVENT_SYN] = { SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR },
		[EVENT_FIN] = { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
		[EVENT_RST] = { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL },
	},
	[FROM_CLIENT_ONLY] = {
		[EVENT_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
		[EVENT_FIN] = { CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
	},
	/* secure_tcp: a client's word alone does not open a connection whose answers are seen. */
	[SECURE + FROM_CLIENT] = {
		/*               NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
		[EVENT_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA },
		[EVENT_FIN] = { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA },
		[EVENT_ACK] = { ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA },
		[EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
	},
	[SECURE + FROM_SERVER] = {
		[EVENT_SYN] = { SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA },
		[EVENT_FIN] = { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
		[EVENT_RST] = { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL },
	},
	[SECURE + FROM_CLIENT_ONLY] = {
		[EVENT_SYN] = { SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA },
		[EVENT_FIN] = { CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
	},
};

#undef NO
#undef ES
#undef SS
#undef SR
#undef FW
#undef TW
#undef CL
#undef CW
#undef LA
#undef LI
#undef SA

/* Counted in ActiveConn; all others are in InActConn. */
static __always_inline bool is_active(__u8 state)
{
	return state == TCP_ESTABLISHED || state == TCP_SYN_SENT || state == TCP_SYN_RECV ||
	       state == TCP_SYNACK;
}

/* own_timeout gives that of a row of timeout_sets, or 0. */
__noinline __u32 own_timeout(__u32 row, __u8 protocol, __u8 state)
{
	struct timeouts *t = bpf_map_lookup_elem(&timeout_sets, &row);

	if (!t)
		return 0;
	return protocol == IPPROTO_TCP ? READ(t->tcp[state % TCP_STATES]) : READ(t->udp);
}

/* timeout_of gives a state's timeout in seconds: the service's own, or everybody's. */
static __always_inline __u32 timeout_of(const struct control *k, const struct dest *d, __u8 protocol,
					__u8 state)
{
	if (d->flags & DEST_TIMEOUTS) {
		__u32 own = own_timeout(READ(d->timeouts), protocol, state);

		if (own)
			return own;
	}
	return protocol == IPPROTO_TCP ? READ(k->tcp[state % TCP_STATES]) : READ(k->udp);
}

/* What moves a state: the side that a packet came from, and what it says. */
struct observation {
	__u8 protocol;
	__u8 event; /* enum tcp_event */
	__u8 from_server;
	__u8 pad;
};

static __always_inline struct observation observation(const struct packet *p, bool from_server)
{
	return (struct observation){ p->protocol, p->event, from_server, 0 };
}

/* next_state gives the state word that follows. UDP has one state and never counts as active, as in
 * ip_vs. */
static __always_inline __u64 next_state(__u64 word, struct observation o, const struct dest *d,
					const struct control *k)
{
	__u8 state = TCP_NONE;

	if (o.protocol == IPPROTO_TCP) {
		__u32 direction = FROM_CLIENT;

		if (o.from_server) {
			direction = FROM_SERVER;
			word &= ~STATE_FLAG_NOOUTPUT;
		} else if (word & STATE_FLAG_NOOUTPUT) {
			direction = FROM_CLIENT_ONLY;
		}
		if (READ(k->defence) & DEFENCE_STATES)
			direction += SECURE;
		state = TCP_CLOSE;
		if (o.event < EVENT_NONE) {
			__u32 at = direction * 64 + o.event * 16 + (word & STATE_MASK);

			MERGE(at); /* or the compiler, who knows better, drops the bound */
			state = ((const __u8 *)tcp_next)[at % sizeof(tcp_next)];
		}
		word = is_active(state) ? word & ~STATE_FLAG_INACTIVE : word | STATE_FLAG_INACTIVE;
	}
	word &= ~(STATE_MASK | 0xffffffull << STATE_TIMEOUT_SHIFT);
	return word | state |
	       (__u64)(timeout_of(k, d, o.protocol, state) & 0xffffff) << STATE_TIMEOUT_SHIFT;
}

/* assure notes in a connection's template that its client is there: a handshake was seen, or an answer. */
__noinline int assure(__u32 index)
{
	struct conn *t = controller_of(index);

	if (t && !(READ(t->state) & STATE_ASSURED))
		__sync_fetch_and_or(&t->state, STATE_ASSURED);
	return 0;
}

/* count_controlled changes what a connection's template counts. */
__noinline int count_controlled(__u32 index, __u64 change)
{
	struct conn *t = controller_of(index);

	if (t)
		__sync_fetch_and_add(&t->hop, change);
	return 0;
}

/* move_state makes the change of state that was seen to be due, and moves the destination's counters
 * with it. Of CPUs that do so at once, each makes its own in turn. */
__noinline int move_state(__u32 index, __u8 protocol, __u8 event, __u8 from_server)
{
	struct observation o = { protocol, event, from_server & 1, 0 };
	struct conn *c = conn_at(index);
	struct control *k = control();

	if (!c || !k)
		return 0;
	for (int try = 0; try < 8; try++) {
		__u64 old = READ(c->state);
		__u32 slot = READ(c->dest); /* before the swap, as in expire */
		struct dest *d = dest_at(slot);
		__u64 word;

		if (STATE_LIFE(old) != LIFE_LIVE || !d)
			return 0;
		word = next_state(old, o, d, k);
		if (word == old)
			return 0;
		if (__sync_val_compare_and_swap(&c->state, old, word) != old)
			continue;
		count_half_open(old, word);
		if (word & STATE_FLAG_CONTROLLED && o.protocol == IPPROTO_TCP &&
		    (word & STATE_MASK) == TCP_ESTABLISHED)
			assure(index);
		if (word & STATE_FLAG_CONTROLLED && (old ^ word) & STATE_FLAG_INACTIVE)
			count_controlled(index, word & STATE_FLAG_INACTIVE ? -CONTROLLED_ACTIVE : CONTROLLED_ACTIVE);
		if ((old ^ word) & STATE_FLAG_INACTIVE)
			count_conns(slot, word & STATE_FLAG_INACTIVE ?
						     CONNS_INACTIVE - CONNS_ACTIVE :
						     CONNS_ACTIVE - CONNS_INACTIVE);
		return 1;
	}
	return 0;
}

/* stays_established tells of most packets' states that an ACK from the client or, with NAT, from the
 * server leaves them as they are: what next_state would find, without going through the tables. */
static __always_inline bool stays_established(__u64 word, const struct dest *d,
					      const struct control *k)
{
	const __u64 mask = STATE_MASK | STATE_FLAG_INACTIVE | 0xffffffull << STATE_TIMEOUT_SHIFT;
	__u64 timeout = timeout_of(k, d, IPPROTO_TCP, TCP_ESTABLISHED);

	return (word & mask) == (TCP_ESTABLISHED | timeout << STATE_TIMEOUT_SHIFT);
}

/* observe moves the connection's state and time stamp on. Most packets move nothing. */
static __always_inline void observe(struct conn *c, __u32 index, struct observation o,
				    const struct dest *d, const struct control *k)
{
	__u32 now = READ(k->now);
	__u64 word = READ(c->state);

	if (READ(c->seen) != now)
		WRITE(c->seen, now);
	if (o.event == EVENT_ACK && stays_established(word, d, k))
		return;
	if (next_state(word, o, d, k) != word)
		move_state(index, o.protocol, o.event, o.from_server);
}

#define REUSE_FIN_WAIT 2 /* of conn_reuse_mode */

/* is_over tells whether a SYN on a connection is a new one, of a client that uses its port again
 * (conn_reuse_mode), or must not go to the old server any more (expire_nodest_conn). One that belongs to a
 * template goes on. */
static __always_inline bool is_over(const struct conn *c, __u64 state, const struct control *k)
{
	__u32 mode = tuned(k, TUNE_CONN_REUSE_MODE);

	if (c->protocol != IPPROTO_TCP || state & STATE_FLAG_CONTROLLED)
		return false;
	if (tuned(k, TUNE_EXPIRE_NODEST_CONN)) {
		struct dest *d = dest_at(READ(c->dest));

		if (d && !READ(d->weight))
			return true;
	}
	switch (state & STATE_MASK) {
	case TCP_TIME_WAIT:
	case TCP_CLOSE:
		return mode;
	case TCP_FIN_WAIT:
		return mode & REUSE_FIN_WAIT && state & STATE_FLAG_NOOUTPUT;
	default:
		return false;
	}
}
