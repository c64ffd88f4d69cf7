/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The sum of a stretch of the packet, however many buffers it lies in. */
#pragma once

#include "maps.h"

#define SUM_FAILED (~0ULL)

/* sum_of gives the one's complement sum of length bytes from an offset of the frame on; SUM_FAILED if
 * the frame is shorter. bpf_csum_diff takes 512 bytes, in words. */
__noinline __u64 sum_of(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	struct piece *piece;
	__u32 zero = 0;
	__s64 sum = 0;

	if (!ctx)
		return SUM_FAILED;
	piece = bpf_map_lookup_elem(&pieces, &zero);
	if (!piece)
		return SUM_FAILED;
	for (int i = 0; i < 65536 / PIECE && length >= PIECE; i++) {
		if (bpf_xdp_load_bytes(ctx, offset, piece->byte, PIECE))
			return SUM_FAILED;
		sum = bpf_csum_diff(NULL, 0, (__be32 *)piece->byte, PIECE, sum);
		offset += PIECE;
		length -= PIECE;
	}
	if (!length)
		return sum;
	/* 1 to 511: so that the verifier sees it, and the compiler does not see that it is idle. */
	asm volatile("" : "+r"(length));
	length = ((length - 1) & (PIECE - 1)) + 1;
	if (bpf_xdp_load_bytes(ctx, offset, piece->byte, length))
		return SUM_FAILED;
	for (int i = 0; i < 3; i++)
		piece->byte[length + i] = 0;
	return bpf_csum_diff(NULL, 0, (__be32 *)piece->byte, (length + 3) & ~3, sum);
}
