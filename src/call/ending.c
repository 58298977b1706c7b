/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How calls end: BYE from one side carried to the other, or from us to both (RFC 3261 §15, RFC 3326). */
#include "base/err.h"
#include "call/call.h"

/* A BYE is answered to its sender even where the other side is silent: this long it may speak for itself. */
enum { BYE_ANSWER_MS = 2000 };

uint16_t reason_q850(const struct sip_msg *m)
{
	struct sip_values v = sip_values(m, SIP_H_REASON);
	struct str value, cause;
	uint64_t number;

	while (sip_values_next(&v, &value)) {
		size_t semicolon = str_chr(value, ';');
		if (str_ieq(str_trim(str_head(value, semicolon)), STR("Q.850")) &&
		    sip_param(str_from(value, semicolon), STR("cause"), &cause) && !str_u64(cause, 127, &number))
			return (uint16_t)number;
	}
	return 0;
}

void reason_copy(struct out *o, const struct sip_msg *m)
{
	for (const struct sip_header *h = sip_first(m, SIP_H_REASON); h; h = sip_next(m, h))
		out_str(o, h->line);
}

void reason_keep(struct work *w, const struct sip_msg *m)
{
	char buf[2048];
	struct out o = OUT(buf, sizeof buf);

	reason_copy(&o, m);
	w->call.q850 = reason_q850(m);
	w->call.why = o.n && !o.overflow ? work_keep(w, o.p, o.n) : 0;
	w->call.why_bytes = w->call.why ? (uint32_t)o.n : 0;
}

struct str reason_lines(const struct work *w)
{
	const char *kept = w->call.why ? shm_block(w->core->shm, w->call.why) : NULL;

	return kept ? str_make(kept, w->call.why_bytes) : reason_line(w->call.reason);
}

/* Requests of the peers that are still open get an answer (RFC 3261 §15.1.2); a re-INVITE of theirs on the other leg is given up. */
static void close_open(struct work *w)
{
	struct call *c = &w->call;

	for (unsigned i = 0; i < c->ntxns; i++) {
		struct txn *t = &c->txn[i];
		if (t->machine == TXN_IST && t->state == TXN_PROCEEDING && !(t->flags & TXN_INITIAL))
			server_answer(w, t, 487, STR_NONE, STR_NONE);
		else if (t->machine == TXN_ICT && (t->state == TXN_CALLING || t->state == TXN_PROCEEDING) && !(t->flags & TXN_INITIAL))
			client_abandon(t);
		else if (t->machine == TXN_NICT && t->purpose == TXN_FOR_REFRESH && txn_active(t))
			txn_terminate(t);
	}
}

/* A call's end needs no less room than anything else: where all places are taken by what the peers asked meanwhile, that is over first, with 487 (RFC 3261
 * §15.1.2); what its other side answers later is dropped. */
static bool room_to_end(struct work *w, unsigned n)
{
	struct call *c = &w->call;

	if (call_room(w, n))
		return true;
	for (unsigned i = 0; i < c->ntxns; i++) {
		struct txn *t = &c->txn[i];
		if (t->method == SIP_BYE || !txn_active(t))
			continue;
		if (t->machine == TXN_NIST)
			server_answer(w, t, 487, STR_NONE, STR_NONE);
		else if (t->machine == TXN_NICT && t->purpose == TXN_FOR_RELAY)
			txn_terminate(t);
	}
	call_txns_sweep(c, w->core->now_ms);
	return call_room(w, n);
}

void call_ended(struct work *w, enum call_side by, enum call_reason why)
{
	struct call *c = &w->call;

	if (c->phase >= CALL_ENDING)
		return;
	c->phase = CALL_ENDING;
	c->ended_by = (uint8_t)by;
	c->reason = (uint8_t)why;
	c->ended_after_ms = (uint32_t)(w->core->now_ms - c->setup_ms) + 1;
	c->invite = c->held = 0;
	close_open(w);
	reliable_drop(w);
}

void call_bye(struct work *w, unsigned leg, struct str lines)
{
	struct leg *l = &w->call.leg[leg];
	char buf[CALL_MESSAGE_MAX];
	struct txn *t;
	size_t n;

	if (!l->dialog)
		return;
	if (!room_to_end(w, 1) || !(t = call_txn_new(w, true, SIP_BYE, leg))) {
		w->full = true;
		return;
	}
	t->purpose = TXN_FOR_HANGUP;
	t->cseq = leg_cseq(l, 1);
	if (make_request(w, SIP_BYE, leg, t, lines, STR_NONE, STR_NONE, buf, sizeof buf, &n))
		w->full = true;
	else
		client_start(w, t, buf, n, &l->remote, l->listen);
}

static void cancel_attempts(struct work *w, struct str lines)
{
	uint16_t id[CALL_TXNS];
	unsigned n = 0;

	for (unsigned i = 0; i < w->call.ntxns; i++)
		if (w->call.txn[i].machine == TXN_ICT)
			id[n++] = w->call.txn[i].id;
	for (unsigned i = 0; i < n; i++) {
		struct txn *t = call_txn_by_id(&w->call, id[i]);
		if (t)
			client_cancel(w, t, lines);
	}
}

static void ack_attempts(struct work *w)
{
	for (unsigned i = 0; i < w->call.ntxns; i++)
		if (w->call.txn[i].machine == TXN_ICT && w->call.txn[i].state == TXN_ACCEPTED && w->call.txn[i].peer)
			invite_ack_ourselves(w, &w->call.txn[i]);
}

void call_hangup(struct work *w, enum call_reason why)
{
	struct str lines = reason_line(why);

	switch (w->call.phase) {
	case CALL_SETUP:
		setup_refuse(w, why == CALL_END_ADMIN ? 480 : why == CALL_END_PRACK_TIMEOUT ? 504 : 408, CALL_BY_SERVER, why, NULL, lines);
		cancel_attempts(w, lines);
		break;
	case CALL_ANSWERED:
		ack_attempts(w);
		call_ended(w, CALL_BY_SERVER, why);
		w->call.flags |= CALL_BYE_WAITS;
		call_bye(w, LEG_B, lines);
		break;
	case CALL_ESTABLISHED:
		call_ended(w, CALL_BY_SERVER, why);
		call_bye(w, LEG_A, lines);
		call_bye(w, LEG_B, lines);
		break;
	default:
		break;
	}
}

/* ------------------------------------------------------------------------------------------ a peer's BYE */

static void bye_in_setup(struct work *w, struct txn *s)
{
	if (s->leg == LEG_B && reliable_has_2xx(&w->call)) { /* answered, and tired of waiting for the caller's PRACK */
		server_answer(w, s, 200, STR_NONE, STR_NONE);
		setup_refuse(w, 480, CALL_BY_CALLEE, CALL_END_NORMAL, NULL, STR_NONE);
		return;
	}
	if (s->leg == LEG_B) { /* RFC 3261 §15: the callee must not */
		server_answer(w, s, 481, STR_NONE, STR_NONE);
		return;
	}
	server_answer(w, s, 200, STR_NONE, STR_NONE);
	setup_refuse(w, 487, CALL_BY_CALLER, CALL_END_CANCELED, NULL, STR_NONE);
	cancel_attempts(w, STR_NONE);
}

/* To the other side; its sender gets an answer from us where that side is silent. */
static void bye_relay(struct work *w, const struct sip_msg *m, unsigned leg)
{
	struct txn *s;

	indialog_relay(w, m, leg);
	if ((s = server_find(&w->call, w->server, SIP_BYE)))
		s->resend_ms = w->core->now_ms + BYE_ANSWER_MS;
}

/* The caller has hung up himself: ours need not wait for his ACK. */
void bye_crossed(struct work *w, unsigned leg)
{
	if (leg == LEG_A)
		w->call.flags &= (uint16_t)~CALL_BYE_WAITS;
}

/* Who hangs up has got our 2xx, ACK or not: it is repeated no more. */
static void answer_arrived(struct work *w)
{
	for (unsigned i = 0; i < w->call.ntxns; i++) {
		struct txn *t = &w->call.txn[i];
		if (t->machine == TXN_IST && t->flags & TXN_INITIAL && t->state == TXN_ACCEPTED) {
			t->response = 0;
			txn_event(t, TXN_EV_ACK, leg_params(w, t->leg), w->core->now_ms);
		}
	}
}

void bye_received(struct work *w, const struct sip_msg *m, unsigned leg)
{
	enum call_side by = leg == LEG_A ? CALL_BY_CALLER : CALL_BY_CALLEE;
	bool unacked = w->call.phase == CALL_ANSWERED;
	struct txn *s;

	if (w->call.phase == CALL_SETUP && leg == LEG_A && forks_alive(&w->call) > 1) {
		bye_relay(w, m, leg); /* RFC 3261 §15: ends this early dialog and no other */
		return;
	}
	w->call.q850 = reason_q850(m);
	if (w->call.phase == CALL_SETUP || (unacked && leg == LEG_B)) {
		reason_keep(w, m);
		if (!room_to_end(w, 2) || !(s = server_open(w, m, leg))) {
			w->full = true;
			return;
		}
		if (w->call.phase == CALL_SETUP) {
			bye_in_setup(w, s);
			return;
		}
		/* RFC 3261 §15: no BYE to the caller before his ACK. */
		server_answer(w, s, 200, STR_NONE, STR_NONE);
		call_ended(w, by, CALL_END_NORMAL);
		w->call.flags |= CALL_BYE_WAITS;
		return;
	}
	if (unacked) {
		ack_attempts(w);
		answer_arrived(w);
	}
	call_ended(w, by, CALL_END_NORMAL);
	room_to_end(w, 2);
	bye_relay(w, m, leg);
}
