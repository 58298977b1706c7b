/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reliable provisional responses (RFC 3262) on each leg on its own: as UAC we acknowledge the gateway's, as UAS we send the caller ours, one at a
 * time, in order, again and again until his PRACK. Where both legs say passthrough, all of it goes end to end instead. */
#include "base/err.h"
#include "call/call.h"

enum { RSEQ_SPAN = 0x7fff0000 }; /* RFC 3262 §3: starts at random between 1 and 2^31 - 1; some room above */

/* ------------------------------------------------------------------------------------------ the modes of the two legs */

static bool acts(enum params_100rel mode)
{
	return mode == PARAMS_100REL_SUPPORTED || mode == PARAMS_100REL_REQUIRED || mode == PARAMS_100REL_PASSTHROUGH;
}

/* What the caller's leg cannot satisfy is refused before the call begins. Returns the status and writes its lines; 0 = go on. */
unsigned reliable_refusal(const struct params *p, const struct sip_msg *m, struct out *lines)
{
	bool required = sip_has_token(m, SIP_H_REQUIRE, STR("100rel"));

	if (p->rel100 == PARAMS_100REL_OFF && required) {
		out_lit(lines, "Unsupported: 100rel\r\n");
		return 420;
	}
	if (p->rel100 == PARAMS_100REL_REQUIRED && !required && !sip_has_token(m, SIP_H_SUPPORTED, STR("100rel"))) {
		out_lit(lines, "Require: 100rel\r\n");
		return 421;
	}
	return 0;
}

void reliable_begin(struct work *w, const struct sip_msg *m)
{
	bool required = sip_has_token(m, SIP_H_REQUIRE, STR("100rel"));

	if (required)
		w->call.flags |= CALL_A_MUST;
	if (required || sip_has_token(m, SIP_H_SUPPORTED, STR("100rel")))
		w->call.flags |= CALL_A_CAN;
	if (!m->body.n)
		w->call.flags |= CALL_OFFERLESS;
}

/* Whether an attempt at this gateway can satisfy both legs; settles how each of them works. */
bool reliable_attempt(struct work *w, const struct params *gateway)
{
	enum params_100rel a = leg_params(w, LEG_A)->rel100, b = gateway->rel100;
	struct call *c = &w->call;

	c->flags &= (uint16_t)~(CALL_REL_A | CALL_REL_B | CALL_REL_THROUGH);
	if (a == PARAMS_100REL_PASSTHROUGH && b == PARAMS_100REL_PASSTHROUGH) {
		c->flags |= CALL_REL_THROUGH;
		return true;
	}
	if (acts(a) && c->flags & CALL_A_CAN)
		c->flags |= CALL_REL_A;
	/* An offer that comes in a reliable response needs a caller whose PRACK can answer it. */
	if (c->flags & CALL_OFFERLESS && !(c->flags & CALL_REL_A))
		return b != PARAMS_100REL_REQUIRED;
	if (acts(b))
		c->flags |= CALL_REL_B;
	return true;
}

/* Our option tags in the INVITE to the gateway. */
void reliable_ask(const struct work *w, struct out *lines)
{
	if (!(w->call.flags & CALL_REL_B))
		return;
	out_str(lines, leg_params(w, LEG_B)->rel100 == PARAMS_100REL_REQUIRED ? STR("Require: 100rel\r\n") : STR("Supported: 100rel\r\n"));
}

/* Nothing of one leg's reliability leaks to the other; Allow names PRACK where we speak it. */
void reliable_strip(const struct work *w, struct sip_edit *e, unsigned to, struct out *lines)
{
	if (w->call.flags & CALL_REL_THROUGH)
		return;
	sip_edit_drop_token(e, SIP_H_SUPPORTED, STR("100rel"));
	sip_edit_drop_token(e, SIP_H_REQUIRE, STR("100rel"));
	sip_edit_drop_token(e, SIP_H_UNSUPPORTED, STR("100rel"));
	sip_edit_drop_all(e, SIP_H_RSEQ);
	sip_edit_drop_all(e, SIP_H_RACK);
	if (w->call.flags & (to == LEG_A ? CALL_REL_A : CALL_REL_B) && sip_first(e->m, SIP_H_ALLOW) && !sip_has_token(e->m, SIP_H_ALLOW, STR("PRACK")))
		out_lit(lines, "Allow: PRACK\r\n");
}

/* ------------------------------------------------------------------------------------------ the gateway's leg: we acknowledge */

static void prack(struct work *w, const struct txn *c, unsigned fork, uint32_t rseq, struct str body, struct str type)
{
	char buf[CALL_MESSAGE_MAX], text[64];
	struct out lines = OUT(text, sizeof text);
	struct txn *t;
	struct addr to;
	size_t n;

	if (!(t = call_txn_new(w, true, SIP_PRACK, LEG_B))) {
		w->full = true;
		return;
	}
	t->purpose = TXN_FOR_PRACK;
	t->fork = (uint8_t)fork;
	t->cseq = leg_cseq(&w->call.leg[LEG_B], 1);
	out_lit(&lines, "RAck: ");
	out_u64(&lines, rseq);
	out_lit(&lines, " ");
	out_u64(&lines, c->cseq);
	out_lit(&lines, " INVITE\r\n");
	leg_next_hop(w, LEG_B, t, &to);
	if (make_request(w, SIP_PRACK, LEG_B, t, out_done(&lines), type, body, buf, sizeof buf, &n))
		w->full = true;
	else
		client_start(w, t, buf, n, &to, t->listen);
	shm_count(w->core->self, CNT_pracks_sent);
}

bool reliable_came(const struct sip_msg *m, uint32_t *rseq)
{
	return m->status > 100 && m->status < 200 && sip_has_token(m, SIP_H_REQUIRE, STR("100rel")) &&
	       !sip_number_parse(sip_value(m, SIP_H_RSEQ), UINT32_MAX, rseq) && *rseq;
}

/* RFC 3262 §4: in order for each To tag; a repeat or one out of order is not acknowledged and goes no further. Returns whether it counts. */
bool reliable_accept(struct work *w, struct txn *c, struct fork *f, const struct sip_msg *m, uint32_t rseq)
{
	unsigned fork;

	if (!f || (f->rseq_theirs && rseq != f->rseq_theirs + 1)) {
		shm_count(w->core->self, CNT_reliable_dropped);
		return false;
	}
	fork = (unsigned)(f - w->call.fork) + 1;
	f->rseq_theirs = rseq;
	if (m->body.n && w->call.flags & CALL_OFFERLESS && w->call.flags & CALL_REL_A && !f->offer_open) {
		f->offer_open = 1; /* the answer comes in the caller's PRACK */
		return true;
	}
	prack(w, c, fork, rseq, STR_NONE, STR_NONE);
	return true;
}

/* ------------------------------------------------------------------------------------------ the caller's leg: we send reliably */

static struct reliable *open_of(struct work *w)
{
	return w->call.open.rseq ? &w->call.open : NULL;
}

static struct fork *fork_by_tag(struct work *w, struct str tag)
{
	return fork_find(&w->call, tag_hash(w->core, tag));
}

static void emit(struct work *w, struct txn *s, const struct sip_msg *m)
{
	struct fork *f = fork_by_tag(w, m->to_tag);
	struct reliable *r = &w->call.open;
	char buf[CALL_MESSAGE_MAX], text[64];
	struct out lines = OUT(text, sizeof text);
	struct reshape shape = { .lines = STR_NONE };
	size_t n;

	if (!f)
		return;
	f->rseq_ours = f->rseq_ours ? f->rseq_ours + 1 : 1 + (uint32_t)(w->core->random(w->core->random_arg) % RSEQ_SPAN);
	out_lit(&lines, "Require: 100rel\r\nRSeq: ");
	out_u64(&lines, f->rseq_ours);
	out_lit(&lines, "\r\n");
	shape.lines = out_done(&lines);
	if (rewrite_response_as(w, m, s, 0, &shape, buf, sizeof buf, &n)) {
		w->full = true;
		return;
	}
	*r = (struct reliable){ .rseq = f->rseq_ours, .sdp = m->body.n > 0, .tag_hash = f->tag_hash };
	server_send(w, s, m->status, buf, n);
	s->flags |= TXN_RELIABLE;
	s->stage = 0;
	s->resend_ms = w->core->now_ms + s->t1_ms;
	s->expire_ms = w->core->now_ms + txn_absorb_ms(s->t1_ms);
}

static void enqueue(struct work *w, const struct sip_msg *m)
{
	struct call *c = &w->call;
	struct queued q = { .bytes = (uint32_t)m->raw.n, .status = m->status, .sdp = m->body.n > 0 };

	if (c->nqueued == CALL_QUEUE) {
		/* One without a description gives way: a later one says as much. */
		unsigned i = 0;
		while (i < c->nqueued && (c->queued[i].sdp || c->queued[i].status >= 200))
			i++;
		if (i == c->nqueued)
			return;
		memmove(&c->queued[i], &c->queued[i + 1], (c->nqueued - i - 1u) * sizeof c->queued[0]);
		c->nqueued--;
	}
	q.message = work_keep(w, m->raw.p, m->raw.n);
	c->queued[c->nqueued++] = q;
}

bool reliable_to_caller(const struct call *c, const struct sip_msg *m, bool was_reliable)
{
	if (!(c->flags & CALL_REL_A))
		return false;
	/* Without an offer in the INVITE a reliable response must bring one that the caller's PRACK can answer (RFC 3262 §5). */
	return !(c->flags & CALL_OFFERLESS) || c->flags & CALL_SDP_DONE || (m->body.n && was_reliable) || c->flags & CALL_A_MUST;
}

void reliable_send(struct work *w, struct txn *s, const struct sip_msg *m)
{
	if (open_of(w) || w->call.nqueued)
		enqueue(w, m);
	else
		emit(w, s, m);
}

/* RFC 3262 §3: the 2xx waits while a description is not acknowledged; what has none may be overtaken. */
bool reliable_holds(struct work *w, const struct sip_msg *m)
{
	struct call *c = &w->call;
	bool sdp = open_of(w) && c->open.sdp;

	for (unsigned i = 0; i < c->nqueued; i++)
		sdp |= c->queued[i].sdp;
	if (!sdp) {
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
	c->open.rseq = 0;
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

/* The next in the queue; several 1xx, then perhaps the 2xx. */
static void advance(struct work *w, struct txn *s)
{
	struct sip_msg m;

	while (w->call.nqueued && !open_of(w)) {
		struct txn *c;
		if (!unqueue(w, &m))
			continue;
		if (m.status < 200)
			emit(w, s, &m);
		else if ((c = answered_invite(&w->call)))
			invite_answer_now(w, c, &m);
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

static struct txn *acknowledged(struct work *w, const struct sip_msg *m)
{
	struct call *c = &w->call;
	uint32_t rseq, number;
	struct str method;

	if (sip_rack_parse(sip_value(m, SIP_H_RACK), &rseq, &number, &method) || !str_eq(method, STR("INVITE")))
		return NULL;
	for (unsigned i = 0; i < c->ntxns; i++) {
		struct txn *s = &c->txn[i];
		if (s->flags & TXN_RELIABLE && s->cseq == number && c->open.rseq == rseq && c->open.tag_hash == tag_hash(w->core, m->to_tag))
			return s;
	}
	return NULL;
}

static struct txn *attempt_of(struct call *c)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (c->txn[i].machine == TXN_ICT && c->txn[i].flags & TXN_INITIAL && c->txn[i].peer)
			return &c->txn[i];
	return NULL;
}

/* What is known of the callee's side, where the offer in a PRACK cannot be carried to it. */
static void answer_known(struct work *w, struct txn *p)
{
	struct leg *a = &w->call.leg[LEG_A];
	const char *sdp = a->sdp ? shm_block(w->core->shm, a->sdp) : NULL;

	server_answer_body(w, p, 200, STR_NONE, STR("Content-Type: application/sdp\r\n"), sdp ? str_make(sdp, a->sdp_bytes) : STR_NONE);
}

/* RFC 3311: a second offer in PRACK goes on as UPDATE where the gateway's leg takes it. */
static void carry_offer(struct work *w, const struct sip_msg *m, struct txn *p, unsigned fork)
{
	struct leg *b = &w->call.leg[LEG_B];
	char buf[CALL_MESSAGE_MAX], text[512];
	struct out lines = OUT(text, sizeof text);
	struct txn *t;
	struct addr to;
	size_t n;

	if (!(b->allow & 1u << SIP_UPDATE) || !(t = call_txn_new(w, true, SIP_UPDATE, LEG_B))) {
		answer_known(w, p);
		return;
	}
	t->purpose = TXN_FOR_OFFER;
	t->flags = TXN_HAD_OFFER;
	t->peer = p->id;
	p->peer = t->id;
	t->fork = (uint8_t)fork;
	t->cseq = leg_cseq(b, 1);
	leg_put_contact(w, LEG_B, &lines);
	leg_next_hop(w, LEG_B, t, &to);
	if (make_request(w, SIP_UPDATE, LEG_B, t, out_done(&lines), STR("Content-Type: application/sdp\r\n"), m->body, buf, sizeof buf, &n))
		w->full = true;
	else
		client_start(w, t, buf, n, &to, t->listen);
}

void reliable_offer_answered(struct work *w, struct txn *c, const struct sip_msg *m)
{
	struct txn *p = call_txn_by_id(&w->call, c->peer);

	if (!p || p->state != TXN_TRYING)
		return;
	if (m && m->status < 300 && m->body.n) {
		leg_keep_sdp(w, LEG_A, m);
		server_answer_body(w, p, 200, STR_NONE, STR("Content-Type: application/sdp\r\n"), m->body);
	} else {
		answer_known(w, p);
	}
}

void reliable_prack(struct work *w, const struct sip_msg *m, unsigned leg)
{
	struct call *c = &w->call;
	struct txn *p, *s, *b;
	struct fork *f;
	bool sdp;

	if (!call_room(w, 3) || !(p = server_open(w, m, leg))) {
		w->full = true;
		return;
	}
	shm_count(w->core->self, CNT_pracks_received);
	s = leg == LEG_A ? acknowledged(w, m) : NULL;
	if (!s) {
		shm_count(w->core->self, CNT_pracks_unmatched);
		server_answer(w, p, 481, STR_NONE, STR_NONE);
		return;
	}
	f = fork_by_tag(w, m->to_tag);
	b = attempt_of(c);
	sdp = c->open.sdp;
	c->open.rseq = 0;
	s->flags &= (uint16_t)~TXN_RELIABLE;
	s->resend_ms = s->expire_ms = SHM_NEVER;
	if (sdp)
		c->flags |= CALL_SDP_DONE;
	if (f && f->offer_open == 1 && sdp && b) {
		f->offer_open = 2;
		prack(w, b, (unsigned)(f - c->fork) + 1, f->rseq_theirs, m->body, STR("Content-Type: application/sdp\r\n"));
		leg_keep_sdp(w, LEG_B, m);
		server_answer(w, p, 200, STR_NONE, STR_NONE);
	} else if (m->body.n) {
		carry_offer(w, m, p, f ? (unsigned)(f - c->fork) + 1 : 0);
	} else {
		server_answer(w, p, 200, STR_NONE, STR_NONE);
	}
	advance(w, s);
}

/* ------------------------------------------------------------------------------------------ the 2xx to the caller */

/* How the description of the 2xx must change for the caller's leg. */
void reliable_shape_2xx(struct work *w, const struct sip_msg *m, struct reshape *shape)
{
	struct call *c = &w->call;
	struct leg *a = &c->leg[LEG_A];
	const char *known = a->sdp ? shm_block(w->core->shm, a->sdp) : NULL;

	if (c->flags & CALL_REL_THROUGH)
		return;
	if (c->flags & CALL_SDP_DONE) {
		if (!m->body.n)
			return;
		shape->set_body = true; /* answered already: left out; what differs follows */
		if (!(c->flags & CALL_OFFERLESS) && known && !sdp_same(str_make(known, a->sdp_bytes), m->body)) {
			leg_keep_sdp(w, LEG_A, m);
			c->flags |= CALL_TELL_A;
		}
	} else if (!m->body.n && known && !(c->flags & CALL_OFFERLESS)) {
		shape->set_body = true;
		shape->body = str_make(known, a->sdp_bytes);
		shape->type = STR("Content-Type: application/sdp\r\n");
	}
}
