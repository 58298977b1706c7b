/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What callers do: call, cancel, hang on, give up without a word. */
#include "sim.h"

void caller_script(struct ua *ua)
{
	struct sim *s = ua->call->sim;
	struct rng *r = &s->rng;
	unsigned number = ua->call->number;
	char host[ADDR_TEXT];
	struct out h = OUT(host, sizeof host);

	addr_print(&h, &s->listen.bound);
	snprintf(ua->target, sizeof ua->target, "sip:b%u@%.*s", number, STR_FMT(out_done(&h)));
	snprintf(ua->call_id, sizeof ua->call_id, "c%u.%llx@sim", number, (unsigned long long)s->seed);
	snprintf(ua->local, sizeof ua->local, "\"Caller, \\\"%u\\\"\" <sip:a%u@sim.invalid;x=y>;tag=%s", number, number, ua->tag);
	snprintf(ua->remote, sizeof ua->remote, "<sip:b%u@sim.invalid>", number);
	snprintf(ua->call->call_id, sizeof ua->call->call_id, "%s", ua->call_id);
	if (ua->call->relay) {
		ua_send_request(ua, SIP_MESSAGE, false);
		return;
	}
	ua->late_offer = rng_permille(r, 150);
	if (rng_permille(r, 30)) {
		ua->never_ack = true;
		ua->call->excuse |= EXCUSE_NO_ACK;
	}
	if (rng_permille(r, 120))
		ua_plan(ua, rng_below(r, rng_permille(r, 500) ? 300 : 20000), ACT_CANCEL);
	if (rng_permille(r, 30))
		ua_plan(ua, rng_below(r, 5000), ACT_GONE);
	ua_send_request(ua, SIP_INVITE, !ua->late_offer);
}

/* Whether the time that an operator allows for a set-up is over, as far as anybody outside can tell. */
static bool setup_limit_reached(const struct sim_call *c)
{
	const struct sim *s = c->sim;
	uint64_t limit = s->plan.ring_timeout_ms;

	if (s->plan.setup_early_hangup_ms && s->plan.setup_early_hangup_ms < limit)
		limit = s->plan.setup_early_hangup_ms;
	return s->now_ms - c->started_ms >= limit;
}

/* A refusal needs somebody who refused, or a limit. */
void caller_refused(struct ua *ua, const struct sip_msg *m)
{
	struct sim_call *c = ua->call;
	unsigned good = EXCUSE_CANCEL | EXCUSE_ADMIN | EXCUSE_GONE | EXCUSE_NO_ACK | EXCUSE_FULL | EXCUSE_NO_PRACK;

	ua_over(ua);
	if (m->status == 503 && sip_first(m, SIP_H_RETRY_AFTER)) {
		c->sim->stats->refused_full++;
		return;
	}
	if (c->excuse & good || ua->cancel_wanted || setup_limit_reached(c) || ua_rel_modes_refuse(ua, m->status))
		return;
	if (c->answer_arrived_ms)
		sim_fail(c->sim, "call %u was answered by a gateway, and its caller got %u", c->number, m->status);
	else if (!(c->excuse & (EXCUSE_REJECT | EXCUSE_SILENT)))
		sim_fail(c->sim, "call %u got %u though nobody refused it", c->number, m->status);
}

void caller_answered(struct ua *ua, const struct sip_msg *m)
{
	struct sim_call *c = ua->call;

	ua_rel_check_2xx(ua, m);
	ua->state = UA_TALKING;
	c->sim->stats->answered++;
	if (ua->cancel_wanted) {
		ua_unplan(ua, ACT_NONE);
		ua_plan(ua, 1, ACT_BYE);
		return;
	}
	talk_script(ua);
}
