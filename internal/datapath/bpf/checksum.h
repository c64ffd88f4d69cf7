/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The Internet checksum, and its incremental update (RFC 1624, Equation 3). */
#pragma once

#include "types.h"

static __always_inline __sum16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__sum16)~sum;
}

/* replaced gives what a checksum's complement gains when from becomes to. */
static __always_inline __u64 replaced32(__be32 from, __be32 to)
{
	return (__u64)(__u32)~from + to;
}

static __always_inline __u64 replaced16(__be16 from, __be16 to)
{
	return (__u64)(__u16)~from + to;
}

static __always_inline __u64 replaced_addr(const union addr *from, const union addr *to)
{
	return replaced32(from->word[0], to->word[0]) + replaced32(from->word[1], to->word[1]) +
	       replaced32(from->word[2], to->word[2]) + replaced32(from->word[3], to->word[3]);
}

static __always_inline __sum16 adjusted(__sum16 check, __u64 gain)
{
	return fold((__u64)(__u16)~check + gain);
}
