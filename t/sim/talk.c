/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both sides do once they talk, and whether an end of it was anybody's wish. */
#include "sim.h"

enum {
	FALLBACK_MS = 60000, /* the other side hangs up so long after the one that should have */
	SLACK_MS = 100,
	FAIR = EXCUSE_CANCEL | EXCUSE_BYE | EXCUSE_GONE | EXCUSE_NO_ACK | EXCUSE_ADMIN | EXCUSE_MUTE | EXCUSE_FULL | EXCUSE_BUSY,
};

static void plan_middle(struct ua *ua, uint32_t talk_ms)
{
	static const uint8_t acts[] = { ACT_INFO, ACT_INFO, ACT_INVITE, ACT_INVITE, ACT_UPDATE, ACT_MESSAGE, ACT_REFER, ACT_OLD_CSEQ, ACT_STRAY };
	struct rng *r = &ua->call->sim->rng;

	for (unsigned n = rng_below(r, 4); n > 0; n--)
		ua_plan(ua, rng_below(r, talk_ms), acts[rng_below(r, sizeof acts)]);
}

void talk_script(struct ua *ua)
{
	struct sim_call *c = ua->call;
	uint32_t talk_ms = c->talk_ms;

	plan_middle(ua, talk_ms);
	switch (c->ending) {
	case END_CALLER:
		ua_plan(ua, ua->caller ? talk_ms : talk_ms + FALLBACK_MS, ACT_BYE);
		break;
	case END_CALLEE:
		ua_plan(ua, ua->caller ? talk_ms + FALLBACK_MS : talk_ms, ACT_BYE);
		break;
	case END_BOTH:
		ua_plan(ua, talk_ms, ACT_BYE);
		break;
	case END_CALLER_GONE:
		ua_plan(ua, ua->caller ? talk_ms / 2 : talk_ms, ua->caller ? ACT_GONE : ACT_BYE);
		break;
	case END_CALLEE_GONE:
		ua_plan(ua, ua->caller ? talk_ms : talk_ms / 2, ua->caller ? ACT_BYE : ACT_GONE);
		break;
	case END_BOTH_GONE:
		ua_plan(ua, talk_ms / 2, ACT_GONE);
		break;
	case END_LIMIT:
		break;
	}
}

/* Whether this end of a fork is the one that the caller talks to. */
static bool lost_the_fork(const struct ua *ua)
{
	const struct sim_call *c = ua->call;

	return !ua->caller && strcmp(c->uas[0]->peer_tag, ua->tag) != 0;
}

static bool limit_reached(const struct sim_call *c)
{
	const struct sim *s = c->sim;

	return s->plan.max_call_duration_ms && c->answer_arrived_ms &&
		s->now_ms + SLACK_MS >= c->answer_arrived_ms + s->plan.max_call_duration_ms;
}

/* The safety net as a hard limit: one leg has no timer. */
static bool no_timer_limit_reached(const struct sim_call *c)
{
	const struct sim *s = c->sim;

	return s->plan.no_timer_s && s->plan.no_timer_hangup && c->answer_arrived_ms &&
		s->now_ms + SLACK_MS >= c->answer_arrived_ms + s->plan.no_timer_s * 1000ull;
}

bool talk_may_end(const struct ua *ua)
{
	const struct sim_call *c = ua->call;

	return c->excuse & FAIR || limit_reached(c) || no_timer_limit_reached(c) || lost_the_fork(ua);
}

/* We sent a BYE to a user agent. */
void talk_ended(struct ua *ua)
{
	struct sim_call *c = ua->call;

	if (ua->state == UA_OVER || talk_may_end(ua))
		return;
	sim_fail(c->sim, "call %u was cut: BYE to its living %s", c->number, ua->caller ? "caller" : "callee");
}

/* We told a user agent that its dialog does not exist. */
void talk_denied(struct ua *ua, const struct ua_txn *t)
{
	struct sim_call *c = ua->call;

	if (ua->state != UA_TALKING || talk_may_end(ua))
		return;
	sim_fail(c->sim, "call %u lives, and its %.*s got 481", c->number, STR_FMT(sip_method_name((enum sip_method)t->method)));
}

/* RFC 3261 §13.3.1.4: who gets no ACK hangs up. */
static void unacked(struct ua *ua)
{
	ua->state = UA_TALKING;
	ua->call->excuse |= EXCUSE_NO_ACK;
	ua_do(ua, ACT_BYE);
}

/* A transaction of a user agent ran out. Only a silent peer excuses that, and nothing where we are to answer ourselves. */
void talk_unanswered(struct ua *ua, const struct ua_txn *t)
{
	struct sim_call *c = ua->call;
	struct str name = sip_method_name((enum sip_method)t->method);
	const char *side = ua->caller ? "caller" : "callee";
	unsigned quiet = EXCUSE_GONE | EXCUSE_MUTE | EXCUSE_FULL;
	bool first = t->method == SIP_INVITE && !ua->peer_tag[0];
	bool forgotten = t->deaf && t->status >= 300; /* RFC 3261 §9.1: canceled, and long not answered */
	/* RFC 3261 §13.2.2.4: after 64*T1 no more ends of a fork are awaited. */
	bool too_late = ua->forked && lost_the_fork(ua) && c->answer_arrived_ms + UA_GIVE_UP_MS < c->sim->now_ms - UA_PATIENCE_MS;

	if (ua->state == UA_GONE)
		return;
	if (t->client && (first ? !(c->excuse & EXCUSE_FULL) : !(c->excuse & (quiet | EXCUSE_SILENT))))
		sim_fail(c->sim, "call %u: the %s's %.*s got no final answer", c->number, side, STR_FMT(name));
	else if (!t->client && !too_late && !forgotten && !(c->excuse & (quiet | (t->status < 300 ? EXCUSE_NO_ACK | EXCUSE_NO_PRACK : 0))))
		sim_fail(c->sim, "call %u: the %s's %u to INVITE got no ACK", c->number, side, t->status);
	else if (!t->client && ua->state == UA_ANSWERED)
		unacked(ua);
	if (t->refresh)
		talk_hang_up(ua); /* RFC 4028 §10 */
	if (t->method == SIP_BYE)
		ua_over(ua);
}

/* ---- single acts */

/* Whoever forked keeps a refusal of one end to itself. */
static void initial(struct ua *ua, unsigned status, bool sdp)
{
	struct ua_txn *t = ua_open_invite(ua, false);

	if (!t || ua->state != UA_SETUP)
		return;
	if (status < 200 && ua->rel.active && ua_rel_provisional(ua, t, status, sdp))
		return;
	if (status >= 200 && status < 300 && ua_rel_holds(ua))
		return;
	if (status >= 300 && ua->forked) {
		ua->call->excuse |= EXCUSE_SILENT;
		ua_over(ua);
		return;
	}
	ua_answer(ua, t, status, sdp);
	if (status < 200)
		return;
	if (status < 300) {
		ua->state = UA_ANSWERED;
		ua_unplan(ua, ACT_RING);
		ua_unplan(ua, ACT_EARLY);
		return;
	}
	ua->call->excuse |= EXCUSE_REJECT;
	ua_over(ua);
}

void talk_hang_up(struct ua *ua)
{
	if (ua->state != UA_TALKING || ua->bye_sent)
		return;
	ua->bye_sent = true;
	ua->call->excuse |= EXCUSE_BYE;
	ua_send_request(ua, SIP_BYE, false);
}

/* Where both sides vanish without a word only a limit can end the call. */
static bool all_alone(const struct ua *ua)
{
	const struct sim_call *c = ua->call;

	for (unsigned i = 0; i < c->nuas; i++)
		if (c->uas[i] != ua && c->uas[i]->state == UA_GONE)
			return true;
	return false;
}

static void gone(struct ua *ua)
{
	if (all_alone(ua) && !watch_ends_alone(ua->call)) {
		talk_hang_up(ua);
		return;
	}
	ua->call->excuse |= EXCUSE_GONE;
	ua->gone_ms = ua->call->sim->now_ms;
	ua->call->sim->stats->silent++;
	ua->state = UA_GONE;
}

/* A response to nothing, with a branch that looks like one of ours. */
static void stray(struct ua *ua)
{
	char buf[1024];
	struct out o = OUT(buf, sizeof buf);

	out_lit(&o, "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP ");
	addr_print(&o, &ua->proxy);
	out_fmt(&o, ";branch=z9hG4bK%016llx%016llx\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
		(unsigned long long)rng_next(&ua->call->sim->rng), 7ull, ua->remote, ua->local, ua->call_id);
	network_send(ua->call->sim, &ua->addr, &ua->proxy, o.p, (uint32_t)o.n);
}

static void in_dialog(struct ua *ua, enum sip_method method, bool offer)
{
	if (ua->state != UA_TALKING || ua->bye_sent)
		return;
	if ((method == SIP_INVITE || offer) && (ua_open_invite(ua, true) || ua_open_invite(ua, false)))
		return;
	ua_send_request(ua, method, offer);
}

void ua_do(struct ua *ua, enum ua_act act)
{
	switch (act) {
	case ACT_RING: initial(ua, 180, false); break;
	case ACT_EARLY: initial(ua, 183, ua->offered); break;
	case ACT_ANSWER: initial(ua, 200, !ua->rel.described || ua->rel.sloppy); break;
	case ACT_REJECT: initial(ua, ua->reject, false); break;
	case ACT_CANCEL: ua_cancel(ua); break;
	case ACT_BYE: talk_hang_up(ua); break;
	case ACT_INVITE: in_dialog(ua, SIP_INVITE, true); break;
	case ACT_INFO: in_dialog(ua, SIP_INFO, false); break;
	case ACT_UPDATE: in_dialog(ua, SIP_UPDATE, true); break;
	case ACT_MESSAGE: in_dialog(ua, SIP_MESSAGE, false); break;
	case ACT_OLD_CSEQ:
		if (ua->state == UA_TALKING && !ua->bye_sent && ua->caller)
			ua_send_old(ua);
		break;
	case ACT_STRAY: stray(ua); break;
	case ACT_GONE: gone(ua); break;
	case ACT_REFRESH: ua_session_refresh(ua); break;
	case ACT_OVERDUE: ua_session_overdue(ua); break;
	case ACT_LATE: ua_answer_late(ua); break;
	case ACT_REFER: in_dialog(ua, SIP_REFER, false); break;
	case ACT_NOTIFY: /* after the BYE, too */
		if (ua->state == UA_TALKING || ua->state == UA_OVER)
			ua_send_request(ua, SIP_NOTIFY, false);
		break;
	case ACT_PRACK: ua_rel_prack(ua); break;
	case ACT_NONE: break;
	}
}
