/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "route/internal.h"

unsigned route_number_of(const struct shm *shm, const char *name)
{
	unsigned i = 0;

	while (i < SHM_GATEWAYS_MAX && strncmp(shm_gateway(shm, i)->name, name, SHM_NAME) != 0)
		i++;
	return i;
}

/* The first of our addresses that can reach a gateway there. */
static uint16_t listen_for(const struct conf *conf, const struct conf_gateway *g, const struct addr *to)
{
	const struct addr *ours;

	if (g->listen >= 0)
		return (uint16_t)g->listen;
	for (uint16_t i = 0; (ours = conf_listen_addr(conf, i)); i++)
		if (ours->family == to->family && ours->transport == to->transport)
			return i;
	return 0;
}

static int fill_gateway(struct route *route, unsigned order)
{
	const struct conf_gateway *g = &route->conf->gateways[order];
	unsigned number = route_number_of(route->shm, g->name);
	struct route_gateway *r = &route->gateways[order];

	if (number == SHM_GATEWAYS_MAX)
		return ERR_NOTFOUND;
	*r = (struct route_gateway){
		.name = g->name, .role = g->role, .call_id = g->call_id, .max_calls = g->max_calls,
		.params = &g->params, .conf = g,
	};
	memcpy(r->addrs, shm_gateway(route->shm, number)->addrs, sizeof r->addrs);
	r->addr = r->addrs[0];
	r->listen = listen_for(route->conf, g, &r->addr);
	route->by_number[number] = r;
	route->own_ids |= g->call_id == CONF_CALL_ID_OWN;
	return 0;
}

int route_new(struct route **route, const struct conf *conf, struct shm *shm)
{
	struct route *r = calloc(1, sizeof *r);
	int err = 0;

	if (!r)
		return ERR_SYSTEM;
	r->conf = conf;
	r->shm = shm;
	if (!(r->gateways = calloc(conf->ngateways + 1, sizeof *r->gateways)))
		err = ERR_SYSTEM;
	for (unsigned i = 0; !err && i < conf->ngateways; i++)
		err = fill_gateway(r, i);
	if (!err)
		err = route_prefixes_build(r);
	if (!err)
		err = route_sources_build(r);
	if (err)
		route_free(r);
	else
		*route = r;
	return err;
}

void route_free(struct route *route)
{
	if (!route)
		return;
	free(route->prefixes.a);
	free(route->sources.a);
	free(route->gateways);
	free(route);
}

const struct route_gateway *route_gateway(const struct route *route, unsigned gateway)
{
	return gateway < SHM_GATEWAYS_MAX ? route->by_number[gateway] : NULL;
}

bool route_has_own_ids(const struct route *route)
{
	return route->own_ids;
}

bool route_has_room(const struct route *route, unsigned gateway)
{
	const struct route_gateway *g = route_gateway(route, gateway);

	if (!g)
		return false;
	return !g->max_calls || shm_gateway_calls(route->shm, gateway) < g->max_calls;
}

static bool is_escape(struct str s)
{
	return s.n >= 3 && s.p[0] == '%';
}

static struct str stripped(const struct route_gateway *g, struct str dialed)
{
	for (uint32_t i = 0; i < g->conf->strip && dialed.n; i++)
		dialed = str_from(dialed, is_escape(dialed) ? 3 : 1);
	return dialed;
}

bool route_can_dial(const struct route *route, unsigned gateway, struct str dialed)
{
	const struct route_gateway *g = route_gateway(route, gateway);

	return g && (!dialed.n || g->conf->add[0] || stripped(g, dialed).n);
}

int route_number(const struct route *route, unsigned gateway, struct str dialed, struct out *number)
{
	const struct route_gateway *g = route_gateway(route, gateway);

	if (!g)
		return ERR_NOTFOUND;
	dialed = stripped(g, dialed);
	if (!dialed.n && !g->conf->add[0])
		return ERR_SYNTAX;
	out_str(number, str_of(g->conf->add));
	out_str(number, dialed);
	return number->overflow ? ERR_SPACE : 0;
}

bool route_fails_over(unsigned status)
{
	return (status >= 500 && status < 600) || status == 408 || status == 480;
}
