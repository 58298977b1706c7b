/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No call may outlive a dead end for longer than its session, the grace and a transaction (PARAMETERS: session.ttl, session.no_timer_interval). */
#include "sim.h"

enum { EVERY_MS = 1000 };

/* The end of a fork that the call came about with. */
static bool belongs(const struct ua *ua)
{
	return ua->caller || (ua->call->answered_tag && ua->call->answered_tag == text_hash(str_of(ua->tag)));
}

static void end_of(struct sim *s, const struct ua *ua)
{
	const struct sim_call *c = ua->call;

	if (!ua->gone_ms || !belongs(ua) || !c->answered_tag || s->now_ms <= ua_session_limit_ms(ua))
		return;
	sim_fail(s, "call %u is still open though its %s fell silent %llu ms ago (session %u s, grace %u s, no_timer %u s)", c->number,
		 ua->caller ? "caller" : "callee", (unsigned long long)(s->now_ms - ua->gone_ms), ua->session.interval_s, s->plan.grace_s,
		 s->plan.no_timer_s);
}

void watch_check(struct sim *s)
{
	if (s->now_ms < s->watched_ms + EVERY_MS)
		return;
	s->watched_ms = s->now_ms;
	for (unsigned i = 0; i < s->ncalls; i++) {
		const struct sim_call *c = s->calls[i];
		for (unsigned k = 0; c && !c->over_ms && !c->relay && !(c->excuse & EXCUSE_FULL) && k < c->nuas; k++)
			end_of(s, c->uas[k]);
	}
}

bool watch_ends_alone(const struct sim_call *c)
{
	for (unsigned i = 0; i < c->nuas; i++)
		if (belongs(c->uas[i]) && c->uas[i]->session.interval_s)
			return true;
	return c->sim->plan.no_timer_s || c->sim->plan.max_call_duration_ms;
}
