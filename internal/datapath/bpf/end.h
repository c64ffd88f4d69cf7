/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Where every packet's way ends. Drops and refusals are noted in a ring that outlives all processes; and who
 * watches (drover trace, capture) is told, as long as its lease in control.watch_until lasts. */
#pragma once

#include "table.h"

#define NOTES_PER_SECOND 64    /* of one outcome and CPU; what is more is only counted */
#define EVENTS_PER_SECOND 5000 /* on each CPU */

/* The ring of the flight recorder. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NOTES);
	__type(key, __u32);
	__type(value, struct note);
} notes SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct recorder);
} recorders SEC(".maps"); /* programs */

struct second {
	__u32 second;
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOME_ROWS + 1); /* the last: of events */
	__type(key, __u32);
	__type(value, struct second);
} note_rates SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps"); /* programs; whoever watches */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct watch);
} watches SEC(".maps"); /* Go: what to watch for; seen and hidden: programs */

static __always_inline bool within(__u32 row, __u32 most, __u32 second)
{
	struct second *s = bpf_map_lookup_elem(&note_rates, &row);

	if (!s)
		return false;
	if (s->second != second) {
		s->second = second;
		s->count = 0;
	}
	return s->count++ < most;
}

/* fill_note writes down a packet, and what the table knows of its connection. */
static __always_inline void fill_note(struct note *n, const struct packet *p, __u32 outcome, __u32 ifindex,
				      const struct control *k)
{
	struct scratch *s = scratch();
	struct packet t = {};
	struct conn *c;
	__u32 slot;

	t.source = p->source;
	t.destination = p->destination;
	t.sport = p->sport;
	t.dport = p->dport;
	t.protocol = p->protocol;
	t.family = p->family;
	hash_packet(&t);
	c = find(&t, &slot);
	n->source = p->source;
	n->destination = p->destination;
	n->sport = p->sport;
	n->dport = p->dport;
	n->protocol = p->protocol;
	n->family = p->family;
	n->outcome = outcome;
	n->event = p->event;
	n->ifindex = ifindex;
	n->at = READ(k->now);
	n->mark = s ? s->mark : 0;
	n->server = c ? READ(c->dest) : 0;
	n->state = c ? (__u32)READ(c->state) & 0xffff : 0;
	if (c && slot & SLOT_REVERSE)
		n->state |= NOTE_REPLY;
}

/* note_packet writes into the ring of the flight recorder. */
__noinline int note_packet(const struct packet *p, __u32 outcome, __u32 ifindex)
{
	struct control *k = control();
	struct recorder *r;
	__u32 zero = 0, at;
	struct note *n;

	if (!p || !k)
		return 0;
	r = bpf_map_lookup_elem(&recorders, &zero);
	if (!r)
		return 0;
	if (!within(outcome % OUTCOME_ROWS, NOTES_PER_SECOND, READ(k->now) / 1000)) {
		__sync_fetch_and_add(&r->skipped, 1);
		return 0;
	}
	at = __sync_fetch_and_add(&r->written, 1) % NOTES;
	n = bpf_map_lookup_elem(&notes, &at);
	if (n)
		fill_note(n, p, outcome, ifindex, k);
	return 0;
}

static __always_inline bool one_of(const union addr *a, const union addr *mask, const union addr *want)
{
	return (a->half[0] & mask->half[0]) == want->half[0] && (a->half[1] & mask->half[1]) == want->half[1];
}

/* is_watched compares a packet with the filter: in either direction. */
static __always_inline bool is_watched(const struct watch *w, const struct packet *p, __u32 outcome,
				       __u32 ifindex)
{
	if ((w->protocol && w->protocol != p->protocol) || (w->ifindex && w->ifindex != ifindex))
		return false;
	if (w->port && w->port != p->sport && w->port != p->dport)
		return false;
	if (outcome != OUTCOMES && !(w->outcomes >> (outcome & 63) & 1))
		return false;
	return one_of(&p->source, &w->mask, &w->addr) || one_of(&p->destination, &w->mask, &w->addr);
}

/* tell_event tells who watches of a packet, with its beginning if that is asked for. OUTCOMES: as it came. */
__noinline int tell_event(struct xdp_md *ctx, const struct packet *p, __u32 outcome)
{
	struct control *k = control();
	struct event *e;
	struct watch *w;
	__u32 zero = 0;
	__u32 length;

	if (!p || !k)
		return 0;
	w = bpf_map_lookup_elem(&watches, &zero);
	if (!w || !is_watched(w, p, outcome, p->in))
		return 0;
	if ((__s32)(READ(k->watch_until) - READ(k->now)) < 0)
		return 0;
	e = within(OUTCOME_ROWS, EVENTS_PER_SECOND, READ(k->now) / 1000) ?
		    bpf_ringbuf_reserve(&events, sizeof(*e), 0) : NULL;
	if (!e) {
		__sync_fetch_and_add(&w->hidden, 1);
		return 0;
	}
	fill_note(&e->note, p, outcome, p->in, k);
	length = bpf_xdp_get_buff_len(ctx);
	e->at = bpf_ktime_get_ns();
	e->length = length;
	e->kept = 0;
	if (w->snap) {
		if (length > w->snap)
			length = w->snap;
		if (length > sizeof(e->frame))
			length = sizeof(e->frame);
		MERGE(length);
		if (length) {
			length = ((length - 1) & (sizeof(e->frame) - 1)) + 1;
			if (!bpf_xdp_load_bytes(ctx, 0, e->frame, length))
				e->kept = length;
		}
	}
	bpf_ringbuf_submit(e, 0);
	return 1;
}

static __always_inline bool watching(const struct control *k, __u32 what)
{
	return k && READ(k->watch) & what;
}

/* begin tells of a packet as it comes in. */
static __always_inline void begin(struct xdp_md *ctx, const struct packet *p)
{
	if (watching(control(), WATCH_CAPTURE))
		tell_event(ctx, p, OUTCOMES);
}

/* is_noted tells which ends the flight recorder keeps. */
static __always_inline bool is_noted(int verdict, __u32 outcome)
{
	return (verdict == XDP_DROP && outcome != OUTCOME_HOLD_FRAGMENT) || outcome == OUTCOME_ANSWER_UNREACHABLE ||
	       outcome == OUTCOME_FORWARD_STATELESS;
}

/* end gives the verdict of what finish gave. p is the packet as it came. */
static __always_inline int end(struct xdp_md *ctx, const struct packet *p, int finished)
{
	int verdict = finished & 0xff;

	if (is_noted(verdict, finished >> 8))
		note_packet(p, finished >> 8, p->in);
	if (watching(control(), WATCH_TRACE | WATCH_CAPTURE))
		tell_event(ctx, p, finished >> 8);
	return verdict;
}
