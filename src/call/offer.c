/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptions that cross between a leg with PRACK and a leg without (RFC 3262 §5, RFC 3264, RFC 3311). What one leg offers in PRACK or UPDATE and the
 * other cannot take is answered here from what is known, and told to that leg after the ACK; no call ends for it. */
#include "base/err.h"
#include "call/call.h"

enum { LINES = 1024, SDP_MAX = 8192 };

#define SDP_TYPE STR("Content-Type: application/sdp\r\n")

static struct str text_of(const struct work *w, shm_ref ref, uint32_t bytes)
{
	const char *p = ref ? shm_block(w->core->shm, ref) : NULL;

	return p ? str_make(p, bytes) : STR_NONE;
}

/* ------------------------------------------------------------------------------------------ what an early dialog knows */

static void note_sdp(struct work *w, struct fork *f, const struct sip_msg *m)
{
	struct str sdp = sdp_of(m);

	if (!sdp.n)
		return;
	f->sdp = work_keep(w, sdp.p, sdp.n);
	f->sdp_bytes = (uint32_t)sdp.n;
}

/* The same of the caller's. */
static void note_answer(struct work *w, struct fork *f, struct str sdp)
{
	f->answer = work_keep(w, sdp.p, sdp.n);
	f->answer_bytes = (uint32_t)sdp.n;
}

void offer_note(struct work *w, struct fork *f, const struct sip_msg *m, bool reliable)
{
	struct call *c = &w->call;
	struct txn *invite;

	if (!has_sdp(m))
		return;
	note_sdp(w, f, m);
	if (!(c->flags & CALL_OFFERLESS)) {
		if (!reliable || f->flags & FORK_AGREED)
			return;
		f->flags |= FORK_AGREED;
		for (unsigned i = 0; i < c->ntxns && !c->leg[LEG_B].sdp; i++) {
			invite = &c->txn[i];
			if (invite->machine == TXN_ICT && invite->flags & TXN_INITIAL && invite->peer)
				leg_keep_offer(w, invite, invite->request, invite->request_bytes);
		}
	} else if (c->flags & CALL_REL_A) {
		if (reliable && (f->offer == OFFER_NONE || f->offer == OFFER_UNRELIABLE))
			f->offer = OFFER_RELIABLE;
		else if (f->offer == OFFER_NONE)
			f->offer = OFFER_UNRELIABLE;
	}
}

/* ------------------------------------------------------------------------------------------ answers made here */

/* Answers an offer of one side's on transaction s from what is known of the other's. */
static void answer_known(struct work *w, struct txn *s, struct str lines, struct str offer, struct str known)
{
	char text[SDP_MAX];
	struct out o = OUT(text, sizeof text);

	server_answer_body(w, s, 200, lines, SDP_TYPE, sdp_answer(offer, known, &o));
}

static struct str known_of_callee(const struct work *w, const struct fork *f)
{
	return f && f->sdp ? text_of(w, f->sdp, f->sdp_bytes) : leg_sdp(w, LEG_A);
}

/* The caller has described himself anew; the gateway does not know it yet. */
static void caller_moved(struct work *w, struct str sdp, struct fork *f)
{
	if (!sdp.n)
		return;
	if (f) {
		note_answer(w, f, sdp);
		f->flags |= FORK_TELL_B;
	} else if (w->call.phase >= CALL_ANSWERED) {
		leg_keep(w, LEG_B, sdp);
		w->call.rel |= REL_TELL_B;
	}
	if (w->call.phase == CALL_ESTABLISHED)
		offer_tell(w);
}

/* ------------------------------------------------------------------------------------------ a second offer in PRACK */

/* A PRACK of the caller's whose offer waits for ours. */
static bool is_held(const struct txn *t)
{
	return t->machine == TXN_NIST && t->flags & TXN_HELD && t->state == TXN_TRYING;
}

bool offer_carried(const struct call *c)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (is_held(&c->txn[i]) || (c->txn[i].purpose == TXN_FOR_OFFER && txn_active(&c->txn[i])))
			return true;
	return false;
}

static bool takes_update(const struct call *c, unsigned leg)
{
	return c->leg[leg].allow & 1u << SIP_UPDATE && !(c->leg[leg].session.flags & SESSION_NO_UPDATE);
}

/* Our own PRACK is still on its way: an UPDATE could overtake it, and the gateway would have to refuse the PRACK for its lower number (RFC 3261 §12.2.2). */
static bool prack_open(const struct call *c)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (c->txn[i].purpose == TXN_FOR_PRACK && txn_active(&c->txn[i]))
			return true;
	return false;
}

static struct fork *fork_at(struct call *c, const struct txn *t)
{
	return t->fork && t->fork <= c->nforks ? &c->fork[t->fork - 1] : NULL;
}

static void hold(struct work *w, struct txn *p, struct str sdp)
{
	p->flags |= TXN_HELD;
	p->response = work_keep(w, sdp.p, sdp.n);
	p->response_bytes = (uint32_t)sdp.n;
}

/* Offers it to the gateway in an UPDATE. Returns whether there was room for one. */
static bool carry(struct work *w, struct txn *p, struct str sdp)
{
	char buf[CALL_MESSAGE_MAX], text[LINES];
	struct out lines = OUT(text, sizeof text);
	struct txn *t = call_txn_new(w, true, SIP_UPDATE, LEG_B);
	struct addr to;
	size_t n;

	if (!t)
		return false;
	t->purpose = TXN_FOR_OFFER;
	t->flags = TXN_HAD_OFFER;
	t->peer = p->id;
	p->peer = t->id;
	t->fork = p->fork;
	t->cseq = leg_cseq(&w->call.leg[LEG_B], 1);
	session_ask(w, t, &lines);
	leg_put_contact(w, LEG_B, &lines);
	leg_next_hop(w, LEG_B, t, &to);
	if (make_request(w, SIP_UPDATE, LEG_B, t, out_done(&lines), SDP_TYPE, sdp, buf, sizeof buf, &n))
		w->full = true;
	else
		client_start(w, t, buf, n, &to, t->listen);
	return true;
}

static void offered(struct work *w, struct txn *p, struct str sdp)
{
	struct call *c = &w->call;
	struct fork *f = fork_at(c, p);
	bool agreed = f ? f->flags & FORK_AGREED : c->phase == CALL_ESTABLISHED;
	bool can = agreed && takes_update(c, LEG_B);

	if (can && prack_open(c)) {
		hold(w, p, sdp);
	} else if (!can || !carry(w, p, sdp)) {
		answer_known(w, p, STR_NONE, sdp, known_of_callee(w, f));
		caller_moved(w, sdp, f);
	}
}

void offer_in_prack(struct work *w, const struct sip_msg *m, struct txn *p, struct fork *f)
{
	p->fork = f ? (uint8_t)(f - w->call.fork + 1) : 0;
	offered(w, p, sdp_of(m));
}

void offer_release(struct work *w)
{
	struct txn *p = w->call.txn, *end = p + w->call.ntxns;
	const char *sdp;

	if (prack_open(&w->call))
		return;
	while (p < end && !is_held(p))
		p++;
	if (p == end || !(sdp = shm_block(w->core->shm, p->response)))
		return;
	p->flags &= (uint16_t)~TXN_HELD;
	if (w->call.phase >= CALL_ENDING)
		server_answer(w, p, 200, STR_NONE, STR_NONE);
	else
		offered(w, p, str_make(sdp, p->response_bytes));
	reliable_advance(w);
}

/* The gateway took the caller's offer: both sides know where they are. */
static void carried(struct work *w, struct txn *c, struct fork *f, const struct sip_msg *request, const struct sip_msg *m)
{
	txn_set_target(w, c, txn_refreshed(w, c, m));
	session_agreed(w, c, m);
	leg_keep_sdp(w, LEG_A, m);
	leg_keep_sdp(w, LEG_B, request);
	if (!f)
		return;
	note_sdp(w, f, m);
	note_answer(w, f, sdp_of(request));
	f->flags &= (uint8_t)~FORK_TELL_B;
}

void offer_answered(struct work *w, struct txn *c, const struct sip_msg *m)
{
	struct fork *f = fork_at(&w->call, c);
	const char *bytes = c->request ? shm_block(w->core->shm, c->request) : NULL;
	struct txn *p = call_txn_by_id(&w->call, c->peer);
	struct sip_fault why;
	struct sip_msg request;

	c->request = 0;
	if (!bytes || sip_parse(&request, bytes, c->request_bytes, &why))
		return;
	if (p && p->state == TXN_TRYING && m && m->status < 300 && has_sdp(m)) {
		carried(w, c, f, &request, m);
		server_answer_body(w, p, 200, STR_NONE, SDP_TYPE, sdp_of(m));
	} else if (p && p->state == TXN_TRYING) {
		answer_known(w, p, STR_NONE, sdp_of(&request), known_of_callee(w, f));
		caller_moved(w, sdp_of(&request), f);
	}
	reliable_advance(w);
}

/* ------------------------------------------------------------------------------------------ UPDATE in an early dialog */

/* Whether the other leg's own offer and answer are so far that it can take this UPDATE (RFC 3311 §5.1). */
static bool can_cross(const struct call *c, const struct fork *f, const struct sip_msg *m, unsigned to)
{
	bool said = c->leg[to].allow != 0, takes = takes_update(c, to);

	if (!has_sdp(m))
		return takes || !said;
	if (to == LEG_A)
		return !(f->flags & FORK_AGREED) || (f->flags & FORK_TOLD && (takes || !said));
	return !(f->flags & FORK_TOLD) || (f->flags & FORK_AGREED && (takes || !said));
}

bool offer_in_update(struct work *w, const struct sip_msg *m, struct txn *s)
{
	struct call *c = &w->call;
	unsigned to = s->leg == LEG_A ? LEG_B : LEG_A;
	struct fork *f = fork_by_tag(w, s->leg == LEG_A ? m->to_tag : m->from_tag);
	char text[LINES];
	struct out lines = OUT(text, sizeof text);
	struct str known;

	if (m->method != SIP_UPDATE || c->phase != CALL_SETUP || c->flags & CALL_REL_THROUGH || !f || can_cross(c, f, m, to))
		return false;
	if (s->leg == LEG_B)
		s->fork = (uint8_t)(f - c->fork + 1);
	txn_set_target(w, s, txn_refreshed(w, s, m));
	leg_learn(&c->leg[s->leg], m);
	session_answer(w, s, &lines);
	leg_put_contact(w, s->leg, &lines);
	if (lines.overflow)
		lines.n = 0;
	if (!has_sdp(m)) {
		server_answer(w, s, 200, STR_NONE, str_make(text, lines.n));
		return true;
	}
	known = s->leg == LEG_A ? known_of_callee(w, f) : f->answer ? text_of(w, f->answer, f->answer_bytes) : leg_sdp(w, LEG_B);
	answer_known(w, s, str_make(text, lines.n), sdp_of(m), known);
	if (s->leg == LEG_A) {
		caller_moved(w, sdp_of(m), f);
	} else {
		note_sdp(w, f, m);
		f->flags |= FORK_TELL_A;
	}
	return true;
}

/* ------------------------------------------------------------------------------------------ the 2xx to the caller */

/* What the early dialog agreed becomes what the legs agreed. */
static void inherit(struct work *w, const struct fork *f)
{
	struct call *c = &w->call;

	if (f->sdp) {
		c->leg[LEG_A].sdp = f->sdp;
		c->leg[LEG_A].sdp_bytes = f->sdp_bytes;
	}
	if (f->answer) {
		c->leg[LEG_B].sdp = f->answer;
		c->leg[LEG_B].sdp_bytes = f->answer_bytes;
	}
	if (f->flags & FORK_TELL_A && f->flags & FORK_TOLD) /* else the 2xx says it */
		c->flags |= CALL_TELL_A;
	if (f->flags & FORK_TELL_B)
		c->rel |= REL_TELL_B;
}

void offer_shape_2xx(struct work *w, struct fork *f, const struct sip_msg *m, struct reshape *shape)
{
	struct call *c = &w->call;
	struct str known, sdp = sdp_of(m);

	if (f)
		inherit(w, f);
	if (c->flags & CALL_REL_THROUGH)
		return;
	known = leg_sdp(w, LEG_A);
	if (!f && c->rel & REL_USED_B && !sdp.n)
		refresh_ask(w, LEG_B); /* an early dialog that found no place: what it said is not known for certain */
	if (f && f->flags & FORK_TOLD) {
		if (!sdp.n)
			return;
		if (f->offer == OFFER_KEPT)
			c->rel |= REL_ACK_ANSWERS;
		shape->set_body = sdp.n == m->body.n; /* answered already: left out, unless other parts stand beside it; what differs follows */
		if (known.n && !sdp_same(known, sdp))
			c->flags |= CALL_TELL_A;
	} else if (!m->body.n && known.n) {
		shape->set_body = true;
		shape->body = known;
		shape->type = SDP_TYPE;
	}
}

void offer_tell(struct work *w)
{
	struct call *c = &w->call;

	if (c->flags & CALL_TELL_A)
		refresh_tell(w, LEG_A);
	if (c->rel & REL_TELL_B)
		refresh_tell(w, LEG_B);
	c->flags &= (uint16_t)~CALL_TELL_A;
	c->rel &= (uint8_t)~REL_TELL_B;
}
