/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Responses to an INVITE or re-INVITE, the ACK, and what happens when it does not come (RFC 3261 §13, §14). */
#include "base/err.h"
#include "call/call.h"

enum { TIMER_C_MS = 180000, SDP_MAX = 8192 };

static struct txn *peer_of(struct work *w, const struct txn *t)
{
	return call_txn_by_id(&w->call, t->peer);
}

static void relay_response_to(struct work *w, struct txn *s, const struct sip_msg *m)
{
	char buf[CALL_MESSAGE_MAX];
	size_t n;

	if (rewrite_response(w, m, s, relayed_status(m), buf, sizeof buf, &n))
		w->full = true;
	else
		server_send(w, s, relayed_status(m), buf, n);
}

/* ------------------------------------------------------------------------------------------ provisional */

/* Timer C (RFC 3261 §16.6, §16.7): each 101 to 199 sets it anew, of a re-INVITE the 100 too; not once it has fired. */
static void set_timer_c(struct work *w, struct txn *c)
{
	uint64_t wait = CALL_LIMIT_MS(w, ring_timeout_ms);

	if (!(c->flags & (TXN_INITIAL | TXN_CANCELED)))
		c->expire_ms = w->core->now_ms + (wait ? wait : TIMER_C_MS);
	else if (c->flags & TXN_INITIAL && wait)
		w->call.ring_limit_ms = w->core->now_ms + wait;
}

static void provisional(struct work *w, struct txn *c, const struct sip_msg *m)
{
	uint32_t rseq = 0;
	bool came = !(w->call.flags & CALL_REL_THROUGH) && reliable_came(m, &rseq);
	struct txn *s = peer_of(w, c);
	struct call *call = &w->call;
	struct fork *f = NULL;

	if (c->flags & TXN_CANCEL_WANTED) {
		client_cancel(w, c, STR_NONE);
		return;
	}
	if (!s)
		return;
	if (c->flags & TXN_INITIAL)
		call->provisional_limit_ms = SHM_NEVER;
	if (m->status == 100 && c->flags & TXN_INITIAL)
		return;
	set_timer_c(w, c);
	if (m->status == 100 || s->state != TXN_PROCEEDING)
		return;
	if (c->flags & TXN_INITIAL) {
		f = fork_of(w, m);
		leg_learn(&call->leg[LEG_B], m);
		if (came && !reliable_accept(w, c, f, m, rseq))
			return;
		if (f && !came)
			offer_note(w, f, m, false);
		if (!call->ringing_after_ms)
			call->ringing_after_ms = (uint32_t)(w->core->now_ms - call->setup_ms) + 1;
		if (has_sdp(m))
			call->flags |= CALL_EARLY_MEDIA;
	}
	if (c->flags & TXN_INITIAL || sip_first(m, SIP_H_RSEQ)) /* unreliable, it agrees nothing */
		leg_keep_sdp(w, s->leg, m);
	if (c->flags & TXN_INITIAL) {
		reliable_send(w, s, f, m);
		return;
	}
	reliable_reinvite(w, c, m);
	if (!(s->flags & TXN_NO_1XX))
		relay_response_to(w, s, m);
}

/* ------------------------------------------------------------------------------------------ 2xx */

/* Sends an ACK of our own for client transaction c in the given dialog (0 = the leg's) and returns its block. */
static shm_ref ack_bearing(struct work *w, struct txn *c, shm_ref dialog, struct str body, uint32_t *bytes)
{
	char buf[CALL_MESSAGE_MAX];
	struct txn t = {
		.machine = TXN_ICT, .cseq = c->cseq, .branch = call_next_id(&w->call), .listen = c->listen, .leg = c->leg,
		.target = dialog, .remote = c->remote,
	};
	struct addr to;
	shm_ref ref;
	size_t n;

	leg_next_hop(w, c->leg, &t, &to);
	if (!dialog)
		c->remote = to; /* its repeats go there, too */
	if (make_request(w, SIP_ACK, c->leg, &t, STR_NONE, STR("Content-Type: application/sdp\r\n"), body, buf, sizeof buf, &n)) {
		w->full = true;
		return 0;
	}
	ref = work_keep(w, buf, n);
	*bytes = (uint32_t)n;
	work_send(w, ref, *bytes, t.listen, &to);
	return ref;
}

/* The same where the 2xx may have brought an offer, which is refused. */
static shm_ref ack_with(struct work *w, struct txn *c, shm_ref dialog, struct str offer, uint32_t *bytes)
{
	char sdp[4096];
	struct out o = OUT(sdp, sizeof sdp);

	return ack_bearing(w, c, dialog, offer.n && !(c->flags & TXN_HAD_OFFER) ? sdp_refusal(offer, &o) : STR_NONE, bytes);
}

/* The callee's 2xx has an offer that the caller answered in his PRACK already. */
static void ack_answering(struct work *w, struct txn *c)
{
	w->call.rel &= (uint8_t)~REL_ACK_ANSWERS;
	c->response = ack_bearing(w, c, 0, leg_sdp(w, LEG_B), &c->response_bytes);
	c->flags |= TXN_ACK_KEPT;
}

void invite_ack_own(struct work *w, struct txn *c, struct str sdp)
{
	c->response = ack_with(w, c, 0, sdp, &c->response_bytes);
	c->flags |= TXN_ACK_KEPT;
}

void invite_ack_ourselves(struct work *w, struct txn *c)
{
	struct txn *s = peer_of(w, c);
	const char *sent = s && s->response ? shm_block(w->core->shm, s->response) : NULL;
	struct str offer = STR_NONE;
	struct sip_fault why;
	struct sip_msg m;

	if (c->flags & TXN_ACK_KEPT || c->state != TXN_ACCEPTED)
		return;
	if (sent && !sip_parse(&m, sent, s->response_bytes, &why))
		offer = sdp_of(&m);
	c->response = ack_with(w, c, 0, offer, &c->response_bytes);
	c->flags |= TXN_ACK_KEPT;
}

static struct txn *stray_of(struct call *c, uint64_t tag)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (c->txn[i].purpose == TXN_FOR_STRAY && c->txn[i].key == tag)
			return &c->txn[i];
	return NULL;
}

/* A 2xx that nobody waits for: a second fork, or one that crossed our CANCEL. RFC 3261 §13.2.2.4: ACK, then BYE, in a dialog that is none of the call's. */
static void hang_up_stray(struct work *w, uint16_t invite, const struct sip_msg *m)
{
	uint64_t tag = tag_hash(w->core, m->to_tag);
	struct txn *bye = stray_of(&w->call, tag), *c;
	struct str why = w->call.phase >= CALL_ENDING ? reason_lines(w) : reason_line(CALL_END_CANCELED);
	char buf[CALL_MESSAGE_MAX];
	struct addr to;
	size_t n;

	if (bye) {
		work_send(w, bye->response, bye->response_bytes, bye->listen, &bye->remote);
		return;
	}
	if (!call_room(w, 1) || !(c = call_txn_by_id(&w->call, invite)) || !(bye = call_txn_new(w, true, SIP_BYE, LEG_B))) {
		w->full = true;
		return;
	}
	c->request = 0;
	bye->purpose = TXN_FOR_STRAY;
	bye->key = tag;
	bye->listen = c->listen;
	bye->remote = c->remote;
	bye->target = dialog_of_response(w, m);
	bye->response = ack_with(w, c, bye->target, sdp_of(m), &bye->response_bytes);
	bye->cseq = leg_cseq(&w->call.leg[LEG_B], 1);
	leg_next_hop(w, LEG_B, bye, &to);
	if (make_request(w, SIP_BYE, LEG_B, bye, why, STR_NONE, STR_NONE, buf, sizeof buf, &n))
		w->full = true;
	else
		client_start(w, bye, buf, n, &to, bye->listen);
	bye->target = 0;
}

/* The first 2xx to the first INVITE: both dialogs stand, the caller gets it, and from now on we resend it until his ACK. */
static void answered(struct work *w, struct txn *c, struct txn *s, const struct sip_msg *m)
{
	struct reshape shape = { .set_body = false };
	char buf[CALL_MESSAGE_MAX];
	size_t n;
	struct call *call = &w->call;
	uint32_t limit = CALL_LIMIT_MS(w, max_call_duration_ms);
	shm_ref with_tag;
	struct fork *f;

	leg_set_dialog(w, LEG_B, dialog_of_response(w, m));
	if ((with_tag = dialog_with_local(w, call->leg[LEG_A].dialog, sip_value(m, SIP_H_TO))))
		call->leg[LEG_A].dialog = with_tag; /* its next hop stays */
	leg_learn(&call->leg[LEG_B], m);
	call->callee_tag = tag_hash(w->core, m->to_tag);
	if ((f = fork_find(call, call->callee_tag))) {
		call->leg[LEG_A].cseq_remote = f->cseq_remote[LEG_A];
		call->leg[LEG_B].cseq_remote = f->cseq_remote[LEG_B];
	}
	forks_drop(call);
	call->phase = CALL_ANSWERED;
	call->answered_after_ms = (uint32_t)(w->core->now_ms - call->setup_ms) + 1;
	call->sip_status = m->status;
	call->setup_limit_ms = call->ring_limit_ms = call->provisional_limit_ms = SHM_NEVER;
	call->duration_limit_ms = limit ? w->core->now_ms + limit : SHM_NEVER;
	call->invite = 0;
	c->fork = 0;
	reliable_close(w);
	offer_shape_2xx(w, f, m, &shape);
	leg_keep_sdp(w, LEG_A, m);
	session_agreed(w, c, m);
	if (rewrite_response_as(w, m, s, 0, &shape, buf, sizeof buf, &n))
		w->full = true;
	else
		server_send(w, s, m->status, buf, n);
	shm_count(w->core->self, CNT_calls_answered);
}

/* A 2xx to a re-INVITE that has been answered otherwise, since it was given up or the call ended. In a call that goes on the sides no longer agree: an offer
 * is answered with what the other side said last, that side hears what this one says now, and this one then its answer. */
static void answered_late(struct work *w, struct txn *c, const struct sip_msg *m)
{
	unsigned other = c->leg == LEG_A ? LEG_B : LEG_A;
	char sdp[SDP_MAX];
	struct out o = OUT(sdp, sizeof sdp);

	leg_set_dialog(w, c->leg, leg_refreshed(w, c->leg, m));
	if (w->call.phase != CALL_ESTABLISHED) {
		invite_ack_own(w, c, sdp_of(m));
		return;
	}
	c->response = ack_bearing(w, c, 0, c->flags & TXN_HAD_OFFER ? STR_NONE : sdp_answer(sdp_of(m), leg_sdp(w, c->leg), &o), &c->response_bytes);
	c->flags |= TXN_ACK_KEPT;
	session_agreed(w, c, m);
	leg_keep_sdp(w, other, m);
	refresh_ask(w, other);
}

static void reinvite_answered(struct work *w, struct txn *c, struct txn *s, const struct sip_msg *m)
{
	leg_set_dialog(w, s->leg, s->target);
	s->target = 0;
	leg_set_dialog(w, c->leg, leg_refreshed(w, c->leg, m));
	leg_learn(&w->call.leg[c->leg], m);
	leg_keep_sdp(w, s->leg, m);
	session_agreed(w, c, m);
	relay_response_to(w, s, m);
}

static void success(struct work *w, struct txn *c, const struct sip_msg *m, bool repeat)
{
	struct txn *s = peer_of(w, c);
	bool open = s && s->state == TXN_PROCEEDING;

	if (repeat && (!(c->flags & TXN_INITIAL) || tag_hash(w->core, m->to_tag) == w->call.callee_tag)) {
		shm_count(w->core->self, CNT_retransmissions_in);
		client_ack_again(w, c);
		return;
	}
	if (repeat && c->flags & TXN_INITIAL && reliable_has_2xx(&w->call))
		return; /* it waits for a PRACK already */
	if (c->flags & TXN_INITIAL && (repeat || !open || w->call.phase != CALL_SETUP)) {
		hang_up_stray(w, c->id, m);
		return;
	}
	if (!(c->flags & TXN_INITIAL) || !w->call.leg[LEG_B].sdp) /* what was agreed since in an early dialog is newer */
		leg_keep_offer(w, c, c->request, c->request_bytes);
	c->request = 0;
	if (c->flags & TXN_INITIAL && open && reliable_holds(w, m))
		return;
	if (!open)
		answered_late(w, c, m);
	else if (c->flags & TXN_INITIAL)
		answered(w, c, s, m);
	else
		reinvite_answered(w, c, s, m);
}

void invite_answer_now(struct work *w, struct txn *c, const struct sip_msg *m)
{
	struct txn *s = peer_of(w, c);

	if (s && s->state == TXN_PROCEEDING && w->call.phase == CALL_SETUP)
		answered(w, c, s, m);
	else
		hang_up_stray(w, c->id, m);
}

void invite_stray(struct work *w, struct txn *c, const struct sip_msg *m)
{
	hang_up_stray(w, c->id, m);
}

/* ------------------------------------------------------------------------------------------ refusals and silence */

static void refused(struct work *w, struct txn *c, const struct sip_msg *m)
{
	struct txn *s = peer_of(w, c);

	if (!s || s->state != TXN_PROCEEDING)
		return;
	if (!(c->flags & TXN_INITIAL)) {
		s->target = 0; /* RFC 6141: the target stays as it was */
		relay_response_to(w, s, m);
	} else if (w->call.phase == CALL_SETUP) {
		w->call.q850 = reason_q850(m);
		c->peer = 0;
		setup_next_gateway(w, NULL, m->status, m);
	}
}

void invite_response(struct work *w, struct txn *c, const struct sip_msg *m)
{
	bool repeat = c->state == TXN_ACCEPTED && m->status >= 200 && m->status < 300;
	shm_ref request = c->request;
	uint32_t bytes = c->request_bytes;

	if (c->purpose != TXN_FOR_RELAY) {
		refresh_response(w, c, m, repeat);
		return;
	}

	switch (client_response(w, c, m->status)) {
	case TXN_DO_PASS:
		if (m->status < 200)
			provisional(w, c, m);
		else
			success(w, c, m, repeat);
		break;
	case TXN_DO_ACK_PASS:
		client_ack_refusal(w, c, sip_value(m, SIP_H_TO));
		if (!session_retry(w, c, request, bytes, m))
			refused(w, c, m);
		break;
	case TXN_DO_ACK:
		client_ack_again(w, c);
		break;
	default:
		break;
	}
}

void invite_failed(struct work *w, struct txn *c, unsigned status)
{
	struct txn *s = peer_of(w, c);

	if (c->purpose != TXN_FOR_RELAY) {
		refresh_failed(w, c);
		return;
	}
	if (!s || s->state != TXN_PROCEEDING)
		return;
	if (!(c->flags & TXN_INITIAL)) {
		s->target = 0;
		server_answer(w, s, status, STR_NONE, STR_NONE);
	} else if (w->call.phase == CALL_SETUP) {
		client_abandon(c);
		setup_next_gateway(w, NULL, status, NULL);
	}
}

/* ------------------------------------------------------------------------------------------ ACK and CANCEL */

void invite_ack(struct work *w, struct txn *s, const struct sip_msg *m)
{
	struct txn *c = peer_of(w, s);
	struct txn t = { .machine = TXN_ICT, .branch = call_next_id(&w->call) };
	bool initial = s->flags & TXN_INITIAL;
	char buf[CALL_MESSAGE_MAX];
	struct addr to;
	size_t n;

	if (c && initial && w->call.rel & REL_ACK_ANSWERS && !(c->flags & TXN_ACK_KEPT))
		ack_answering(w, c);
	if (c && !(c->flags & TXN_ACK_KEPT)) {
		t.cseq = c->cseq;
		t.listen = c->listen;
		t.leg = c->leg;
		leg_next_hop(w, c->leg, &t, &to);
		if (rewrite_request(w, m, c->leg, &t, buf, sizeof buf, &n)) {
			w->full = true;
			return;
		}
		c->response = work_keep(w, buf, n);
		c->response_bytes = (uint32_t)n;
		c->remote = to;
		c->flags |= TXN_ACK_KEPT;
		client_ack_again(w, c);
		if (!(c->flags & TXN_HAD_OFFER))
			leg_keep_sdp(w, c->leg, m);
	}
	if (w->call.phase == CALL_ANSWERED && initial)
		w->call.phase = CALL_ESTABLISHED;
	if (w->call.phase == CALL_ESTABLISHED)
		offer_tell(w);
	if (w->call.flags & CALL_BYE_WAITS && initial) {
		w->call.flags &= (uint16_t)~CALL_BYE_WAITS;
		call_bye(w, LEG_A, reason_lines(w));
	}
}

void invite_no_ack(struct work *w, struct txn *s)
{
	struct txn *c = peer_of(w, s);
	bool waits = w->call.flags & CALL_BYE_WAITS && s->flags & TXN_INITIAL;

	if (c && call_is_live(&w->call))
		invite_ack_ourselves(w, c);
	s->response = 0;
	if (!call_is_live(&w->call))
		return;
	if (waits) {
		w->call.flags &= (uint16_t)~CALL_BYE_WAITS;
		call_bye(w, LEG_A, reason_lines(w));
	} else if (w->call.phase < CALL_ENDING) {
		shm_count(w->core->self, CNT_no_acks);
		call_ended(w, CALL_BY_SERVER, CALL_END_NO_ACK);
		call_bye(w, LEG_A, reason_line(CALL_END_NO_ACK));
		call_bye(w, LEG_B, reason_line(CALL_END_NO_ACK));
	}
}

void invite_canceled(struct work *w, struct txn *invite, const struct sip_msg *cancel)
{
	uint16_t id = invite->id, attempt;
	struct txn *answer, *c;
	char buf[2048];
	struct out o = OUT(buf, sizeof buf);

	if (!call_room(w, 3) || !(answer = server_open(w, cancel, invite->leg))) {
		w->full = true;
		return;
	}
	server_answer(w, answer, 200, STR_NONE, STR_NONE);
	invite = call_txn_by_id(&w->call, id);
	if (!invite || invite->state != TXN_PROCEEDING)
		return; /* RFC 3261 §9.2: too late, no effect */
	invite->flags |= TXN_CANCELED;
	if (invite->flags & TXN_HELD) {
		w->call.held = 0;
		w->call.held_limit_ms = SHM_NEVER;
		server_answer(w, invite, 487, STR_NONE, STR_NONE);
		return;
	}
	attempt = invite->peer;
	if (!(invite->flags & TXN_INITIAL)) {
		reason_copy(&o, cancel);
		if ((c = call_txn_by_id(&w->call, attempt)))
			client_cancel(w, c, o.overflow ? STR_NONE : out_done(&o));
		return;
	}
	reason_keep(w, cancel);
	setup_refuse(w, 487, CALL_BY_CALLER, CALL_END_CANCELED, NULL, STR_NONE);
	if ((c = call_txn_by_id(&w->call, attempt)))
		client_cancel(w, c, STR_NONE);
}
