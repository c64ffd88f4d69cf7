/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The path MTU to servers behind tunnels, as ICMP tells it (RFC 1191, RFC 8201). A server that packets are
 * tunnelled to has an entry, with or without an MTU, and errors are believed of no others, and of no other
 * director's tunnel to it. */
#pragma once

#include "table.h"

#define PATH_TIME 600000 /* ms: as the kernel's net.ipv4.route.mtu_expires */
#define PATH_LOOK 200	 /* ms between two looks at the entry */
#define PATH_LEAST4 552	 /* as the kernel's net.ipv4.route.min_pmtu */
#define PATH_LEAST6 1280 /* RFC 8200, Section 5 */

/* look_at_path brings a destination's path MTU up to date, and says that packets are tunnelled to it. */
static __noinline void look_at_path(struct dest *d, __u32 now)
{
	struct path none = { .source = d->source, .noted = now };
	struct path *path = bpf_map_lookup_elem(&paths, &d->addr);
	__u32 mtu = 0;

	if (path && !same_addr(&path->source, &none.source))
		path->source = none.source;

	if (!path)
		bpf_map_update_elem(&paths, &d->addr, &none, BPF_NOEXIST);
	else if (READ(path->mtu) && now - READ(path->noted) < PATH_TIME)
		mtu = READ(path->mtu);
	else if (READ(path->mtu))
		WRITE(path->mtu, 0);
	if (READ(d->path_mtu) != mtu)
		WRITE(d->path_mtu, mtu);
	WRITE(d->path_looked, now ?: 1);
}

/* path_mtu gives the MTU that ICMP told of the way to a server; 0: none. */
static __always_inline __u32 path_mtu(struct dest *d, __u32 now)
{
	__u32 looked = READ(d->path_looked);

	if (!looked || now - looked >= PATH_LOOK)
		look_at_path(d, now);
	return READ(d->path_mtu);
}

/* note_path_mtu keeps what an error told, if it makes the path narrower than it is known to be. */
static __always_inline void note_path_mtu(struct path *path, __u8 family, __u32 mtu, __u32 now)
{
	__u32 least = family == FAMILY_V4 ? PATH_LEAST4 : PATH_LEAST6;
	__u32 known = READ(path->mtu);

	if (mtu < least)
		mtu = least;
	if (known && known < mtu && now - READ(path->noted) < PATH_TIME)
		return;
	WRITE(path->mtu, mtu);
	WRITE(path->noted, now);
}
