/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "route/internal.h"

/* By IP version, longest network first, address. */
static int compare_net(const struct addr_net *x, const struct addr_net *y)
{
	if (x->net.family != y->net.family)
		return (int)x->net.family - (int)y->net.family;
	if (x->bits != y->bits)
		return (int)y->bits - (int)x->bits;
	return memcmp(x->net.ip, y->net.ip, sizeof x->net.ip);
}

/* Within one network: configured sources before mere addresses, then the file's order. */
static int compare(const void *p, const void *q)
{
	const struct route_source *x = p, *y = q;
	int c = compare_net(&x->net, &y->net);

	if (c)
		return c;
	if (!x->port != !y->port)
		return x->port ? 1 : -1;
	return (int)x->order - (int)y->order;
}

/* The network of this length around an address. */
static struct addr_net net_of(const struct addr *a, unsigned bits)
{
	struct addr_net r = { .net = { .family = a->family }, .bits = (uint8_t)bits };

	memcpy(r.net.ip, a->ip, bits / 8);
	if (bits % 8)
		r.net.ip[bits / 8] = a->ip[bits / 8] & (uint8_t)(0xff00u >> bits % 8);
	return r;
}

static uint64_t *lengths_of(struct route_sources *t, unsigned family)
{
	return family == 4 ? t->lengths4 : t->lengths6;
}

static void add(struct route *route, unsigned number, struct addr_net net, uint16_t port, bool caller)
{
	struct route_sources *t = &route->sources;

	t->a[t->n++] = (struct route_source){
		.net = net, .gateway = (uint16_t)number, .port = port, .caller = caller,
		.order = (uint16_t)(route->by_number[number] - route->gateways),
	};
	lengths_of(t, net.net.family)[net.bits / 64] |= UINT64_C(1) << net.bits % 64;
}

static void add_gateway(struct route *route, unsigned number)
{
	const struct route_gateway *g = route->by_number[number];
	bool caller = g->role != CONF_ROLE_CALLEE;

	for (unsigned i = 0; i < g->conf->source.n; i++) {
		const struct addr_net *net = &g->conf->source.a[i];
		add(route, number, net_of(&net->net, net->bits), 0, caller);
	}
	for (unsigned i = 0; i < SHM_GATEWAY_ADDRS && g->addrs[i].family; i++)
		add(route, number, net_of(&g->addrs[i], g->addrs[i].family == 4 ? 32 : 128), g->addrs[i].port,
		    caller && !g->conf->source.n);
}

int route_sources_build(struct route *route)
{
	struct route_sources *t = &route->sources;
	size_t room = 1;

	for (unsigned i = 0; i < route->conf->ngateways; i++)
		room += route->conf->gateways[i].source.n + SHM_GATEWAY_ADDRS;
	if (!(t->a = calloc(room, sizeof *t->a)))
		return ERR_SYSTEM;
	for (unsigned i = 0; i < SHM_GATEWAYS_MAX; i++)
		if (route->by_number[i])
			add_gateway(route, i);
	qsort(t->a, t->n, sizeof *t->a, compare);
	return 0;
}

/* The first entry of exactly this network; its end if there is none. */
static unsigned find(const struct route_sources *t, const struct addr_net *net)
{
	unsigned low = 0, high = t->n;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		if (compare_net(&t->a[mid].net, net) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The longest length under `below` that there are networks of; -1 = none. */
static int length_below(const uint64_t *lengths, unsigned below)
{
	uint64_t word = lengths[below / 64] & ((UINT64_C(1) << below % 64) - 1);

	for (unsigned i = below / 64;; word = lengths[--i]) {
		if (word)
			return (int)(64 * i) + 63 - __builtin_clzll(word);
		if (!i)
			return -1;
	}
}

/* The entry of the longest network around src that has one (callers: one for callers), or NULL. */
static const struct route_source *longest(const struct route *route, const struct addr *src, bool callers)
{
	const struct route_sources *t = &route->sources;
	const uint64_t *lengths = src->family == 4 ? t->lengths4 : t->lengths6;
	const struct route_source *found = NULL;

	if (src->family != 4 && src->family != 6)
		return NULL;
	for (int bits = src->family == 4 ? 33 : 129; !found && (bits = length_below(lengths, (unsigned)bits)) >= 0;) {
		struct addr_net net = net_of(src, (unsigned)bits);

		for (unsigned i = find(t, &net); i < t->n && compare_net(&t->a[i].net, &net) == 0; i++) {
			if (callers && !t->a[i].caller)
				continue;
			if (!found || t->a[i].port == src->port)
				found = &t->a[i];
			if (found->port && found->port == src->port)
				break;
		}
	}
	return found;
}

int route_caller(const struct route *route, const struct addr *src, unsigned *gateway)
{
	const struct route_source *s = longest(route, src, true);

	if (!s)
		return ERR_NOTFOUND;
	*gateway = s->gateway;
	return 0;
}

bool route_known_source(const struct route *route, const struct addr *src)
{
	return longest(route, src, false) != NULL;
}
