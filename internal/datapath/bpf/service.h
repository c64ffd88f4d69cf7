/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Which service a packet without a connection is for, in ip_vs's order: its mark's, that of its address and
 * port, FTP's for a port that FTP's data may come to, and that of all ports. */
#pragma once

#include "forward.h"
#include "mark.h"
#include "parse.h"

#define FTP_PORT 21
#define FTP_DATA_PORT 20
#define FIRST_FREE_PORT 1024 /* who is not root may listen there */

/* service_at looks up the service in force of a key. A service that is not found is looked for once more
 * if the epoch has changed meanwhile: those of the old one are deleted then. */
static __always_inline struct service *service_at(struct service_key *key, const struct control *k)
{
	struct service *service;

	key->epoch = READ(k->epoch);
	service = bpf_map_lookup_elem(&services, key);
	if (service || READ(k->epoch) == key->epoch)
		return service;
	key->epoch = READ(k->epoch);
	return bpf_map_lookup_elem(&services, key);
}

/* mark_key makes the key of a mark's service. */
static __always_inline void mark_key(struct service_key *key, __u32 mark, __u8 family)
{
	key->addr.half[0] = 0;
	key->addr.half[1] = 0;
	if (family == FAMILY_V4)
		set_v4(&key->addr, bpf_htonl(mark));
	else
		key->addr.word[0] = bpf_htonl(mark);
	key->port = 0;
	key->protocol = 0;
	key->family = family;
}

/* may_be_ftp_data tells of TCP ports that an FTP server gives its clients, and of its own for data. */
static __always_inline bool may_be_ftp_data(const struct packet *p)
{
	__u16 port = bpf_ntohs(p->dport);

	return p->protocol == IPPROTO_TCP && (port == FTP_DATA_PORT || port >= FIRST_FREE_PORT);
}

/* service_of_mark looks up a mark's service. */
static __always_inline struct service *service_of_mark(struct scratch *s, __u32 mark, const struct control *k)
{
	mark_key(&s->key, mark, s->packet.family);
	return service_at(&s->key, k);
}

/* find_service gives the service that a packet is for, and its key in s. A function of its own, as most
 * of it is for few. */
static __noinline struct service *find_service(struct scratch *s, __u32 mark, __u32 uses)
{
	const struct packet *p = &s->packet;
	struct service_key *key = &s->key;
	struct control *k = control();
	struct service *service;

	if (!k)
		return NULL;
	service = mark ? service_of_mark(s, mark, k) : NULL;
	if (service)
		return service;
	key->addr = p->destination;
	key->port = p->dport;
	key->protocol = p->protocol;
	key->family = p->family;
	service = service_at(key, k);
	if (!service && uses & USES_FTP && may_be_ftp_data(p)) {
		key->port = bpf_htons(FTP_PORT);
		service = service_at(key, k);
	}
	if (!service && uses & USES_ANY_PORT) {
		key->port = 0;
		service = service_at(key, k);
	}
	return service;
}

static __always_inline struct service *service_of(struct scratch *s)
{
	struct control *k = control();
	__u32 uses, mark = 0;

	if (!k)
		return NULL;
	uses = READ(k->uses);
	if (uses & USES_HOST_MARKS && from_here(&s->packet))
		mark = host_mark(&s->packet);
	if (uses & USES_MARKS)
		mark = mark_of(&s->packet, mark);
	s->mark = mark;
	return find_service(s, mark, uses);
}
