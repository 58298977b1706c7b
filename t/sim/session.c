/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Session timers as user agents see them (RFC 4028): with and without, either refresher, eager and lazy, with and without UPDATE; and what they may expect
 * of us: interval, role and option tags right, refreshes in time, no call that outlives a dead end. */
#include "sim.h"

enum {
	EAGER_MS = 32000,            /* RFC 4028 §10 */
	LATE_MS = 45000,             /* a refresh of ours may be so late: resends, glare, an offer that is open */
	EARLY_MS = 20000,            /* and so early: what it counts from may have been resent; where a re-INVITE rang, earlier */
	T1_MAX_MS = 4000, LAG_MS = 60000,
	NEVER_AGAIN_MS = 60000,      /* after 405 or 501 no UPDATE of ours comes any more */
	EAGER_LEAST_S = 90, EAGER_LOSSY_S = 180, /* two losses at each step, T1 at its largest: that takes its time */
};

void ua_session_draw(struct ua *ua)
{
	struct ua_session *se = &ua->session;
	const struct plan *plan = &ua->call->sim->plan;
	struct rng *r = &ua->call->sim->rng;
	const uint32_t wishes[] = { 0, 30, 90, plan->ttl_s, plan->ttl_s, plan->ttl_s * 2 };

	se->supports = rng_permille(r, 600);
	se->updates = rng_permille(r, 700);
	se->denies = se->updates && rng_permille(r, 150);
	se->eager = rng_permille(r, 700);
	se->busy = rng_permille(r, 20);
	if (!se->supports)
		return;
	se->wish_s = wishes[rng_below(r, 6)];
	se->wish_refresher = "\0cs"[rng_below(r, 3)];
	if (!ua->caller && rng_permille(r, 80))
		se->min_s = plan->ttl_s + 1 + rng_below(r, 60);
	if (!ua->caller && ua->call->taught_s[ua->addr.ip[3] - 1])
		se->min_s = ua->call->taught_s[ua->addr.ip[3] - 1]; /* one INVITE is asked for again once only */
}

static void read_wish(const struct sip_msg *m, uint32_t *interval_s, uint32_t *min_s, char *refresher)
{
	char none;

	*interval_s = *min_s = 0;
	*refresher = 0;
	if (sip_first(m, SIP_H_SESSION_EXPIRES))
		sip_session_expires_parse(sip_value(m, SIP_H_SESSION_EXPIRES), interval_s, refresher);
	if (sip_first(m, SIP_H_MIN_SE))
		sip_session_expires_parse(sip_value(m, SIP_H_MIN_SE), min_s, &none);
}

static bool says_timer(const struct sip_msg *m)
{
	return sip_has_token(m, SIP_H_SUPPORTED, STR("timer")) || sip_has_token(m, SIP_H_REQUIRE, STR("timer"));
}

void ua_session_put_wish(struct ua *ua, struct out *o)
{
	const struct ua_session *se = &ua->session;
	uint32_t interval_s = se->interval_s ? se->interval_s : se->wish_s;
	char refresher = se->interval_s ? (se->ours ? 'c' : 's') : se->wish_refresher;

	if (!se->supports)
		return;
	out_lit(o, "Supported: timer\r\n");
	if (!interval_s)
		return;
	out_fmt(o, "Session-Expires: %u%s\r\n", interval_s < se->min_s ? se->min_s : interval_s,
		refresher == 'c' ? ";refresher=uac" : refresher == 's' ? ";refresher=uas" : "");
	if (se->min_s)
		out_fmt(o, "Min-SE: %u\r\n", se->min_s);
}

/* ---- the schedule */

/* When we send the first refresh after a confirmation, by the configuration: at the latest, and at the earliest. */
static uint64_t our_wait_ms(const struct ua *ua, uint64_t t1_ms)
{
	const struct plan *plan = &ua->call->sim->plan;
	uint64_t interval = ua->session.interval_s * 1000ull, early, latest;
	uint64_t wait = plan->tail ? interval - interval / plan->segment : interval / plan->segment;

	if (plan->strict)
		return wait;
	early = (interval / 3 < EAGER_MS ? interval / 3 : EAGER_MS) + 64 * t1_ms;
	latest = interval > early && interval - early > interval / 2 ? interval - early : interval / 2;
	return wait < latest ? wait : latest;
}

static bool hangs_up_early(const struct ua *ua)
{
	return ua->session.eager && ua->session.interval_s >= (ua->call->sim->plan.loss_permille ? EAGER_LOSSY_S : EAGER_LEAST_S);
}

static void confirmed(struct ua *ua)
{
	struct ua_session *se = &ua->session;
	uint64_t interval = se->interval_s * 1000ull, at;

	se->confirmed_ms = ua->call->sim->now_ms;
	ua_unplan(ua, ACT_REFRESH);
	ua_unplan(ua, ACT_OVERDUE);
	if (!interval)
		return;
	if (se->ours) {
		ua_plan(ua, interval / 2, ACT_REFRESH);
		ua_plan(ua, interval, ACT_OVERDUE);
		return;
	}
	at = our_wait_ms(ua, UA_T1_MS) + LATE_MS;
	if (hangs_up_early(ua))
		at = interval - (interval / 3 < EAGER_MS ? interval / 3 : EAGER_MS);
	ua_plan(ua, at < interval ? at : interval, ACT_OVERDUE);
}

/* A request or two of its own at about the time of our refresh: they shall cross. */
static void cross(struct ua *ua)
{
	struct rng *r = &ua->call->sim->rng;
	uint64_t wait = our_wait_ms(ua, UA_T1_MS);

	if (ua->session.interval_s && !ua->session.ours && rng_permille(r, 100))
		ua_plan(ua, wait - rng_below(r, (uint32_t)wait / 10 + 1), rng_permille(r, 600) ? ACT_INVITE : ACT_UPDATE);
}

/* ---- as UAS */

void ua_session_put_answer(struct ua *ua, const struct sip_msg *m, struct out *o)
{
	struct ua_session *se = &ua->session;
	struct rng *r = &ua->call->sim->rng;
	uint32_t interval_s, min_s;
	char refresher;

	read_wish(m, &interval_s, &min_s, &refresher);
	if (m->method == SIP_UPDATE && ua->state == UA_SETUP)
		return; /* before it answers there is no session */
	if (!se->supports || !interval_s) {
		se->interval_s = 0;
	} else {
		if (se->wish_s && se->wish_s < interval_s)
			interval_s = se->wish_s;
		if (interval_s < min_s)
			interval_s = min_s;
		if (!min_s && interval_s < 90)
			read_wish(m, &interval_s, &min_s, &refresher);
		if (!refresher)
			refresher = rng_permille(r, 500) ? 'c' : 's';
		se->interval_s = interval_s;
		se->ours = refresher == 's';
		out_fmt(o, "Supported: timer\r\nSession-Expires: %u;refresher=%s\r\n", interval_s, se->ours ? "uas" : "uac");
		if (!se->ours)
			out_lit(o, "Require: timer\r\n");
	}
	confirmed(ua);
	cross(ua);
}

bool ua_session_refuses(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	struct ua_session *se = &ua->session;
	uint32_t interval_s, min_s, none = 0, *taught_s = ua->caller ? &none : &ua->call->taught_s[ua->addr.ip[3] - 1];
	char refresher;

	if (m->method == SIP_UPDATE && (!se->updates || se->denies)) {
		if (wire_own(ua, t->branch, SIP_UPDATE) && !se->updates && !ua->forked)
			sim_fail(ua->call->sim, "call %u: UPDATE to a %s that does not list it", ua->call->number, ua->caller ? "caller" : "callee");
		if (se->denied_ms && wire_own(ua, t->branch, SIP_UPDATE) && ua->call->sim->now_ms > se->denied_ms + NEVER_AGAIN_MS)
			sim_fail(ua->call->sim, "call %u: another UPDATE to a %s that cannot", ua->call->number, ua->caller ? "caller" : "callee");
		if (wire_own(ua, t->branch, SIP_UPDATE) && !m->body.n)
			se->denied_ms = ua->call->sim->now_ms;
		ua_answer(ua, t, rng_permille(&ua->call->sim->rng, 500) ? 405 : 501, false);
		return true;
	}
	read_wish(m, &interval_s, &min_s, &refresher);
	if (se->raised && se->supports && interval_s && interval_s < *taught_s && says_timer(m)) /* until then the 422 may have been lost */
		sim_fail(ua->call->sim, "call %u: %u s asked for after a 422 with %u", ua->call->number, interval_s, *taught_s);
	if (se->supports && interval_s && interval_s < se->min_s && says_timer(m)) {
		if (!ua->caller)
			*taught_s = se->min_s;
		ua_answer(ua, t, 422, false);
		return true;
	}
	se->raised = *taught_s && interval_s >= *taught_s;
	if (se->busy && ua->state == UA_TALKING && rng_permille(&ua->call->sim->rng, 300)) {
		ua->call->excuse |= EXCUSE_BUSY;
		if (!se->interval_s)
			se->confirmed_ms = ua->call->sim->now_ms; /* it answers, so it lives */
		ua_answer(ua, t, 500, false);
		return true;
	}
	return false;
}

void ua_session_asked(struct ua *ua, const struct sip_msg *m, uint64_t sent_ms)
{
	const struct ua_session *se = &ua->session;
	struct sim *s = ua->call->sim;
	const char *side = ua->caller ? "caller" : "callee";
	uint32_t interval_s, min_s;
	char refresher;

	if (m->method != SIP_UPDATE || !m->body.n) /* else it carries an offer that came by PRACK */
		s->stats->refreshes++;
	read_wish(m, &interval_s, &min_s, &refresher);
	if (!says_timer(m) || !interval_s)
		sim_fail(s, "call %u: a refresh to its %s without a session", ua->call->number, side);
	else if (se->interval_s && refresher && (refresher == 's') != se->ours)
		sim_fail(s, "call %u: a refresh to its %s turns the roles round", ua->call->number, side);
	else if (m->method == SIP_UPDATE && !m->body.n && se->interval_s && !se->ours && se->confirmed_ms &&
		 !se->min_s && !(ua->call->excuse & EXCUSE_BUSY) && sent_ms > se->confirmed_ms && sent_ms + EARLY_MS < se->confirmed_ms + our_wait_ms(ua, T1_MAX_MS) * 9 / 10)
		sim_fail(s, "call %u: a refresh to its %s after %llu ms", ua->call->number, side, (unsigned long long)(sent_ms - se->confirmed_ms));
}

/* ---- as UAC */

void ua_session_agreed(struct ua *ua, const struct ua_txn *t, const struct sip_msg *m)
{
	struct ua_session *se = &ua->session;
	struct sim *s = ua->call->sim;
	uint32_t interval_s, min_s, asked_s, asked_min_s;
	char refresher, asked;
	struct sip_fault why;
	struct sip_msg request;

	read_wish(m, &interval_s, &min_s, &refresher);
	if (sip_parse(&request, t->request, t->request_bytes, &why))
		return;
	read_wish(&request, &asked_s, &asked_min_s, &asked);
	if (asked_s && interval_s > asked_s)
		sim_fail(s, "call %u: asked for %u s, got %u", ua->call->number, asked_s, interval_s);
	else if (!se->supports && (sip_has_token(m, SIP_H_REQUIRE, STR("timer")) || refresher == 'c'))
		sim_fail(s, "call %u: a %s without timers is to refresh", ua->call->number, ua->caller ? "caller" : "callee");
	else if (interval_s && !refresher)
		sim_fail(s, "call %u: Session-Expires without a refresher", ua->call->number);
	else if (refresher == 'c' && !sip_has_token(m, SIP_H_REQUIRE, STR("timer")))
		sim_fail(s, "call %u: refresher=uac without Require: timer", ua->call->number);
	else if (asked && refresher && asked != refresher && says_timer(&request))
		sim_fail(s, "call %u: the refresher that was asked for is another", ua->call->number);
	se->interval_s = se->supports ? interval_s : 0;
	se->ours = refresher == 'c';
	confirmed(ua);
	cross(ua);
}

bool ua_session_retry(struct ua *ua, const struct sip_msg *m)
{
	struct ua_session *se = &ua->session;
	uint32_t interval_s, min_s;
	char refresher;

	read_wish(m, &interval_s, &min_s, &refresher);
	if (!se->supports || min_s <= se->min_s || ua->cancel_wanted || (ua->state != UA_SETUP && ua->state != UA_TALKING))
		return false;
	se->min_s = min_s;
	ua_send_request(ua, SIP_INVITE, ua->state != UA_SETUP || !ua->late_offer);
	return true;
}

void ua_session_refresh(struct ua *ua)
{
	struct ua_session *se = &ua->session;
	struct ua_txn *t;

	if (ua->state != UA_TALKING || ua->bye_sent || !se->interval_s || !se->ours)
		return;
	if (ua_open_invite(ua, true) || ua_open_invite(ua, false)) {
		ua_plan(ua, 1000, ACT_REFRESH);
		return;
	}
	if (se->updates && !se->peer_denies)
		t = ua_send_request(ua, SIP_UPDATE, false);
	else
		t = ua_send_request(ua, SIP_INVITE, true);
	if (t)
		t->refresh = true;
}

void ua_session_refused(struct ua *ua, const struct ua_txn *t, const struct sip_msg *m)
{
	if (!t->refresh)
		return;
	if (t->method == SIP_UPDATE && (m->status == 405 || m->status == 501))
		ua->session.peer_denies = true;
	if (m->status == 491)
		ua->call->excuse |= EXCUSE_BUSY; /* it may be out of luck again and again */
	ua_plan(ua, (m->status == 503 ? 5000 : 100) + rng_below(&ua->call->sim->rng, 4000), ACT_REFRESH);
}

/* ---- the end */

void ua_session_overdue(struct ua *ua)
{
	struct sim_call *c = ua->call;

	if (ua->state != UA_TALKING || ua->bye_sent || !ua->session.interval_s)
		return;
	if (!talk_may_end(ua) && !c->over_ms && !c->sim->plan.strict)
		sim_fail(c->sim, "call %u: its %s was %s for %u s", c->number, ua->caller ? "caller" : "callee",
			 ua->session.ours ? "not able to refresh" : "not refreshed", ua->session.interval_s);
	if (ua->session.ours || hangs_up_early(ua))
		talk_hang_up(ua);
}

/* It fell silent while it waited for the answer to a request that refreshes: its call may count from then. */
static bool waited(const struct ua *ua)
{
	for (unsigned i = 0; i < UA_TXNS; i++) {
		const struct ua_txn *t = &ua->txn[i];
		if (t->used && t->client && !t->done && (t->method == SIP_INVITE || t->method == SIP_UPDATE))
			return true;
	}
	return false;
}

uint64_t ua_session_limit_ms(const struct ua *ua)
{
	const struct ua_session *se = &ua->session;
	const struct plan *plan = &ua->call->sim->plan;
	uint64_t end = se->confirmed_ms;

	if (!se->confirmed_ms)
		return UINT64_MAX;
	if (ua->gone_ms > end && waited(ua))
		end = ua->gone_ms;
	if (se->interval_s)
		end += (se->interval_s + plan->grace_s) * 1000ull;
	else if (plan->no_timer_s) /* before the question a re-INVITE of the other side may have to fail */
		end += plan->no_timer_s * 1000ull + 64 * T1_MAX_MS;
	else
		return UINT64_MAX;
	return end + 64 * T1_MAX_MS + LAG_MS;
}
