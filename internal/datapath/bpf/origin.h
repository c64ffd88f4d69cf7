/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Where the maps come from. */
#pragma once

#include "outcomes.h"
#include "types.h"

/* What a later version has to know of the load. The layout of its 32 bytes never changes.
 *
 * The empty arrays write into the map's BTF, which "drover datapath upgrade" compares, what the other
 * maps' types do not show: what lies in chunks, what numbers mean, and what a version has made of the
 * padding in values of maps that are older than itself. The map is made anew by each version. */
struct origin {
	struct block_head block_head[0];
	struct minima minima[0];
	struct service service[0];
	struct dest dest[0];
	struct pool pool[0];
	struct control control[0];
	enum tune tune[0];
	enum scheduler scheduler[0];
	enum life life[0];
	enum outcome outcome[0];
	__u64 hash_seed;
	__u64 object; /* the beginning of the SHA-256 of the object; 0: an upgrade is going on */
	__u32 format; /* stateFormat in origin.go */
	__u32 pad[3];
};
