/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A call as the simulator knows it, and to which of its user agents a message goes. */
#include "sim.h"

struct sim_call *call_new(struct sim *s, unsigned number)
{
	struct sim_call *c = calloc(1, sizeof *c);
	struct rng *r = &s->rng;

	if (!c)
		abort();
	c->sim = s;
	c->number = number;
	c->relay = rng_permille(r, 60);
	c->excuse = s->plan.tight ? EXCUSE_FULL : 0;
	c->talk_ms = 10 + rng_below(r, s->plan.talk_ms);
	c->ending = (uint8_t)rng_below(r, END_BOTH_GONE);
	if (s->plan.max_call_duration_ms && rng_permille(r, 200))
		c->ending = rng_permille(r, 500) ? END_LIMIT : END_BOTH_GONE;
	return c;
}

void call_free(struct sim_call *c)
{
	for (unsigned i = 0; i < c->nuas; i++)
		ua_free(c->uas[i]);
	free(c->seen);
	free(c);
}

void call_start(struct sim_call *c)
{
	struct sim *s = c->sim;
	struct ua *ua = ua_new(c, true, &s->caller_addr[rng_below(&s->rng, SIM_CALLERS)]);

	c->started_ms = s->now_ms;
	s->stats->calls++;
	if (ua)
		caller_script(ua);
}

static struct sim_call *by_number(struct sim *s, struct str digits)
{
	uint64_t number;

	if (str_u64(digits, s->ncalls - 1, &number))
		return NULL;
	return s->calls[number];
}

struct sim_call *call_by_id(struct sim *s, struct str call_id)
{
	size_t dot = str_chr(call_id, '.');

	return call_id.n && call_id.p[0] == 'c' ? by_number(s, str_from(str_head(call_id, dot), 1)) : NULL;
}

struct sim_call *call_of(struct sim *s, const struct sip_msg *m)
{
	struct sip_nameaddr na;
	struct sip_uri uri;

	if (sip_nameaddr_parse(&na, sip_value(m, SIP_H_FROM)) || sip_uri_parse(&uri, na.uri) || uri.user.n < 2)
		return NULL;
	return by_number(s, str_from(uri.user, 1));
}

static struct ua_txn *other_end(const struct ua *ua, uint64_t branch)
{
	const struct sim_call *c = ua->call;

	for (unsigned i = 0; i < c->nuas; i++) {
		struct ua_txn *t = c->uas[i] == ua ? NULL : ua_server(c->uas[i], branch, SIP_INVITE);
		if (t)
			return t;
	}
	return NULL;
}

bool call_answered_elsewhere(const struct ua *ua, uint64_t branch)
{
	const struct ua_txn *t = other_end(ua, branch);

	return t && t->status >= 200 && t->status < 300;
}

/* An INVITE that comes for the first time: a gateway, which may fork it to two ends. */
static void callee_invite(struct sim_call *c, struct sip_msg *m, const struct packet *packet)
{
	unsigned ends = 1 + (!c->relay && rng_permille(&c->sim->rng, 80));

	for (unsigned i = 0; i < ends; i++) {
		struct ua *ua = ua_new(c, false, &packet->to);
		struct ua_txn *t = ua ? ua_take(ua, m, packet) : NULL;
		if (!t)
			return;
		t->end_ms = UINT64_MAX;
		ua->forked = ends > 1;
		ua->twin = i > 0;
		callee_script(ua, m);
		if (ua->state != UA_GONE && !ua->twin && rng_permille(&c->sim->rng, 700))
			ua_answer(ua, t, 100, false);
	}
}

static void callee_message(struct sim_call *c, struct sip_msg *m, const struct packet *packet)
{
	struct ua *ua = ua_new(c, false, &packet->to);

	if (!ua)
		return;
	snprintf(ua->call_id, sizeof ua->call_id, "%.*s", STR_FMT(m->call_id));
	ua_request(ua, m, packet);
	ua_over(ua);
}

static bool fits(const struct ua *ua, const struct sip_msg *m, const struct packet *packet)
{
	if (!addr_eq(&ua->addr, &packet->to))
		return false;
	return strlen(ua->tag) == m->to_tag.n && memcmp(ua->tag, m->to_tag.p, m->to_tag.n) == 0;
}

/* A request goes to the end whose tag it bears; CANCEL, repeats and the ACK of a refusal by the transaction, to all ends of a fork. */
static void deliver_request(struct sim_call *c, struct sip_msg *m, const struct packet *packet)
{
	uint64_t branch = text_branch(m);
	bool invite = m->method == SIP_INVITE || m->method == SIP_CANCEL || m->method == SIP_ACK, taken = false;
	bool in_dialog = m->to_tag.n != 0 && m->method != SIP_ACK;

	for (unsigned i = 0; i < c->nuas; i++) {
		struct ua *ua = c->uas[i];
		bool same = addr_eq(&ua->addr, &packet->to) && ua_server(ua, branch, invite ? SIP_INVITE : m->method);
		if (!same && !fits(ua, m, packet))
			continue;
		taken = true;
		ua_request(ua, m, packet);
	}
	if (taken || m->method == SIP_ACK || m->method == SIP_CANCEL)
		return;
	if (in_dialog)
		sim_fail(c->sim, "call %u: %.*s to a dialog that nobody has", c->number, STR_FMT(m->method_name));
	else if (m->method == SIP_INVITE)
		callee_invite(c, m, packet);
	else
		callee_message(c, m, packet);
}

void call_arrive(struct sim *s, const struct packet *packet)
{
	struct sip_fault why;
	struct sip_msg *m = malloc(sizeof *m);
	struct sim_call *c;

	if (!m)
		abort();
	if (sip_parse(m, packet->bytes, packet->length, &why) || sip_check(m, &why) || !(c = call_of(s, m))) {
		sim_fail(s, "a datagram of ours cannot be read");
	} else if (!m->status) {
		deliver_request(c, m, packet);
	} else {
		for (unsigned i = 0; i < c->nuas; i++)
			if (addr_eq(&c->uas[i]->addr, &packet->to))
				ua_response(c->uas[i], m);
	}
	free(m);
}
