/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is drawn from the seed before anything happens. */
#include "ini/params.h"
#include "sim.h"

/* splitmix64 (Steele, Lea, Flood 2014): every seed gives a good sequence, also 0, 1, 2. */
uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return n ? (uint32_t)(rng_next(r) % n) : 0;
}

bool rng_permille(struct rng *r, uint32_t permille)
{
	return rng_below(r, 1000) < permille;
}

static unsigned pick(struct rng *r, const unsigned *list, unsigned n)
{
	return list[rng_below(r, n)];
}

enum { OFF = PARAMS_100REL_OFF, THROUGH = PARAMS_100REL_PASSTHROUGH, SUPPORTED = PARAMS_100REL_SUPPORTED, REQUIRED = PARAMS_100REL_REQUIRED };

#define PICK(r, ...) pick((r), (const unsigned[]){ __VA_ARGS__ }, sizeof((unsigned[]){ __VA_ARGS__ }) / sizeof(unsigned))

/* Sessions and reliable provisional responses. Short sessions go with short talks: else a seed is all refreshes. */
static void sessions(struct plan *plan, struct rng *r)
{
	enum { INTERVALS_MAX = 16 };

	plan->ttl_s = PICK(r, 60, 90, 180, 600, 600, 1800);
	plan->min_se_s = plan->ttl_s < 90 ? plan->ttl_s : PICK(r, 90, 90, plan->ttl_s);
	plan->segment = PICK(r, 2, 2, 3, 4, 5, 8, 10);
	plan->tail = rng_permille(r, 400);
	plan->strict = rng_permille(r, 100) && !plan->loss_permille; /* it may leave no time for a resend */
	plan->endpoint_refreshes = rng_permille(r, 300);
	plan->grace_s = PICK(r, 0, 0, 10, 60);
	plan->no_timer_s = PICK(r, 7200, 7200, 1800, 300, 300, 0);
	plan->no_timer_hangup = rng_permille(r, 200);
	plan->rel_callers = (uint8_t)PICK(r, OFF, OFF, THROUGH, SUPPORTED, SUPPORTED, SUPPORTED, REQUIRED);
	for (unsigned i = 0; i < SIM_GATEWAYS_MAX; i++)
		plan->rel_gateway[i] = (uint8_t)PICK(r, OFF, OFF, THROUGH, THROUGH, SUPPORTED, SUPPORTED, SUPPORTED, REQUIRED);
	if (plan->tight && !plan->no_timer_s)
		plan->no_timer_s = 300; /* a BYE may find no room, and its sender is off */
	if (plan->talk_ms > INTERVALS_MAX * 1000 * plan->ttl_s)
		plan->talk_ms = INTERVALS_MAX * 1000 * plan->ttl_s;
}

void plan_draw(struct plan *plan, struct rng *r, unsigned calls)
{
	*plan = (struct plan){
		.calls = calls,
		.spread_ms = PICK(r, 5, 100, 1000, 20000),
		.workers = 1 + rng_below(r, 3),
		.steer_wrong = rng_permille(r, 200),
		.loss_permille = PICK(r, 0, 0, 20, 100, 250),
		.repeat_permille = PICK(r, 0, 0, 20, 200),
		.delay_ms = PICK(r, 0, 1, 20, 100, 600),
		.jitter_ms = PICK(r, 0, 0, 5, 50, 800),
		.kill_every = PICK(r, 0, 0, 2000, 400, 100),
		.interrupt_every = PICK(r, 0, 0, 500, 50, 10),
		.gateways = 1 + rng_below(r, SIM_GATEWAYS_MAX),
		.callee_luck = PICK(r, 1000, 800, 500),
		.talk_ms = PICK(r, 2000, 60000, 4 * 3600 * 1000),
		.max_call_duration_ms = PICK(r, 0, 0, 60000, 3600 * 1000),
		.setup_early_hangup_ms = PICK(r, 0, 0, 0, 30000, 60000),
		.ring_timeout_ms = PICK(r, 180000, 180000, 20000),
		.slots = PICK(r, 64, 256, 256),
		.heap_bytes = 12u << 20,
		.tight = rng_permille(r, 50),
	};
	if (plan->tight)
		plan->heap_bytes = 4u << 20;
	sessions(plan, r);
}
