/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a datagram to the call it belongs to. A response finds its transaction by the handle in our branch, a request within a call by the handle in our
 * Contact, everything else by Call-ID and tag in the index. */
#include "base/err.h"
#include "call/call.h"

/* Room for the headers that we add: what we write, we must be able to read again. */
enum { HEADERS_OURS = 16 };

void core_listen_set(struct core_listen *l, const struct addr *bound, const struct addr *advertised)
{
	struct out o = OUT(l->text, sizeof l->text);

	l->bound = *bound;
	l->advertised = *advertised;
	addr_print(&o, advertised);
	l->text_bytes = (uint32_t)o.n;
}

/* ------------------------------------------------------------------------------------------ finding */

/* Whether a tag is the callee's, or an early dialog's of his. */
static bool is_callee(const struct core *core, struct call *c, struct str tag)
{
	uint64_t hash;

	if (!c->callee_tag && !c->nforks)
		return false;
	hash = tag_hash(core, tag);
	return c->callee_tag ? hash == c->callee_tag : fork_find(c, hash) != NULL;
}

/* Which leg's dialog a request belongs to (RFC 3261 §12.2.2): Call-ID and both tags. Of several early dialogs only the one that was answered lives on.
 * -1 = none. */
static int leg_of(const struct core *core, struct call *c, uint64_t key, const struct sip_msg *m)
{
	struct str call_id = m->call_id;

	if (call_key(core, call_id, m->from_tag) == key && is_callee(core, c, m->to_tag))
		return LEG_A;
	if (c->flags & CALL_OWN_ID && str_eq(call_id, strings_get(core->shm, c->leg[LEG_B].dialog, DIALOG_CALL_ID)))
		call_id = strings_get(core->shm, c->leg[LEG_A].dialog, DIALOG_CALL_ID);
	if (call_key(core, call_id, m->to_tag) == key && is_callee(core, c, m->from_tag))
		return LEG_B;
	return -1;
}

/* What a candidate is asked: whether this is the call meant. Several may share Call-ID and From tag (spirals, an INVITE with credentials after one without). */
struct wanted {
	uint64_t key;      /* as the index has it */
	uint64_t server;   /* a server transaction with this key; 0 = the dialog of m */
	const struct sip_msg *m;
};

/* The method of the transaction that a request belongs to. */
static enum sip_method server_method(const struct sip_msg *m)
{
	return m->method == SIP_ACK || m->method == SIP_CANCEL ? SIP_INVITE : m->method;
}

static bool fits(const struct core *core, uint32_t slot, const struct wanted *want, uint32_t *generation)
{
	const struct shm_state *s = shm_peek(core->shm, slot, 0, generation);
	struct call c;

	if (!s || (s->key[0] != want->key && s->key[1] != want->key))
		return false;
	if (call_load(core->shm, slot, *generation, &c, NULL))
		return false;
	if (!want->server)
		return leg_of(core, &c, s->key[0], want->m) >= 0;
	return server_find(&c, want->server, server_method(want->m)) != NULL;
}

static bool find(const struct core *core, const struct wanted *want, uint32_t *slot, uint32_t *generation)
{
	struct shm_index_iter it;

	shm_index_start(&it, want->key);
	while (shm_index_next(core->shm, &it, slot))
		if (fits(core, *slot, want, generation))
			return true;
	return false;
}

/* RFC 3261 §8.2.2.2 and §16.3: the same Call-ID, From tag, CSeq and Request-URI in a call that is under way came round in a loop. */
static bool loops(const struct core *core, const struct sip_msg *m, uint64_t key)
{
	uint64_t uri = invite_uri_hash(core, m);
	struct shm_index_iter it;
	uint32_t slot;
	struct call c;

	shm_index_start(&it, key);
	while (shm_index_next(core->shm, &it, &slot)) {
		const struct shm_state *s = shm_peek(core->shm, slot, 0, NULL);
		if (s && s->key[0] == key && !call_load(core->shm, slot, 0, &c, NULL) && call_is_live(&c) && c.uri_hash == uri)
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------------------------ requests within a call */

/* The INVITE server transaction that an ACK belongs to: to a refusal by its branch, to a 2xx by its number. */
static struct txn *acked(struct work *w, const struct sip_msg *m, uint64_t key, unsigned leg)
{
	struct txn *t = server_find(&w->call, key, SIP_INVITE);

	for (unsigned i = 0; !t && i < w->call.ntxns; i++)
		if (w->call.txn[i].machine == TXN_IST && w->call.txn[i].leg == leg && w->call.txn[i].cseq == m->cseq)
			t = &w->call.txn[i];
	return t;
}

static void ack(struct work *w, const struct sip_msg *m, uint64_t key, unsigned leg)
{
	struct txn *s = acked(w, m, key, leg);

	if (!s || (s->state != TXN_ACCEPTED && s->state != TXN_COMPLETED)) {
		shm_count(w->core->self, s ? CNT_retransmissions_in : CNT_stray_acks);
		return;
	}
	s->response = 0;
	if (txn_event(s, TXN_EV_ACK, leg_params(w, s->leg), w->core->now_ms) == TXN_DO_PASS)
		invite_ack(w, s, m);
}

static void request_in_call(struct work *w, const struct sip_msg *m, uint64_t key, unsigned leg)
{
	struct txn *s;

	if (m->method == SIP_ACK) {
		ack(w, m, key, leg);
		return;
	}
	if ((s = server_find(&w->call, key, m->method))) {
		server_repeat(w, s);
		return;
	}
	if (m->method == SIP_CANCEL) {
		if ((s = server_find(&w->call, key, SIP_INVITE)))
			invite_canceled(w, s, m);
		return;
	}
	indialog_request(w, m, leg);
}

static int commit(struct work *w, const struct sip_msg *m)
{
	if (work_commit(w) == ERR_FULL && !m->status)
		stateless_answer(w->core, w->datagram, m, 503, STR_NONE, STR("Retry-After: 5\r\n"));
	return 0;
}

/* Begins a change for a datagram: what was done before a death needs nothing more. Returns 0, ERR_BUSY, ERR_STALE, ERR_EXISTS. */
static int begin(struct work *w, struct core *core, const struct shm_datagram *d, uint32_t slot, uint32_t generation)
{
	int err = work_begin(w, core, d, slot, generation);

	if (err == ERR_EXISTS)
		shm_count(core->self, CNT_replayed);
	return err;
}

static void refuse_stranger(struct core *core, const struct shm_datagram *d, const struct sip_msg *m)
{
	shm_count(core->self, CNT_unknown_source);
	if (!core->drop_unknown)
		stateless_answer(core, d, m, 403, STR_NONE, STR_NONE);
}

static void no_dialog(struct core *core, const struct shm_datagram *d, const struct sip_msg *m)
{
	if (m->method == SIP_ACK) {
		shm_count(core->self, CNT_stray_acks);
		return;
	}
	shm_count(core->self, m->method == SIP_CANCEL ? CNT_stray_cancels : CNT_no_dialog);
	stateless_answer(core, d, m, 481, STR_NONE, STR_NONE);
}

/* The source must be the leg's own address or belong to a configured peer (endpoints move between their own addresses). */
static bool welcome(const struct work *w, const struct shm_datagram *d)
{
	return addr_same_ip(&d->from, &w->call.leg[LEG_A].source) || addr_same_ip(&d->from, &w->call.leg[LEG_B].source) ||
	       route_known_source(w->core->route, &d->from);
}

static int in_dialog(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, uint32_t slot, uint32_t generation, uint64_t key)
{
	struct work w;
	int err = begin(&w, core, d, slot, generation), leg;

	if (err == ERR_STALE && route_known_source(core->route, &d->from))
		no_dialog(core, d, m);
	else if (err == ERR_STALE)
		refuse_stranger(core, d, m);
	if (err)
		return err == ERR_BUSY ? ERR_BUSY : 0;
	w.server = key;
	if (!welcome(&w, d)) {
		work_abort(&w);
		refuse_stranger(core, d, m);
		return 0;
	}
	leg = leg_of(core, &w.call, w.step.old->key[0], m);
	if ((leg < 0 || m->method == SIP_CANCEL) && !server_find(&w.call, key, server_method(m))) {
		work_abort(&w);
		no_dialog(core, d, m);
		return 0;
	}
	request_in_call(&w, m, key, leg < 0 ? LEG_A : (unsigned)leg);
	return commit(&w, m);
}

/* ------------------------------------------------------------------------------------------ requests */

static bool handle_in_uri(const struct core *core, const struct sip_msg *m, struct handle *h, int *err)
{
	const struct sip_uri *uri = &m->request_uri;

	*err = uri->is_sip || uri->is_sips ? handle_of_contact(h, core, uri->user) : ERR_NOTFOUND;
	return *err == 0;
}

/* By the index: first the transaction (a repeat, a CANCEL, an ACK to a refusal), then the dialog in both directions. */
static bool find_by_index(const struct core *core, const struct sip_msg *m, const struct request_keys *keys, uint32_t *slot, uint32_t *generation)
{
	struct wanted want = { .key = keys->call, .server = keys->server, .m = m };

	if (find(core, &want, slot, generation))
		return true;
	if (!m->to_tag.n)
		return false;
	want.server = 0;
	if (find(core, &want, slot, generation))
		return true;
	want.key = call_key(core, m->call_id, m->to_tag);
	return find(core, &want, slot, generation);
}

/* Whether a CANCEL to nothing is still to wait for its INVITE. More than a few at once do not: a flood of them must not fill the deferred list. */
static bool cancel_waits(struct core *core, uint64_t key)
{
	struct core_early *room = NULL;

	for (unsigned i = 0; i < CORE_EARLY_CANCELS; i++) {
		struct core_early *e = &core->early[i];
		if (e->key == key) {
			if (core->now_ms >= e->until_ms)
				e->key = 0;
			return e->key;
		}
		if (!e->key || core->now_ms > e->until_ms + 20 * CORE_EARLY_MS)
			room = e;
	}
	if (room)
		*room = (struct core_early){ key, core->now_ms + CORE_EARLY_MS };
	return room;
}

static int initial(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, const struct request_keys *keys)
{
	if (m->method == SIP_CANCEL && cancel_waits(core, keys->server))
		return ERR_BUSY;
	if (m->method == SIP_ACK || m->method == SIP_CANCEL) {
		no_dialog(core, d, m);
		return 0;
	}
	if (m->method == SIP_INVITE && m->to_tag.n) {
		no_dialog(core, d, m);
		return 0;
	}
	if (m->method != SIP_INVITE)
		return relay_request(core, d, m, keys);
	if (loops(core, m, keys->call)) {
		shm_count(core->self, CNT_loops);
		stateless_answer(core, d, m, 482, STR_NONE, STR_NONE);
		return 0;
	}
	return setup_invite(core, d, m, keys);
}

static int request(struct core *core, const struct shm_datagram *d, const struct sip_msg *m)
{
	struct request_keys keys = { .server = server_key(core, m) };
	uint32_t slot, generation;
	struct handle h;
	int err;

	shm_count(core->self, CNT_requests_in);
	if (handle_in_uri(core, m, &h, &err))
		return in_dialog(core, d, m, h.slot, h.generation, keys.server);
	if (err == ERR_DENIED) {
		shm_count(core->self, CNT_forged);
		if (!route_known_source(core->route, &d->from))
			refuse_stranger(core, d, m);
		else
			no_dialog(core, d, m);
		return 0;
	}
	keys.call = call_key(core, m->call_id, m->from_tag);
	if (find_by_index(core, m, &keys, &slot, &generation))
		return in_dialog(core, d, m, slot, generation, keys.server);
	if (!route_known_source(core->route, &d->from)) {
		refuse_stranger(core, d, m);
		return 0;
	}
	return initial(core, d, m, &keys);
}

/* ------------------------------------------------------------------------------------------ responses */

/* A CANCEL bears its INVITE's branch: the method of CSeq tells them apart. */
static struct txn *client_of(struct call *c, const struct handle *h, const struct sip_msg *m)
{
	for (unsigned i = 0; i < c->ntxns; i++) {
		struct txn *t = &c->txn[i];
		if (txn_is_client(t) && t->branch == h->number && t->method == m->method && t->cseq == m->cseq)
			return t;
	}
	return NULL;
}

static void response_in_call(struct work *w, struct txn *t, const struct sip_msg *m)
{
	if (w->call.phase == CALL_RELAY)
		relay_response(w, t, m);
	else if (t->method == SIP_INVITE)
		invite_response(w, t, m);
	else
		indialog_response(w, t, m);
}

static int response(struct core *core, const struct shm_datagram *d, const struct sip_msg *m)
{
	struct handle h;
	struct work w;
	struct txn *t;
	int err;

	shm_count(core->self, CNT_responses_in);
	if ((err = handle_of_branch(&h, core, m->via.branch)) == ERR_NOTFOUND) {
		shm_count(core->self, CNT_stray_responses);
		return 0;
	}
	if (err == ERR_DENIED) {
		shm_count(core->self, CNT_forged);
		return 0;
	}
	err = begin(&w, core, d, h.slot, h.generation);
	if (err == ERR_STALE)
		shm_count(core->self, CNT_stray_responses);
	if (err)
		return err == ERR_BUSY ? ERR_BUSY : 0;
	call_room(&w, 3); /* what the answer may lead to: PRACK, ACK and BYE, a re-INVITE */
	if (!(t = client_of(&w.call, &h, m))) {
		shm_count(core->self, CNT_stray_responses);
		work_abort(&w);
		return 0;
	}
	response_in_call(&w, t, m);
	return commit(&w, m);
}

/* ------------------------------------------------------------------------------------------ datagrams */

static void malformed(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, const struct sip_fault *why)
{
	if (m->status) {
		shm_count(core->self, CNT_malformed_responses);
		return;
	}
	if (!sip_answerable(m)) {
		shm_count(core->self, CNT_malformed_dropped);
		return;
	}
	shm_count(core->self, CNT_malformed_requests);
	if (!core->drop_unknown || route_known_source(core->route, &d->from))
		stateless_answer(core, d, m, why->status, str_of(why->reason), STR_NONE);
}

int core_receive(struct core *core, const struct shm_datagram *d)
{
	struct sip_fault why;
	struct sip_msg m;
	int err;

	err = sip_parse(&m, d->bytes, d->length, &why);
	if (err == ERR_NOTFOUND) {
		return 0; /* a keep-alive */
	}
	if (!err && m.nheaders > SIP_HEADERS_MAX - HEADERS_OURS) {
		why = (struct sip_fault){ 400, "Too many headers" };
		err = ERR_SYNTAX;
	}
	if (err || sip_check(&m, &why)) {
		malformed(core, d, &m, &why);
		return 0;
	}
	return m.status ? response(core, d, &m) : request(core, d, &m);
}

bool core_same_call(const struct shm_datagram *a, const struct shm_datagram *b)
{
	struct sip_fault why;
	struct sip_msg x, y;

	if (sip_parse(&x, a->bytes, a->length, &why) || sip_parse(&y, b->bytes, b->length, &why))
		return false;
	if (x.method == SIP_CANCEL && y.method == SIP_INVITE && !y.status) /* it may be the very INVITE that the CANCEL waits for */
		return false;
	return str_eq(sip_value(&x, SIP_H_CALL_ID), sip_value(&y, SIP_H_CALL_ID));
}
