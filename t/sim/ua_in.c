/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What user agents do with what arrives: responses to their requests, requests in their dialogs (RFC 3261 §12 to §15). */
#include "sim.h"

/* Who may excuse an ACK without the answer: nobody is left to give one. */
enum { FAIR_ACK = EXCUSE_CANCEL | EXCUSE_BYE | EXCUSE_GONE | EXCUSE_NO_ACK | EXCUSE_ADMIN | EXCUSE_FULL };

enum {
	RINGING_MS = 2000 * 1000, /* an INVITE without a final answer for so long never gets one */
	LATEST_MS = 70000,        /* so late comes the answer to a re-INVITE: Timer C, and twice 64*T1 */
	NOTIFY_MS = 25000,
};

/* ---- responses */

void ua_learn_target(struct ua *ua, const struct sip_msg *m)
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

void ua_learn_sdp(struct ua *ua, const struct sip_msg *m)
{
	uint64_t tag = text_author(m->body);
	uint32_t version = text_version(m->body);

	if (!tag || (tag == ua->known_tag && version <= ua->known_version))
		return;
	ua->known_tag = tag;
	ua->known_version = version;
}

/* RFC 3264 §8: a refresh repeats what was agreed last, never what was before. */
static void not_before(struct ua *ua, const struct sip_msg *m)
{
	if (text_author(m->body) == ua->known_tag && ua->known_tag && text_version(m->body) < ua->known_version)
		sim_fail(ua->call->sim, "call %u: our re-INVITE brings description %u back after %u", ua->call->number, text_version(m->body),
			 ua->known_version);
}

static void ack_2xx(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	char buf[UA_MESSAGE], branch[64];
	uint32_t n;

	if (ua->never_ack)
		return;
	snprintf(branch, sizeof branch, "z9hG4bKa%u.%s.%u", ua->call->number, ua->tag, t->cseq);
	n = text_request(ua, SIP_ACK, t->cseq, branch, !t->offer && m->body.n && !ua_rel_answered_offer(ua, m->to_tag), "", buf, sizeof buf);
	free(t->response);
	t->response = ua_keep(buf, n);
	t->response_bytes = n;
	t->peer = ua->proxy;
	ua_send_kept(ua, t, t->response, n);
}

static void ack_refusal(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	char buf[UA_MESSAGE];

	t->response_bytes = text_follow(ua, t, SIP_ACK, sip_value(m, SIP_H_TO), buf, sizeof buf);
	free(t->response);
	t->response = ua_keep(buf, t->response_bytes);
	ua_send_kept(ua, t, t->response, t->response_bytes);
}

static void invite_final(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	bool initial = ua->state == UA_SETUP;

	if (m->status >= 300) {
		ack_refusal(ua, t, m);
		if (m->status == 422 && ua_session_retry(ua, m))
			return;
		if (initial)
			caller_refused(ua, m);
		else
			ua_session_refused(ua, t, m);
		return;
	}
	if (initial) {
		snprintf(ua->peer_tag, sizeof ua->peer_tag, "%.*s", STR_FMT(m->to_tag));
		snprintf(ua->remote, sizeof ua->remote, "%.*s", STR_FMT(sip_value(m, SIP_H_TO)));
	}
	ua_learn_target(ua, m);
	ua_session_agreed(ua, t, m);
	ua_learn_sdp(ua, m);
	ack_2xx(ua, t, m);
	if (initial)
		caller_answered(ua, m);
}

static void provisional(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	struct sim *s = ua->call->sim;

	if (t->method == SIP_INVITE) {
		t->resend_ms = UINT64_MAX;
		t->end_ms = s->now_ms + RINGING_MS;
	}
	if (ua->state == UA_SETUP && ua->caller && t->method == SIP_INVITE)
		ua_rel_heard(ua, m);
	if (ua->cancel_wanted && t->method == SIP_INVITE)
		ua_cancel(ua);
}

static void updated(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	ua_session_agreed(ua, t, m);
	ua_learn_sdp(ua, m);
}

/* Neither to an INVITE nor to a BYE. */
static void other_final(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	if (t->method == SIP_PRACK)
		ua_rel_answered(ua, t, m);
	else if (m->status == 481 && t->method != SIP_CANCEL)
		talk_denied(ua, t);
	else if (t->method == SIP_UPDATE && m->status < 300)
		updated(ua, t, m);
	else if (t->method == SIP_UPDATE)
		ua_session_refused(ua, t, m);
}

void ua_response(struct ua *ua, struct sip_msg *m)
{
	struct ua_txn *t = ua_client(ua, text_branch(m), m->method);

	if (!t || ua->state == UA_GONE)
		return;
	t->answered_once = true;
	if (t->done) {
		if (t->method == SIP_INVITE && m->status >= 200)
			ua_send_kept(ua, t, t->response, t->response_bytes);
		return;
	}
	t->status = m->status;
	if (m->status < 200) {
		provisional(ua, t, m);
		ua_arm_all(ua);
		return;
	}
	t->done = true;
	t->resend_ms = UINT64_MAX;
	t->end_ms = ua->call->sim->now_ms + UA_ABSORB_MS;
	if (t->method == SIP_INVITE)
		invite_final(ua, t, m);
	else if (t->method == SIP_BYE || ua->call->relay)
		ua_over(ua);
	else
		other_final(ua, t, m);
	ua_arm_all(ua);
}

/* ---- requests */

void ua_answer(struct ua *ua, struct ua_txn *t, unsigned status, bool sdp)
{
	struct sim *s = ua->call->sim;
	char buf[UA_MESSAGE];

	if (t->status >= 200)
		return;
	if (status >= 200 && t->method == SIP_INVITE)
		ua_rel_stop(ua);
	t->status = (uint16_t)status;
	t->response_bytes = text_response(ua, t, status, sdp, buf, sizeof buf);
	free(t->response);
	t->response = ua_keep(buf, t->response_bytes);
	ua_send_kept(ua, t, t->response, t->response_bytes);
	t->done = status >= 200 && t->method != SIP_INVITE;
	if (status >= 200 && t->method == SIP_INVITE) {
		t->wait_ms = UA_T1_MS;
		t->resend_ms = s->now_ms + UA_T1_MS;
	}
	t->end_ms = status >= 200 ? s->now_ms + UA_ABSORB_MS : UINT64_MAX;
	ua_arm_all(ua);
}

static void acked(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	t->done = true;
	t->resend_ms = UINT64_MAX;
	t->end_ms = ua->call->sim->now_ms + UA_ABSORB_MS;
	if (ua->state == UA_ANSWERED && t->status < 300) {
		if (!t->offer && !ua->rel.offered && !m->body.n && !(ua->call->excuse & FAIR_ACK))
			sim_fail(ua->call->sim, "call %u: the ACK brings no answer to the offer in the 2xx", ua->call->number);
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
	if (t && t->status < 300)
		ua_learn_sdp(ua, m);
	if (t && t->status >= 200 && !t->done)
		acked(ua, t, m);
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

/* Of a fork's ends one speaks for the proxy that forked, and only until one has answered (RFC 3261 §16.7); each for itself of a re-INVITE. */
static void canceled(struct ua *ua, struct ua_txn *t)
{
	struct ua_txn *invite = ua_server(ua, t->branch, SIP_INVITE);
	bool speaks = !ua->twin || ua->state == UA_TALKING;

	if (speaks)
		ua_answer(ua, t, invite ? 200 : 481, false);
	if (!invite || invite->status >= 200)
		return;
	if (speaks && !invite->deaf && !call_answered_elsewhere(ua, t->branch))
		ua_answer(ua, invite, 487, false);
	if (ua->state == UA_TALKING && !ua->session.interval_s)
		ua->session.confirmed_ms = ua->call->sim->now_ms; /* it answers, so it lives */
	if (ua->state == UA_SETUP)
		ua_over(ua);
}

/* An UPDATE with an offer meets an offer of its own (RFC 3311 §5.2). */
static bool offers_cross(struct ua *ua, const struct ua_txn *t)
{
	for (unsigned i = 0; i < UA_TXNS; i++) {
		const struct ua_txn *k = &ua->txn[i];
		if (k->used && k->client && k != t && !k->done && (k->method == SIP_INVITE || (k->method == SIP_UPDATE && k->offer)))
			return true;
	}
	return false;
}

/* Now and then one rings for a re-INVITE until that is canceled, and may answer all the same when nobody waits any more. */
static bool ponders(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	struct rng *r = &ua->call->sim->rng;

	if (m->method != SIP_INVITE || ua->state != UA_TALKING || !rng_permille(r, 30))
		return false;
	ua->call->excuse |= EXCUSE_BUSY;
	t->deaf = rng_permille(r, 400);
	if (t->deaf)
		ua_plan(ua, 1000 + rng_below(r, LATEST_MS), ACT_LATE);
	ua_answer(ua, t, 180, false);
	return true;
}

static void accept_offer(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	if (m->body.n || m->method == SIP_INVITE)
		ua->sdp_version++;
	ua_learn_sdp(ua, m);
	ua_answer(ua, t, 200, m->body.n || m->method == SIP_INVITE);
}

void ua_answer_late(struct ua *ua)
{
	struct sip_fault why;
	struct sip_msg m;

	for (unsigned i = 0; ua->state == UA_TALKING && i < UA_TXNS; i++) {
		struct ua_txn *t = &ua->txn[i];
		if (t->used && t->deaf && t->status < 200 && !sip_parse(&m, t->request, t->request_bytes, &why) && !sip_check(&m, &why))
			accept_offer(ua, t, &m);
	}
}

static void in_session(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	bool glare = m->method == SIP_INVITE ? other_invite(ua, t) : m->body.n && offers_cross(ua, t);

	ua_learn_target(ua, m);
	if (wire_own(ua, t->branch, m->method) && m->method == SIP_INVITE)
		not_before(ua, m);
	if (wire_own(ua, t->branch, m->method))
		ua_session_asked(ua, m, wire_sent_ms(ua, t->branch, m->method));
	if (m->method == SIP_INVITE)
		t->end_ms = UINT64_MAX;
	if (glare) {
		ua_answer(ua, t, 491, false);
	} else if (!ua_session_refuses(ua, t, m) && !ponders(ua, t, m)) {
		accept_offer(ua, t, m);
	}
}

static void dialog_request(struct ua *ua, struct ua_txn *t, const struct sip_msg *m)
{
	bool late;

	if (m->method == SIP_CANCEL) {
		canceled(ua, t);
		return;
	}
	late = m->cseq < ua->cseq_remote;
	ua->cseq_remote = late ? ua->cseq_remote : m->cseq;
	if (m->method == SIP_BYE) {
		talk_ended(ua);
		ua_answer(ua, t, 200, false);
		refuse_open(ua, 487);
		ua_over(ua);
		if (ua->referred)
			ua_plan(ua, rng_below(&ua->call->sim->rng, NOTIFY_MS), ACT_NOTIFY);
	} else if (ua->mute) {
		ua->call->excuse |= EXCUSE_MUTE;
		if (!ua->gone_ms)
			ua->gone_ms = ua->call->sim->now_ms;
	} else if (ua->state == UA_OVER && m->method != SIP_NOTIFY) {
		ua_answer(ua, t, 481, false);
	} else if (late) {
		ua->call->excuse |= wire_own(ua, t->branch, m->method) ? EXCUSE_BUSY : 0;
		ua_answer(ua, t, 500, false); /* RFC 3261 §12.2.2 */
	} else if (m->method == SIP_PRACK) {
		ua_rel_pracked(ua, t, m);
	} else if (m->method == SIP_INVITE || m->method == SIP_UPDATE) {
		in_session(ua, t, m);
	} else {
		if (m->method == SIP_REFER)
			ua->referred = true;
		ua_answer(ua, t, 200, false);
	}
}

struct ua_txn *ua_take(struct ua *ua, const struct sip_msg *m, const struct packet *packet)
{
	struct ua_txn *t = ua_txn_new(ua, false, m->method, m->cseq);

	if (!t)
		return NULL;
	t->branch = text_branch(m);
	t->offer = m->body.n != 0;
	t->peer = packet->from;
	t->request = ua_keep(packet->bytes, packet->length);
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
		ua_arm_all(ua);
		return;
	}
	t = ua_server(ua, branch, m->method);
	if (t) {
		ua_send_kept(ua, t, t->response, t->response_bytes);
		return;
	}
	t = ua_take(ua, m, packet);
	if (t)
		dialog_request(ua, t, m);
	ua_arm_all(ua);
}
