/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Next hops: the kernel's routes and neighbours, asked for again every HOP_REFRESH by the packet
 * that finds its hop old. No process of ours takes part.
 *
 * The lookup is made as if the packet came in by lo, where forwarding is on: on the interface it
 * really came by, forwarding is off on most DR directors, and bpf_fib_lookup would refuse. */
#pragma once

#include "maps.h"
#include "packet.h"

#define AF_INET 2
#define AF_INET6 10
#define LOOPBACK_IFINDEX 1

#define HOP_REFRESH 200     /* ms */
#define NEIGHBOUR_FRESH 20000 /* ms: an answer that XDP heard is believed this long */
#define NEIGHBOUR_REASK 1000  /* ms between two questions */

enum resolved {
	HOP_FOUND,
	HOP_ASK, /* scratch's ask names the neighbour to ask for, with this very packet */
	HOP_NO_NEIGHBOUR,
	HOP_NO_ROUTE,
};

static __always_inline __u64 mac_word(const __u8 *mac)
{
	const __u16 *part = (const __u16 *)mac; /* a MAC is aligned to no more */

	return part[0] | (__u64)part[1] << 16 | (__u64)part[2] << 32;
}

static __always_inline struct device *device_at(__u32 row)
{
	return bpf_map_lookup_elem(&devices, &row);
}

/* device_row gives the row of an interface, taking a new one if it has none; 0 if all are taken. */
__noinline __u32 device_row(__u32 ifindex)
{
	for (__u32 row = 1; row < MAX_DEVICES; row++) {
		struct device *d = device_at(row);

		if (!d)
			return 0;
		if (READ(d->ifindex) == ifindex)
			return row;
		if (!READ(d->ifindex) && !__sync_val_compare_and_swap(&d->ifindex, 0, ifindex))
			return row;
	}
	return 0;
}

static __always_inline long route(struct xdp_md *ctx, const union addr *to, __u8 family,
				  struct bpf_fib_lookup *fib)
{
	fib->ifindex = LOOPBACK_IFINDEX;
	fib->tot_len = 1; /* makes the kernel report the MTU */
	if (family == FAMILY_V4) {
		fib->family = AF_INET;
		fib->ipv4_dst = to->word[3];
	} else {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_dst, to, sizeof(*to));
	}
	return bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
}

struct way {
	__u64 word; /* the hop; before, the one that was in use, or 0 */
	__u32 mtu;  /* 0: not known */
	__u16 via;  /* as in struct hop; before, of the hop that was in use */
	__u16 family;
};

static __always_inline __u16 fold_next_hop(const struct bpf_fib_lookup *fib, __u16 family)
{
	const __u32 *v6 = fib->ipv6_dst;
	__u32 sum = family == FAMILY_V4 ? fib->ipv4_dst : v6[0] ^ v6[1] ^ v6[2] ^ v6[3];

	return (__u16)(sum ^ sum >> 16) ?: 1;
}

/* heard gives the MAC that XDP itself learned for a next hop that the kernel has no entry for, or
 * says that it must be asked for. A MAC that is in use already for the same next hop is believed for a
 * while: a flush or a link flap takes the kernel's entry away, not the neighbour. */
static __always_inline enum resolved heard(const struct bpf_fib_lookup *fib, __u32 row, __u32 now,
					   struct way *way)
{
	struct neighbour fresh = { .mac = way->word & HOP_MAC, .learned = now, .asked = now };
	struct neighbour_key key = { .device = row };
	struct neighbour *n;
	struct scratch *s = scratch();

	if (!s)
		return HOP_NO_NEIGHBOUR;
	if (way->family == FAMILY_V4) {
		key.addr.word[2] = bpf_htonl(0xffff);
		key.addr.word[3] = fib->ipv4_dst;
	} else {
		__builtin_memcpy(&key.addr, fib->ipv6_dst, sizeof(key.addr));
	}
	n = bpf_map_lookup_elem(&neighbours, &key);
	if (!n) {
		bpf_map_update_elem(&neighbours, &key, &fresh, BPF_NOEXIST);
		if (fresh.mac && HOP_DEVICE(way->word) == row)
			return HOP_FOUND;
		s->ask = key;
		return HOP_ASK;
	}
	if (n->mac && now - n->learned < NEIGHBOUR_FRESH) {
		way->word = n->mac | (__u64)row << 48;
		return HOP_FOUND;
	}
	if (now - n->asked < NEIGHBOUR_REASK)
		return HOP_NO_NEIGHBOUR;
	WRITE(n->asked, now);
	s->ask = key;
	return HOP_ASK;
}

/* look_up asks the kernel for the way to an address of way's family; HOP_FOUND fills it in. */
__noinline int look_up(struct xdp_md *ctx, const union addr *to, __u32 now, struct way *way)
{
	struct bpf_fib_lookup fib = {};
	struct device *d;
	__u32 mtu = 0; /* of the device: it is given back, whatever the packet's size */
	__u32 row;
	__u16 via;
	long code;

	if (!to || !way)
		return HOP_NO_ROUTE; /* never so, but the verifier can't know */
	code = route(ctx, to, way->family, &fib);
	/* Whoever writes 0 to ip_forward switches it off on lo too: a way that is known stays. */
	if (code == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return HOP_NO_NEIGHBOUR;
	if (code != BPF_FIB_LKUP_RET_SUCCESS && code != BPF_FIB_LKUP_RET_NO_NEIGH &&
	    code != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return HOP_NO_ROUTE;
	row = device_row(fib.ifindex);
	d = device_at(row);
	if (!row || !d)
		return HOP_NO_ROUTE;
	via = fold_next_hop(&fib, way->family);
	if (way->via && way->via != via)
		way->word = 0; /* the MAC of another gateway */
	way->via = via;
	if (code == BPF_FIB_LKUP_RET_NO_NEIGH)
		return heard(&fib, row, now, way);
	way->mtu = fib.mtu_result;
	bpf_check_mtu(ctx, fib.ifindex, &mtu, 0, 0);
	if (READ(d->mtu) != mtu)
		WRITE(d->mtu, mtu);
	if (READ(d->mac) != mac_word(fib.smac))
		WRITE(d->mac, mac_word(fib.smac));
	way->word = mac_word(fib.dmac) | (__u64)row << 48;
	return HOP_FOUND;
}

/* refresh brings a destination's hop up to date. */
static __noinline enum resolved refresh(struct xdp_md *ctx, struct hop *h, const union addr *to,
					__u32 family, __u32 now)
{
	struct way way = { .word = READ(h->word), .via = READ(h->via), .family = family };
	enum resolved r = look_up(ctx, to, now, &way);

	if (r == HOP_FOUND) {
		if (READ(h->word) != way.word)
			WRITE(h->word, way.word);
		if (READ(h->via) != way.via)
			WRITE(h->via, way.via);
		if (way.mtu)
			WRITE(h->mtu, way.mtu > 0xffff ? 0xffff : way.mtu);
		return HOP_FOUND;
	}
	if (r == HOP_NO_ROUTE && READ(h->word))
		WRITE(h->word, 0);
	if (r == HOP_NO_NEIGHBOUR && READ(h->word))
		return HOP_FOUND;
	return r;
}

/* resolve_dest gives the hop to a real server. */
static __always_inline enum resolved resolve_dest(struct xdp_md *ctx, struct dest *d, __u32 now,
						  __u64 *word, __u32 *mtu)
{
	__u32 due = READ(d->hop.refresh);
	enum resolved r = HOP_FOUND;

	/* Due, or so long ago that the clock has gone half round since. One packet refreshes a hop
	 * that is known; without one each looks for itself. */
	if (!READ(d->hop.word))
		r = refresh(ctx, &d->hop, &d->addr, d->rip_family, now);
	else if ((!due || now - due + HOP_REFRESH >= HOP_REFRESH) &&
	    __sync_val_compare_and_swap(&d->hop.refresh, due, now + HOP_REFRESH) == due)
		r = refresh(ctx, &d->hop, &d->addr, d->rip_family, now);
	if (r == HOP_ASK)
		return r;
	*word = READ(d->hop.word);
	*mtu = READ(d->hop.mtu);
	if (*word)
		return HOP_FOUND;
	return r == HOP_FOUND ? HOP_NO_NEIGHBOUR : r;
}

/* resolve_client gives the hop to a connection's client, kept in the connection itself: clients on
 * the segment have as many hops as there are clients. The first one is a guess, the way that the
 * client's packet came: it is believed where the kernel has no neighbour entry. */
static __always_inline enum resolved resolve_client(struct xdp_md *ctx, struct conn *c, __u32 now,
						    __u64 *word)
{
	__u16 age = (__u16)(now >> 6) - READ(c->hop_age);
	__u64 kept = READ(c->hop);
	struct way way = { .family = c->family };
	enum resolved r;

	*word = kept & ~HOP_GUESS;
	if (kept & HOP_GUESS)
		way.word = *word;
	else if (kept && age < HOP_REFRESH / 64)
		return HOP_FOUND;
	r = look_up(ctx, &c->client, now, &way);
	if (r == HOP_FOUND) {
		*word = way.word;
		WRITE(c->hop, way.word);
		WRITE(c->hop_age, (__u16)(now >> 6));
	}
	return r == HOP_NO_NEIGHBOUR && *word ? HOP_FOUND : r;
}
