// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/* Drover's director. A packet's way: parse, connection, (service, schedule, new connection), forward,
 * count. drover_xdp is the entry, attached to the interfaces; the other xdp programs are its stages. */
#include "connect.h"
#include "egress.h"
#include "defence.h"
#include "end.h"
#include "existing.h"
#include "fragments.h"
#include "hold.h"
#include "lease.h"
#include "limit.h"
#include "locality.h"
#include "make_error.h"
#include "neighbour.h"
#include "parse.h"
#include "persist.h"
#include "relay_error.h"
#include "replay.h"
#include "reset.h"
#include "schedule.h"
#include "service.h"
#include "stateless.h"
#include "sweep.h"
#include "tunnel.h"
#include "tunnel_error.h"
#include "twochoices.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Makes these types known to bpf2go, which reads them from the object's BTF. */
const struct block_head *unused_head __attribute__((unused));
const enum outcome *unused_outcome __attribute__((unused));
const enum scheduler *unused_scheduler __attribute__((unused));
const enum life *unused_life __attribute__((unused));
const enum tune *unused_tune __attribute__((unused));
const struct event *unused_event __attribute__((unused));

/* current gives the packet's connection unless it is over; then it is ended, now or by end_reused. */
static __always_inline struct conn *current(struct packet *p, __u32 *slot,
					    const struct control *k)
{
	struct conn *c;

	hash_packet(p);
	c = find(p, slot);
	if (!c || !is_stale(c, p, *slot, k))
		return c;
	if (expired(c, READ(c->state), READ(k->now)) || p->flags & PACKET_RST)
		expire(SLOT_INDEX(*slot));
	else
		p->flags |= PACKET_REUSES;
	return NULL;
}

/* transport carries a TCP or UDP packet on: to its connection, or to what begins one. */
static __always_inline int transport(struct xdp_md *ctx, struct packet *p)
{
	struct control *k = control();
	__u32 slot = 0;
	struct conn *c;

	if (!k)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	c = current(p, &slot, k);
	return c ? known(ctx, p, c, slot, k) : hand_on_packet(ctx, p, STAGE_NEW);
}

/* first_fragment does the same, and leaves the connection behind for the fragments that follow. */
static __always_inline int first_fragment(struct xdp_md *ctx, struct scratch *s, __u32 id)
{
	struct packet *p = &s->packet;
	struct control *k = control();
	__u32 slot = 0;
	struct conn *c;

	if (!k)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	p->flags |= PACKET_FIRST_FRAGMENT;
	s->fragment = id;
	c = current(p, &slot, k);
	if (!c)
		return hand_on(ctx, STAGE_NEW);
	remember(p, id);
	return known(ctx, p, c, slot, k);
}

static __always_inline int direct(struct xdp_md *ctx, struct packet *p)
{
	enum parsed parsed = parse(ctx, p);

	p->in = ctx->ingress_ifindex;
	begin(ctx, p);
	switch (parsed) {
	case PARSED_TRANSPORT:
		return transport(ctx, p);
	case PARSED_ICMP:
		return hand_on_packet(ctx, p, STAGE_ICMP);
	case PARSED_FRAGMENT:
		return hand_on_packet(ctx, p, STAGE_FRAGMENT);
	case PARSED_ARP:
		hear_arp(ctx);
		if (asks_lapsed_arp(ctx))
			return finish(OUTCOME_DROP_LEASE, XDP_DROP);
		return finish(OUTCOME_PASS_OTHER, XDP_PASS);
	case PARSED_PROTOCOL:
		return finish(OUTCOME_PASS_PROTOCOL, XDP_PASS);
	case PARSED_MALFORMED:
		return finish(OUTCOME_PASS_MALFORMED, XDP_PASS);
	default:
		return finish(OUTCOME_PASS_OTHER, XDP_PASS);
	}
}

SEC("xdp.frags")
int drover_xdp(struct xdp_md *ctx)
{
	struct packet p = {};

	return end(ctx, &p, direct(ctx, &p));
}

/* STAGE begins a program that a packet is handed on to; s is what was handed with it. */
#define STAGE(name)                                                                     \
	static __always_inline int name##_stage(struct xdp_md *ctx, struct scratch *s); \
	SEC("xdp.frags")                                                                \
	int name(struct xdp_md *ctx)                                                    \
	{                                                                               \
		struct scratch *s = scratch();                                          \
                                                                                        \
		if (!s)                                                                 \
			return XDP_DROP;                                                \
		return end(ctx, &s->packet, name##_stage(ctx, s));                      \
	}                                                                               \
	static __always_inline int name##_stage(struct xdp_md *ctx, struct scratch *s)

/* refuse answers a packet that no server takes. What came to FTP's service for another port is the host's;
 * so is an ICMP error, which is not answered. */
static __always_inline int refuse(struct xdp_md *ctx, struct scratch *s)
{
	if (s->packet.flags & PACKET_QUOTED ||
	    (s->key.port == bpf_htons(FTP_PORT) && s->packet.dport != s->key.port))
		return finish(OUTCOME_PASS_NOT_OURS, XDP_PASS);
	s->vip = s->packet.destination;
	s->answer = ANSWER_UNREACHABLE;
	s->mtu = 0;
	return hand_on(ctx, STAGE_ANSWER);
}

/* begins tells whether a packet may begin a connection: of TCP a SYN, with sloppy_tcp all but a RST. */
static __always_inline bool begins(const struct packet *p, const struct control *k)
{
	if (p->protocol != IPPROTO_TCP || p->flags & PACKET_QUOTED)
		return true;
	return !(p->flags & PACKET_RST) && (p->flags & PACKET_SYN || tuned(k, TUNE_SLOPPY_TCP));
}

/* A packet without a connection: a service's first packet, or none of ours. */
STAGE(new_conn)
{
	struct packet *p = &s->packet;
	struct service *service = service_of(s);
	struct control *k = control();

	if (!k)
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	if (!service) {
		if (p->flags & PACKET_REUSES)
			end_reused(p);
		if (answers_local_client(p))
			return into_lo(ctx);
		return finish(OUTCOME_PASS_NOT_OURS, XDP_PASS);
	}
	if (!is_for_us(ctx, p))
		return finish(OUTCOME_PASS_OTHERHOST, XDP_PASS);
	if (is_standby(&p->destination, k))
		return finish(OUTCOME_PASS_STANDBY, XDP_PASS);
	if (refuses(p, k))
		return finish(OUTCOME_DROP_ACCESS, XDP_DROP);
	s->service = *service;
	if (!begins(p, k)) {
		if (overflowed())
			return without_entry(ctx, s, OUTCOME_DROP_TABLE_FULL);
		return finish(OUTCOME_PASS_NO_CONN, XDP_PASS);
	}
	/* An FTP server's data connection to its client is the host's own, or comes back by itself. */
	if (p->sport == bpf_htons(FTP_DATA_PORT))
		return finish(OUTCOME_PASS_NOT_OURS, XDP_PASS);
	if (is_dropped(k))
		return finish(OUTCOME_DROP_OVERLOAD, XDP_DROP);
	if (is_over_limit(p))
		return finish(OUTCOME_DROP_LIMIT, XDP_DROP);
	s->controller.index = 0;
	if (s->service.flags & SERVICE_PERSISTENT)
		return hand_on(ctx, STAGE_PERSIST);
	if (s->key.protocol && s->key.port != p->dport)
		return refuse(ctx, s); /* other ports need persistence */
	return schedule(ctx, &s->service);
}

STAGE(persist_client)
{
	return persist(ctx, s);
}

STAGE(persist_template)
{
	return begin_template(ctx, s);
}

/* chosen goes on with what a scheduler picked; without a server the client is told so. */
static __always_inline int chosen(struct xdp_md *ctx, struct scratch *s, __u32 slot)
{
	if (s->packet.flags & PACKET_REUSES)
		end_reused(&s->packet);
	if (!slot)
		return refuse(ctx, s);
	s->slot = slot;
	return hand_on(ctx, s->service.flags & SERVICE_PERSISTENT ? STAGE_TEMPLATE : STAGE_CONNECT);
}

STAGE(sched_walk)
{
	return chosen(ctx, s, pick_walk(&s->service));
}

STAGE(sched_least)
{
	return chosen(ctx, s, pick_least(&s->service));
}

STAGE(sched_table)
{
	return chosen(ctx, s, pick_table(&s->service, &s->packet));
}

STAGE(sched_rand)
{
	switch (s->service.scheduler) {
	case SCHED_LBLC:
		return chosen(ctx, s, pick_lblc(&s->service, &s->packet));
	case SCHED_LBLCR:
		return chosen(ctx, s, pick_lblcr(&s->service, &s->packet));
	default:
		return chosen(ctx, s, pick_two(&s->service));
	}
}

STAGE(connect_server)
{
	return connect(ctx, s);
}

/* The packet's connection was begun meanwhile. */
STAGE(known_conn)
{
	struct control *k = control();
	struct conn *c;
	__u32 slot;

	c = find(&s->packet, &slot);
	if (!c || !k)
		return finish(OUTCOME_DROP_CONTENDED, XDP_DROP);
	return known(ctx, &s->packet, c, slot, k);
}

STAGE(forward_stateless)
{
	if (s->packet.event == EVENT_SYN || s->packet.protocol == IPPROTO_UDP)
		note_overflow();
	return stateless(ctx, s);
}

STAGE(answer_error)
{
	if (!within_rate(now_ms()))
		return finish(OUTCOME_DROP_RATE_LIMIT, XDP_DROP);
	if (!make_error(ctx, s))
		return finish(OUTCOME_DROP_INTERNAL, XDP_DROP);
	return finish(answered(s->answer), bpf_redirect(s->packet.in, 0));
}

STAGE(answer_reset)
{
	return reset(ctx, &s->packet);
}

STAGE(ask_neighbour)
{
	return ask(ctx, &s->ask, s->packet.family);
}

/* Echo and all that is no error is the host's. */
STAGE(icmp)
{
	void *end = (void *)(long)ctx->data_end;
	__u8 *type;

	type = (void *)(long)ctx->data + ETH_HLEN;
	type += s->packet.family == FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if ((void *)(type + ICMP_HEADER) > end)
		return finish(OUTCOME_PASS_MALFORMED, XDP_PASS);
	if (is_error(s->packet.family, *type))
		return relay_error(ctx, &s->packet);
	if (s->packet.family == FAMILY_V6) {
		hear_advertisement(ctx);
		if (asks_lapsed_ndp(ctx))
			return finish(OUTCOME_DROP_LEASE, XDP_DROP);
	}
	return finish(OUTCOME_PASS_PROTOCOL, XDP_PASS);
}

/* is_ours tells of a later fragment whose first was not seen whether it is for a service. */
static __always_inline bool is_ours(struct scratch *s, const struct control *k)
{
	__u32 mark;

	if (is_virtual(&s->packet.destination))
		return true;
	if (!k || !(READ(k->uses) & USES_MARKS))
		return false;
	mark = mark_of_fragment(&s->packet);
	return mark && service_of_mark(s, mark, k);
}

STAGE(fragment)
{
	struct packet *p = &s->packet;
	struct control *k = control();
	enum parsed parsed;
	struct fragment_key key;
	struct awaited *w;
	struct fragment *f;
	bool first = false, again;
	__u32 id = 0;

	parsed = identify(ctx, p, &id, &first);
	if (parsed != PARSED_TRANSPORT && parsed != PARSED_FRAGMENT)
		return parsed == PARSED_PROTOCOL ? finish(OUTCOME_PASS_PROTOCOL, XDP_PASS) :
						   finish(OUTCOME_PASS_MALFORMED, XDP_PASS);
	key = fragment_key(p, id);
	w = await(&key, now_ms());
	again = from_here(p);
	if (again) {
		if (!w)
			return finish(OUTCOME_DROP_FRAGMENT, XDP_DROP); /* forgotten on the way from TC */
		p->in = READ(w->in);
	}
	if (parsed == PARSED_TRANSPORT) {
		if (w && !again) {
			WRITE(w->in, p->in);
			return finish(OUTCOME_HOLD_REPLAY, XDP_PASS);
		}
		return first_fragment(ctx, s, id);
	}
	f = bpf_map_lookup_elem(&fragments, &key);
	if (!f && !is_ours(s, k))
		return finish(OUTCOME_PASS_NOT_OURS, XDP_PASS);
	if (k && is_standby(&p->destination, k))
		return finish(OUTCOME_PASS_STANDBY, XDP_PASS);
	if (!is_for_us(ctx, p))
		return finish(OUTCOME_PASS_OTHERHOST, XDP_PASS);
	if (f)
		return later(ctx, p, f);
	if (w && READ(w->in) && !again)
		return finish(OUTCOME_HOLD_REPLAY, XDP_PASS); /* its first is on the way there */
	if (again || !k || !READ(k->outer) || !hold(ctx, &key, now_ms()))
		return finish(OUTCOME_DROP_FRAGMENT, XDP_DROP);
	f = bpf_map_lookup_elem(&fragments, &key); /* on another CPU its first may have come meanwhile */
	return f ? later(ctx, p, f) : finish(OUTCOME_HOLD_FRAGMENT, XDP_DROP);
}

STAGE(tunnel)
{
	return send_in_tunnel(ctx, s);
}

STAGE(tunnel_error)
{
	return relay_tunnel_error(ctx, s);
}

SEC("tc")
int leave_by_interface(struct __sk_buff *skb)
{
	return leave_host(skb);
}

SEC("tc")
int replay_fragments(struct __sk_buff *skb)
{
	return replay(skb);
}

SEC("tc")
int leave_by_lo(struct __sk_buff *skb)
{
	return stay_on_host(skb);
}

SEC("tc")
int arrive_by_pair(struct __sk_buff *skb)
{
	return into_host(skb);
}

#define EBUSY 16

/* start_timer begins the timer's turns or, where an older version's timer has them, takes them over: the
 * next turn is ours. It takes one itself only if nobody else can be taking one now. */
SEC("syscall")
int start_timer(void *unused)
{
	__u32 zero = 0;
	struct timer_value *v = bpf_map_lookup_elem(&timers, &zero);
	long err;

	if (!v)
		return -1;
	err = bpf_timer_init(&v->timer, &timers, CLOCK_MONOTONIC);
	if (err && err != -EBUSY)
		return err;
	if (!err)
		tick(bpf_ktime_get_ns() / NS_PER_MS);
	err = bpf_timer_set_callback(&v->timer, on_timer);
	return err ?: bpf_timer_start(&v->timer, NS_PER_MS, 0);
}

/* For tests: one turn of the timer, at a time of their choosing. */
struct turn {
	__u32 now;
};

SEC("syscall")
int turn_timer(struct turn *t)
{
	return tick(t->now);
}

/* For tests: what twos picks with random numbers of their choosing. */
struct draw {
	__u32 block;
	__u32 random[2];
};

SEC("syscall")
int draw_two(struct draw *d)
{
	return less_loaded(d->block, d->random[0], d->random[1]);
}

/* For tests, and to say what a packet would be marked with. */
struct marked {
	union addr source;
	union addr destination;
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 family;
	__u16 pad;
	__u32 ifindex;
};

SEC("syscall")
int mark_one(struct marked *m)
{
	struct marking marking = { .ifindex = m->ifindex };
	struct packet p = {};

	p.source = m->source;
	p.destination = m->destination;
	p.sport = m->sport;
	p.dport = m->dport;
	p.protocol = m->protocol;
	p.family = m->family;
	mark_packet(&p, &marking);
	return marking.mark;
}

/* For tests: whether the access rules deny a packet. */
SEC("syscall")
int deny_one(struct marked *m)
{
	struct packet p = {};

	p.source = m->source;
	p.destination = m->destination;
	p.dport = m->dport;
	p.protocol = m->protocol;
	p.family = m->family;
	return is_denied(&p, m->ifindex);
}
