/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A user agent's transactions and dialog, written apart from src/: what is tested may not be its own judge. */
#include "sim.h"

/* ---- timers */

static void ua_arm(struct ua *ua, uint64_t at_ms)
{
	struct sim *s = ua->call->sim;

	if (at_ms >= ua->wake_ms)
		return;
	ua->wake_ms = at_ms;
	sim_at(s, at_ms, EVENT_UA, ua);
}

void ua_arm_all(struct ua *ua)
{
	uint64_t at_ms = UINT64_MAX;

	for (unsigned i = 0; i < UA_TXNS; i++) {
		const struct ua_txn *t = &ua->txn[i];
		if (t->used && t->resend_ms < at_ms)
			at_ms = t->resend_ms;
		if (t->used && t->end_ms < at_ms)
			at_ms = t->end_ms;
	}
	for (unsigned i = 0; i < UA_ACTS; i++)
		if (ua->acts[i].act && ua->acts[i].at_ms < at_ms)
			at_ms = ua->acts[i].at_ms;
	if (ua->rel.open && ua->rel.resend_ms < at_ms)
		at_ms = ua->rel.resend_ms;
	ua_arm(ua, at_ms);
}

void ua_plan(struct ua *ua, uint64_t after_ms, enum ua_act act)
{
	for (unsigned i = 0; i < UA_ACTS; i++)
		if (!ua->acts[i].act) {
			ua->acts[i].act = (uint8_t)act;
			ua->acts[i].at_ms = ua->call->sim->now_ms + after_ms;
			ua_arm(ua, ua->acts[i].at_ms);
			return;
		}
}

void ua_unplan(struct ua *ua, enum ua_act act)
{
	for (unsigned i = 0; i < UA_ACTS; i++)
		if (act == ACT_NONE || ua->acts[i].act == act)
			ua->acts[i].act = ACT_NONE;
}

/* ---- life */

struct ua *ua_new(struct sim_call *c, bool caller, const struct addr *addr)
{
	struct ua *ua;

	if (c->nuas == CALL_UAS)
		return NULL;
	ua = calloc(1, sizeof *ua);
	if (!ua)
		abort();
	ua->call = c;
	ua->caller = caller;
	ua->addr = *addr;
	ua->proxy = c->sim->listen.bound;
	ua->wake_ms = UINT64_MAX;
	ua->cseq = 1 + rng_below(&c->sim->rng, 1000);
	snprintf(ua->tag, sizeof ua->tag, "t%x", (unsigned)rng_next(&c->sim->rng));
	ua->sdp_version = 1;
	ua_session_draw(ua);
	ua_rel_draw(ua);
	c->uas[c->nuas++] = ua;
	return ua;
}

static void txn_release(struct ua_txn *t)
{
	free(t->request);
	free(t->response);
	memset(t, 0, sizeof *t);
}

void ua_free(struct ua *ua)
{
	for (unsigned i = 0; i < UA_TXNS; i++)
		txn_release(&ua->txn[i]);
	free(ua->rel.bytes);
	free(ua);
}

void ua_over(struct ua *ua)
{
	if (ua->state != UA_GONE)
		ua->state = UA_OVER;
	ua_rel_stop(ua);
	ua_unplan(ua, ACT_NONE);
}

/* ---- transactions */

struct ua_txn *ua_txn_new(struct ua *ua, bool client, enum sip_method method, uint32_t cseq)
{
	struct sim *s = ua->call->sim;

	for (unsigned i = 0; i < UA_TXNS; i++) {
		struct ua_txn *t = &ua->txn[i];
		if (t->used)
			continue;
		*t = (struct ua_txn){ .used = true, .client = client, .method = (uint8_t)method, .cseq = cseq, .peer = ua->proxy };
		t->resend_ms = UINT64_MAX;
		t->end_ms = s->now_ms + UA_ABSORB_MS;
		return t;
	}
	return NULL;
}

static struct ua_txn *find(struct ua *ua, bool client, uint64_t branch, enum sip_method method)
{
	for (unsigned i = 0; i < UA_TXNS; i++) {
		struct ua_txn *t = &ua->txn[i];
		if (t->used && t->client == client && t->branch == branch && t->method == method)
			return t;
	}
	return NULL;
}

struct ua_txn *ua_server(struct ua *ua, uint64_t branch, enum sip_method method)
{
	return find(ua, false, branch, method);
}

struct ua_txn *ua_client(struct ua *ua, uint64_t branch, enum sip_method method)
{
	return find(ua, true, branch, method);
}

struct ua_txn *ua_open_invite(struct ua *ua, bool client)
{
	for (unsigned i = 0; i < UA_TXNS; i++) {
		struct ua_txn *t = &ua->txn[i];
		if (t->used && t->client == client && t->method == SIP_INVITE && (client ? !t->done : t->status < 200 || !t->done))
			return t;
	}
	return NULL;
}

char *ua_keep(const char *bytes, uint32_t n)
{
	char *p = malloc(n);

	if (!p)
		abort();
	memcpy(p, bytes, n);
	return p;
}

void ua_send_kept(struct ua *ua, const struct ua_txn *t, const char *bytes, uint32_t n)
{
	if (bytes)
		network_send(ua->call->sim, &ua->addr, &t->peer, bytes, n);
}

static void txn_start_client(struct ua *ua, struct ua_txn *t, const char *buf, uint32_t n)
{
	struct sim *s = ua->call->sim;
	struct sip_fault why;
	struct sip_msg m;

	t->request = ua_keep(buf, n);
	t->request_bytes = n;
	t->wait_ms = UA_T1_MS;
	t->resend_ms = s->now_ms + t->wait_ms;
	t->end_ms = s->now_ms + UA_PATIENCE_MS;
	if (sip_parse(&m, t->request, n, &why) || sip_check(&m, &why)) {
		sim_fail(s, "the simulator wrote a bad message: %s", why.reason);
		return;
	}
	t->branch = text_branch(&m);
	wire_asked(ua->call, !ua->caller, &m);
	ua_send_kept(ua, t, t->request, n);
	ua_arm_all(ua);
}

struct ua_txn *ua_send_with(struct ua *ua, enum sip_method method, bool offer, const char *lines)
{
	char buf[UA_MESSAGE], branch[64];
	uint32_t cseq = ++ua->cseq;
	struct ua_txn *t = ua_txn_new(ua, true, method, cseq);

	if (!t)
		return NULL;
	if (offer)
		ua->sdp_version++;
	t->offer = offer;
	snprintf(branch, sizeof branch, "z9hG4bKs%u.%s.%u", ua->call->number, ua->tag, cseq);
	txn_start_client(ua, t, buf, text_request(ua, method, cseq, branch, offer, lines, buf, sizeof buf));
	return t;
}

struct ua_txn *ua_send_request(struct ua *ua, enum sip_method method, bool offer)
{
	return ua_send_with(ua, method, offer, "");
}

void ua_send_old(struct ua *ua)
{
	char buf[UA_MESSAGE], branch[64];
	struct ua_txn *t = ua_txn_new(ua, true, SIP_INFO, ua->cseq - 1);

	if (!t)
		return;
	snprintf(branch, sizeof branch, "z9hG4bKold%u.%s.%u", ua->call->number, ua->tag, (unsigned)rng_next(&ua->call->sim->rng));
	txn_start_client(ua, t, buf, text_request(ua, SIP_INFO, ua->cseq - 1, branch, false, "", buf, sizeof buf));
}

void ua_cancel(struct ua *ua)
{
	struct ua_txn *invite = ua_open_invite(ua, true), *t;
	char buf[UA_MESSAGE];

	if (!invite || invite->cancel_sent)
		return;
	ua->cancel_wanted = true;
	if (!invite->answered_once || !(t = ua_txn_new(ua, true, SIP_CANCEL, invite->cseq)))
		return;
	invite->cancel_sent = true;
	ua->call->excuse |= EXCUSE_CANCEL;
	txn_start_client(ua, t, buf, text_follow(ua, invite, SIP_CANCEL, str_of(ua->remote), buf, sizeof buf));
}

/* ---- waking */

static void resend(struct ua *ua, struct ua_txn *t)
{
	struct sim *s = ua->call->sim;

	if (t->client)
		ua_send_kept(ua, t, t->request, t->request_bytes);
	else
		ua_send_kept(ua, t, t->response, t->response_bytes);
	t->wait_ms *= 2;
	if (t->wait_ms > UA_T2_MS && (!t->client || t->method != SIP_INVITE))
		t->wait_ms = UA_T2_MS;
	t->resend_ms = s->now_ms + t->wait_ms;
}

static void expire(struct ua *ua, struct ua_txn *t)
{
	bool waited = t->client ? !t->done : t->method == SIP_INVITE && !t->done;
	struct ua_txn was = *t;

	t->request = t->response = NULL;
	txn_release(t);
	if (waited)
		talk_unanswered(ua, &was);
	txn_release(&was);
}

void ua_wake(struct ua *ua)
{
	struct sim *s = ua->call->sim;

	ua->wake_ms = UINT64_MAX;
	if (ua->state == UA_GONE)
		return;
	for (unsigned i = 0; i < UA_TXNS && !s->failed; i++) {
		struct ua_txn *t = &ua->txn[i];
		if (t->used && t->end_ms <= s->now_ms)
			expire(ua, t);
		else if (t->used && t->resend_ms <= s->now_ms)
			resend(ua, t);
	}
	ua_rel_wake(ua);
	for (unsigned i = 0; i < UA_ACTS && !s->failed; i++) {
		enum ua_act act = ua->acts[i].act;
		if (!act || ua->acts[i].at_ms > s->now_ms)
			continue;
		ua->acts[i].act = ACT_NONE;
		ua_do(ua, act);
	}
	ua_arm_all(ua);
}
