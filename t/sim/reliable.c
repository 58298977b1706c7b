/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reliable provisional responses as user agents see them (RFC 3262): gateways repeat them until our PRACK, callers acknowledge ours, some never. */
#include "ini/params.h"
#include "sim.h"

enum {
	RSEQ_MAX = 0x7fffffff,
	BUSY_MS = 200,               /* one is open: the next waits */
	ALLOWED = EXCUSE_CANCEL | EXCUSE_BYE | EXCUSE_GONE | EXCUSE_NO_ACK | EXCUSE_ADMIN | EXCUSE_MUTE | EXCUSE_FULL | EXCUSE_NO_PRACK,
};

void ua_rel_draw(struct ua *ua)
{
	struct rng *r = &ua->call->sim->rng;
	uint32_t n = rng_below(r, 100);

	ua->rel.knows = n < 40 ? REL_NOT : n < 85 ? REL_SUPPORTS : REL_REQUIRES;
	ua->rel.sloppy = rng_permille(r, 150);
	if (!ua->caller || ua->rel.knows == REL_NOT || !rng_permille(r, 30))
		return;
	ua->rel.never = true;
	ua->call->excuse |= EXCUSE_NO_PRACK;
}

/* ---- a gateway's end */

bool ua_rel_refuses(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	bool must = sip_has_token(m, SIP_H_REQUIRE, STR("100rel")), may = must || sip_has_token(m, SIP_H_SUPPORTED, STR("100rel"));

	if (ua->forked && must && ua->rel.knows == REL_NOT)
		ua->rel.knows = REL_SUPPORTS;
	ua->rel.active = may && ua->rel.knows;
	ua->rel.rseq = rng_permille(&ua->call->sim->rng, 50) ? RSEQ_MAX - 1 : rng_below(&ua->call->sim->rng, RSEQ_MAX - 100);
	if (ua->forked || (must ? ua->rel.knows != REL_NOT : ua->rel.knows != REL_REQUIRES || may))
		return false;
	ua_answer(ua, t, must ? 420 : 421, false);
	return true;
}

bool ua_rel_provisional(struct ua *ua, struct ua_txn *t, unsigned status, bool sdp)
{
	struct ua_reliable *rel = &ua->rel;
	struct sim *s = ua->call->sim;
	char buf[UA_MESSAGE];

	if (rel->open) {
		ua_plan(ua, BUSY_MS, status == 180 ? ACT_RING : ACT_EARLY);
		return true;
	}
	if (!ua->offered && !rel->offered)
		sdp = true; /* RFC 3262 §5: the first one bears the offer */
	if (rel->described || (rel->offered && sdp))
		sdp = sdp && rel->sloppy && ua->offered;
	ua->sdp_version += sdp;
	rel->rseq++;
	rel->writing = true;
	t->status = (uint16_t)status;
	rel->length = text_response(ua, t, status, sdp, buf, sizeof buf);
	rel->writing = false;
	free(rel->bytes);
	rel->bytes = ua_keep(buf, rel->length);
	rel->to = t->peer;
	rel->open = true;
	rel->open_sdp = sdp;
	rel->offered |= sdp && !ua->offered;
	rel->wait_ms = UA_T1_MS;
	rel->resend_ms = s->now_ms + rel->wait_ms;
	rel->end_ms = s->now_ms + UA_GIVE_UP_MS;
	network_send(s, &ua->addr, &rel->to, rel->bytes, rel->length);
	ua_arm_all(ua);
	return true;
}

bool ua_rel_holds(struct ua *ua)
{
	if (!ua->rel.open || !ua->rel.open_sdp)
		return false;
	ua_plan(ua, BUSY_MS, ACT_ANSWER);
	return true;
}

void ua_rel_stop(struct ua *ua)
{
	ua->rel.open = false;
}

/* No PRACK in 64*T1: the INVITE fails (RFC 3262 §3). */
static void unacknowledged(struct ua *ua)
{
	struct ua_txn *t = ua_open_invite(ua, false);
	struct sim_call *c = ua->call;

	ua_rel_stop(ua);
	if (!t || ua->state != UA_SETUP)
		return;
	if (!(c->excuse & ALLOWED) && !call_answered_elsewhere(ua, t->branch))
		sim_fail(c->sim, "call %u: the gateway's reliable %u got no PRACK", c->number, t->status);
	if (ua->forked)
		return;
	c->excuse |= EXCUSE_REJECT;
	ua_answer(ua, t, 504, false);
	ua_over(ua);
}

void ua_rel_wake(struct ua *ua)
{
	struct ua_reliable *rel = &ua->rel;
	struct sim *s = ua->call->sim;

	if (!rel->open || rel->resend_ms > s->now_ms)
		return;
	if (rel->end_ms <= s->now_ms) {
		unacknowledged(ua);
		return;
	}
	network_send(s, &ua->addr, &rel->to, rel->bytes, rel->length);
	rel->wait_ms *= 2;
	rel->resend_ms = s->now_ms + rel->wait_ms < rel->end_ms ? s->now_ms + rel->wait_ms : rel->end_ms;
}

static bool end_to_end(const struct ua *callee)
{
	const struct sim *s = callee->call->sim;

	return s->plan.rel_callers == PARAMS_100REL_PASSTHROUGH && s->plan.rel_gateway[callee->addr.ip[3] - 1] == PARAMS_100REL_PASSTHROUGH;
}

/* The INVITE that a RAck means; NULL. */
static struct ua_txn *invite_of(struct ua *ua, uint32_t cseq)
{
	for (unsigned i = 0; i < UA_TXNS; i++) {
		struct ua_txn *t = &ua->txn[i];
		if (t->used && !t->client && t->method == SIP_INVITE && t->cseq == cseq)
			return t;
	}
	return NULL;
}

void ua_rel_pracked(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	struct ua_reliable *rel = &ua->rel;
	struct sim_call *c = ua->call;
	uint32_t rseq = 0, cseq = 0;
	struct str method = STR_NONE;
	bool read = !sip_rack_parse(sip_value(m, SIP_H_RACK), &rseq, &cseq, &method) && str_eq(method, STR("INVITE")) && invite_of(ua, cseq);

	c->sim->stats->pracks++;
	if (!read || !rel->open || rseq != rel->rseq) {
		if ((!read || rseq > rel->rseq || !rel->active) && !end_to_end(ua))
			sim_fail(c->sim, "call %u: PRACK %u %u fits nothing of its gateway's", c->number, rseq, cseq);
		else if (rseq == rel->last_acked && !end_to_end(ua) && ua->state == UA_SETUP)
			sim_fail(c->sim, "call %u: a second PRACK for %u", c->number, rseq);
		ua_answer(ua, t, 481, false);
		return;
	}
	rel->open = false;
	rel->last_acked = rseq;
	rel->described += rel->open_sdp;
	if (rel->open_sdp && !ua->offered && !m->body.n && !(c->excuse & ALLOWED))
		sim_fail(c->sim, "call %u: the offer in a reliable response got no answer by PRACK", c->number);
	ua->sdp_version += m->body.n && ua->offered;
	ua_answer(ua, t, 200, m->body.n && ua->offered);
}

/* ---- a caller */

static struct heard *heard_of(struct ua *ua, const struct sip_msg *m)
{
	struct ua_reliable *rel = &ua->rel;
	uint64_t tag = text_hash(m->to_tag);

	for (unsigned i = 0; i < rel->nheard; i++)
		if (rel->heard[i].tag == tag)
			return &rel->heard[i];
	if (rel->nheard == UA_TAGS)
		return NULL;
	rel->heard[rel->nheard].tag = tag;
	return &rel->heard[rel->nheard++];
}

static void described(struct ua *ua, struct heard *h, const struct sip_msg *m)
{
	uint32_t version = text_version(m->body);

	if (version < h->version)
		sim_fail(ua->call->sim, "call %u: description %u after %u", ua->call->number, version, h->version);
	h->described += version > h->version; /* an unreliable one may have been repeated on its way to us */
	h->version = version;
}

static void target_of(struct heard *h, const struct sip_msg *m)
{
	struct sip_values v = sip_values(m, SIP_H_CONTACT);
	struct sip_nameaddr na;
	struct str value;

	snprintf(h->remote, sizeof h->remote, "%.*s", STR_FMT(sip_value(m, SIP_H_TO)));
	if (sip_values_next(&v, &value) && !sip_nameaddr_parse(&na, value))
		snprintf(h->target, sizeof h->target, "%.*s", STR_FMT(na.uri));
}

void ua_rel_heard(struct ua *ua, const struct sip_msg *m)
{
	struct sim_call *c = ua->call;
	struct heard *h;
	uint32_t rseq = 0;
	bool reliable = sip_has_token(m, SIP_H_REQUIRE, STR("100rel")) || sip_first(m, SIP_H_RSEQ);

	if (!reliable)
		return;
	if (m->status == 100 || ua->rel.knows == REL_NOT || sip_number_parse(sip_value(m, SIP_H_RSEQ), UINT32_MAX, &rseq) || !rseq) {
		sim_fail(c->sim, "call %u: a reliable %u to a caller who cannot, or RSeq %u", c->number, m->status, rseq);
		return;
	}
	h = heard_of(ua, m);
	if (!h || (h->rseq && rseq <= h->rseq))
		return;
	if (h->rseq ? rseq != h->rseq + 1 || h->waits : rseq > RSEQ_MAX) {
		sim_fail(c->sim, "call %u: RSeq %u after %u, which was %s", c->number, rseq, h->rseq, h->waits ? "not acknowledged" : "acknowledged");
		return;
	}
	h->rseq = rseq;
	h->waits = true;
	h->offer = ua->late_offer && m->body.n;
	if (m->body.n)
		described(ua, h, m);
	target_of(h, m);
	if (!ua->rel.never)
		ua_plan(ua, rng_permille(&c->sim->rng, 800) ? 0 : rng_below(&c->sim->rng, 5000), ACT_PRACK);
}

bool ua_rel_answered_offer(const struct ua *ua, struct str tag)
{
	for (unsigned i = 0; i < ua->rel.nheard; i++)
		if (ua->rel.heard[i].tag == text_hash(tag))
			return ua->rel.heard[i].offer_answered;
	return false;
}

static struct ua_txn *send_prack(struct ua *ua, const struct heard *h, uint32_t rseq, bool sdp)
{
	struct ua_txn *invite = ua_open_invite(ua, true), *t;
	char remote[UA_TEXT], target[UA_TEXT], lines[80];

	if (!invite)
		return NULL;
	memcpy(remote, ua->remote, sizeof remote);
	memcpy(target, ua->target, sizeof target);
	memcpy(ua->remote, h->remote, sizeof remote);
	if (h->target[0])
		memcpy(ua->target, h->target, sizeof target);
	snprintf(lines, sizeof lines, "RAck: %u %u INVITE\r\n", rseq, invite->cseq);
	t = ua_send_with(ua, SIP_PRACK, sdp, lines);
	memcpy(ua->remote, remote, sizeof remote);
	memcpy(ua->target, target, sizeof target);
	return t;
}

void ua_rel_prack(struct ua *ua)
{
	struct rng *r = &ua->call->sim->rng;
	struct ua_txn *t;

	for (unsigned i = 0; i < ua->rel.nheard; i++) {
		struct heard *h = &ua->rel.heard[i];
		if (!h->waits || ua->state != UA_SETUP)
			continue;
		if (ua->rel.sloppy && rng_permille(r, 200) && (t = send_prack(ua, h, h->rseq + 7, false)))
			t->wrong = true;
		h->waits = false;
		/* Beside the answer to an offer, now and then an offer of its own. */
		t = send_prack(ua, h, h->rseq, h->offer || (!ua->late_offer && h->described == 1 && rng_permille(r, 100)));
		h->offer_answered |= h->offer && t;
		if (ua->rel.sloppy && !h->offer && rng_permille(r, 200))
			send_prack(ua, h, h->rseq, false); /* once more, which gets 481, or the first one does */
	}
}

/* The end of the gateway's that answers. */
static const struct ua *end_of(const struct sim_call *c, struct str tag)
{
	for (unsigned i = 1; i < c->nuas; i++)
		if (str_eq(str_of(c->uas[i]->tag), tag))
			return c->uas[i];
	return NULL;
}

void ua_rel_answered(struct ua *ua, const struct ua_txn *t, const struct sip_msg *m)
{
	struct sim_call *c = ua->call;
	const struct ua *end = end_of(c, m->to_tag);
	bool open = ua->state == UA_SETUP && ua_open_invite(ua, true) && !ua->cancel_wanted && !c->answer_arrived_ms && end && end->state == UA_SETUP;

	if (t->wrong && m->status < 300 && !(c->excuse & ALLOWED))
		sim_fail(c->sim, "call %u: a PRACK for nothing got %u", c->number, m->status);
	else if (!t->wrong && m->status == 481 && open && !ua->rel.sloppy && !(c->excuse & (ALLOWED | EXCUSE_REJECT | EXCUSE_SILENT)))
		sim_fail(c->sim, "call %u: a good PRACK got 481", c->number);
	else if (!t->wrong && t->offer && !ua->late_offer && m->status < 300 && !m->body.n && !(c->excuse & ALLOWED))
		sim_fail(c->sim, "call %u: the offer in a PRACK got no answer", c->number);
}

void ua_rel_check_2xx(struct ua *ua, const struct sip_msg *m)
{
	struct sim_call *c = ua->call;
	const struct ua *end = end_of(c, m->to_tag);
	const struct heard *h = NULL;

	for (unsigned i = 0; i < ua->rel.nheard; i++)
		if (ua->rel.heard[i].tag == text_hash(m->to_tag))
			h = &ua->rel.heard[i];
	if (c->excuse & EXCUSE_FULL || !end)
		return;
	if (!m->body.n && !(h && h->described))
		sim_fail(c->sim, "call %u: its caller got a 200 and no description", c->number);
	else if (end->rel.described && ua->rel.knows && c->sim->plan.rel_callers != PARAMS_100REL_OFF && end->rel.described != (h ? h->described : 0) &&
		 !(ua->late_offer && !h))
		sim_fail(c->sim, "call %u: %u descriptions were acknowledged to the gateway, its caller heard %u before the 200", c->number,
			 end->rel.described, h ? h->described : 0);
}

bool ua_rel_modes_refuse(const struct ua *ua, unsigned status)
{
	const struct plan *plan = &ua->call->sim->plan;
	bool can = ua->rel.knows && plan->rel_callers != PARAMS_100REL_OFF;

	if (status == 420)
		return plan->rel_callers == PARAMS_100REL_OFF && ua->rel.knows == REL_REQUIRES;
	if (status == 421)
		return plan->rel_callers == PARAMS_100REL_REQUIRED && ua->rel.knows == REL_NOT;
	for (unsigned i = 0; status == 488 && i < plan->gateways; i++)
		if (ua->late_offer && !can && plan->rel_gateway[i] == PARAMS_100REL_REQUIRED)
			return true;
	return false;
}
