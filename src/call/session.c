/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Session timers (RFC 4028) on each leg on its own: as UAS towards who sends a request, as UAC towards who gets one. */
#include "base/err.h"
#include "call/call.h"

enum {
	DAY_S = 86400, MIN_SE_S = 90, /* RFC 4028 §5 */
	BUSY_MS = 100,                /* an offer is open: look again */
	HANGUP_EARLY_MS = 32000,      /* §10: a compliant peer hangs up min(32 s, interval/3) before the end */
	SPREAD_MS = 30000, AGAIN_MIN_MS = 500,
};

static uint32_t seconds_up(uint64_t ms)
{
	return (uint32_t)((ms + 999) / 1000);
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ------------------------------------------------------------------------------------------ reading */

void session_read(struct session_wish *wish, const struct sip_msg *m)
{
	uint32_t n;
	char refresher;

	memset(wish, 0, sizeof *wish);
	if (!session_borne(m->method))
		return;
	if (sip_first(m, SIP_H_SESSION_EXPIRES) &&
	    !sip_session_expires_parse(sip_value(m, SIP_H_SESSION_EXPIRES), &n, &refresher)) {
		wish->interval_s = n ? n : 1;
		wish->refresher = refresher;
	}
	if (sip_first(m, SIP_H_MIN_SE) && !sip_session_expires_parse(sip_value(m, SIP_H_MIN_SE), &n, &refresher))
		wish->min_se_s = n;
	wish->supported = sip_has_token(m, SIP_H_SUPPORTED, STR("timer")) || sip_has_token(m, SIP_H_REQUIRE, STR("timer"));
}

bool session_too_small(const struct params *p, const struct session_wish *wish, struct out *lines)
{
	if (!wish->supported || !wish->interval_s || wish->interval_s * 1000ull >= p->min_se_ms)
		return false;
	out_lit(lines, "Min-SE: ");
	out_u64(lines, seconds_up(p->min_se_ms));
	out_lit(lines, "\r\n");
	return true;
}

void session_strip(struct sip_edit *e)
{
	sip_edit_drop_all(e, SIP_H_SESSION_EXPIRES);
	sip_edit_drop_all(e, SIP_H_MIN_SE);
	sip_edit_drop_token(e, SIP_H_SUPPORTED, STR("timer"));
	sip_edit_drop_token(e, SIP_H_REQUIRE, STR("timer"));
	sip_edit_drop_token(e, SIP_H_UNSUPPORTED, STR("timer"));
}

/* ------------------------------------------------------------------------------------------ asking: we are the UAC of this transaction */

static void put_interval(struct out *lines, uint32_t interval_s, char refresher)
{
	out_lit(lines, "Session-Expires: ");
	out_u64(lines, interval_s);
	if (refresher)
		out_str(lines, refresher == 'c' ? STR(";refresher=uac") : STR(";refresher=uas"));
	out_lit(lines, "\r\n");
}

void session_ask(struct work *w, struct txn *c, struct out *lines)
{
	const struct session *s = &w->call.leg[c->leg].session;
	const struct params *p = leg_params(w, c->leg);
	struct session_wish *wish = &c->wish;

	wish->supported = 1;
	wish->min_se_s = s->min_se_s;
	if (!wish->min_se_s && p->min_se_ms > MIN_SE_S * 1000u)
		wish->min_se_s = seconds_up(p->min_se_ms);
	/* RFC 4028 §7.4: the interval in force, unless ours was reconfigured since. */
	wish->interval_s = seconds_up(s->interval_ms && s->ttl_ms == p->ttl_ms ? s->interval_ms : p->ttl_ms);
	if (wish->interval_s < wish->min_se_s)
		wish->interval_s = wish->min_se_s;
	if (s->interval_ms)
		wish->refresher = s->refresher == SESSION_US ? 'c' : 's';
	else
		wish->refresher = p->refresher == PARAMS_REFRESH_SELF ? 'c' : 0;
	out_lit(lines, "Supported: timer\r\n");
	put_interval(lines, wish->interval_s, wish->refresher);
	if (wish->min_se_s) {
		out_lit(lines, "Min-SE: ");
		out_u64(lines, wish->min_se_s);
		out_lit(lines, "\r\n");
	}
}

/* The peer counts from its first 2xx, which is as old as our request where that 2xx got lost again and again: so does our next refresh,
 * which comes no sooner than after half of its wait. */
static void hurry(const struct work *w, struct session *s, uint64_t late_ms)
{
	if (s->next_ms != SHM_NEVER && s->interval_ms && !(s->flags & SESSION_TELL))
		s->next_ms -= min64(late_ms, (s->next_ms - w->core->now_ms) / 2);
}

void session_agreed(struct work *w, const struct txn *c, const struct sip_msg *m)
{
	struct session *s = &w->call.leg[c->leg].session;
	struct session_wish got;
	uint32_t most_s = DAY_S;

	session_read(&got, m);
	s->refresher = got.refresher == 's' ? SESSION_THEM : SESSION_US;
	if (s->refresher == SESSION_US && c->wish.interval_s)
		most_s = c->wish.interval_s; /* §9: no answer may raise it; where they refresh, by what they say nevertheless */
	s->interval_ms = (got.interval_s < most_s ? got.interval_s : most_s) * 1000;
	s->ttl_ms = leg_params(w, c->leg)->ttl_ms;
	session_confirm(w, c->leg);
	if (!(c->flags & TXN_INITIAL))
		hurry(w, s, w->core->now_ms - c->sent_ms);
}

/* ------------------------------------------------------------------------------------------ answering: we are the UAS of this transaction */

/* RFC 4028 §9, table 2. */
static uint8_t refresher_of(const struct params *p, const struct session_wish *wish)
{
	if (!wish->supported || wish->refresher == 's')
		return SESSION_US;
	if (wish->refresher == 'c')
		return SESSION_THEM;
	return p->refresher == PARAMS_REFRESH_SELF ? SESSION_US : SESSION_THEM;
}

void session_answer(struct work *w, const struct txn *t, struct out *lines)
{
	struct session *s = &w->call.leg[t->leg].session;
	const struct params *p = leg_params(w, t->leg);
	const struct session_wish *wish = &t->wish;
	uint32_t interval_s = seconds_up(p->ttl_ms);

	out_lit(lines, "Supported: timer\r\n");
	s->interval_ms = 0;
	s->ttl_ms = p->ttl_ms;
	if (wish->min_se_s > s->min_se_s) /* §7.4: the largest that a request or a 422 ever bore */
		s->min_se_s = wish->min_se_s < DAY_S ? wish->min_se_s : DAY_S;
	if (wish->supported || wish->interval_s) {
		if (interval_s < wish->min_se_s)
			interval_s = wish->min_se_s;
		if (wish->interval_s && wish->interval_s < interval_s)
			interval_s = wish->interval_s; /* never raised */
		s->interval_ms = (interval_s < DAY_S ? interval_s : DAY_S) * 1000;
		s->refresher = refresher_of(p, wish);
		put_interval(lines, s->interval_ms / 1000, s->refresher == SESSION_THEM ? 'c' : 's');
		if (s->refresher == SESSION_THEM)
			out_lit(lines, "Require: timer\r\n");
	}
	session_confirm(w, t->leg);
}

/* ------------------------------------------------------------------------------------------ the schedule */

/* The wait from the last confirmation to attempt number k (from 1), milliseconds; 0 = no further. */
static uint64_t wait_of(const struct work *w, unsigned leg, unsigned k)
{
	const struct params *p = leg_params(w, leg);
	const struct session *s = &w->call.leg[leg].session;
	uint64_t interval = s->interval_ms, wait, latest;

	if (p->refresh_schedule == PARAMS_SEGMENTS)
		wait = k < p->update_segment ? k * interval / p->update_segment : 0;
	else
		wait = k == 1 ? interval - interval / p->update_segment : 0;
	if (k != 1 || p->strict_schedule)
		return wait;
	latest = min64(HANGUP_EARLY_MS, interval / 3) + 64 * (uint64_t)leg_t1_ms(w, leg, &w->call.leg[leg].remote);
	latest = max64(interval / 2, interval > latest ? interval - latest : 0);
	return min64(wait, latest);
}

/* Up to a tenth of the way earlier, so that calls which began together do not refresh together. */
static uint64_t jittered(struct work *w, uint64_t wait)
{
	uint64_t tenth = wait / 10;

	return tenth ? wait - w->core->random(w->core->random_arg) % tenth : wait;
}

/* When a call that has this leg, which has no timer, is old enough to be ended. */
static uint64_t limit_ms(const struct work *w, unsigned leg)
{
	return w->call.setup_ms + w->call.answered_after_ms + leg_params(w, leg)->no_timer_interval_ms;
}

static void plan_without_timer(struct work *w, unsigned leg)
{
	struct session *s = &w->call.leg[leg].session;
	const struct params *p = leg_params(w, leg);

	s->expire_ms = s->next_ms = SHM_NEVER;
	if (!p->no_timer_interval_ms)
		return;
	if (p->no_timer_action == PARAMS_NO_TIMER_HANGUP)
		s->next_ms = limit_ms(w, leg);
	else
		s->next_ms = s->confirmed_ms + p->no_timer_interval_ms;
}

void session_confirm(struct work *w, unsigned leg)
{
	struct session *s = &w->call.leg[leg].session;

	if (s->flags & SESSION_GRACE)
		shm_count(w->core->self, CNT_sessions_saved);
	s->flags &= (uint8_t)~(SESSION_GRACE | SESSION_SPREAD);
	s->attempts = 0;
	s->confirmed_ms = w->core->now_ms;
	if (s->interval_ms) {
		s->expire_ms = s->confirmed_ms + s->interval_ms;
		s->next_ms = s->refresher == SESSION_US ? s->confirmed_ms + jittered(w, wait_of(w, leg, 1)) : SHM_NEVER;
	} else {
		plan_without_timer(w, leg);
	}
	if (s->flags & SESSION_TELL)
		s->next_ms = s->confirmed_ms + BUSY_MS;
}

void session_again(struct work *w, unsigned leg, uint64_t after_ms)
{
	struct session *s = &w->call.leg[leg].session;
	const struct params *p = leg_params(w, leg);
	uint64_t now = w->core->now_ms, wait, early;

	s->next_ms = SHM_NEVER;
	if (after_ms) {
		s->next_ms = now + after_ms;
		return;
	}
	if (!s->interval_ms) {
		if (p->no_timer_action == PARAMS_NO_TIMER_HANGUP)
			plan_without_timer(w, leg); /* a limit stays where it is */
		else if (p->no_timer_interval_ms)
			s->next_ms = now + p->no_timer_interval_ms;
		return;
	}
	early = wait_of(w, leg, 1) / 10; /* the jitter may have had us try a boundary before it came */
	for (unsigned k = 1; p->refresh_schedule == PARAMS_SEGMENTS && (wait = wait_of(w, leg, k)); k++)
		if (s->confirmed_ms + wait > now + early) {
			s->next_ms = s->confirmed_ms + wait;
			return;
		}
	/* No boundary is left, or there are none. RFC 4028 §10: no call is given up for one failure that may pass. */
	if ((p->refresh_schedule == PARAMS_TAIL || s->attempts < 2) && s->expire_ms > now + 2 * AGAIN_MIN_MS)
		s->next_ms = now + (s->expire_ms - now) / 2;
}

/* ------------------------------------------------------------------------------------------ 422 to a request of ours */

bool session_retry(struct work *w, struct txn *c, shm_ref request, uint32_t bytes, const struct sip_msg *m)
{
	struct leg *leg = &w->call.leg[c->leg];
	struct session_wish got;
	struct txn *t, *s = call_txn_by_id(&w->call, c->peer);
	struct sip_fault why;
	struct sip_msg sent;
	char buf[CALL_MESSAGE_MAX];
	const char *p = request ? shm_block(w->core->shm, request) : NULL;
	size_t n;

	if (m->status != 422 || w->call.phase >= CALL_ENDING || c->flags & TXN_CANCEL_WANTED)
		return false;
	if (c->purpose == TXN_FOR_RELAY && (!s || (s->state != TXN_TRYING && s->state != TXN_PROCEEDING)))
		return false; /* given up, or answered otherwise */
	session_read(&got, m);
	if (c->flags & TXN_RETRIED || got.min_se_s <= c->wish.interval_s || got.min_se_s > DAY_S)
		return false;
	if (!p || sip_parse(&sent, p, bytes, &why) || sip_check(&sent, &why))
		return false;
	if (got.min_se_s > leg->session.min_se_s)
		leg->session.min_se_s = got.min_se_s;
	if (!(t = call_txn_new(w, true, c->method, c->leg)))
		return false;
	t->purpose = c->purpose;
	t->peer = c->peer;
	t->fork = c->fork;
	t->flags = (uint16_t)((c->flags & (TXN_INITIAL | TXN_HAD_OFFER)) | TXN_RETRIED);
	t->cseq = leg_cseq(leg, 1);
	if (c->flags & TXN_INITIAL)
		forks_renew(&w->call);
	if (s)
		s->peer = t->id;
	c->peer = 0;
	if (rewrite_again(w, &sent, t, buf, sizeof buf, &n))
		w->full = true;
	else
		client_start(w, t, buf, n, &c->remote, c->listen);
	if (c->flags & TXN_INITIAL)
		setup_await(w, t);
	shm_count(w->core->self, CNT_min_se_learned);
	return true;
}

/* ------------------------------------------------------------------------------------------ what is due */

/* After the timer process was away no session ends before one refresh was tried with all its resends. */
static bool spread(struct work *w, unsigned leg)
{
	struct session *s = &w->call.leg[leg].session;
	const struct params *p = leg_params(w, leg);
	uint64_t resumed = w->core->resumed_ms, now = w->core->now_ms, span = SPREAD_MS;

	if (!resumed || s->flags & (SESSION_SPREAD | SESSION_GRACE) || s->confirmed_ms >= resumed)
		return false;
	if (s->expire_ms > now && s->expire_ms != SHM_NEVER)
		span = min64(span, (s->expire_ms - now) / 2 + 1);
	s->flags |= SESSION_SPREAD;
	s->next_ms = now + w->core->random(w->core->random_arg) % span;
	if (s->interval_ms)
		s->expire_ms = max64(s->expire_ms, s->next_ms + txn_give_up_ms(p, p->t1_max_ms));
	return true;
}

/* An ACK is on its way to us: no refresh may be sent until it is there, and if it stays away that ends the call (RFC 3261 §13.3.1.4). */
static bool lacks_ack(const struct call *c)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (c->txn[i].machine == TXN_IST && c->txn[i].state == TXN_ACCEPTED)
			return true;
	return false;
}

static void expired(struct work *w, unsigned leg)
{
	struct session *s = &w->call.leg[leg].session;
	uint64_t grace = leg_params(w, leg)->timeout_early_hangup_ms;

	if (spread(w, leg))
		return;
	if (lacks_ack(&w->call)) {
		s->expire_ms = w->core->now_ms + s->interval_ms;
		return;
	}
	if (grace && !(s->flags & SESSION_GRACE)) {
		s->flags |= SESSION_GRACE;
		s->expire_ms += grace;
		if (s->expire_ms > w->core->now_ms)
			return;
	}
	shm_count(w->core->self, CNT_sessions_expired);
	call_hangup(w, CALL_END_SESSION_EXPIRED);
}

/* A leg without timer is due: the limit is over. */
static bool over_limit(const struct work *w, unsigned leg)
{
	const struct params *p = leg_params(w, leg);

	return !w->call.leg[leg].session.interval_ms && p->no_timer_interval_ms && p->no_timer_action == PARAMS_NO_TIMER_HANGUP && w->core->now_ms >= limit_ms(w, leg);
}

/* Whether a leg without timer is asked; the parameters may have changed since its moment was set. */
static bool is_asked(const struct params *p)
{
	return p->no_timer_interval_ms && p->no_timer_action == PARAMS_NO_TIMER_REINVITE;
}

static void next(struct work *w, unsigned leg)
{
	struct session *s = &w->call.leg[leg].session;

	if (over_limit(w, leg)) {
		shm_count(w->core->self, CNT_no_timer_limits);
		call_hangup(w, CALL_END_NO_TIMER_LIMIT);
		return;
	}
	if (!s->interval_ms && !(s->flags & SESSION_TELL) && !is_asked(leg_params(w, leg))) {
		plan_without_timer(w, leg);
		return;
	}
	if (s->next_ms < w->core->resumed_ms && spread(w, leg)) /* overdue */
		return;
	if (refresh_must_wait(&w->call))
		s->next_ms = w->core->now_ms + BUSY_MS;
	else
		refresh_send(w, leg);
}

void session_due(struct work *w)
{
	uint64_t now = w->core->now_ms;

	for (unsigned leg = 0; leg < 2; leg++) {
		struct session *s = &w->call.leg[leg].session;
		if (w->call.phase != CALL_ANSWERED && w->call.phase != CALL_ESTABLISHED)
			return;
		if (!s->confirmed_ms)
			continue;
		if (s->next_ms <= now)
			next(w, leg);
		if (s->expire_ms <= now && w->call.phase < CALL_ENDING)
			expired(w, leg);
	}
	if (w->call.held && w->call.held_limit_ms <= now)
		indialog_release(w, true);
}

uint64_t session_deadline(const struct call *c)
{
	uint64_t due = c->held ? c->held_limit_ms : SHM_NEVER;

	if (c->phase != CALL_ANSWERED && c->phase != CALL_ESTABLISHED)
		return due;
	for (unsigned leg = 0; leg < 2; leg++)
		if (c->leg[leg].session.confirmed_ms)
			due = min64(due, min64(c->leg[leg].session.next_ms, c->leg[leg].session.expire_ms));
	return due;
}
