/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Every map, and who writes it. Sizes marked "load" are set by Go before loading. */
#pragma once

#include <stdbool.h>

#include "origin.h"
#include "outcomes.h"
#include "packet.h"
#include "types.h"

/* Set before loading. */
const volatile __u32 conn_capacity = 1024;  /* entries of conns that may be used, 1..capacity */
const volatile __u32 bucket_mask = 511;     /* buckets - 1 */
const volatile __u64 hash_seed = 0;         /* random, so that nobody can choose collisions */

/* A transaction writes all services a second time, under the next epoch. */
#define MAX_SERVICES 131072
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * MAX_SERVICES);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps"); /* Go */

/* The VIPs, with the number of their services: a fragment without ports is for one of them or not. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_SERVICES);
	__type(key, union addr);
	__type(value, __u32);
} virtuals SEC(".maps"); /* Go */

/* VIPs that another director has: what comes for them is the host's. Those without an entry are ours. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_SERVICES);
	__type(key, union addr);
	__type(value, __u32); /* 1 */
} standby SEC(".maps"); /* Go */

/* Until when the daemon of a virtual router answers for a VIP, by CLOCK_BOOTTIME: lease.h. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_SERVICES);
	__type(key, union addr);
	__type(value, __u64); /* ns */
} leases SEC(".maps"); /* Go */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 524288);
	__type(key, __u32);
	__type(value, struct chunk);
} blocks SEC(".maps"); /* Go; the cursor in a block's head: programs */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct dest);
} dests SEC(".maps"); /* Go */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct dest_conns);
} dest_conns SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, __u64);
} dest_persistent SEC(".maps"); /* programs: a server's templates */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096); /* row 0 is nobody's */
	__type(key, __u32);
	__type(value, struct timeouts);
} timeout_sets SEC(".maps"); /* Go; a row in use is not written any more */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct stats);
} dest_stats SEC(".maps"); /* programs */

/* By service: a bit for each group of servers in which a number of connections has changed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * MAX_SERVICES + 1);
	__type(key, __u32);
	__type(value, __u64);
} dirty_groups SEC(".maps"); /* programs; Go sets all bits with a new list */

/* What was counted when -Z was typed, or when a slot was given to a new server. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct stats);
} dest_zero SEC(".maps"); /* Go */

/* What is longest unused gives way. ip_vs keeps so many of each service. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct locality_key);
	__type(value, struct locality);
} localities SEC(".maps"); /* programs: lblc */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct locality_key);
	__type(value, struct replicas);
} replica_sets SEC(".maps"); /* programs: lblcr */

/* What a new set begins as. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct replicas);
} first_replicas SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1025); /* load: capacity + 1; entry 0 is never used */
	__type(key, __u32);
	__type(value, struct conn);
} conns SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1025); /* load: as conns */
	__type(key, __u32);
	__type(value, struct controller);
} controllers SEC(".maps"); /* programs; of a connection with STATE_FLAG_CONTROLLED */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 512); /* load: capacity / 2, a power of two */
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pool);
} pool SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_DEVICES);
	__type(key, __u32);
	__type(value, struct device);
} devices SEC(".maps"); /* Go at load; programs add the rows of devices that routes lead to */

/* The MAC of each attached interface by its index, low 48 bits; 0: not checked. */
#define MAX_INGRESS 4096
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_INGRESS);
	__type(key, __u32);
	__type(value, __u64);
} ingress_macs SEC(".maps"); /* Go; programs, when it has changed */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct neighbour_key);
	__type(value, struct neighbour);
} neighbours SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, union addr);
	__type(value, struct path);
} paths SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} controls SEC(".maps"); /* the timer, Go */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweep);
} sweeps SEC(".maps"); /* the timer */

/* In a map of its own: a write from user space to a value that holds a timer cancels the timer. */
struct timer_value {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timer_value);
} timers SEC(".maps");

/* More rows than there are outcomes, so that a version with more of them counts on in the same map. */
#define OUTCOME_ROWS 64
_Static_assert(OUTCOMES <= OUTCOME_ROWS, "more outcomes than rows");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOME_ROWS);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps"); /* programs */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps"); /* programs: what one stage hands to the next */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct origin);
} origins SEC(".maps"); /* Go at load and upgrade; no program */

/* finish counts what becomes of a packet. It gives both, outcome << 8 | verdict, for end. */
static __always_inline int finish(enum outcome outcome, int verdict)
{
	__u32 key = outcome;
	__u64 *count = bpf_map_lookup_elem(&outcomes, &key);

	if (count)
		(*count)++;
	return verdict | (int)outcome << 8;
}

static __always_inline struct scratch *scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

static __always_inline bool is_virtual(const union addr *a)
{
	return bpf_map_lookup_elem(&virtuals, a);
}

static __always_inline struct control *control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&controls, &zero);
}

/* is_standby tells of a packet's destination whether another director balances for it. */
static __always_inline bool is_standby(const union addr *vip, const struct control *k)
{
	return READ(k->uses) & USES_STANDBY && bpf_map_lookup_elem(&standby, vip);
}

static __always_inline __u32 tuned(const struct control *k, enum tune tune)
{
	return READ(k->tune[tune]);
}

static __always_inline __u32 now_ms(void)
{
	struct control *c = control();

	return c ? READ(c->now) : 0;
}
