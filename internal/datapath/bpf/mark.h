/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Firewall marks: XDP runs before netfilter, so packets are marked by rules of our own. */
#pragma once

#include "maps.h"

/* mark_of gives the packet's mark; 0 is none. */
static __always_inline __u32 mark_of(struct xdp_md *ctx, const struct packet *p)
{
	return 0;
}
