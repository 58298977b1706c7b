/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reliable provisional responses (RFC 3262) on each leg on its own: as UAC we acknowledge the gateway's, as UAS we send the caller ours, one at a
 * time, in order, again and again until his PRACK. Where both legs say passthrough, all of it goes end to end instead. */
#include "base/err.h"
#include "call/call.h"

enum { RSEQ_SPAN = 0x7fff0000 }; /* RFC 3262 §3: starts at random between 1 and 2^31 - 1; some room above */

/* ------------------------------------------------------------------------------------------ the gateway's leg: we acknowledge */

static struct txn *new_prack(struct work *w, const struct txn *c)
{
	struct txn *t = call_txn_new(w, true, SIP_PRACK, c->leg);

	if (!t)
		w->full = true;
	else
		t->purpose = TXN_FOR_PRACK;
	return t;
}

/* For INVITE c, in the dialog that t names. */
static void send_prack(struct work *w, const struct txn *c, struct txn *t, uint32_t rseq, struct str body, struct str type)
{
	char buf[CALL_MESSAGE_MAX], text[64];
	struct out lines = OUT(text, sizeof text);
	struct addr to;
	size_t n;

	t->cseq = leg_cseq(&w->call.leg[c->leg], 1);
	out_lit(&lines, "RAck: ");
	out_u64(&lines, rseq);
	out_lit(&lines, " ");
	out_u64(&lines, c->cseq);
	out_lit(&lines, " INVITE\r\n");
	leg_next_hop(w, c->leg, t, &to);
	if (make_request(w, SIP_PRACK, c->leg, t, out_done(&lines), type, body, buf, sizeof buf, &n))
		w->full = true;
	else
		client_start(w, t, buf, n, &to, t->listen);
	shm_count(w->core->self, CNT_pracks_sent);
}

static void prack(struct work *w, const struct txn *c, unsigned fork, uint32_t rseq, struct str body, struct str type)
{
	struct txn *t = new_prack(w, c);

	if (!t)
		return;
	t->fork = (uint8_t)fork;
	send_prack(w, c, t, rseq, body, type);
}

bool reliable_came(const struct sip_msg *m, uint32_t *rseq)
{
	return m->status > 100 && m->status < 200 && sip_has_token(m, SIP_H_REQUIRE, STR("100rel")) &&
	       !sip_number_parse(sip_value(m, SIP_H_RSEQ), UINT32_MAX, rseq) && *rseq;
}

/* One of an early dialog that found no place: acknowledged from what it says itself, known again by its PRACK alone. An offer is left to its sender's resends: the
 * caller's answer would not find the way back. Returns whether it is new. */
static bool accept_unplaced(struct work *w, struct txn *c, const struct sip_msg *m, uint32_t rseq)
{
	struct str part[2] = { m->to_tag, str_make((const char *)&rseq, sizeof rseq) };
	uint64_t key = siphash_strs(shm_key_index(w->core->shm), part, 2);
	bool drop = w->call.flags & CALL_OFFERLESS && has_sdp(m);
	struct txn *t;

	for (unsigned i = 0; i < w->call.ntxns; i++)
		drop |= w->call.txn[i].purpose == TXN_FOR_PRACK && w->call.txn[i].key == key;
	shm_count(w->core->self, drop ? CNT_reliable_dropped : CNT_reliable_unplaced);
	if (drop || !(t = new_prack(w, c)))
		return false;
	t->key = key;
	t->target = dialog_of_response(w, m);
	t->remote = w->call.leg[c->leg].source;
	send_prack(w, c, t, rseq, STR_NONE, STR_NONE);
	t->target = 0;
	w->call.rel |= REL_USED_B;
	return true;
}

/* RFC 3262 §4: in order for each To tag; a repeat or one out of order is not acknowledged and goes no further. Nor is one that finds no place in the caller's
 * queue (the last is kept for the 2xx): the gateway sends it again. Returns whether it counts. */
bool reliable_accept(struct work *w, struct txn *c, struct fork *f, const struct sip_msg *m, uint32_t rseq)
{
	if (f && f->rseq_theirs && rseq != f->rseq_theirs + 1) {
		shm_count(w->core->self, CNT_reliable_dropped);
		return false;
	}
	if (w->call.flags & CALL_REL_A && w->call.nqueued >= CALL_QUEUE - 1) {
		shm_count(w->core->self, CNT_reliable_postponed);
		return false;
	}
	if (!f)
		return accept_unplaced(w, c, m, rseq);
	f->rseq_theirs = rseq;
	w->call.rel |= REL_USED_B;
	offer_note(w, f, m, true);
	if (f->offer == OFFER_RELIABLE && has_sdp(m))
		f->rseq_held = rseq; /* the answer comes in the caller's PRACK */
	else
		prack(w, c, (unsigned)(f - w->call.fork) + 1, rseq, STR_NONE, STR_NONE);
	return true;
}

void reliable_reinvite(struct work *w, struct txn *c, const struct sip_msg *m)
{
	uint32_t rseq;

	if (w->call.flags & CALL_REL_THROUGH || !reliable_came(m, &rseq) || (c->key && rseq != c->key + 1))
		return;
	c->key = rseq;
	prack(w, c, 0, rseq, STR_NONE, STR_NONE);
}

/* ------------------------------------------------------------------------------------------ the caller's leg: we send reliably */

static bool blocked(const struct call *c)
{
	return (c->open.rseq && !c->open.late) || offer_carried(c);
}

/* Without an offer in the INVITE a reliable response must bring one that the caller's PRACK can answer (RFC 3262 §5). */
static bool may_be_reliable(const struct call *c, const struct fork *f, const struct sip_msg *m)
{
	if (!(c->flags & CALL_REL_A) || !f)
		return false;
	return !(c->flags & CALL_OFFERLESS) || f->flags & FORK_TOLD || has_sdp(m) || c->flags & CALL_A_MUST;
}

static void emit(struct work *w, struct txn *s, struct fork *f, const struct sip_msg *m)
{
	char buf[CALL_MESSAGE_MAX], text[64];
	struct out lines = OUT(text, sizeof text);
	struct reshape shape = { .lines = STR_NONE };
	bool reliably = may_be_reliable(&w->call, f, m);
	size_t n;

	if (reliably) {
		f->rseq_ours = f->rseq_ours ? f->rseq_ours + 1 : 1 + (uint32_t)(w->core->random(w->core->random_arg) % RSEQ_SPAN);
		out_lit(&lines, "Require: 100rel\r\nRSeq: ");
		out_u64(&lines, f->rseq_ours);
		out_lit(&lines, "\r\n");
		shape.lines = out_done(&lines);
	}
	if (rewrite_response_as(w, m, s, 0, &shape, buf, sizeof buf, &n)) {
		w->full = true;
		return;
	}
	server_send(w, s, m->status, buf, n);
	if (!reliably)
		return;
	w->call.rel |= REL_USED_A;
	shm_count(w->core->self, CNT_reliable_sent);
	w->call.open = (struct reliable){ .rseq = f->rseq_ours, .sdp = has_sdp(m), .tag_hash = f->tag_hash };
	s->flags |= TXN_RELIABLE;
	s->stage = 0;
	s->resend_ms = w->core->now_ms + s->t1_ms;
	s->expire_ms = w->core->now_ms + txn_absorb_ms(s->t1_ms);
}

/* The last place is the 2xx's. Where there is none, a response without description gives way to one that has it: a later one says as much. */
static bool queue_room(struct call *c, const struct sip_msg *m)
{
	unsigned i = 0;

	if (c->nqueued < (m->status >= 200 ? CALL_QUEUE : CALL_QUEUE - 1))
		return true;
	while (i < c->nqueued && (c->queued[i].sdp || c->queued[i].status >= 200))
		i++;
	if (i == c->nqueued || !has_sdp(m))
		return false;
	memmove(&c->queued[i], &c->queued[i + 1], (c->nqueued - i - 1u) * sizeof c->queued[0]);
	c->nqueued--;
	return true;
}

static bool is_last_queued(struct work *w, const struct sip_msg *m)
{
	const struct queued *q = w->call.nqueued ? &w->call.queued[w->call.nqueued - 1] : NULL;
	const char *bytes = q && q->bytes == m->raw.n ? shm_block(w->core->shm, q->message) : NULL;

	return bytes && !memcmp(bytes, m->raw.p, m->raw.n);
}

static void enqueue(struct work *w, const struct sip_msg *m)
{
	struct call *c = &w->call;

	if (is_last_queued(w, m) || !queue_room(c, m))
		return;
	c->queued[c->nqueued++] = (struct queued){
		.message = work_keep(w, m->raw.p, m->raw.n), .bytes = (uint32_t)m->raw.n, .status = m->status, .sdp = has_sdp(m),
	};
}

void reliable_send(struct work *w, struct txn *s, struct fork *f, const struct sip_msg *m)
{
	if (blocked(&w->call) || w->call.nqueued)
		enqueue(w, m);
	else
		emit(w, s, f, m);
}

/* RFC 3262 §3: the 2xx waits while a description is not acknowledged; what has none may be overtaken. */
static bool sdp_pending(const struct call *c)
{
	bool sdp = (c->open.rseq && !c->open.late && c->open.sdp) || offer_carried(c);

	for (unsigned i = 0; i < c->nqueued; i++)
		sdp |= c->queued[i].status < 200 && c->queued[i].sdp;
	return sdp;
}

bool reliable_holds(struct work *w, const struct sip_msg *m)
{
	if (!sdp_pending(&w->call)) {
		reliable_close(w);
		return false;
	}
	enqueue(w, m);
	return true;
}

bool reliable_has_2xx(const struct call *c)
{
	return c->nqueued && c->queued[c->nqueued - 1].status >= 200;
}

/* A final answer has gone, or goes at once: nothing is sent reliably any more. */
void reliable_close(struct work *w)
{
	struct call *c = &w->call;

	for (unsigned i = 0; i < c->ntxns; i++) {
		struct txn *s = &c->txn[i];
		if (!(s->flags & TXN_RELIABLE))
			continue;
		s->flags &= (uint16_t)~TXN_RELIABLE;
		if (s->state == TXN_PROCEEDING)
			s->resend_ms = s->expire_ms = SHM_NEVER;
	}
	c->open.late = 1;
	while (c->nqueued && c->queued[c->nqueued - 1].status < 200)
		c->nqueued--;
	if (c->nqueued) {
		c->queued[0] = c->queued[c->nqueued - 1];
		c->nqueued = 1;
	}
}

static bool unqueue(struct work *w, struct sip_msg *m)
{
	struct call *c = &w->call;
	struct queued q = c->queued[0];
	const char *bytes = shm_block(w->core->shm, q.message);
	struct sip_fault why;

	memmove(&c->queued[0], &c->queued[1], (c->nqueued - 1u) * sizeof c->queued[0]);
	c->nqueued--;
	return bytes && !sip_parse(m, bytes, q.bytes, &why) && !sip_check(m, &why);
}

static struct txn *answered_invite(struct call *c)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (c->txn[i].machine == TXN_ICT && c->txn[i].flags & TXN_INITIAL && c->txn[i].state == TXN_ACCEPTED)
			return &c->txn[i];
	return NULL;
}

/* The next in the queue; several 1xx, then perhaps the 2xx, which waits for no ringing. */
void reliable_advance(struct work *w)
{
	struct txn *s, *c;
	struct sip_msg m;

	if (reliable_has_2xx(&w->call) && !sdp_pending(&w->call))
		reliable_close(w);
	while (w->call.phase == CALL_SETUP && w->call.nqueued && !blocked(&w->call) && (s = call_invite(&w->call))) {
		if (!unqueue(w, &m))
			continue;
		if (m.status < 200)
			emit(w, s, fork_by_tag(w, m.to_tag), &m);
		else if ((c = answered_invite(&w->call)))
			invite_answer_now(w, c, &m);
		else
			call_hangup(w, CALL_END_PRACK_TIMEOUT); /* it waited so long that the callee gave up */
	}
}

void reliable_drop(struct work *w)
{
	struct txn *c = answered_invite(&w->call);
	struct sip_msg m;

	reliable_close(w);
	while (w->call.nqueued)
		if (unqueue(w, &m) && c)
			invite_stray(w, c, &m);
}

void reliable_timeout(struct work *w, struct txn *s)
{
	s->flags &= (uint16_t)~TXN_RELIABLE;
	s->resend_ms = s->expire_ms = SHM_NEVER;
	shm_count(w->core->self, CNT_prack_timeouts);
	if (w->call.phase == CALL_SETUP)
		call_hangup(w, CALL_END_PRACK_TIMEOUT);
}

/* ------------------------------------------------------------------------------------------ the caller's PRACK */

/* RFC 3262 §3: RSeq, CSeq number and method, in the dialog of the response. */
static struct txn *acknowledged(struct work *w, const struct sip_msg *m)
{
	struct txn *s = call_invite(&w->call);
	struct reliable *open = &w->call.open;
	uint32_t rseq, number;
	struct str method;

	if (!s || !open->rseq || sip_rack_parse(sip_value(m, SIP_H_RACK), &rseq, &number, &method) || !str_eq(method, STR("INVITE")))
		return NULL;
	return s->cseq == number && open->rseq == rseq && open->tag_hash == tag_hash(w->core, m->to_tag) ? s : NULL;
}

bool reliable_awaits(struct work *w, const struct sip_msg *m)
{
	return acknowledged(w, m) != NULL;
}

static struct txn *attempt_of(struct call *c)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (c->txn[i].machine == TXN_ICT && c->txn[i].flags & TXN_INITIAL && c->txn[i].peer)
			return &c->txn[i];
	return NULL;
}

/* The caller's answer to the gateway's offer: in our PRACK that waited for it, or later in our ACK. */
static void take_answer(struct work *w, const struct sip_msg *m, struct fork *f)
{
	struct txn *b = attempt_of(&w->call);
	struct str sdp = sdp_of(m);
	char text[256];
	struct out type = OUT(text, sizeof text);

	if (sdp.n) {
		f->answer = work_keep(w, sdp.p, sdp.n);
		f->answer_bytes = (uint32_t)sdp.n;
	}
	leg_keep_sdp(w, LEG_B, m);
	if (f->offer == OFFER_UNRELIABLE) {
		f->offer = sdp.n ? OFFER_KEPT : OFFER_UNRELIABLE;
		return;
	}
	f->offer = OFFER_ANSWERED;
	f->flags |= FORK_AGREED;
	out_lit(&type, "Content-Type: ");
	out_str(&type, sip_value(m, SIP_H_CONTENT_TYPE));
	out_lit(&type, "\r\n");
	if (b)
		prack(w, b, (unsigned)(f - w->call.fork) + 1, f->rseq_held, type.overflow ? STR_NONE : m->body, out_done(&type));
}

static void take(struct work *w, const struct sip_msg *m, struct txn *s, struct txn *p)
{
	struct call *c = &w->call;
	struct fork *f = fork_by_tag(w, m->to_tag);
	bool sdp = c->open.sdp, answers = f && sdp && (f->offer == OFFER_RELIABLE || f->offer == OFFER_UNRELIABLE);

	c->open.rseq = 0;
	if (s->flags & TXN_RELIABLE) {
		s->flags &= (uint16_t)~TXN_RELIABLE;
		s->resend_ms = s->expire_ms = SHM_NEVER;
	}
	if (f && sdp && (!answers || has_sdp(m)))
		f->flags |= FORK_TOLD;
	if (answers)
		take_answer(w, m, f);
	if (answers || !has_sdp(m) || c->phase >= CALL_ENDING)
		server_answer(w, p, 200, STR_NONE, STR_NONE);
	else
		offer_in_prack(w, m, p, f);
	reliable_advance(w);
}

void reliable_prack(struct work *w, const struct sip_msg *m, unsigned leg)
{
	struct txn *p, *s;

	if (!call_room(w, 3) || !(p = server_open(w, m, leg))) {
		w->full = true;
		return;
	}
	shm_count(w->core->self, CNT_pracks_received);
	if (leg == LEG_A && (s = acknowledged(w, m))) {
		take(w, m, s, p);
		return;
	}
	shm_count(w->core->self, CNT_pracks_unmatched);
	server_answer(w, p, 481, STR_NONE, STR_NONE);
}
