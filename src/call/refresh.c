/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our own requests that keep a session alive (RFC 4028 §10): UPDATE without a body where the leg takes it (RFC 3311), else a re-INVITE that
 * repeats the description last agreed (RFC 3264 §8). Also the safety net's question to a leg without timer. */
#include "base/err.h"
#include "call/call.h"

enum {
	OWNER_MIN_MS = 2100, OWNER_SPAN_MS = 1900, OTHER_SPAN_MS = 2000, /* RFC 3261 §14.1 */
	LINES = 1024,
};

bool refresh_must_wait(const struct call *c)
{
	if (c->phase != CALL_ESTABLISHED || c->held || offer_carried(c))
		return true;
	for (unsigned i = 0; i < c->ntxns; i++) {
		const struct txn *t = &c->txn[i];
		if (t->machine == TXN_ICT && t->flags & TXN_INITIAL && !t->peer)
			continue; /* given up; the call came about elsewhere */
		if (t->method == SIP_INVITE && txn_active(t) && t->state != TXN_COMPLETED)
			return true;
		if ((t->method == SIP_UPDATE || t->method == SIP_PRACK) && txn_is_client(t) && txn_active(t) && t->flags & TXN_HAD_OFFER)
			return true;
		if (t->method == SIP_INVITE && t->state == TXN_ACCEPTED && txn_is_client(t) && !(t->flags & TXN_ACK_KEPT))
			return true;
	}
	return false;
}

enum sip_method refresh_method(const struct leg *l)
{
	bool update = l->allow & 1u << SIP_UPDATE && !(l->session.flags & (SESSION_NO_UPDATE | SESSION_TELL));

	return update && (l->session.interval_ms || !l->sdp) ? SIP_UPDATE : SIP_INVITE;
}

static bool refresh_open(const struct call *c, unsigned leg)
{
	for (unsigned i = 0; i < c->ntxns; i++) {
		const struct txn *t = &c->txn[i];
		bool own = t->purpose == TXN_FOR_REFRESH || t->purpose == TXN_FOR_TELL || t->purpose == TXN_FOR_ASK;
		if (own && t->leg == leg && txn_is_client(t) && txn_active(t))
			return true;
	}
	return false;
}

/* An UPDATE that was answered only absorbs repeats of its answer. The next one on its leg takes its place, so that a short interval does not make calls large. */
static void drop_superseded(struct call *c, unsigned leg, uint64_t now_ms)
{
	for (unsigned i = 0; i < c->ntxns; i++) {
		struct txn *t = &c->txn[i];
		if (t->machine == TXN_NICT && t->purpose == TXN_FOR_REFRESH && t->leg == leg && t->state == TXN_COMPLETED)
			txn_terminate(t);
	}
	call_txns_sweep(c, now_ms);
}

static void send_own(struct work *w, unsigned leg, enum sip_method method, enum txn_purpose purpose, struct str body)
{
	struct leg *l = &w->call.leg[leg];
	char buf[CALL_MESSAGE_MAX], text[LINES];
	struct out lines = OUT(text, sizeof text);
	struct txn *t;
	size_t n;

	drop_superseded(&w->call, leg, w->core->now_ms);
	if (!call_room(w, 1) || !(t = call_txn_new(w, true, method, leg))) {
		session_again(w, leg, 0);
		return;
	}
	t->purpose = (uint8_t)purpose;
	t->flags = body.n ? TXN_HAD_OFFER : 0;
	t->cseq = leg_cseq(l, 1);
	session_ask(w, t, &lines);
	leg_put_contact(w, leg, &lines);
	if (make_request(w, method, leg, t, out_done(&lines), STR("Content-Type: application/sdp\r\n"), body, buf, sizeof buf, &n))
		w->full = true;
	else
		client_start(w, t, buf, n, &l->remote, l->listen);
}

void refresh_send(struct work *w, unsigned leg)
{
	struct leg *l = &w->call.leg[leg];
	struct str body = leg_sdp(w, leg);
	enum sip_method method = refresh_method(l);
	bool open = refresh_open(&w->call, leg), tell = l->session.flags & SESSION_TELL;

	if (!open && !tell && l->session.attempts < UINT8_MAX)
		l->session.attempts++;
	session_again(w, leg, 0); /* should this one fail */
	if (open)
		return;
	if (tell) {
		send_own(w, leg, SIP_INVITE, l->session.flags & SESSION_ASK ? TXN_FOR_ASK : TXN_FOR_TELL, body);
		return;
	}
	shm_count(w->core->self, CNT_refreshes_sent);
	send_own(w, leg, method, TXN_FOR_REFRESH, method == SIP_INVITE ? body : STR_NONE);
}

/* ------------------------------------------------------------------------------------------ the answer */

void refresh_tell(struct work *w, unsigned leg)
{
	if (!w->call.leg[leg].sdp)
		return;
	w->call.leg[leg].session.flags |= SESSION_TELL;
	session_again(w, leg, 1);
}

void refresh_ask(struct work *w, unsigned leg)
{
	refresh_tell(w, leg);
	w->call.leg[leg].session.flags |= SESSION_ASK;
}

/* An answer that differs from what the other leg knows is told to it, once (RFC 3264 §8); not where that leg has an offer of its own waiting. */
static void tell_other(struct work *w, const struct txn *c, const struct sip_msg *m)
{
	unsigned other = c->leg == LEG_A ? LEG_B : LEG_A;
	struct str known = leg_sdp(w, other), sdp = sdp_of(m);

	if (!sdp.n || !known.n || c->purpose == TXN_FOR_TELL || c->method != SIP_INVITE || w->call.phase != CALL_ESTABLISHED || w->call.held)
		return;
	if (sdp_same(known, sdp))
		return;
	leg_keep_sdp(w, other, m);
	refresh_tell(w, other);
}

/* RFC 5057 §5.1: these end the dialog, or the usage at least. */
static bool ends_dialog(unsigned status)
{
	switch (status) {
	case 404: case 408: case 410: case 416: case 481: case 482: case 483: case 484: case 485: case 502: case 604:
		return true;
	default:
		return false;
	}
}

static uint64_t glare_wait(struct work *w, unsigned leg)
{
	uint64_t r = w->core->random(w->core->random_arg);

	/* We own the Call-ID of leg B's dialog: its INVITE was ours. */
	return leg == LEG_B ? OWNER_MIN_MS + r % OWNER_SPAN_MS : 1 + r % OTHER_SPAN_MS;
}

static void refused(struct work *w, struct txn *c, const struct sip_msg *m, shm_ref request, uint32_t bytes)
{
	struct session *s = &w->call.leg[c->leg].session;
	bool update = c->method == SIP_UPDATE && (m->status == 405 || m->status == 501);
	unsigned leg = c->leg;

	if (c->purpose == TXN_FOR_REFRESH)
		shm_count(w->core->self, m->status >= 500 ? CNT_refreshes_5xx : CNT_refreshes_refused);
	if (session_retry(w, c, request, bytes, m))
		return;
	if (m->status != 491)
		s->flags &= (uint8_t)~SESSION_NEWS;
	if (update) {
		s->flags |= SESSION_NO_UPDATE;
		session_again(w, leg, 1); /* by re-INVITE, as soon as no offer is open */
	} else if (ends_dialog(m->status)) {
		shm_count(w->core->self, CNT_endpoints_gone);
		call_hangup(w, CALL_END_ENDPOINT_GONE);
	} else if (m->status == 491) {
		session_again(w, leg, glare_wait(w, leg));
	} else if (!s->interval_ms) {
		session_confirm(w, leg); /* it answers, so it lives */
	}
}

static void accepted(struct work *w, struct txn *c, const struct sip_msg *m)
{
	if (c->purpose == TXN_FOR_REFRESH) {
		w->call.refreshes++;
		shm_count(w->core->self, CNT_refreshes_answered);
	}
	w->call.leg[c->leg].session.flags &= (uint8_t)~SESSION_NEWS;
	leg_learn(&w->call.leg[c->leg], m);
	session_agreed(w, c, m);
	tell_other(w, c, m);
}

void refresh_response(struct work *w, struct txn *c, const struct sip_msg *m, bool repeat)
{
	enum txn_action a;
	shm_ref request = c->request;
	uint32_t bytes = c->request_bytes;
	bool invite = c->method == SIP_INVITE;

	if (repeat) {
		client_ack_again(w, c);
		return;
	}
	a = client_response(w, c, m->status);
	if (a == TXN_DO_ACK)
		client_ack_again(w, c);
	if (a == TXN_DO_ACK_PASS)
		client_ack_refusal(w, c, sip_value(m, SIP_H_TO));
	if (m->status < 200 && invite && c->state == TXN_PROCEEDING) {
		reliable_reinvite(w, c, m);
		if (!(c->flags & TXN_CANCELED))
			c->expire_ms = w->core->now_ms + txn_give_up_ms(leg_params(w, c->leg), c->t1_ms);
	}
	if (m->status < 200 || (a != TXN_DO_PASS && a != TXN_DO_ACK_PASS))
		return;
	c->request = 0;
	if (m->status < 300) /* RFC 3261 §12.2.1.2: before the ACK, which goes to the new target */
		leg_set_dialog(w, c->leg, leg_refreshed(w, c->leg, m));
	if (m->status < 300 && invite)
		invite_ack_own(w, c, sdp_of(m));
	if (w->call.phase >= CALL_ENDING)
		return;
	if (m->status >= 300)
		refused(w, c, m, request, bytes);
	else
		accepted(w, c, m);
	if (invite) /* c may be gone: a hangup makes room */
		indialog_release(w, false);
}

void refresh_failed(struct work *w, struct txn *c)
{
	if (w->call.phase >= CALL_ENDING)
		return;
	if (c->purpose == TXN_FOR_REFRESH) {
		shm_count(w->core->self, CNT_refreshes_unanswered);
		if (!w->call.leg[c->leg].session.interval_ms) {
			shm_count(w->core->self, CNT_no_timer_dead);
			call_hangup(w, CALL_END_NO_TIMER_DEAD);
			return;
		}
		if (w->call.leg[c->leg].session.next_ms == SHM_NEVER)
			session_again(w, c->leg, 0);
	}
	w->call.leg[c->leg].session.flags &= (uint8_t)~SESSION_NEWS;
	if (c->method == SIP_INVITE)
		indialog_release(w, false);
}
