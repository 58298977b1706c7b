/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The transactions of a call: opening, answering, acknowledging, cancelling. */
#include "base/bug.h"
#include "base/err.h"
#include "call/call.h"

enum { T1_INITIAL_MS = 500 };

struct txn *call_txn_by_id(struct call *c, uint16_t id)
{
	for (unsigned i = 0; id && i < c->ntxns; i++)
		if (c->txn[i].id == id)
			return &c->txn[i];
	return NULL;
}

struct txn *call_invite(struct call *c)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (c->txn[i].machine == TXN_IST && c->txn[i].flags & TXN_INITIAL)
			return &c->txn[i];
	return NULL;
}

uint16_t call_next_id(struct call *c)
{
	if (!c->next_id)
		c->next_id = 1;
	return c->next_id++;
}

/* An INVITE whose 2xx still waits for the other side's ACK, or may come although nobody waits for it. */
static bool lacks_ack(const struct txn *t)
{
	if (t->machine != TXN_ICT)
		return false;
	return t->state == TXN_ABANDONED ? !(t->flags & TXN_INITIAL) : t->state == TXN_ACCEPTED && !(t->flags & TXN_ACK_KEPT);
}

/* Where all are taken, one that only absorbs repeats makes room. Nothing is lost with a client's that is no INVITE: a late response is dropped anyway. With the others
 * goes the answer or the ACK that a repeat would get (RFC 3261 §17.2.2, §13.2.2.4): the oldest first, whose repeats will hardly come any more. */
static bool make_room(struct call *c)
{
	uint64_t least = SHM_NEVER;
	unsigned victim = c->ntxns;

	for (unsigned i = 0; i < c->ntxns; i++) {
		const struct txn *t = &c->txn[i];
		bool needed = t->flags & TXN_INITIAL && (t->peer || !txn_is_client(t)); /* not that of a gateway that failed */
		uint64_t since_ms = t->machine == TXN_NICT ? 0 : t->expire_ms - txn_absorb_ms(t->t1_ms);
		if (txn_active(t) || needed || lacks_ack(t) || since_ms >= least)
			continue;
		least = since_ms;
		victim = i;
	}
	if (victim == c->ntxns)
		return false;
	txn_terminate(&c->txn[victim]);
	memmove(&c->txn[victim], &c->txn[victim + 1], (c->ntxns - victim - 1u) * sizeof c->txn[0]);
	c->ntxns--;
	return true;
}

struct txn *call_txn_new(struct work *w, bool client, enum sip_method method, unsigned leg)
{
	struct call *c = &w->call;
	struct txn *t;

	if (c->ntxns == CALL_TXNS)
		return NULL;
	t = &c->txn[c->ntxns++];
	memset(t, 0, sizeof *t);
	if (client)
		t->machine = method == SIP_INVITE ? TXN_ICT : TXN_NICT;
	else
		t->machine = method == SIP_INVITE ? TXN_IST : TXN_NIST;
	t->method = (uint8_t)method;
	t->leg = (uint8_t)leg;
	t->listen = c->leg[leg].listen;
	t->id = t->branch = call_next_id(c);
	t->resend_ms = t->expire_ms = SHM_NEVER;
	return t;
}

bool call_room(struct work *w, unsigned n)
{
	while (w->call.ntxns + n > CALL_TXNS)
		if (!make_room(&w->call))
			return false;
	return true;
}

/* A server's final answer has gone. */
static bool is_answered(const struct txn *t)
{
	return t->state != TXN_TRYING && t->state != TXN_PROCEEDING;
}

/* A server that gave its final answer makes no other from the head kept, and repeats that answer only until it is acknowledged. */
static void let_go(struct txn *t)
{
	if (txn_is_client(t) || !is_answered(t))
		return;
	t->request = 0;
	if (t->state == TXN_CONFIRMED || t->state == TXN_ACKED)
		t->response = 0;
}

void call_txns_sweep(struct call *c, uint64_t now_ms)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c->ntxns; i++) {
		struct txn *t = &c->txn[i];
		if (t->state == TXN_TERMINATED || (!txn_active(t) && t->expire_ms <= now_ms))
			continue;
		let_go(t);
		if (kept != i)
			c->txn[kept] = *t;
		kept++;
	}
	c->ntxns = (uint8_t)kept;
}

const struct params *call_params(const struct core *core, const struct call *c, unsigned leg)
{
	const struct route_gateway *gw = NULL;

	if (c->leg[leg].gateway != CALL_NO_GATEWAY)
		gw = route_gateway(core->route, c->leg[leg].gateway);
	return gw ? gw->params : core->params;
}

const struct params *leg_params(const struct work *w, unsigned leg)
{
	return call_params(w->core, &w->call, leg);
}

uint32_t call_limit_ms(uint32_t global_ms, uint32_t caller_ms, uint32_t callee_ms)
{
	if (caller_ms == global_ms)
		return callee_ms;
	if (callee_ms == global_ms)
		return caller_ms;
	return !caller_ms || (callee_ms && callee_ms < caller_ms) ? callee_ms : caller_ms;
}

uint16_t leg_t1_ms(const struct work *w, unsigned leg, const struct addr *remote)
{
	const struct params *p = leg_params(w, leg);
	uint32_t t1 = p->t1_ms;

	if (!t1)
		t1 = shm_endpoint_t1_ms(w->core->shm, remote, T1_INITIAL_MS, p->t1_min_ms, p->t1_max_ms);
	return t1 < UINT16_MAX ? (uint16_t)t1 : UINT16_MAX;
}

/* ---- servers */

/* RFC 3261 §17.2.3: branch and sent-by, or for a peer of RFC 2543 what it compares instead. */
uint64_t server_key(const struct core *core, const struct sip_msg *m)
{
	const struct sip_via *via = &m->via;

	if (str_istarts(via->branch, STR("z9hG4bK")) && via->branch.n > 7) {
		struct str part[3] = { via->branch, via->host, str_make((const char *)&via->port, sizeof via->port) };
		return siphash_strs(shm_key_index(core->shm), part, 3);
	}
	struct str part[5] = { m->call_id, m->from_tag, str_make((const char *)&m->cseq, sizeof m->cseq), via->all, m->uri };
	return siphash_strs(shm_key_index(core->shm), part, 5);
}

struct txn *server_find(struct call *c, uint64_t key, enum sip_method method)
{
	for (unsigned i = 0; i < c->ntxns; i++)
		if (!txn_is_client(&c->txn[i]) && c->txn[i].key == key && c->txn[i].method == method)
			return &c->txn[i];
	return NULL;
}

struct txn *server_open(struct work *w, const struct sip_msg *m, unsigned leg)
{
	char buf[CALL_MESSAGE_MAX];
	struct out o = OUT(buf, sizeof buf);
	struct txn *t;

	if (!call_room(w, 1) || !(t = call_txn_new(w, false, m->method, leg)))
		return NULL;
	if (sip_response_target(&m->via, &w->datagram->from, &t->remote))
		t->remote = w->datagram->from;
	t->listen = w->datagram->listen;
	t->cseq = m->cseq;
	t->key = w->server;
	session_read(&t->wish, m);
	sip_response_head(&o, m, 100, STR("Trying"), STR_NONE, &w->datagram->from);
	out_lit(&o, "Content-Length: 0\r\n\r\n");
	if (o.overflow) {
		w->full = true;
		return t;
	}
	t->request = work_keep(w, o.p, o.n);
	t->request_bytes = (uint32_t)o.n;
	t->t1_ms = leg_t1_ms(w, leg, &t->remote);
	txn_start(t, leg_params(w, leg), w->core->now_ms);
	return t;
}

void call_unlisted(struct core *core, const struct txn *t, enum txn_event ev)
{
	shm_count(core->self, CNT_unlisted_event);
	if (!core->unlisted.machine)
		core->unlisted = (struct core_unlisted){ t->machine, t->state, (uint8_t)ev };
}

static void server_emit(struct work *w, struct txn *s, unsigned status, shm_ref ref, size_t n)
{
	enum txn_action a = txn_event(s, txn_event_of(status), leg_params(w, s->leg), w->core->now_ms);

	if (a != TXN_DO_SEND) {
		if (a == TXN_DO_UNLISTED)
			call_unlisted(w->core, s, txn_event_of(status));
		return;
	}
	s->response = ref;
	s->response_bytes = (uint32_t)n;
	work_send(w, ref, (uint32_t)n, s->listen, &s->remote);
}

void server_send(struct work *w, struct txn *s, unsigned status, const char *bytes, size_t n)
{
	server_emit(w, s, status, work_keep(w, bytes, n), n);
}

void server_trying(struct work *w, struct txn *s)
{
	server_emit(w, s, 100, s->request, s->request_bytes);
}

static void answer(struct work *w, struct txn *s, unsigned status, struct str reason, struct str lines, struct str body)
{
	char buf[CALL_MESSAGE_MAX], tag[24];
	struct out o = OUT(buf, sizeof buf), t = OUT(tag, sizeof tag);
	const char *head = shm_block(w->core->shm, s->request);
	struct sip_fault why;
	struct sip_msg m;

	if (is_answered(s)) { /* a second answer is dropped or counted, as the table says */
		server_emit(w, s, status, 0, 0);
		return;
	}
	if (!head || sip_parse(&m, head, s->request_bytes, &why)) {
		BUG_ON(!w->full);
		return;
	}
	out_lit(&t, "v");
	out_hex(&t, w->step.slot, 8);
	out_hex(&t, w->step.generation, 8);
	sip_response_head(&o, &m, status, reason.n ? reason : sip_reason(status), out_done(&t), NULL);
	out_str(&o, lines);
	out_lit(&o, "Content-Length: ");
	out_u64(&o, body.n);
	out_lit(&o, "\r\n\r\n");
	out_str(&o, body);
	if (o.overflow)
		w->full = true;
	else
		server_send(w, s, status, o.p, o.n);
}

void server_answer(struct work *w, struct txn *s, unsigned status, struct str reason, struct str lines)
{
	answer(w, s, status, reason, lines, STR_NONE);
}

void server_answer_body(struct work *w, struct txn *s, unsigned status, struct str lines, struct str type, struct str body)
{
	char text[2048];
	struct out o = OUT(text, sizeof text);

	out_str(&o, lines);
	if (body.n)
		out_str(&o, type);
	if (o.overflow)
		w->full = true;
	else
		answer(w, s, status, STR_NONE, out_done(&o), body);
}

void server_repeat(struct work *w, struct txn *s)
{
	enum txn_action a = txn_event(s, TXN_EV_REQUEST, leg_params(w, s->leg), w->core->now_ms);

	shm_count(w->core->self, CNT_retransmissions_in);
	if (a == TXN_DO_RESEND_RESPONSE)
		work_send(w, s->response, s->response_bytes, s->listen, &s->remote);
	else if (a == TXN_DO_UNLISTED)
		call_unlisted(w->core, s, TXN_EV_REQUEST);
}

/* RFC 3326: our own reasons as a SIP cause with a text. */
struct str reason_line(enum call_reason r)
{
	static const struct str line[CALL_END_COUNT] = {
		[CALL_END_CANCELED] = STR("Reason: SIP;cause=487;text=\"Call canceled\"\r\n"),
		[CALL_END_NO_ANSWER] = STR("Reason: SIP;cause=408;text=\"No answer\"\r\n"),
		[CALL_END_SETUP_TIMEOUT] = STR("Reason: SIP;cause=408;text=\"Setup timer expired\"\r\n"),
		[CALL_END_SESSION_EXPIRED] = STR("Reason: SIP;cause=408;text=\"Session timer expired\"\r\n"),
		[CALL_END_NO_TIMER_LIMIT] = STR("Reason: SIP;cause=408;text=\"Limit without session timer reached\"\r\n"),
		[CALL_END_NO_TIMER_DEAD] = STR("Reason: SIP;cause=408;text=\"Endpoint does not answer\"\r\n"),
		[CALL_END_MAX_DURATION] = STR("Reason: SIP;cause=503;text=\"Maximum call duration reached\"\r\n"),
		[CALL_END_NO_ACK] = STR("Reason: SIP;cause=408;text=\"ACK never came\"\r\n"),
		[CALL_END_PRACK_TIMEOUT] = STR("Reason: SIP;cause=504;text=\"PRACK never came\"\r\n"),
		[CALL_END_GATEWAY_FAILED] = STR("Reason: SIP;cause=503;text=\"Gateway failed\"\r\n"),
		[CALL_END_ADMIN] = STR("Reason: SIP;cause=503;text=\"Ended by operator\"\r\n"),
		[CALL_END_ENDPOINT_GONE] = STR("Reason: SIP;cause=481;text=\"Endpoint has lost the call\"\r\n"),
		[CALL_END_ERROR] = STR("Reason: SIP;cause=500;text=\"Internal error\"\r\n"),
	};
	return line[r];
}

/* ---- clients */

void client_start(struct work *w, struct txn *t, const char *bytes, size_t n, const struct addr *to, uint16_t listen)
{
	t->remote = *to;
	t->listen = listen;
	t->request = work_keep(w, bytes, n);
	t->request_bytes = (uint32_t)n;
	t->t1_ms = leg_t1_ms(w, t->leg, to);
	txn_start(t, leg_params(w, t->leg), w->core->now_ms);
	work_send(w, t->request, t->request_bytes, listen, to);
}

/* Karn's rule, and only messages that say something of the network (not of a ringing phone). */
static void measure(struct work *w, const struct txn *t, unsigned status)
{
	bool fresh = t->state == TXN_CALLING || t->state == TXN_TRYING;

	if (!fresh || t->flags & TXN_RESENT || leg_params(w, t->leg)->t1_ms)
		return;
	if (t->machine == TXN_ICT ? status == 100 : status >= 200)
		shm_endpoint_sample(w->core->shm, &t->remote, (uint32_t)(w->core->now_ms - t->sent_ms));
}

enum txn_action client_response(struct work *w, struct txn *t, unsigned status)
{
	enum txn_action a;

	measure(w, t, status);
	a = txn_event(t, txn_event_of(status), leg_params(w, t->leg), w->core->now_ms);
	if (a == TXN_DO_UNLISTED)
		call_unlisted(w->core, t, txn_event_of(status));
	if (a == TXN_DO_DROP || a == TXN_DO_ACK)
		shm_count(w->core->self, CNT_retransmissions_in);
	return a;
}

/* The INVITE's own lines make its ACK to a refusal and its CANCEL: same Request-URI, top Via, Route, From, Call-ID and CSeq number. */
static void sibling(struct work *w, const struct txn *t, enum sip_method method, struct str to_value, struct str lines, struct out *o)
{
	const char *bytes = shm_block(w->core->shm, t->request);
	struct str name = sip_method_name(method);
	const struct sip_header *h;
	struct sip_fault why;
	struct sip_msg m;

	if (!bytes || sip_parse(&m, bytes, t->request_bytes, &why)) {
		o->overflow = true;
		return;
	}
	out_str(o, name);
	out_lit(o, " ");
	out_str(o, m.uri);
	out_lit(o, " SIP/2.0\r\n");
	out_str(o, sip_first(&m, SIP_H_VIA)->line);
	for (h = sip_first(&m, SIP_H_ROUTE); h; h = sip_next(&m, h))
		out_str(o, h->line);
	out_lit(o, "Max-Forwards: 70\r\n");
	out_str(o, sip_first(&m, SIP_H_FROM)->line);
	out_lit(o, "To: ");
	out_str(o, to_value.n ? to_value : sip_value(&m, SIP_H_TO));
	out_lit(o, "\r\n");
	out_str(o, sip_first(&m, SIP_H_CALL_ID)->line);
	out_lit(o, "CSeq: ");
	out_u64(o, t->cseq);
	out_lit(o, " ");
	out_str(o, name);
	out_lit(o, "\r\n");
	out_str(o, lines);
	out_lit(o, "Content-Length: 0\r\n\r\n");
}

void client_ack_refusal(struct work *w, struct txn *t, struct str to_value)
{
	char buf[CALL_MESSAGE_MAX];
	struct out o = OUT(buf, sizeof buf);

	sibling(w, t, SIP_ACK, to_value, STR_NONE, &o);
	if (o.overflow) {
		w->full = true;
		return;
	}
	t->response = work_keep(w, o.p, o.n);
	t->response_bytes = (uint32_t)o.n;
	t->flags |= TXN_ACK_KEPT;
	t->request = 0;
	client_ack_again(w, t);
}

void client_ack_again(struct work *w, struct txn *t)
{
	if (t->flags & TXN_ACK_KEPT)
		work_send(w, t->response, t->response_bytes, t->listen, &t->remote);
}

static void keep_reason(struct work *w, struct txn *t, struct str lines)
{
	if (!lines.n || t->response)
		return;
	t->response = work_keep(w, lines.p, lines.n);
	t->response_bytes = (uint32_t)lines.n;
}

/* Why an INVITE of ours is canceled, where nobody says it now. */
static struct str cancel_reason(const struct work *w, const struct txn *t)
{
	const char *kept = t->response ? shm_block(w->core->shm, t->response) : NULL;
	bool abandoned = t->flags & TXN_INITIAL && !t->peer;

	if (kept)
		return str_make(kept, t->response_bytes);
	return abandoned ? reason_line(CALL_END_NO_ANSWER) : reason_lines(w);
}

void client_cancel(struct work *w, struct txn *t, struct str lines)
{
	char buf[CALL_MESSAGE_MAX];
	struct out o = OUT(buf, sizeof buf);
	struct txn *cancel;
	uint16_t id = t->id;

	if (t->flags & TXN_CANCELED || (t->state != TXN_CALLING && t->state != TXN_PROCEEDING))
		return;
	t->flags |= TXN_CANCEL_WANTED;
	if (t->state == TXN_PROCEEDING) /* RFC 3261 §9.1: without a final answer in 64*T1 it counts as canceled */
		t->expire_ms = w->core->now_ms + txn_absorb_ms(t->t1_ms);
	if (t->state == TXN_CALLING || !call_room(w, 1)) {
		keep_reason(w, t, lines);
		return;
	}
	t = call_txn_by_id(&w->call, id);
	sibling(w, t, SIP_CANCEL, STR_NONE, lines.n ? lines : cancel_reason(w, t), &o);
	if (o.overflow || !(cancel = call_txn_new(w, true, SIP_CANCEL, t->leg))) {
		w->full = true;
		return;
	}
	t->flags = (uint16_t)((t->flags & ~TXN_CANCEL_WANTED) | TXN_CANCELED);
	cancel->branch = t->branch;
	cancel->cseq = t->cseq;
	cancel->purpose = TXN_FOR_CANCEL;
	client_start(w, cancel, o.p, o.n, &t->remote, t->listen);
}

bool client_timer_c(struct work *w, struct txn *t)
{
	if (t->machine != TXN_ICT || t->state != TXN_PROCEEDING || t->flags & (TXN_CANCEL_WANTED | TXN_CANCELED))
		return false;
	shm_count(w->core->self, CNT_timeouts);
	client_cancel(w, t, reason_line(CALL_END_NO_ANSWER));
	return true;
}

void client_abandon(struct txn *t)
{
	t->peer = 0;
	t->flags |= TXN_CANCEL_WANTED;
	t->resend_ms = SHM_NEVER;
}
