/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The counters that ipvsadm --stats prints: a service's and its server's, moved together. */
#pragma once

#include "maps.h"

static __always_inline void count_in(const struct dest *d, __u32 slot, __u32 bytes)
{
	__u32 id = d->service;
	struct stats *server = bpf_map_lookup_elem(&dest_stats, &slot);
	struct stats *service = bpf_map_lookup_elem(&service_stats, &id);

	if (!server || !service)
		return;
	server->in_packets++;
	server->in_bytes += bytes;
	service->in_packets++;
	service->in_bytes += bytes;
}

static __always_inline void count_out(const struct dest *d, __u32 slot, __u32 bytes)
{
	__u32 id = d->service;
	struct stats *server = bpf_map_lookup_elem(&dest_stats, &slot);
	struct stats *service = bpf_map_lookup_elem(&service_stats, &id);

	if (!server || !service)
		return;
	server->out_packets++;
	server->out_bytes += bytes;
	service->out_packets++;
	service->out_bytes += bytes;
}

static __always_inline void count_new(const struct dest *d, __u32 slot)
{
	__u32 id = d->service;
	struct stats *server = bpf_map_lookup_elem(&dest_stats, &slot);
	struct stats *service = bpf_map_lookup_elem(&service_stats, &id);

	if (!server || !service)
		return;
	server->conns++;
	service->conns++;
}
