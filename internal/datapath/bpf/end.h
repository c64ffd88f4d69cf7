/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Where every packet's way ends: who watches is told of it here. */
#pragma once

#include "maps.h"

/* end gives the verdict of what finish gave. p is the packet as it came. */
static __always_inline int end(struct xdp_md *ctx, const struct packet *p, int finished)
{
	return finished & 0xff;
}
