/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "route/internal.h"

#include <netdb.h>
#include <netinet/in.h>

struct resolve {
	const struct conf *conf;
	struct addr (*found)[SHM_GATEWAY_ADDRS]; /* for each gateway, in the file's order; family 0 ends */
	struct shm *shm;
	const char *file;
	struct conf_report *report;
};

static bool have_listen(const struct resolve *r, const struct conf_gateway *g, unsigned family)
{
	const struct addr *ours = g->listen >= 0 ? conf_listen_addr(r->conf, (unsigned)g->listen) : NULL;

	if (ours)
		return ours->family == family;
	for (unsigned i = 0; (ours = conf_listen_addr(r->conf, i)); i++)
		if (ours->family == family && ours->transport == g->transport)
			return true;
	return false;
}

static void take(const struct resolve *r, const struct conf_gateway *g, struct addr a, struct addr *to, unsigned *n)
{
	a.port = g->address.port;
	a.transport = g->transport;
	if (*n == SHM_GATEWAY_ADDRS || !have_listen(r, g, a.family))
		return;
	for (unsigned i = 0; i < *n; i++)
		if (addr_eq(&to[i], &a))
			return;
	to[(*n)++] = a;
}

/* The addresses of a gateway that we can send to. *why: what went wrong where there are none. */
static unsigned look_up(const struct resolve *r, const struct conf_gateway *g, struct addr *to, const char **why)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
	struct addr a;
	unsigned n = 0;
	int err;

	*why = "no listening address of its IP version; give one in [listen]";
	if (!addr_parse_ip(&a, str_of(g->address.host))) {
		take(r, g, a, to, &n);
		return n;
	}
	if ((err = getaddrinfo(g->address.host, NULL, &hints, &list))) {
		*why = gai_strerror(err);
		return 0;
	}
	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		struct sockaddr_storage ss = { 0 };
		memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
		if (!addr_from_sockaddr(&a, &ss, ADDR_UDP))
			take(r, g, a, to, &n);
	}
	freeaddrinfo(list);
	return n;
}

static bool is_configured(const struct conf *conf, const char *name)
{
	for (unsigned i = 0; i < conf->ngateways; i++)
		if (strcmp(conf->gateways[i].name, name) == 0)
			return true;
	return false;
}

/* An entry for a new gateway: one never used, or else one whose gateway has gone with its last call. */
static unsigned free_entry(const struct resolve *r)
{
	unsigned i = route_number_of(r->shm, "");

	if (i < SHM_GATEWAYS_MAX)
		return i;
	for (i = 0; i < SHM_GATEWAYS_MAX; i++)
		if (!shm_gateway_calls(r->shm, i) && !is_configured(r->conf, shm_gateway(r->shm, i)->name))
			break;
	return i;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

_Static_assert((int)CONF_NAME <= (int)SHM_NAME, "names fit into the arena");

/* The name is written last: an entry with a name is complete. */
static int claim_entry(const struct resolve *r, const struct conf_gateway *g, struct shm_gateway **entry)
{
	unsigned i = route_number_of(r->shm, g->name);
	struct shm_gateway *e;

	if (i == SHM_GATEWAYS_MAX) {
		if ((i = free_entry(r)) == SHM_GATEWAYS_MAX)
			return ERR_FULL;
		e = shm_gateway(r->shm, i);
		memset(e->name, 0, sizeof e->name);
		memset(e->addrs, 0, sizeof e->addrs);
		__atomic_store_n(&e->available, 1, __ATOMIC_RELAXED);
		e->since_ms = now_ms();
		__atomic_thread_fence(__ATOMIC_RELEASE);
		memcpy(e->name, g->name, strlen(g->name));
	}
	*entry = shm_gateway(r->shm, i);
	return 0;
}

/* Looks one gateway up; where its name fails, the addresses that the arena has of it. */
static void resolve_gateway(const struct resolve *r, unsigned order)
{
	const struct conf_gateway *g = &r->conf->gateways[order];
	struct addr *found = r->found[order];
	unsigned number = route_number_of(r->shm, g->name), n = 0;
	const struct addr *former = number < SHM_GATEWAYS_MAX ? shm_gateway(r->shm, number)->addrs : NULL;
	const char *why;
	bool keep;

	if (!g->address.host[0] || look_up(r, g, found, &why))
		return;
	for (unsigned i = 0; former && i < SHM_GATEWAY_ADDRS && former[i].family; i++)
		take(r, g, former[i], found, &n);
	keep = n > 0;
	conf_remark(r->report, keep, r->file, g->line, "gateway %s.address: %.80s: %s%s", g->name, g->address.host, why,
		    keep ? "; its former addresses stay" : "");
}

/* Callers known by their addresses alone, two names of which turn out to be one place. Equal names were found when the file was read. */
static void check_pair(const struct resolve *r, unsigned x, unsigned y)
{
	const struct conf_gateway *gx = &r->conf->gateways[x], *gy = &r->conf->gateways[y];

	for (unsigned i = 0; i < SHM_GATEWAY_ADDRS && r->found[x][i].family; i++)
		for (unsigned k = 0; k < SHM_GATEWAY_ADDRS && r->found[y][k].family; k++)
			if (addr_eq(&r->found[x][i], &r->found[y][k])) {
				conf_remark(r->report, false, r->file, gx->line,
					    "gateway %s: %.60s is the same address as gateway %s, and both may call; "
					    "give one of them role = callee or a source", gx->name, gx->address.host, gy->name);
				return;
			}
}

static bool is_plain_caller(const struct conf_gateway *g)
{
	return g->role != CONF_ROLE_CALLEE && !g->source.n;
}

static void check_pairs(const struct resolve *r)
{
	for (unsigned i = 0; i < r->conf->ngateways; i++)
		for (unsigned k = 0; k < i; k++) {
			const struct conf_gateway *x = &r->conf->gateways[i], *y = &r->conf->gateways[k];
			if (is_plain_caller(x) && is_plain_caller(y) && strcasecmp(x->address.host, y->address.host) != 0)
				check_pair(r, i, k);
		}
}

/* Only now anything changes: a reload that fails changes nothing. */
static int write_entries(const struct resolve *r)
{
	for (unsigned i = 0; i < r->conf->ngateways; i++) {
		struct shm_gateway *e;
		int err = claim_entry(r, &r->conf->gateways[i], &e);

		if (err) {
			conf_remark(r->report, false, r->file, r->conf->gateways[i].line,
				    "gateway %s: no room in the arena until calls of removed gateways have ended", r->conf->gateways[i].name);
			return err;
		}
		memcpy(e->addrs, r->found[i], sizeof e->addrs);
	}
	return 0;
}

int route_resolve(const struct conf *conf, struct shm *shm, const char *file, struct conf_report *report)
{
	struct resolve r = { .conf = conf, .shm = shm, .file = file, .report = report };
	unsigned errors = report->errors;
	int err;

	if (!(r.found = calloc(conf->ngateways + 1, sizeof *r.found)))
		return ERR_SYSTEM;
	for (unsigned i = 0; i < conf->ngateways; i++)
		resolve_gateway(&r, i);
	check_pairs(&r);
	err = report->errors > errors ? ERR_CONFIG : write_entries(&r);
	free(r.found);
	return err;
}
