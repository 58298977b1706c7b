/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gateways do with an INVITE: ring and answer, refuse, ring for ever, say nothing, fork, die. */
#include "sim.h"

static void dialog_of(struct ua *ua, const struct sip_msg *m)
{
	struct sip_values v = sip_values(m, SIP_H_CONTACT);
	struct sip_nameaddr na;
	struct str value;

	snprintf(ua->call_id, sizeof ua->call_id, "%.*s", STR_FMT(m->call_id));
	snprintf(ua->peer_tag, sizeof ua->peer_tag, "%.*s", STR_FMT(m->from_tag));
	snprintf(ua->remote, sizeof ua->remote, "%.*s", STR_FMT(sip_value(m, SIP_H_FROM)));
	snprintf(ua->local, sizeof ua->local, "%.*s;tag=%s", STR_FMT(sip_value(m, SIP_H_TO)), ua->tag);
	if (sip_values_next(&v, &value) && !sip_nameaddr_parse(&na, value))
		snprintf(ua->target, sizeof ua->target, "%.*s", STR_FMT(na.uri));
}

static void plan_answer(struct ua *ua, uint64_t after_ms)
{
	struct rng *r = &ua->call->sim->rng;

	if (rng_permille(r, 600))
		ua_plan(ua, rng_below(r, 200), ACT_RING);
	if (rng_permille(r, 300))
		ua_plan(ua, rng_below(r, 400), ACT_EARLY);
	ua_plan(ua, after_ms, ACT_ANSWER);
}

static void plan_trouble(struct ua *ua)
{
	static const uint16_t refusals[] = { 486, 503, 500, 404, 603, 480, 408, 488, 502, 302 };
	struct rng *r = &ua->call->sim->rng;

	switch (rng_below(r, 6)) {
	case 0:
		ua->call->excuse |= EXCUSE_SILENT;
		ua->state = UA_GONE;
		break;
	case 1:
		ua->call->excuse |= EXCUSE_SILENT;
		ua_plan(ua, rng_below(r, 500), ACT_RING);
		break;
	case 2:
		plan_answer(ua, 1000 + rng_below(r, 4000));
		ua_plan(ua, rng_below(r, 6000), ACT_GONE);
		break;
	default:
		if (rng_permille(r, 400))
			ua_plan(ua, rng_below(r, 500), ACT_RING);
		ua->reject = refusals[rng_below(r, sizeof refusals / sizeof *refusals)];
		ua_plan(ua, 500 + rng_below(r, 3000), ACT_REJECT);
	}
}

/* What the INVITE asks for does not go together with what this gateway can. A 422 is no refusal: we are to ask again. */
static bool refuses(struct ua *ua, struct ua_txn *invite, const struct sip_msg *m)
{
	if (ua_rel_refuses(ua, invite, m))
		ua->call->excuse |= EXCUSE_REJECT;
	else if (ua->forked || !ua_session_refuses(ua, invite, m))
		return false;
	ua_over(ua);
	return true;
}

void callee_script(struct ua *ua, struct sip_msg *m)
{
	struct sim *s = ua->call->sim;
	struct rng *r = &s->rng;
	struct ua_txn *invite = ua_open_invite(ua, false);

	dialog_of(ua, m);
	ua->offered = m->body.n != 0;
	if (!invite || refuses(ua, invite, m))
		return;
	if (ua->twin) {
		ua_plan(ua, rng_below(r, 300), ACT_RING);
		if (rng_permille(r, 300))
			ua_plan(ua, 500 + rng_below(r, 4000), ACT_ANSWER);
		return;
	}
	if (rng_permille(r, 40))
		ua->mute = true;
	if (rng_permille(r, s->plan.callee_luck))
		plan_answer(ua, rng_below(r, rng_permille(r, 200) ? 15000 : 1000));
	else
		plan_trouble(ua);
}
