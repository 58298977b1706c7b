/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A user agent's transactions and dialog, written apart from src/: what is tested may not be its own judge. */
#include "sim.h"

enum {
	T1_MS = 500, T2_MS = 4000, GIVE_UP_MS = 64 * T1_MS,
	ABSORB_MS = 40000,          /* repeats are recognised for so long */
	RINGING_MS = 2000 * 1000,   /* an INVITE without a final answer for so long never gets one */
	MESSAGE_BYTES = 8192,
};

/* ---- timers */

static void ua_arm(struct ua *ua, uint64_t at_ms)
{
	struct sim *s = ua->call->sim;

	if (at_ms >= ua->wake_ms)
		return;
	ua->wake_ms = at_ms;
	sim_at(s, at_ms, EVENT_UA, ua);
}

static void arm_all(struct ua *ua)
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
	free(ua);
}

void ua_over(struct ua *ua)
{
	if (ua->state != UA_GONE)
		ua->state = UA_OVER;
	ua_unplan(ua, ACT_NONE);
}

/* ---- transactions */

static struct ua_txn *txn_new(struct ua *ua, bool client, enum sip_method method, uint32_t cseq)
{
	struct sim *s = ua->call->sim;

	for (unsigned i = 0; i < UA_TXNS; i++) {
		struct ua_txn *t = &ua->txn[i];
		if (t->used)
			continue;
		*t = (struct ua_txn){ .used = true, .client = client, .method = (uint8_t)method, .cseq = cseq, .peer = ua->proxy };
		t->resend_ms = UINT64_MAX;
		t->end_ms = s->now_ms + ABSORB_MS;
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

static char *copy(const char *bytes, uint32_t n)
{
	char *p = malloc(n);

	if (!p)
		abort();
	memcpy(p, bytes, n);
	return p;
}

static void send_kept(struct ua *ua, const struct ua_txn *t, const char *bytes, uint32_t n)
{
	if (bytes)
		network_send(ua->call->sim, &ua->addr, &t->peer, bytes, n);
}

static void txn_start_client(struct ua *ua, struct ua_txn *t, const char *buf, uint32_t n)
{
	struct sim *s = ua->call->sim;
	struct sip_fault why;
	struct sip_msg m;

	t->request = copy(buf, n);
	t->request_bytes = n;
	t->wait_ms = T1_MS;
	t->resend_ms = s->now_ms + t->wait_ms;
	t->end_ms = s->now_ms + GIVE_UP_MS;
	if (sip_parse(&m, t->request, n, &why) || sip_check(&m, &why)) {
		sim_fail(s, "the simulator wrote a bad message: %s", why.reason);
		return;
	}
	t->branch = text_branch(&m);
	wire_asked(ua->call, !ua->caller, &m);
	send_kept(ua, t, t->request, n);
	arm_all(ua);
}

void ua_send_request(struct ua *ua, enum sip_method method, bool offer)
{
	char buf[MESSAGE_BYTES], branch[64];
	uint32_t cseq = ++ua->cseq;
	struct ua_txn *t = txn_new(ua, true, method, cseq);

	if (!t)
		return;
	snprintf(branch, sizeof branch, "z9hG4bKs%u.%s.%u", ua->call->number, ua->tag, cseq);
	txn_start_client(ua, t, buf, text_request(ua, method, cseq, branch, offer, buf, sizeof buf));
}

void ua_send_old(struct ua *ua)
{
	char buf[MESSAGE_BYTES], branch[64];
	struct ua_txn *t = txn_new(ua, true, SIP_INFO, ua->cseq - 1);

	if (!t)
		return;
	snprintf(branch, sizeof branch, "z9hG4bKold%u.%s.%u", ua->call->number, ua->tag, (unsigned)rng_next(&ua->call->sim->rng));
	txn_start_client(ua, t, buf, text_request(ua, SIP_INFO, ua->cseq - 1, branch, false, buf, sizeof buf));
}

void ua_cancel(struct ua *ua)
{
	struct ua_txn *invite = ua_open_invite(ua, true), *t;
	char buf[MESSAGE_BYTES];

	if (!invite || invite->cancel_sent)
		return;
	ua->cancel_wanted = true;
	if (!invite->answered_once || !(t = txn_new(ua, true, SIP_CANCEL, invite->cseq)))
		return;
	invite->cancel_sent = true;
	ua->call->excuse |= EXCUSE_CANCEL;
	txn_start_client(ua, t, buf, text_follow(ua, invite, SIP_CANCEL, str_of(ua->remote), buf, sizeof buf));
}

/* ---- responses */

static void learn_target(struct ua *ua, const struct sip_msg *m)
{
	struct sip_values v = sip_values(m, SIP_H_CONTACT);
	struct sip_nameaddr na;
	struct sip_uri uri;
	struct addr a;
	struct str value;

	if (!sip_values_next(&v, &value) || sip_nameaddr_parse(&na, value) || sip_uri_parse(&uri, na.uri) || addr_parse_ip(&a, uri.host))
		return;
	a.port = uri.port ? uri.port : 5060;
	if (!network_is_ours(ua->call->sim, &a)) {
		sim_fail(ua->call->sim, "call %u was shown the Contact %.*s", ua->call->number, STR_FMT(na.uri));
		return;
	}
	snprintf(ua->target, sizeof ua->target, "%.*s", STR_FMT(na.uri));
	ua->proxy = a;
}

static void ack_2xx(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	char buf[MESSAGE_BYTES], branch[64];
	uint32_t n;

	if (ua->never_ack)
		return;
	snprintf(branch, sizeof branch, "z9hG4bKa%u.%s.%u", ua->call->number, ua->tag, t->cseq);
	n = text_request(ua, SIP_ACK, t->cseq, branch, ua->late_offer && m->body.n, buf, sizeof buf);
	free(t->response);
	t->response = copy(buf, n);
	t->response_bytes = n;
	t->peer = ua->proxy;
	send_kept(ua, t, t->response, n);
}

static void ack_refusal(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	char buf[MESSAGE_BYTES];

	t->response_bytes = text_follow(ua, t, SIP_ACK, sip_value(m, SIP_H_TO), buf, sizeof buf);
	free(t->response);
	t->response = copy(buf, t->response_bytes);
	send_kept(ua, t, t->response, t->response_bytes);
}

static void invite_final(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	bool initial = ua->state == UA_SETUP;

	if (m->status >= 300) {
		ack_refusal(ua, t, m);
		if (initial)
			caller_refused(ua, m);
		return;
	}
	if (initial) {
		snprintf(ua->peer_tag, sizeof ua->peer_tag, "%.*s", STR_FMT(m->to_tag));
		snprintf(ua->remote, sizeof ua->remote, "%.*s", STR_FMT(sip_value(m, SIP_H_TO)));
	}
	learn_target(ua, m);
	ack_2xx(ua, t, m);
	if (initial)
		caller_answered(ua);
}

static void provisional(struct ua *ua, struct ua_txn *t)
{
	struct sim *s = ua->call->sim;

	if (t->method == SIP_INVITE) {
		t->resend_ms = UINT64_MAX;
		t->end_ms = s->now_ms + RINGING_MS;
	}
	if (ua->cancel_wanted && t->method == SIP_INVITE)
		ua_cancel(ua);
}

void ua_response(struct ua *ua, struct sip_msg *m)
{
	struct ua_txn *t = ua_client(ua, text_branch(m), m->method);

	if (!t || ua->state == UA_GONE)
		return;
	t->answered_once = true;
	if (t->done) {
		if (t->method == SIP_INVITE && m->status >= 200)
			send_kept(ua, t, t->response, t->response_bytes);
		return;
	}
	t->status = m->status;
	if (m->status < 200) {
		provisional(ua, t);
		arm_all(ua);
		return;
	}
	t->done = true;
	t->resend_ms = UINT64_MAX;
	t->end_ms = ua->call->sim->now_ms + ABSORB_MS;
	if (t->method == SIP_INVITE)
		invite_final(ua, t, m);
	else if (t->method == SIP_BYE || ua->call->relay)
		ua_over(ua);
	else if (m->status == 481 && t->method != SIP_CANCEL)
		talk_denied(ua, t);
	arm_all(ua);
}

/* ---- requests */

void ua_answer(struct ua *ua, struct ua_txn *t, unsigned status, bool sdp)
{
	struct sim *s = ua->call->sim;
	char buf[MESSAGE_BYTES];

	if (t->status >= 200)
		return;
	t->status = (uint16_t)status;
	t->response_bytes = text_response(ua, t, status, sdp, buf, sizeof buf);
	free(t->response);
	t->response = copy(buf, t->response_bytes);
	send_kept(ua, t, t->response, t->response_bytes);
	t->done = status >= 200 && t->method != SIP_INVITE;
	if (status >= 200 && t->method == SIP_INVITE) {
		t->wait_ms = T1_MS;
		t->resend_ms = s->now_ms + T1_MS;
	}
	t->end_ms = status >= 200 ? s->now_ms + ABSORB_MS : UINT64_MAX;
	arm_all(ua);
}

static void acked(struct ua *ua, struct ua_txn *t)
{
	t->done = true;
	t->resend_ms = UINT64_MAX;
	t->end_ms = ua->call->sim->now_ms + ABSORB_MS;
	if (ua->state == UA_ANSWERED && t->status < 300) {
		ua->state = UA_TALKING;
		talk_script(ua);
	}
}

static void ack(struct ua *ua, const struct sip_msg *m, uint64_t branch)
{
	struct ua_txn *t = ua_server(ua, branch, SIP_INVITE);

	for (unsigned i = 0; !t && i < UA_TXNS; i++) {
		struct ua_txn *k = &ua->txn[i];
		if (k->used && !k->client && k->method == SIP_INVITE && k->cseq == m->cseq && k->status >= 200 && k->status < 300)
			t = k;
	}
	if (t && t->status >= 200 && !t->done)
		acked(ua, t);
}

static void refuse_open(struct ua *ua, unsigned status)
{
	for (unsigned i = 0; i < UA_TXNS; i++) {
		struct ua_txn *t = &ua->txn[i];
		if (t->used && !t->client && t->method == SIP_INVITE && t->status < 200)
			ua_answer(ua, t, status, false);
	}
}

/* RFC 3261 §14.2: an INVITE of either side is still open. */
static bool other_invite(struct ua *ua, const struct ua_txn *t)
{
	for (unsigned i = 0; i < UA_TXNS; i++) {
		const struct ua_txn *k = &ua->txn[i];
		if (k->used && k != t && k->method == SIP_INVITE && !k->done)
			return true;
	}
	return false;
}

/* Of a fork's ends one speaks for the proxy that forked, and only until one has answered (RFC 3261 §16.7). */
static void canceled(struct ua *ua, struct ua_txn *t)
{
	struct ua_txn *invite = ua_server(ua, t->branch, SIP_INVITE);

	if (!ua->twin)
		ua_answer(ua, t, invite ? 200 : 481, false);
	if (!invite || invite->status >= 200)
		return;
	if (!ua->twin && !call_answered_elsewhere(ua, t->branch))
		ua_answer(ua, invite, 487, false);
	if (ua->state == UA_SETUP)
		ua_over(ua);
}

static void dialog_request(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	if (m->method == SIP_CANCEL) {
		canceled(ua, t);
	} else if (m->method == SIP_BYE) {
		talk_ended(ua);
		ua_answer(ua, t, 200, false);
		refuse_open(ua, 487);
		ua_over(ua);
	} else if (ua->mute) {
		ua->call->excuse |= EXCUSE_MUTE;
	} else if (ua->state == UA_OVER) {
		ua_answer(ua, t, 481, false);
	} else if (m->method == SIP_INVITE) {
		learn_target(ua, m);
		t->end_ms = UINT64_MAX;
		ua_answer(ua, t, other_invite(ua, t) ? 491 : 200, true);
	} else {
		ua_answer(ua, t, 200, false);
	}
}

struct ua_txn *ua_take(struct ua *ua, const struct sip_msg *m, const struct packet *packet)
{
	struct ua_txn *t = txn_new(ua, false, m->method, m->cseq);

	if (!t)
		return NULL;
	t->branch = text_branch(m);
	t->peer = packet->from;
	t->request = copy(packet->bytes, packet->length);
	t->request_bytes = packet->length;
	return t;
}

void ua_request(struct ua *ua, struct sip_msg *m, const struct packet *packet)
{
	uint64_t branch = text_branch(m);
	struct ua_txn *t;

	if (ua->state == UA_GONE)
		return;
	if (m->method == SIP_ACK) {
		ack(ua, m, branch);
		arm_all(ua);
		return;
	}
	t = ua_server(ua, branch, m->method);
	if (t) {
		send_kept(ua, t, t->response, t->response_bytes);
		return;
	}
	t = ua_take(ua, m, packet);
	if (t)
		dialog_request(ua, t, m);
	arm_all(ua);
}

/* ---- waking */

static void resend(struct ua *ua, struct ua_txn *t)
{
	struct sim *s = ua->call->sim;

	if (t->client)
		send_kept(ua, t, t->request, t->request_bytes);
	else
		send_kept(ua, t, t->response, t->response_bytes);
	t->wait_ms *= 2;
	if (t->wait_ms > T2_MS && (!t->client || t->method != SIP_INVITE))
		t->wait_ms = T2_MS;
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
	for (unsigned i = 0; i < UA_ACTS && !s->failed; i++) {
		enum ua_act act = ua->acts[i].act;
		if (!act || ua->acts[i].at_ms > s->now_ms)
			continue;
		ua->acts[i].act = ACT_NONE;
		ua_do(ua, act);
	}
	arm_all(ua);
}
