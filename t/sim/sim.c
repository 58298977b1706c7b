/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One seed: events in virtual time. Nothing here reads a clock or anything else of the machine. */
#include <stdarg.h>

#include "ini/conf.h"
#include "sim.h"

enum {
	START_MS = 1000 * 1000,
	DEEP_EVERY = 1000,          /* events between two walks through the whole arena */
	DEEP_RESTARTS = 10,         /* restarts between two of them */
	ADMIN_PERMILLE = 100,       /* seeds in which an operator hangs up */
	FULL_ENOUGH = 500,          /* messages for which a tight heap had no room */
	PATIENCE_MS = 3 * 3600 * 1000,
};

void sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (s->failed)
		return;
	s->failed = true;
	n = snprintf(s->why, sizeof s->why, "at %llu ms: ", (unsigned long long)(s->now_ms - START_MS));
	va_start(ap, fmt);
	vsnprintf(s->why + n, sizeof s->why - (size_t)n, fmt, ap);
	va_end(ap);
}

void sim_say(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->verbose)
		return;
	printf("%10llu ", (unsigned long long)(s->now_ms - START_MS));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* ---- the event queue: a binary heap, equal times in order of arrival */

static bool before(const struct event *a, const struct event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_at(struct sim *s, uint64_t at_ms, enum event_kind kind, void *what)
{
	unsigned i = s->nevents++;

	if (s->nevents > s->events_cap) {
		s->events_cap = s->events_cap ? 2 * s->events_cap : 256;
		s->events = realloc(s->events, s->events_cap * sizeof *s->events);
		if (!s->events)
			abort();
	}
	s->events[i] = (struct event){ at_ms, s->orders++, kind, what };
	for (; i && before(&s->events[i], &s->events[(i - 1) / 2]); i = (i - 1) / 2) {
		struct event e = s->events[i];
		s->events[i] = s->events[(i - 1) / 2];
		s->events[(i - 1) / 2] = e;
	}
}

static struct event pop(struct sim *s)
{
	struct event top = s->events[0];
	unsigned i = 0;

	s->events[0] = s->events[--s->nevents];
	for (;;) {
		unsigned least = i, l = 2 * i + 1;
		struct event e;
		for (unsigned k = l; k < l + 2 && k < s->nevents; k++)
			if (before(&s->events[k], &s->events[least]))
				least = k;
		if (least == i)
			return top;
		e = s->events[i];
		s->events[i] = s->events[least];
		s->events[least] = e;
		i = least;
	}
}

/* ---- the world */

static void world_addresses(struct sim *s)
{
	addr_parse(&s->listen.bound, STR("10.0.0.1:5060"), 5060);
	s->listen.advertised = s->listen.bound;
	for (unsigned i = 0; i < SIM_CALLERS; i++) {
		addr_parse(&s->caller_addr[i], STR("10.1.0.1:5060"), 5060);
		s->caller_addr[i].ip[3] = (uint8_t)(i + 1);
	}
	for (unsigned i = 0; i < SIM_GATEWAYS_MAX; i++) {
		addr_parse(&s->gateway_addr[i], STR("10.2.0.1:5060"), 5060);
		s->gateway_addr[i].ip[3] = (uint8_t)(i + 1);
	}
}

static bool world_conf(struct sim *s)
{
	static struct conf_report report;
	char text[32][80];
	const char *list[33];
	unsigned n = 0;

#define OVERRIDE(...) (snprintf(text[n], sizeof text[n], __VA_ARGS__), list[n] = text[n], n++)
	OVERRIDE("listen.udp=10.0.0.1:5060");
	OVERRIDE("session.max_call_duration=%u", s->plan.max_call_duration_ms / 1000);
	OVERRIDE("session.setup_early_hangup=%u", s->plan.setup_early_hangup_ms / 1000);
	OVERRIDE("session.ring_timeout=%u", s->plan.ring_timeout_ms / 1000);
	OVERRIDE("gateway callers.source=10.1.0.0/24");
	OVERRIDE("gateway callers.role=caller");
	for (unsigned i = 0; i < s->plan.gateways; i++) {
		OVERRIDE("gateway gw%u.address=10.2.0.%u:5060", i, i + 1);
		OVERRIDE("gateway gw%u.role=callee", i);
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

static bool world_open(struct sim *s)
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

static void world_close(struct sim *s)
{
	inject_off();
	if (s->shm)
		proc_close(s);
	while (s->nevents) {
		struct event e = pop(s);
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

/* ---- running */

static void happen(struct sim *s, const struct event *e)
{
	struct ua *ua = e->what;
	struct proc *p = e->what;

	switch (e->kind) {
	case EVENT_PACKET:
		network_arrive(s, e->what);
		break;
	case EVENT_UA:
		if (ua->wake_ms == e->at_ms)
			ua_wake(ua);
		break;
	case EVENT_TURN:
		p->planned = false;
		proc_turn(s, p);
		break;
	case EVENT_RESTART:
		s->restarts++;
		proc_restart(s, p);
		break;
	case EVENT_CALL:
		call_start(e->what);
		break;
	case EVENT_ADMIN:
		proc_hangup(s);
		break;
	}
}

static uint64_t plan_calls(struct sim *s)
{
	uint64_t at_ms = s->now_ms;

	s->ncalls = s->plan.calls;
	s->calls = calloc(s->ncalls, sizeof *s->calls);
	for (unsigned i = 0; s->calls && i < s->ncalls; i++) {
		s->calls[i] = call_new(s, i);
		at_ms += rng_below(&s->rng, 2 * s->plan.spread_ms);
		sim_at(s, at_ms, EVENT_CALL, s->calls[i]);
		if (s->admin && rng_permille(&s->rng, 200))
			sim_at(s, at_ms + rng_below(&s->rng, s->plan.talk_ms), EVENT_ADMIN, NULL);
	}
	return at_ms + s->plan.talk_ms + s->plan.max_call_duration_ms + PATIENCE_MS;
}

static void run(struct sim *s, uint64_t until_ms)
{
	uint64_t restarts = s->restarts;

	for (uint64_t n = 1; !s->failed; n++) {
		uint64_t timer_ms = proc_timer_next(s);
		if (!s->nevents && timer_ms == SHM_NEVER)
			return;
		if (s->nevents && s->events[0].at_ms <= timer_ms) {
			struct event e = pop(s);
			s->now_ms = e.at_ms > s->now_ms ? e.at_ms : s->now_ms;
			happen(s, &e);
		} else {
			s->now_ms = timer_ms > s->now_ms ? timer_ms : s->now_ms;
			proc_turn(s, &s->procs[s->plan.workers]);
		}
		invariant_check(s, n % DEEP_EVERY == 0 || (s->restarts > restarts && s->restarts % DEEP_RESTARTS == 0));
		restarts = s->restarts;
		if (s->plan.tight && shm_counter(s->shm, CNT_arena_full) > FULL_ENOUGH)
			return;
		if (s->now_ms > until_ms)
			sim_fail(s, "it does not end: %u objects", shm_objects_used(s->shm));
	}
}

/* Grace periods of what was freed last end when every process has been here twice. */
static void settle(struct sim *s)
{
	s->plan.kill_every = s->plan.interrupt_every = 0;
	kill_rearm(s);
	for (unsigned k = 0; k < 4 && !s->failed; k++)
		for (unsigned i = 0; i < s->nprocs; i++)
			proc_turn(s, &s->procs[i]);
}

/* For whoever looks into a failure. */
static void say_counters(struct sim *s)
{
	for (unsigned i = 0; s->shm && i < CNT_COUNT; i++)
		if (shm_counter(s->shm, (enum counter)i))
			sim_say(s, "counter %s %llu", counter_name((enum counter)i), (unsigned long long)shm_counter(s->shm, (enum counter)i));
}

bool sim_run(struct sim *s, uint64_t seed, unsigned calls, bool verbose, struct stats *stats)
{
	memset(s, 0, sizeof *s);
	s->seed = seed;
	s->verbose = verbose;
	s->stats = stats;
	s->now_ms = START_MS;
	s->rng.s = seed;
	s->kill_rng.s = ~seed;
	plan_draw(&s->plan, &s->rng, calls);
	s->admin = rng_permille(&s->rng, ADMIN_PERMILLE);
	if (world_open(s)) {
		run(s, plan_calls(s));
		if (!s->failed)
			settle(s);
		invariant_end(s);
	}
	stats->seeds++;
	stats->virtual_ms += s->now_ms - START_MS;
	say_counters(s);
	world_close(s);
	return !s->failed;
}
