/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a seed's run takes place in: addresses, configuration, arena, processes. */
#include "ini/conf.h"
#include "sim.h"

static void world_addresses(struct sim *s)
{
	struct addr us;

	addr_parse(&us, STR("10.0.0.1:5060"), 5060);
	core_listen_set(&s->listen, &us, &us);
	for (unsigned i = 0; i < SIM_CALLERS; i++) {
		addr_parse(&s->caller_addr[i], STR("10.1.0.1:5060"), 5060);
		s->caller_addr[i].ip[3] = (uint8_t)(i + 1);
	}
	for (unsigned i = 0; i < SIM_GATEWAYS_MAX; i++) {
		addr_parse(&s->gateway_addr[i], STR("10.2.0.1:5060"), 5060);
		s->gateway_addr[i].ip[3] = (uint8_t)(i + 1);
	}
}

/* In the order of enum params_100rel. */
static const char *const modes[] = { "off", "passthrough", "supported", "required" };

static bool world_conf(struct sim *s)
{
	const struct plan *plan = &s->plan;
	static struct conf_report report;
	char text[48][80];
	const char *list[49];
	unsigned n = 0;

#define OVERRIDE(...) (snprintf(text[n], sizeof text[n], __VA_ARGS__), list[n] = text[n], n++)
	OVERRIDE("listen.udp=10.0.0.1:5060");
	OVERRIDE("session.max_call_duration=%u", s->plan.max_call_duration_ms / 1000);
	OVERRIDE("session.setup_early_hangup=%u", s->plan.setup_early_hangup_ms / 1000);
	OVERRIDE("session.ring_timeout=%u", s->plan.ring_timeout_ms / 1000);
	OVERRIDE("session.ttl=%u", plan->ttl_s);
	OVERRIDE("session.min_se=%u", plan->min_se_s);
	OVERRIDE("session.update_segment=%u", plan->segment);
	OVERRIDE("session.refresh_schedule=%s", plan->tail ? "tail" : "segments");
	OVERRIDE("session.strict_schedule=%s", plan->strict ? "yes" : "no");
	OVERRIDE("session.refresher=%s", plan->endpoint_refreshes ? "endpoint" : "self");
	OVERRIDE("session.timeout_early_hangup=%u", plan->grace_s);
	OVERRIDE("session.no_timer_interval=%u", plan->no_timer_s);
	OVERRIDE("session.no_timer_action=%s", plan->no_timer_hangup ? "hangup" : "reinvite");
	OVERRIDE("gateway callers.100rel=%s", modes[plan->rel_callers]);
	OVERRIDE("gateway callers.source=10.1.0.0/24");
	OVERRIDE("gateway callers.role=caller");
	for (unsigned i = 0; i < s->plan.gateways; i++) {
		OVERRIDE("gateway gw%u.address=10.2.0.%u:5060", i, i + 1);
		OVERRIDE("gateway gw%u.role=callee", i);
		OVERRIDE("gateway gw%u.100rel=%s", i, modes[plan->rel_gateway[i]]);
		OVERRIDE("gateway gw%u.priority=%u", i, i / 2);
	}
	list[n] = NULL;
	memset(&report, 0, sizeof report);
	if (conf_read(&s->conf, NULL, list, &report) || route_resolve(s->conf, s->shm, NULL, &report) ||
	    route_new(&s->route, s->conf, s->shm)) {
		conf_report_print(&report, stdout);
		sim_fail(s, "no configuration");
		return false;
	}
	return true;
}

/* The arena draws its keys from the machine; a seed must give the same ones each time. */
static void world_keys(struct sim *s)
{
	struct siphash_key *index = (struct siphash_key *)(uintptr_t)shm_key_index(s->shm);
	struct siphash_key *check = (struct siphash_key *)(uintptr_t)shm_key_check(s->shm);

	*index = (struct siphash_key){ { rng_next(&s->rng), rng_next(&s->rng) } };
	*check = (struct siphash_key){ { rng_next(&s->rng), rng_next(&s->rng) } };
}

bool world_open(struct sim *s)
{
	struct shm_params params = {
		.slots = s->plan.slots, .heap_bytes = s->plan.heap_bytes, .endpoints = 64, .workers_max = s->plan.workers,
	};
	uint64_t all;

	if (shm_create(&s->shm, NULL, &params)) {
		sim_fail(s, "no arena");
		return false;
	}
	world_keys(s);
	world_addresses(s);
	if (!world_conf(s) || !proc_open(s))
		return false;
	shm_heap_usage(s->shm, &s->heap_idle_bytes, &all);
	kill_open(s);
	return true;
}

void world_close(struct sim *s)
{
	inject_off();
	if (s->shm)
		proc_close(s);
	while (s->nevents) {
		struct event e = sim_next(s);
		if (e.kind == EVENT_PACKET)
			free(e.what);
	}
	for (unsigned i = 0; i < s->ncalls; i++)
		if (s->calls[i])
			call_free(s->calls[i]);
	route_free(s->route);
	conf_free(s->conf);
	if (s->shm)
		shm_close(s->shm, true);
	free(s->calls);
	free(s->events);
	free(s->records);
}
