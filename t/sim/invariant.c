/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold of the arena: after every event of each object's deadline, now and then of every structure, at the end of everything. */
#include "sim.h"

enum { OVERDUE_MS = 2000 };

static void problem(void *arg, const char *text)
{
	sim_fail(arg, "check: %s", text);
}

static void object(struct sim *s, uint32_t slot)
{
	uint32_t generation;
	const struct shm_state *state = shm_peek(s->shm, slot, 0, &generation);
	uint64_t board_ms;

	if (!state)
		return;
	board_ms = shm_board_deadline(s->shm, slot);
	if (state->deadline_ms == SHM_NEVER)
		sim_fail(s, "object %u waits for nothing", slot);
	else if (board_ms > state->deadline_ms)
		sim_fail(s, "object %u is due at %llu, the board says %llu", slot, (unsigned long long)state->deadline_ms,
			 (unsigned long long)board_ms);
	else if (state->deadline_ms + OVERDUE_MS < s->now_ms && !shm_counter(s->shm, CNT_arena_full))
		sim_fail(s, "object %u is %llu ms overdue", slot, (unsigned long long)(s->now_ms - state->deadline_ms));
}

void invariant_check(struct sim *s, bool deep)
{
	uint32_t slots = shm_slots(s->shm);

	s->stats->checks++;
	for (uint32_t i = 0; i < slots && !s->failed; i++)
		object(s, i);
	watch_check(s);
	if (deep && !s->failed && proc_all_idle(s))
		shm_check(s->shm, true, problem, s);
}

/* Nothing of it ever reached us, so it could not be canceled (RFC 3261 §9.1). */
static bool rings_unheard(struct ua *ua)
{
	const struct ua_txn *t = ua_open_invite(ua, false);

	return t && !wire_heard(ua, t->branch, SIP_INVITE);
}

static void user_agents(struct sim *s)
{
	static const char *const states[] = { "setting up", "answered", "talking" };

	for (unsigned i = 0; i < s->ncalls; i++) {
		const struct sim_call *c = s->calls[i];
		for (unsigned k = 0; c && k < c->nuas; k++)
			if (c->uas[k]->state < UA_OVER && !(c->uas[k]->state == UA_SETUP && (c->uas[k]->forked || rings_unheard(c->uas[k]))))
				sim_fail(s, "call %u left its %s alone, still %s", c->number, k ? "callee" : "caller",
					 states[c->uas[k]->state]);
	}
}

/* Requests to who answers nothing take all the transactions of their call: that is refused and counted as a full arena is. */
static bool somebody_silent(const struct sim *s)
{
	for (unsigned i = 0; i < s->ncalls; i++)
		if (s->calls[i] && s->calls[i]->excuse & (EXCUSE_MUTE | EXCUSE_GONE))
			return true;
	return false;
}

void invariant_end(struct sim *s)
{
	uint64_t used = 0, all = 0;

	if (s->plan.tight && shm_counter(s->shm, CNT_arena_full)) {
		if (!s->failed)
			invariant_check(s, true);
		return;
	}
	if (!s->failed && shm_counter(s->shm, CNT_arena_full) && !somebody_silent(s))
		sim_fail(s, "a heap of %u bytes ran full", s->plan.heap_bytes);
	if (!s->failed)
		user_agents(s);
	if (!s->failed)
		record_check(s);
	if (s->failed)
		return;
	shm_heap_usage(s->shm, &used, &all);
	if (shm_objects_used(s->shm) || shm_objects_live(s->shm))
		sim_fail(s, "%u objects are left, %u live", shm_objects_used(s->shm), shm_objects_live(s->shm));
	else if (used != s->heap_idle_bytes)
		sim_fail(s, "%llu bytes of heap are left", (unsigned long long)(used - s->heap_idle_bytes));
	for (unsigned i = 0; i < SHM_GATEWAYS_MAX && !s->failed; i++)
		if (shm_gateway_calls(s->shm, i))
			sim_fail(s, "gateway %u still counts %u calls", i, shm_gateway_calls(s->shm, i));
	invariant_check(s, true);
}
