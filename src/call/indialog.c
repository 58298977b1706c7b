/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests within a call other than its first INVITE, both ways (RFC 3261 §12.2, §14, §15; 3262, 3311, 3515, 6086). Each gets a number of
 * the other leg's own CSeq space, kept with its transaction. */
#include "base/err.h"
#include "call/call.h"

/* An endpoint's re-INVITE waits this long for ours on the other leg; requests of a subscription pass this long after the BYE. */
enum { HELD_MS = 2000, SUBSCRIBED_MS = 32000 };

static void refuse(struct work *w, const struct sip_msg *m, unsigned leg, unsigned status, struct str lines)
{
	struct txn *s = server_open(w, m, leg);

	if (!s) {
		w->full = true;
		return;
	}
	server_answer(w, s, status, STR_NONE, lines);
}

static bool open_invite(const struct call *c, unsigned leg, bool client)
{
	for (unsigned i = 0; i < c->ntxns; i++) {
		const struct txn *t = &c->txn[i];
		if (t->method != SIP_INVITE || t->leg != leg || txn_is_client(t) != client)
			continue;
		if (client && t->flags & TXN_INITIAL && !t->peer)
			continue; /* given up; the call came about elsewhere */
		if (client ? t->state == TXN_CALLING || t->state == TXN_PROCEEDING : t->state == TXN_PROCEEDING || t->state == TXN_ACCEPTED)
			return true;
	}
	return false;
}

/* A re-INVITE of our own is open on a leg. */
static bool own_invite(const struct call *c, unsigned leg)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (c->txn[i].machine == TXN_ICT && c->txn[i].leg == leg && c->txn[i].purpose != TXN_FOR_RELAY &&
		    (c->txn[i].state == TXN_CALLING || c->txn[i].state == TXN_PROCEEDING))
			return true;
	return false;
}

/* RFC 3311 §5.2: an UPDATE meets an INVITE of ours, on this leg or the other. */
static bool glares(const struct call *c, unsigned leg)
{
	return own_invite(c, leg) || own_invite(c, leg == LEG_A ? LEG_B : LEG_A);
}

/* An endpoint's offer within the established dialog that went to a leg is unanswered. */
static bool offer_open(const struct call *c, unsigned to)
{
	for (unsigned i = 0; i < c->ntxns; i++) {
		const struct txn *t = &c->txn[i];
		bool sent = t->state == TXN_CALLING || t->state == TXN_TRYING || t->state == TXN_PROCEEDING;
		if (t->leg == to && t->purpose == TXN_FOR_RELAY && txn_is_client(t) && sent && t->flags & TXN_HAD_OFFER && t->peer &&
		    (t->method == SIP_INVITE || t->method == SIP_UPDATE))
			return true;
	}
	return false;
}

/* Another may then not follow it (500), nor come the other way (491; RFC 3311 §5.2, RFC 3264 §4): crossing answers would leave it open which description
 * holds. Returns the status, 0 = none is open. */
static unsigned offers_cross(const struct call *c, const struct sip_msg *m, unsigned leg)
{
	if (!m->body.n || (m->method != SIP_INVITE && m->method != SIP_UPDATE) || c->phase != CALL_ESTABLISHED)
		return 0;
	return offer_open(c, leg == LEG_A ? LEG_B : LEG_A) ? 500 : offer_open(c, leg) ? 491 : 0;
}

/* Each early dialog counts for itself, on both sides (RFC 3261 §12.1). */
static uint32_t *remote_cseq(struct work *w, const struct sip_msg *m, unsigned leg)
{
	struct fork *f = fork_by_tag(w, leg == LEG_A ? m->to_tag : m->from_tag);

	return f ? &f->cseq_remote[leg] : &w->call.leg[leg].cseq_remote;
}

/* RFC 5057 §2.1.2: a subscription that a REFER or SUBSCRIBE began outlives the BYE. So long as repeats of that are absorbed its requests still pass; the outcome of
 * a transfer comes within that time or not at all. */
static bool outlives(const struct work *w, const struct sip_msg *m)
{
	const struct call *c = &w->call;
	uint64_t ended_ms = c->setup_ms + c->ended_after_ms;

	return (m->method == SIP_NOTIFY || m->method == SIP_SUBSCRIBE) && c->flags & CALL_SUBSCRIBED && c->callee_tag &&
	       w->core->now_ms < ended_ms + SUBSCRIBED_MS;
}

/* Whether a request may go through now; answers where not. */
static bool passes(struct work *w, const struct sip_msg *m, unsigned leg)
{
	struct call *c = &w->call;
	struct session_wish wish;
	char text[48];
	struct out lines = OUT(text, sizeof text);
	uint32_t hops, *last = remote_cseq(w, m, leg);
	unsigned status;

	if (c->phase >= CALL_ENDING && !outlives(w, m)) {
		if (m->method == SIP_BYE)
			bye_crossed(w, leg);
		refuse(w, m, leg, m->method == SIP_BYE ? 200 : 481, STR_NONE);
		return false;
	}
	if (*last && m->cseq <= *last) {
		shm_count(w->core->self, CNT_out_of_order);
		refuse(w, m, leg, 500, STR_NONE); /* RFC 3261 §12.2.2 */
		return false;
	}
	if (!sip_number_parse(sip_value(m, SIP_H_MAX_FORWARDS), 255, &hops) && hops == 0) {
		shm_count(w->core->self, CNT_loops);
		refuse(w, m, leg, 483, STR_NONE);
		return false;
	}
	*last = m->cseq;
	if (m->method == SIP_INVITE || m->method == SIP_UPDATE) {
		session_read(&wish, m);
		if (session_too_small(leg_params(w, leg), &wish, &lines)) {
			shm_count(w->core->self, CNT_intervals_too_small);
			refuse(w, m, leg, 422, out_done(&lines));
			return false;
		}
	}
	if (m->method == SIP_UPDATE && glares(c, leg)) {
		refuse(w, m, leg, 491, STR_NONE);
		return false;
	}
	if ((status = offers_cross(c, m, leg))) {
		refuse(w, m, leg, status, status == 500 ? STR("Retry-After: 3\r\n") : STR_NONE);
		return false;
	}
	if (m->method != SIP_INVITE)
		return true;
	if (open_invite(c, leg, true)) { /* RFC 3261 §14.2: glare */
		refuse(w, m, leg, 491, STR_NONE);
		return false;
	}
	if (open_invite(c, leg, false)) {
		refuse(w, m, leg, 500, STR("Retry-After: 3\r\n"));
		return false;
	}
	return true;
}

/* Carries the request of server transaction s to the other leg. */
static void relay_on(struct work *w, const struct sip_msg *m, struct txn *s)
{
	unsigned leg = s->leg, to_leg = leg == LEG_A ? LEG_B : LEG_A;
	struct call *call = &w->call;
	char buf[CALL_MESSAGE_MAX];
	struct fork *f = fork_by_tag(w, m->to_tag), *from = fork_by_tag(w, m->from_tag);
	struct txn *c = call_txn_new(w, true, m->method, to_leg);
	struct addr to;
	size_t n;

	if (!c) {
		w->full = true;
		return;
	}
	c->peer = s->id;
	s->peer = c->id;
	if (from && leg == LEG_B)
		s->fork = (uint8_t)(from - call->fork + 1);
	c->cseq = leg_cseq(&call->leg[to_leg], m->cseq);
	c->fork = f && to_leg == LEG_B ? (uint8_t)(f - call->fork + 1) : 0;
	c->flags = has_sdp(m) ? TXN_HAD_OFFER : 0;
	leg_learn(&call->leg[leg], m);
	if (m->method == SIP_INVITE || m->method == SIP_UPDATE)
		s->target = txn_refreshed(w, s, m);
	leg_next_hop(w, to_leg, c, &to);
	if (rewrite_request(w, m, to_leg, c, buf, sizeof buf, &n))
		w->full = true;
	else
		client_start(w, c, buf, n, &to, c->listen);
}

/* Our own re-INVITE is open on the other leg: the endpoint's waits for it, not for long. */
static void hold(struct work *w, const struct sip_msg *m, struct txn *s)
{
	s->flags |= TXN_HELD;
	w->call.held = work_keep(w, m->raw.p, m->raw.n);
	w->call.held_bytes = (uint32_t)m->raw.n;
	w->call.held_limit_ms = w->core->now_ms + HELD_MS;
}

void indialog_release(struct work *w, bool refuse_it)
{
	struct call *call = &w->call;
	const char *bytes = call->held ? shm_block(w->core->shm, call->held) : NULL;
	struct sip_fault why;
	struct sip_msg m;

	call->held = 0;
	call->held_limit_ms = SHM_NEVER;
	for (unsigned i = 0; bytes && i < call->ntxns; i++) {
		struct txn *s = &call->txn[i];
		if (!(s->flags & TXN_HELD) || s->state != TXN_PROCEEDING)
			continue;
		s->flags &= (uint16_t)~TXN_HELD;
		if (refuse_it || call->ntxns == CALL_TXNS || sip_parse(&m, bytes, call->held_bytes, &why) || sip_check(&m, &why))
			server_answer(w, s, 491, STR_NONE, STR_NONE);
		else
			relay_on(w, &m, s);
		return;
	}
}

/* A bodyless UPDATE is a refresh and nothing else: towards a leg that takes none it ends here (RFC 3311, RFC 4028 §7.4). A leg that said nothing of
 * UPDATE is asked, and if it answers 405 or 501 its sender does not hear of that. */
static bool ends_here(const struct work *w, const struct sip_msg *m, unsigned leg)
{
	const struct leg *other = &w->call.leg[leg == LEG_A ? LEG_B : LEG_A];

	if (m->method != SIP_UPDATE || m->body.n || w->call.phase != CALL_ESTABLISHED)
		return false;
	return (other->allow && !(other->allow & 1u << SIP_UPDATE)) || other->session.flags & SESSION_NO_UPDATE;
}

static void refreshed_here(struct work *w, struct txn *s, shm_ref target)
{
	char text[512];
	struct out lines = OUT(text, sizeof text);

	txn_set_target(w, s, target);
	s->target = 0;
	session_answer(w, s, &lines);
	leg_put_contact(w, s->leg, &lines);
	server_answer(w, s, 200, STR_NONE, lines.overflow ? STR_NONE : out_done(&lines));
}

static void answer_here(struct work *w, const struct sip_msg *m, struct txn *s)
{
	leg_learn(&w->call.leg[s->leg], m);
	refreshed_here(w, s, txn_refreshed(w, s, m));
}

void indialog_relay(struct work *w, const struct sip_msg *m, unsigned leg)
{
	struct txn *s;

	if (!call_room(w, 2) || !(s = server_open(w, m, leg))) {
		w->full = true;
		return;
	}
	if (m->method == SIP_INVITE)
		server_trying(w, s);
	if (m->method == SIP_INVITE && !(w->call.flags & CALL_REL_THROUGH) && sip_has_token(m, SIP_H_REQUIRE, STR("100rel")))
		s->flags |= TXN_NO_1XX;
	if (m->method == SIP_INVITE && own_invite(&w->call, leg == LEG_A ? LEG_B : LEG_A))
		hold(w, m, s);
	else if (ends_here(w, m, leg))
		answer_here(w, m, s);
	else if (!offer_in_update(w, m, s))
		relay_on(w, m, s);
}

void indialog_request(struct work *w, const struct sip_msg *m, unsigned leg)
{
	bool ours = m->method == SIP_PRACK && (!(w->call.flags & CALL_REL_THROUGH) || reliable_awaits(w, m));

	if (w->call.phase == CALL_RELAY)
		return;
	if (w->call.phase >= CALL_ENDING && ours && reliable_awaits(w, m)) {
		reliable_prack(w, m, leg); /* RFC 3262 §3: it crossed the refusal */
		return;
	}
	if (!passes(w, m, leg))
		return;
	if (m->method == SIP_BYE)
		bye_received(w, m, leg);
	else if (ours)
		reliable_prack(w, m, leg);
	else
		indialog_relay(w, m, leg);
}

/* ------------------------------------------------------------------------------------------ responses */

unsigned relayed_status(const struct sip_msg *m)
{
	return m->status == 422 && (m->method == SIP_INVITE || m->method == SIP_UPDATE) ? 500 : m->status;
}

/* What was agreed in an early dialog is known in it. */
static void keep_in_fork(struct work *w, const struct txn *c, const struct txn *s, const struct sip_msg *m)
{
	unsigned fork = c->leg == LEG_B ? c->fork : s->fork;
	const struct leg *a = &w->call.leg[LEG_A], *b = &w->call.leg[LEG_B];
	struct fork *f = fork && fork <= w->call.nforks ? &w->call.fork[fork - 1] : NULL;

	if (!f || !has_sdp(m))
		return;
	f->sdp = a->sdp;
	f->sdp_bytes = a->sdp_bytes;
	f->answer = b->sdp;
	f->answer_bytes = b->sdp_bytes;
	f->flags &= (uint8_t)~(c->leg == LEG_B ? FORK_TELL_B : FORK_TELL_A);
}

static void succeeded(struct work *w, struct txn *c, struct txn *s, const struct sip_msg *m, shm_ref request)
{
	if (c->method == SIP_REFER || c->method == SIP_SUBSCRIBE)
		w->call.flags |= CALL_SUBSCRIBED;
	if (c->method != SIP_UPDATE && c->method != SIP_PRACK)
		return;
	leg_keep_offer(w, c, request, c->request_bytes);
	leg_keep_sdp(w, s->leg, m);
	keep_in_fork(w, c, s, m);
	if (c->method == SIP_PRACK)
		return;
	if (w->call.callee_tag && w->call.callee_tag != tag_hash(w->core, c->leg == LEG_B ? m->to_tag : m->from_tag))
		return; /* an early dialog that is no more */
	txn_set_target(w, s, s->target);
	txn_set_target(w, c, txn_refreshed(w, c, m));
	leg_learn(&w->call.leg[c->leg], m);
	session_agreed(w, c, m);
}

/* A BYE that was challenged ends nothing: the endpoint sends it again with credentials. */
static void challenged(struct work *w, const struct txn *c, const struct sip_msg *m)
{
	struct call *call = &w->call;

	if (c->method != SIP_BYE || (m->status != 401 && m->status != 407) || call->phase != CALL_ENDING)
		return;
	call->phase = CALL_ESTABLISHED;
	call->ended_after_ms = 0;
}

void indialog_response(struct work *w, struct txn *c, const struct sip_msg *m)
{
	struct txn *s = call_txn_by_id(&w->call, c->peer);
	shm_ref request = c->request;
	char buf[CALL_MESSAGE_MAX];
	enum txn_action a;
	size_t n;

	if (c->purpose == TXN_FOR_REFRESH) {
		refresh_response(w, c, m, false);
		return;
	}
	a = client_response(w, c, m->status);
	if (a == TXN_DO_PASS && m->status >= 200 && c->purpose == TXN_FOR_OFFER) {
		if (session_retry(w, c, request, c->request_bytes, m))
			c->request = 0;
		else
			offer_answered(w, c, m);
		return;
	}
	if (m->status >= 200)
		c->request = 0;
	if (a == TXN_DO_PASS && m->status >= 200 && c->purpose == TXN_FOR_PRACK) {
		if (m->status >= 300)
			shm_count(w->core->self, CNT_pracks_refused);
		offer_release(w);
		return;
	}
	if (a != TXN_DO_PASS || c->purpose != TXN_FOR_RELAY || !s || m->status == 100)
		return;
	if (s->state != TXN_TRYING && s->state != TXN_PROCEEDING)
		return;
	if (session_retry(w, c, request, c->request_bytes, m))
		return;
	if (c->method == SIP_UPDATE && !(c->flags & TXN_HAD_OFFER) && (m->status == 405 || m->status == 501)) {
		w->call.leg[c->leg].session.flags |= SESSION_NO_UPDATE;
		refreshed_here(w, s, s->target);
		return;
	}
	if (m->status >= 200 && m->status < 300)
		succeeded(w, c, s, m, request);
	challenged(w, c, m);
	if (m->status >= 200)
		s->target = 0;
	if (rewrite_response(w, m, s, relayed_status(m), buf, sizeof buf, &n))
		w->full = true;
	else
		server_send(w, s, relayed_status(m), buf, n);
}

void indialog_failed(struct work *w, struct txn *c)
{
	struct txn *s = call_txn_by_id(&w->call, c->peer);

	if (c->purpose == TXN_FOR_REFRESH) {
		refresh_failed(w, c);
		return;
	}
	if (c->purpose == TXN_FOR_OFFER) {
		offer_answered(w, c, NULL);
		return;
	}
	if (c->purpose == TXN_FOR_PRACK) {
		shm_count(w->core->self, CNT_pracks_unanswered);
		offer_release(w);
		return;
	}
	if (c->purpose != TXN_FOR_RELAY || !s || (s->state != TXN_TRYING && s->state != TXN_PROCEEDING))
		return;
	if (s->method == SIP_BYE)
		server_answer(w, s, 200, STR_NONE, STR_NONE);
	else
		txn_terminate(s); /* RFC 4320 §4.2: never 408 */
}
