/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/apply.h"

#include <sched.h>

enum { MIN_SE_MS = 90000 }; /* RFC 4028 section 5 */

static bool is_any(const struct addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, sizeof zero) == 0;
}

static unsigned cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}

static void check_velador(struct conf_apply *a)
{
	struct conf_velador *v = &a->conf->velador;

	if (!v->workers)
		v->workers = cores();
	if (!v->max_workers)
		v->max_workers = v->workers;
	if (v->arena == CONF_ARENA_ADOPT && conf_apply_is_set(a, -1, "arena"))
		conf_remark(a->report, true, a->file, conf_apply_line(a, -1, "arena"),
			    "velador.arena: adopt is not in effect in this version; calls of a former run are given up");
	if (v->max_workers < v->workers)
		conf_remark(a->report, false, a->file, conf_apply_line(a, -1, "max_workers"),
			    "velador.max_workers: %u is less than workers; give at least %u", v->max_workers, v->workers);
	if (strcmp(v->log, "stderr") && strcmp(v->log, "syslog") && !strchr(v->log, '/'))
		conf_remark(a->report, false, a->file, conf_apply_line(a, -1, "log"),
			    "velador.log: \"%.60s\" is not stderr, syslog or a path", v->log);
}

static void check_listen(struct conf_apply *a, bool clean)
{
	struct conf_listen *l = &a->conf->listen;

	for (unsigned i = 0; i < l->udp.n; i++)
		l->udp.a[i].transport = ADDR_UDP;
	for (unsigned i = 0; i < l->tcp.n; i++)
		l->tcp.a[i].transport = ADDR_TCP;
	if (!l->udp.n && clean)
		conf_remark(a->report, false, a->file, 0, "listen.udp: none; give at least one such as udp = 192.0.2.1:5060 in [listen]");
	if (l->udp.n + l->tcp.n > CONF_LISTEN_MAX)
		conf_remark(a->report, false, a->file, conf_apply_line(a, -1, "tcp"),
			    "listen: more than %d addresses", CONF_LISTEN_MAX);
	for (unsigned i = 0; i < l->udp.n + l->tcp.n; i++) {
		const struct addr *one = i < l->udp.n ? &l->udp.a[i] : &l->tcp.a[i - l->udp.n];
		if (is_any(one) && l->advertise.family != one->family)
			conf_remark(a->report, false, a->file,
				    conf_apply_line(a, -1, one->transport == ADDR_UDP ? "udp" : "tcp"),
				    "listen: an address of all interfaces cannot stand in a Contact; "
				    "give advertise = an IPv%u address, or listen on single addresses", one->family);
	}
}

/* A pair of values of which the first may not be above the second. gateway: -1 for the global values. */
static void check_pair(struct conf_apply *a, int gateway, const char *low, uint32_t low_ms, const char *high, uint32_t high_ms)
{
	const char *name = gateway < 0 ? "" : a->conf->gateways[gateway].name;

	if (gateway >= 0 && !conf_apply_is_set(a, gateway, low) && !conf_apply_is_set(a, gateway, high))
		return; /* said once, for the global values */
	if (low_ms > high_ms)
		conf_remark(a->report, false, a->file, conf_apply_line(a, gateway, low),
			    "%s%s%s%s: %u ms is more than %s; give at most %u ms", gateway < 0 ? "" : "gateway ", name,
			    gateway < 0 ? "" : ".", low, low_ms, high, high_ms);
}

static void check_params(struct conf_apply *a, int gateway)
{
	struct params *p = gateway < 0 ? &a->conf->params : &a->conf->gateways[gateway].params;

	if (!p->min_se_ms)
		p->min_se_ms = p->ttl_ms < MIN_SE_MS ? p->ttl_ms : MIN_SE_MS;
	check_pair(a, gateway, "min_se", p->min_se_ms, "ttl", p->ttl_ms);
	check_pair(a, gateway, "t1_min", p->t1_min_ms, "t1_max", p->t1_max_ms);
	check_pair(a, gateway, "min_expire", p->publish_min_expire_ms, "expire", p->publish_expire_ms);
}

static void check_gateway(struct conf_apply *a, int i)
{
	struct conf_gateway *g = &a->conf->gateways[i];
	bool has_address = g->address.host[0] || conf_apply_is_set(a, i, "address");

	if (g->role == CONF_ROLE_CALLER && !has_address && !conf_apply_is_set(a, i, "source"))
		conf_remark(a->report, false, a->file, g->line,
			    "gateway %s: a caller needs an address or a source; give source = the networks it calls from", g->name);
	if (g->role != CONF_ROLE_CALLER && !has_address)
		conf_remark(a->report, false, a->file, g->line,
			    "gateway %s: no address to send calls to; give address = host:port, or role = caller", g->name);
	if (g->transport == ADDR_TCP) {
		conf_remark(a->report, true, a->file, conf_apply_line(a, i, "transport"),
			    "gateway %s.transport: tcp is not in effect in this version; its calls go by UDP", g->name);
		g->transport = ADDR_UDP;
	}
	if (g->auth == CONF_AUTH_DIGEST && (!g->user[0] || !g->password[0]))
		conf_remark(a->report, false, a->file, conf_apply_line(a, i, "auth"),
			    "gateway %s.auth: digest needs user and password", g->name);
}

static bool same_net(const struct addr_net *x, const struct addr_net *y)
{
	return x->bits == y->bits && addr_same_ip(&x->net, &y->net);
}

/* Two callers with one explicit source cannot be told apart. */
static void check_sources(struct conf_apply *a, int i, int j)
{
	const struct conf_gateway *x = &a->conf->gateways[i], *y = &a->conf->gateways[j];
	char text[ADDR_TEXT];

	for (unsigned m = 0; m < x->source.n; m++)
		for (unsigned n = 0; n < y->source.n; n++) {
			struct out o = OUT(text, sizeof text - 1);
			if (!same_net(&x->source.a[m], &y->source.a[n]))
				continue;
			addr_print_host(&o, &x->source.a[m].net);
			text[o.n] = 0;
			conf_remark(a->report, false, a->file, conf_apply_line(a, i, "source"),
				    "gateway %s.source: %s/%u is a source of gateway %s too; give each network to one caller",
				    x->name, text, x->source.a[m].bits, y->name);
		}
}

/* Two callers known by their addresses alone. With one IP address their ports tell them apart, as far as they send from them. */
static void check_addresses(struct conf_apply *a, int i, int j)
{
	const struct conf_gateway *x = &a->conf->gateways[i], *y = &a->conf->gateways[j];
	bool same_port = x->address.port == y->address.port;

	if (x->source.n || y->source.n || !x->address.host[0] || strcasecmp(x->address.host, y->address.host) != 0)
		return;
	conf_remark(a->report, !same_port, a->file, conf_apply_line(a, i, "address"), same_port ?
		    "gateway %s: the same address as gateway %s, and both may call; give one of them role = callee or a source" :
		    "gateway %s: the same host as gateway %s; requests from other ports than theirs count as the former's",
		    same_port ? x->name : y->name, same_port ? y->name : x->name);
}

void conf_bind_listen(struct conf *conf, const char *file, bool warning, struct conf_report *report)
{
	for (unsigned i = 0; i < conf->ngateways; i++) {
		struct conf_gateway *g = &conf->gateways[i];
		const struct addr *ours;
		struct addr want = g->listen_addr;
		unsigned n = 0;

		g->listen = -1;
		if (!want.family)
			continue;
		want.transport = g->transport;
		while ((ours = conf_listen_addr(conf, n)) && !addr_eq(ours, &want))
			n++;
		if (ours)
			g->listen = (int)n;
		else
			conf_remark(report, warning, file, g->line,
				    "gateway %s.listen: none of our listening addresses; give one of those in [listen]", g->name);
	}
}

void conf_check(struct conf_apply *a)
{
	const struct conf *conf = a->conf;
	bool clean = !a->report->errors;
	int n = (int)conf->ngateways;

	check_velador(a);
	check_listen(a, clean);
	check_params(a, -1);
	for (int i = 0; i < n; i++) {
		check_params(a, i);
		check_gateway(a, i);
		if (conf->gateways[i].role == CONF_ROLE_CALLEE)
			continue;
		for (int j = 0; j < i; j++) {
			if (conf->gateways[j].role == CONF_ROLE_CALLEE)
				continue;
			check_sources(a, i, j);
			check_addresses(a, i, j);
		}
	}
	if (clean)
		conf_bind_listen(a->conf, a->file, false, a->report);
	if (!n && clean)
		conf_remark(a->report, true, a->file, 0, "no gateway; every call will be refused");
}
