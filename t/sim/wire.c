/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold of every datagram that we send: readable, of a call that exists, with bodies of that call; CSeq numbers used once on each leg
 * (RFC 3261 §12.2.1.1), ACK and CANCEL with their INVITE's; answers to requests that were asked, and one final answer to each. */
#include "sim.h"

static struct seen *seen_find(struct sim_call *c, bool callee_side, bool ours, uint64_t branch, enum sip_method method)
{
	for (unsigned i = 0; i < c->nseen; i++) {
		struct seen *k = &c->seen[i];
		if (k->branch == branch && k->method == method && k->callee_side == callee_side && k->ours == ours)
			return k;
	}
	return NULL;
}

/* Each dialog of a fork counts for itself, and all begin with the INVITE's number. */
static bool same_dialog(const struct seen *k, bool callee_side, uint64_t dialog)
{
	return k->ours && k->callee_side == callee_side && k->method != SIP_CANCEL && (!k->dialog || !dialog || k->dialog == dialog);
}

static uint64_t dialog_of(const struct sip_msg *m)
{
	return m->to_tag.n ? text_hash(m->to_tag) : 0;
}

static struct seen *seen_number(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	for (unsigned i = 0; i < c->nseen; i++)
		if (same_dialog(&c->seen[i], callee_side, dialog_of(m)) && c->seen[i].cseq == m->cseq)
			return &c->seen[i];
	return NULL;
}

static uint32_t seen_highest(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	uint32_t highest = 0;

	for (unsigned i = 0; i < c->nseen; i++)
		if (same_dialog(&c->seen[i], callee_side, dialog_of(m)) && c->seen[i].cseq > highest)
			highest = c->seen[i].cseq;
	return highest;
}

static void seen_add(struct sim_call *c, bool callee_side, bool ours, uint64_t branch, const struct sip_msg *m)
{
	if (c->nseen == c->seen_cap) {
		c->seen_cap = c->seen_cap ? 2 * c->seen_cap : 16;
		c->seen = realloc(c->seen, c->seen_cap * sizeof *c->seen);
		if (!c->seen)
			abort();
	}
	c->seen[c->nseen++] = (struct seen){
		.branch = branch, .dialog = dialog_of(m), .cseq = m->cseq, .method = (uint8_t)m->method, .callee_side = callee_side, .ours = ours,
		.initial = !m->to_tag.n, .at_ms = ours ? c->sim->now_ms : 0,
	};
}

/* ---- requests of ours that carry nobody's */

/* An endpoint's request of the other leg that waits to be carried on; one that a 422 stopped goes on twice. */
static bool carries(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	for (unsigned i = c->nseen; i > 0; i--) {
		struct seen *k = &c->seen[i - 1];
		if (k->ours || k->callee_side == callee_side || k->method != m->method || !k->at_ms || k->carried > 1)
			continue;
		if (k->final && !(c->excuse & EXCUSE_FULL)) /* a stateless refusal is forgotten: the repeat may find room */
			continue;
		k->carried++;
		return true;
	}
	return false;
}

/* RFC 3264 §4, RFC 4028 §7.4: none while an INVITE is open on either leg, or a 2xx to one is not acknowledged. */
static void nothing_open(struct sim_call *c, const struct sip_msg *m)
{
	enum { SAME_TURN_MS = 5 };

	for (unsigned i = 0; i < c->nseen; i++) {
		const struct seen *k = &c->seen[i];
		bool success = k->final >= 200 && k->final < 300;
		bool unanswered = k->ours && !k->final && k->at_ms + UA_GIVE_UP_MS <= c->sim->now_ms; /* it may have been given up */
		if (k->method != SIP_INVITE || !k->at_ms || k->at_ms + SAME_TURN_MS > c->sim->now_ms || unanswered)
			continue;
		if (k->final ? success && !k->acked && !k->initial : !k->initial)
			sim_fail(c->sim, "call %u: our %.*s %u while INVITE %u of %s is open", c->number, STR_FMT(m->method_name), m->cseq, k->cseq,
				 k->ours ? "ours" : "theirs");
	}
}

static void sent_own(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	const struct plan *plan = &c->sim->plan;
	struct seen *k = &c->seen[c->nseen - 1];

	if ((m->method != SIP_INVITE && m->method != SIP_UPDATE) || !m->to_tag.n || carries(c, callee_side, m))
		return;
	k->own = true;
	for (unsigned i = c->nseen - 1; i > 0; i--)
		if (c->seen[i - 1].own && c->seen[i - 1].callee_side == callee_side) {
			if (c->seen[i - 1].final == 422)
				return; /* asks again at once */
			break;
		}
	if (!plan->kill_every && !plan->interrupt_every && !c->over_ms)
		nothing_open(c, m);
}

bool wire_own(const struct ua *ua, uint64_t branch, enum sip_method method)
{
	const struct seen *k = seen_find(ua->call, !ua->caller, true, branch, method);

	return k && k->own;
}

uint64_t wire_sent_ms(const struct ua *ua, uint64_t branch, enum sip_method method)
{
	const struct seen *k = seen_find(ua->call, !ua->caller, true, branch, method);

	return k ? k->at_ms : 0;
}

bool wire_heard(const struct ua *ua, uint64_t branch, enum sip_method method)
{
	const struct seen *k = seen_find(ua->call, !ua->caller, true, branch, method);

	return k && k->heard;
}

/* ---- what we send */

/* So much at once that there is no room to remember every answer (CALL_TXNS). */
static bool crowded(const struct sim_call *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->nseen; i++)
		n += c->seen[i].at_ms + UA_ABSORB_MS > c->sim->now_ms;
	return n >= CALL_TXNS - 2;
}

/* A BYE in the dialog of the call, not to an end of a fork that answered too late. */
static void ends(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	if (m->method == SIP_BYE && !c->over_ms && (m->status || !callee_side || dialog_of(m) == c->answered_tag))
		c->over_ms = c->sim->now_ms;
}

void wire_asked(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	seen_add(c, callee_side, false, text_branch(m), m);
}

static void sent_ack(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	struct seen *k = seen_find(c, callee_side, true, text_branch(m), SIP_INVITE);

	if (!k)
		k = seen_number(c, callee_side, m);
	if (!k || k->method != SIP_INVITE || k->cseq != m->cseq)
		sim_fail(c->sim, "call %u: ACK %u of no INVITE", c->number, m->cseq);
	else
		k->acked = true;
}

static void sent_request(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	uint64_t branch = text_branch(m);
	struct seen *k = seen_find(c, callee_side, true, branch, m->method);

	if (k) {
		if (k->cseq != m->cseq)
			sim_fail(c->sim, "call %u: a resend changed its CSeq from %u to %u", c->number, k->cseq, m->cseq);
		return;
	}
	if (m->method == SIP_CANCEL) {
		k = seen_find(c, callee_side, true, branch, SIP_INVITE);
		if (!k || k->cseq != m->cseq)
			sim_fail(c->sim, "call %u: CANCEL %u of no INVITE", c->number, m->cseq);
	} else if (!c->relay) {
		if (seen_number(c, callee_side, m))
			sim_fail(c->sim, "call %u: CSeq %u used twice on the %s's leg", c->number, m->cseq, callee_side ? "callee" : "caller");
		if (m->cseq < seen_highest(c, callee_side, m))
			sim_fail(c->sim, "call %u: CSeq %u after %u", c->number, m->cseq, seen_highest(c, callee_side, m));
	}
	seen_add(c, callee_side, true, branch, m);
	sent_own(c, callee_side, m);
	ends(c, callee_side, m);
}

/* A status that no stateless answer of ours has. */
static bool slot_proved(unsigned status)
{
	return status < 300 || (status > 403 && status < 500 && (status < 420 || status > 422) && status != 482);
}

static void sent_response(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	struct seen *k = seen_find(c, callee_side, false, text_branch(m), m->method);

	if (!k || k->cseq != m->cseq) {
		sim_fail(c->sim, "call %u: %u to a request that nobody sent", c->number, m->status);
		return;
	}
	if (m->method == SIP_INVITE && k->initial && !callee_side && slot_proved(m->status))
		c->got_slot = true;
	if (m->status < 200)
		return;
	if (m->method == SIP_INVITE && k->initial && m->status < 300)
		c->answered_tag = dialog_of(m);
	if (m->status < 300)
		ends(c, callee_side, m);
	if (k->final && k->final != m->status && !(c->excuse & EXCUSE_FULL) && !crowded(c))
		sim_fail(c->sim, "call %u: %u after %u to the same %.*s", c->number, m->status, k->final,
			 STR_FMT(sip_method_name(m->method)));
	k->final = m->status;
}

static bool to_gateway(const struct sim *s, const struct addr *to)
{
	for (unsigned i = 0; i < s->plan.gateways; i++)
		if (addr_eq(to, &s->gateway_addr[i]))
			return true;
	return false;
}

void wire_sent(struct sim *s, const struct addr *to, const void *bytes, uint32_t length)
{
	struct sip_msg *m = malloc(sizeof *m);
	struct sip_fault why = { 0, "" };
	bool callee_side = to_gateway(s, to);
	struct sim_call *c;

	if (!m)
		abort();
	if (s->failed) {
		free(m);
		return;
	}
	if (sip_parse(m, bytes, length, &why) || sip_check(m, &why))
		sim_fail(s, "we sent what cannot be read: %s", why.reason);
	else if (!(c = call_of(s, m)))
		sim_fail(s, "we sent a message of no call");
	else if (text_foreign(c, m->body))
		sim_fail(s, "call %u was sent a body of another call", c->number);
	else if (m->status)
		sent_response(c, callee_side, m);
	else if (m->method == SIP_ACK)
		sent_ack(c, callee_side, m);
	else
		sent_request(c, callee_side, m);
	free(m);
}

static void received_ack(struct sim_call *c, bool callee_side, const struct sip_msg *m)
{
	for (unsigned i = 0; i < c->nseen; i++) {
		struct seen *k = &c->seen[i];
		if (!k->ours && k->callee_side == callee_side && k->method == SIP_INVITE && k->cseq == m->cseq)
			k->acked = true;
	}
}

void wire_received(struct sim *s, struct sim_call *c, struct sip_msg *m, const struct addr *from)
{
	bool callee_side = to_gateway(s, from);
	struct seen *k;

	if (!c)
		return;
	if (m->status >= 200 && m->status < 300 && m->method == SIP_INVITE && callee_side && !c->answer_arrived_ms)
		c->answer_arrived_ms = s->now_ms;
	if (!m->status && m->method == SIP_ACK)
		received_ack(c, callee_side, m);
	k = seen_find(c, callee_side, m->status != 0, text_branch(m), m->method);
	if (k && m->status)
		k->heard = true;
	if (k && m->status >= 200 && !k->final)
		k->final = m->status;
	if (k && !m->status && !k->at_ms)
		k->at_ms = s->now_ms;
}
