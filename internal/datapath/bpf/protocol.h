/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the kernel's own headers would give, were they free of the C library. */
#pragma once

#include <linux/types.h>

/* ICMP (RFC 792) and ICMPv6 (RFC 4443): the header of an error, 8 bytes in both. */
struct icmp_error {
	__u8 type;
	__u8 code;
	__sum16 check;
	union {
		__be32 mtu6;
		struct {
			__be16 unused;
			__be16 mtu4; /* RFC 1191, Section 4 */
		};
	};
};
#define ICMP_HEADER 8

#define ICMP_DEST_UNREACH 3
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_SOURCE_QUENCH 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PKT_TOOBIG 2
#define ICMPV6_TIME_EXCEED 3
#define ICMPV6_PARAMPROB 4
#define ICMPV6_PORT_UNREACH 4
#define ICMPV6_ADDR_UNREACH 3
#define ICMP_HOST_UNREACH 1

#define IP_DONT_FRAGMENT 0x4000

/* The low bits of TOS and traffic class (RFC 3168, Section 5). */
#define ECN_MASK 3
#define ECN_ECT0 2
#define ECN_CE 3

/* GUE version 0 (draft-ietf-intarea-gue-09): bytes of the header without options. */
#define GUE_HEADER 4

/* GRE (RFC 2784): bytes of the header, and of the checksum with what is reserved beside it. */
#define GRE_HEADER 4
#define GRE_CHECKSUM 4
#define GRE_FLAG_CHECKSUM 0x80000000u /* of the first word */

/* ARP (RFC 826). */
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
