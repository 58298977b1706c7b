/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One seed: events in virtual time. Nothing here reads a clock or anything else of the machine. */
#include <stdarg.h>

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

struct event sim_next(struct sim *s)
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
			struct event e = sim_next(s);
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

static void say_objects(struct sim *s)
{
	static struct call c;

	for (uint32_t slot = 0; s->verbose && s->shm && slot < shm_slots(s->shm); slot++) {
		if (call_load(s->shm, slot, 0, &c, NULL))
			continue;
		sim_say(s, "object %u: phase %u, flags %x, reason %u, %.*s", slot, c.phase, c.flags, c.reason,
			STR_FMT(strings_get(s->shm, c.leg[LEG_A].dialog, DIALOG_CALL_ID)));
		for (unsigned i = 0; i < 2; i++)
			sim_say(s, "	leg %u: interval %u, refresher %u, flags %x, confirmed %lld, next %lld, expire %lld", i, c.leg[i].session.interval_ms,
				c.leg[i].session.refresher, c.leg[i].session.flags, (long long)(c.leg[i].session.confirmed_ms - s->now_ms),
				(long long)(c.leg[i].session.next_ms - s->now_ms), (long long)(c.leg[i].session.expire_ms - s->now_ms));
		for (unsigned i = 0; i < c.ntxns; i++)
			sim_say(s, "	%s %s %u of leg %u, for %u, flags %x, peer %u, resend %lld, expire %lld", txn_is_client(&c.txn[i]) ? "client" : "server",
				sip_method_name(c.txn[i].method).p, c.txn[i].cseq, c.txn[i].leg, c.txn[i].purpose, c.txn[i].flags, c.txn[i].peer,
				(long long)(c.txn[i].resend_ms - s->now_ms), (long long)(c.txn[i].expire_ms - s->now_ms));
	}
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
	if (s->failed)
		say_objects(s);
	world_close(s);
	return !s->failed;
}
