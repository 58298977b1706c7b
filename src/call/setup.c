/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The INVITE that sets a call up: admission, the attempts at gateways one after the other (RFC 3261 §16.7), and refusal. */
#include "base/err.h"
#include "call/call.h"

enum { CANDIDATES = 64, PROVISIONAL_MAX_MS = 32000, OWN_ID_KEPT = 16 };

uint64_t invite_uri_hash(const struct core *core, const struct sip_msg *m)
{
	struct str part[2] = { m->uri, str_make((const char *)&m->cseq, sizeof m->cseq) };

	return siphash_strs(shm_key_index(core->shm), part, 2);
}

/* ------------------------------------------------------------------------------------------ admission */

/* Proxy-Require is for us, and we know no such extension (RFC 3261 §16.3). Require of an INVITE is for a user agent, which in law we are: tags that
 * everybody knows pass to the callee, who answers for them; others are refused here (§8.2.2.3). */
static void unsupported(struct out *o, const struct sip_msg *m, enum sip_header_id id)
{
	struct sip_values v = sip_values(m, id);
	struct str tag;

	while (sip_values_next(&v, &tag)) {
		if (id == SIP_H_REQUIRE && sip_option_known(tag))
			continue;
		out_str(o, o->n ? STR(", ") : STR("Unsupported: "));
		out_str(o, tag);
	}
}

/* RFC 3261 §16.3: what must hold before a request is taken on. Answers and returns false where it does not. */
bool admit(struct core *core, const struct shm_datagram *d, const struct sip_msg *m)
{
	char buf[512], user[CALL_USER_MAX];
	struct out o = OUT(buf, sizeof buf);
	const struct sip_uri *uri = &m->request_uri;
	struct str dialed;
	uint32_t hops;

	if (!uri->is_sip && !uri->is_sips && !str_ieq(uri->scheme, STR("tel"))) {
		stateless_answer(core, d, m, 416, STR_NONE, STR_NONE);
		return false;
	}
	/* Never route by a part of a number, and never send one on as it was dialed for want of room. */
	if (m->uri.n > CALL_URI_MAX || (m->uri.n > CALL_USER_MAX && sip_uri_user(uri, user, sizeof user, &dialed) == ERR_SPACE)) {
		stateless_answer(core, d, m, 414, STR_NONE, STR_NONE);
		return false;
	}
	if (!sip_number_parse(sip_value(m, SIP_H_MAX_FORWARDS), 255, &hops) && hops == 0) {
		shm_count(core->self, CNT_loops);
		stateless_answer(core, d, m, 483, STR_NONE, STR_NONE);
		return false;
	}
	unsupported(&o, m, SIP_H_PROXY_REQUIRE);
	if (m->method == SIP_INVITE)
		unsupported(&o, m, SIP_H_REQUIRE);
	if (!o.n)
		return true;
	out_lit(&o, "\r\n");
	shm_count(core->self, CNT_bad_extension);
	stateless_answer(core, d, m, 420, STR_NONE, o.overflow ? STR_NONE : out_done(&o));
	return false;
}

/* ------------------------------------------------------------------------------------------ an attempt */

/* A Call-ID of leg B's own keeps the bytes that steering looks at. */
static void own_call_id(struct work *w, const struct sip_msg *m, struct out *o)
{
	out_str(o, str_head(m->call_id, OWN_ID_KEPT));
	out_lit(o, "-");
	out_hex(o, w->call.seed, 16);
}

/* Both Call-IDs find the call, wherever it may go: a callee who does not use our Contact is known by his own. */
static void index_own_id(struct work *w, const struct sip_msg *m)
{
	char id[OWN_ID_KEPT + 24];
	struct out o = OUT(id, sizeof id);

	if (!route_has_own_ids(w->core->route))
		return;
	own_call_id(w, m, &o);
	w->key[1] = call_key(w->core, out_done(&o), m->from_tag);
}

static void leg_b_for(struct work *w, const struct sip_msg *m, unsigned gateway, const struct route_gateway *gw)
{
	struct leg *b = &w->call.leg[LEG_B];
	char id[OWN_ID_KEPT + 24];
	struct out o = OUT(id, sizeof id);

	b->gateway = (uint16_t)gateway;
	b->listen = gw->listen;
	b->remote = b->source = gw->addr;
	b->cseq_local = w->call.ntried ? b->cseq_local + 1 : cseq_first(m->cseq);
	b->dialog = 0;
	b->allow = 0;
	b->session = (struct session){ 0 }; /* what another gateway's 422 taught is not this one's */
	b->sdp = 0;
	w->call.rel &= (uint8_t)~REL_USED_B;
	forks_renew(&w->call);
	w->call.nqueued = 0; /* what rang there rings no more */
	w->call.flags &= (uint16_t)~CALL_OWN_ID;
	if (gw->call_id == CONF_CALL_ID_OWN) {
		struct str s[DIALOG_FIELDS] = { 0 };
		own_call_id(w, m, &o);
		s[DIALOG_CALL_ID] = out_done(&o);
		b->dialog = work_strings(w, s, DIALOG_FIELDS);
		w->call.flags |= CALL_OWN_ID;
	}
}

void setup_await(struct work *w, const struct txn *t)
{
	const struct params *p = leg_params(w, LEG_B);
	uint64_t wait = p->invite_timeout_ms, give_up = txn_give_up_ms(p, t->t1_ms);

	if (!wait)
		wait = give_up < PROVISIONAL_MAX_MS ? give_up : PROVISIONAL_MAX_MS;
	w->call.provisional_limit_ms = w->core->now_ms + wait;
}

/* Whether a Request-URI has a user part that is this number and reads the same however it is written: digits, no more. */
static bool has_number(struct str uri, struct str number)
{
	struct str rest = str_from(uri, 4);

	if (!str_starts(uri, STR("sip:")) || !str_starts(rest, number) || !str_starts(str_from(rest, number.n), STR("@")))
		return false;
	for (size_t i = 0; i < number.n; i++)
		if (number.p[i] < '0' || number.p[i] > '9')
			return false;
	return true;
}

/* The user part as it is sent, for the record. */
static void note_sent(struct work *w, const char *bytes, size_t n)
{
	struct leg *a = &w->call.leg[LEG_A];
	struct str line = str_make(bytes, n), text, sent = STR_NONE;
	char buf[CALL_USER_MAX + CONF_PREFIX];
	struct sip_uri uri;

	line = str_from(line, str_chr(line, ' ') + 1);
	text = str_head(line, str_chr(line, ' '));
	if (!has_number(text, strings_get(w->core->shm, a->dialog, DIALOG_DIALED)) && !sip_uri_parse(&uri, text))
		sip_uri_user(&uri, buf, sizeof buf, &sent);
	a->dialog = dialog_with_sent(w, a->dialog, sent);
}

/* Counted from the caller's INVITE, however many gateways are tried; what a gateway's ringing has put off stays so. */
static void limits(struct work *w)
{
	uint32_t setup_ms = CALL_LIMIT_MS(w, setup_early_hangup_ms), ring_ms = CALL_LIMIT_MS(w, ring_timeout_ms);
	struct call *c = &w->call;
	uint64_t ring_limit_ms = ring_ms ? c->setup_ms + ring_ms : SHM_NEVER;

	c->setup_limit_ms = setup_ms ? c->setup_ms + setup_ms : SHM_NEVER;
	if (c->ring_limit_ms == SHM_NEVER || ring_limit_ms > c->ring_limit_ms)
		c->ring_limit_ms = ring_limit_ms;
}

static void attempt(struct work *w, const struct sip_msg *m, unsigned gateway, struct txn *s)
{
	const struct route_gateway *gw = route_gateway(w->core->route, gateway);
	char buf[CALL_MESSAGE_MAX];
	struct txn *t;
	size_t n;

	leg_b_for(w, m, gateway, gw);
	w->call.tried[w->call.ntried++] = (uint16_t)gateway;
	if (!(t = call_txn_new(w, true, SIP_INVITE, LEG_B))) {
		w->full = true;
		return;
	}
	t->cseq = w->call.leg[LEG_B].cseq_local;
	t->flags = TXN_INITIAL | (has_sdp(m) ? TXN_HAD_OFFER : 0);
	t->peer = s->id;
	s->peer = t->id;
	if (rewrite_invite(w, m, gw, t, buf, sizeof buf, &n)) {
		w->full = true;
		return;
	}
	client_start(w, t, buf, n, &gw->addr, gw->listen);
	setup_await(w, t);
	limits(w);
	note_sent(w, buf, n);
}

/* ------------------------------------------------------------------------------------------ which gateway next */

static bool was_tried(const struct call *c, unsigned gateway)
{
	for (unsigned i = 0; i < c->ntried; i++)
		if (c->tried[i] == gateway)
			return true;
	return false;
}

/* RFC 3262 on both legs: a gateway that must be reliable needs a caller who can answer its offer. */
static bool can_offer(struct work *w, unsigned gateway, bool *unfit)
{
	if (reliable_attempt(w, route_gateway(w->core->route, gateway)->params))
		return true;
	*unfit = true;
	return false;
}

/* A number that `strip` leaves nothing of is not sent on as it was dialed: it may mean something else there. */
static bool can_dial(const struct work *w, unsigned gateway, struct str dialed)
{
	bool can = route_can_dial(w->core->route, gateway, dialed);

	if (!can)
		shm_count(w->core->self, CNT_numbers_too_short);
	return can;
}

/* The next untried gateway with room; CALL_NO_GATEWAY. *any: there is a route at all for that number; *unfit: one was passed over for its 100rel. */
static unsigned choose(struct work *w, bool *any, bool *unfit)
{
	struct str dialed = strings_get(w->core->shm, w->call.leg[LEG_A].dialog, DIALOG_DIALED);
	uint16_t list[CANDIDATES];
	unsigned n = route_candidates(w->core->route, dialed, w->call.seed, list, CANDIDATES);

	*any = !n && route_has_match(w->core->route, dialed);
	for (unsigned i = 0; i < n && w->call.ntried < CALL_TRIED; i++) {
		if (!can_dial(w, list[i], dialed))
			continue;
		*any = true;
		if (!was_tried(&w->call, list[i]) && route_has_room(w->core->route, list[i]) && can_offer(w, list[i], unfit))
			return list[i];
	}
	return CALL_NO_GATEWAY;
}

/* Nobody is left: the caller gets the last gateway's answer, or one of ours. */
static void give_up(struct work *w, bool any, unsigned status, const struct sip_msg *failed, struct str lines)
{
	if (failed)
		setup_refuse(w, status, CALL_BY_CALLEE, reason_of_status(status), failed, lines);
	else if (status)
		setup_refuse(w, status, CALL_BY_SERVER, CALL_END_GATEWAY_FAILED, NULL, reason_line(CALL_END_GATEWAY_FAILED));
	else if (any)
		setup_refuse(w, 503, CALL_BY_SERVER, CALL_END_GATEWAY_FAILED, NULL, STR("Retry-After: 10\r\n"));
	else
		setup_refuse(w, 404, CALL_BY_SERVER, CALL_END_NO_ROUTE, NULL, STR_NONE);
}

void setup_next_gateway(struct work *w, const struct sip_msg *invite, unsigned status, const struct sip_msg *failed)
{
	struct call *c = &w->call;
	bool any = true, unfit = false, room = call_room(w, 1), fails_over = route_fails_over(status);
	struct str lines = failed ? reliable_unfit(c, failed) : STR_NONE;
	struct txn *s = call_invite(c);
	struct sip_fault why;
	struct sip_msg own;
	unsigned gateway = CALL_NO_GATEWAY;

	if (status && status != 503)
		c->flags &= (uint16_t)~CALL_ALL_503;
	if (room && (!status || ((fails_over || lines.n) && !(c->flags & CALL_EARLY_MEDIA))))
		gateway = choose(w, &any, &unfit);
	if (!invite && gateway != CALL_NO_GATEWAY) {
		const char *bytes = shm_block(w->core->shm, c->invite);
		if (!bytes || sip_parse(&own, bytes, c->invite_bytes, &why) || sip_check(&own, &why))
			gateway = CALL_NO_GATEWAY;
		invite = &own;
	}
	if (!s || gateway == CALL_NO_GATEWAY) {
		if (unfit && !status)
			setup_refuse(w, 488, CALL_BY_SERVER, CALL_END_REJECTED, NULL, STR("Warning: 399 velador \"Gateway requires 100rel, which an INVITE without offer from this caller cannot have\"\r\n"));
		else
			give_up(w, any, status, failed, lines);
		return;
	}
	if (status)
		shm_count(w->core->self, CNT_calls_failed_over);
	attempt(w, invite, gateway, s);
}

/* ------------------------------------------------------------------------------------------ refusal */

enum call_reason reason_of_status(unsigned status)
{
	switch (status) {
	case 486:
	case 600:
		return CALL_END_BUSY;
	case 408:
	case 480:
		return CALL_END_NO_ANSWER;
	case 487:
		return CALL_END_CANCELED;
	default:
		return status >= 500 && status < 600 ? CALL_END_GATEWAY_FAILED : CALL_END_REJECTED;
	}
}

void setup_refuse(struct work *w, unsigned status, enum call_side by, enum call_reason why, const struct sip_msg *response, struct str lines)
{
	struct txn *s = call_invite(&w->call);
	struct reshape shape = { .lines = lines };
	char buf[CALL_MESSAGE_MAX];
	size_t n;

	if (response && status == response->status)
		status = relayed_status(response);
	/* RFC 3261 §16.7: a gateway's 503 says nothing of us, unless all said so; after early media the others were not asked. */
	if (response && status == 503 && (w->call.flags & (CALL_ALL_503 | CALL_EARLY_MEDIA)) != CALL_ALL_503)
		status = 500;
	w->call.sip_status = (uint16_t)status;
	if (s && response && !rewrite_response_as(w, response, s, status, &shape, buf, sizeof buf, &n))
		server_send(w, s, status, buf, n);
	else if (s)
		server_answer(w, s, status, STR_NONE, lines);
	call_ended(w, by, why);
}

/* ------------------------------------------------------------------------------------------ the INVITE */

static bool begin_call(struct work *w, const struct sip_msg *m, unsigned caller)
{
	struct call *c = &w->call;
	struct leg *a = &c->leg[LEG_A];
	struct str dialed = STR_NONE;
	char user[CALL_USER_MAX];
	struct txn *s;

	c->phase = CALL_SETUP;
	c->flags = CALL_ALL_503;
	c->seed = w->core->random(w->core->random_arg);
	c->uri_hash = invite_uri_hash(w->core, m);
	index_own_id(w, m);
	a->gateway = (uint16_t)caller;
	a->listen = w->datagram->listen;
	a->remote = a->source = w->datagram->from;
	a->cseq_remote = m->cseq;
	sip_uri_user(&m->request_uri, user, sizeof user, &dialed);
	a->dialog = dialog_of_invite(w, m, dialed);
	dialog_next_hop(w, a->dialog, &a->source, &a->remote);
	leg_learn(a, m);
	reliable_begin(w, m);
	c->invite = work_keep(w, m->raw.p, m->raw.n);
	c->invite_bytes = (uint32_t)m->raw.n;
	if (!(s = server_open(w, m, LEG_A)))
		return false;
	s->flags |= TXN_INITIAL;
	server_trying(w, s);
	return !w->full;
}

/* RFC 4028 §9: too short an interval of a caller who knows timers. */
static bool admit_session(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, unsigned caller)
{
	const struct route_gateway *gw = route_gateway(core->route, caller);
	struct session_wish wish;
	char text[48];
	struct out lines = OUT(text, sizeof text);

	session_read(&wish, m);
	if (!session_too_small(gw ? gw->params : core->params, &wish, &lines))
		return true;
	shm_count(core->self, CNT_intervals_too_small);
	stateless_answer(core, d, m, 422, STR_NONE, out_done(&lines));
	return false;
}

static bool admit_reliable(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, unsigned caller)
{
	const struct route_gateway *gw = route_gateway(core->route, caller);
	char text[160];
	struct out lines = OUT(text, sizeof text);
	unsigned status = reliable_refusal(gw ? gw->params : core->params, m, &lines);

	if (!status)
		return true;
	shm_count(core->self, CNT_bad_extension);
	stateless_answer(core, d, m, status, STR_NONE, out_done(&lines));
	return false;
}

int setup_invite(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, const struct request_keys *keys)
{
	struct work w;
	unsigned caller;

	if (route_caller(core->route, &d->from, &caller)) {
		shm_count(core->self, CNT_unknown_source);
		if (!core->drop_unknown)
			stateless_answer(core, d, m, 403, STR_NONE, STR_NONE);
		return 0;
	}
	if (!admit(core, d, m) || !admit_session(core, d, m, caller) || !admit_reliable(core, d, m, caller))
		return 0;
	if (shm_objects_live(core->shm) >= core->max_calls || shm_heap_tight(core->shm) || work_begin_new(&w, core, d, keys->call)) {
		stateless_full(core, d, m);
		return 0;
	}
	w.server = keys->server;
	if (begin_call(&w, m, caller))
		setup_next_gateway(&w, m, 0, NULL);
	if (work_commit(&w)) {
		stateless_answer(core, d, m, 503, STR_NONE, STR("Retry-After: 10\r\n"));
		return 0;
	}
	shm_count(core->self, CNT_calls_started);
	return 0;
}
