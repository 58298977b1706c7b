/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables inside a route. Private to src/route/. */
#ifndef VELADOR_ROUTE_INTERNAL_H
#define VELADOR_ROUTE_INTERNAL_H

#include "route/route.h"

/* One prefix of one gateway. Sorted by prefix, then priority, then place in the file: all gateways of a prefix lie side by side. */
struct route_prefix {
	char text[CONF_PREFIX];
	uint8_t n;
	uint16_t gateway, priority, weight;
	uint16_t order;                 /* in the file */
};
struct route_prefixes {
	struct route_prefix *a;
	unsigned n;
	uint32_t lengths;               /* bit L: there are prefixes of L characters */
};

/* One network of one gateway. Sorted by IP version, longest first, address: all entries of a network lie side by side. */
struct route_source {
	struct addr_net net;
	uint16_t gateway, order;
	uint16_t port;                  /* of a mere address; 0 = a configured source */
	bool caller;                    /* calls from here are its; else only known */
};
struct route_sources {
	struct route_source *a;
	unsigned n;
	uint64_t lengths4[1], lengths6[3]; /* bit L: there are networks of L bits */
};

struct route {
	const struct conf *conf;
	struct shm *shm;
	struct route_gateway *gateways;                         /* in the file's order */
	struct route_gateway *by_number[SHM_GATEWAYS_MAX];
	struct route_prefixes prefixes;
	struct route_sources sources;
	bool own_ids;                                           /* a gateway gets Call-IDs of our own */
};

/* Build the tables from route->gateways and by_number. Return 0 or ERR_SYSTEM (memory). */
int route_prefixes_build(struct route *route);
int route_sources_build(struct route *route);

/* The arena's entry for a name: its index, or SHM_GATEWAYS_MAX. */
unsigned route_number_of(const struct shm *shm, const char *name);

#endif
