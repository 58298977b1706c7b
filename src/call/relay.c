/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests outside calls (MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, …), relayed with state as RFC 3261 §16 says, and OPTIONS to ourselves. */
#include "base/err.h"
#include "call/call.h"

enum { TEXT_MAX = 4096, CANDIDATES = 16, SIP_PORT = 5060 };

struct texts {
	char lines[TEXT_MAX], uri[TEXT_MAX], forwards[16];
	struct sip_edit edit;
};

/* ------------------------------------------------------------------------------------------ OPTIONS to us */

static bool is_ours(const struct core *core, const struct sip_uri *uri)
{
	uint16_t port = uri->port ? uri->port : SIP_PORT;
	struct addr a;

	if (addr_parse_ip(&a, uri->host))
		return false;
	for (unsigned i = 0; i < core->nlisten; i++) {
		if (addr_same_ip(&a, &core->listen[i].advertised) && port == core->listen[i].advertised.port)
			return true;
		if (addr_same_ip(&a, &core->listen[i].bound) && port == core->listen[i].bound.port)
			return true;
	}
	return false;
}

static bool options_to_us(struct core *core, const struct shm_datagram *d, const struct sip_msg *m)
{
	if (m->method != SIP_OPTIONS || m->request_uri.user.n || !is_ours(core, &m->request_uri))
		return false;
	stateless_answer(core, d, m, 200, STR_NONE,
			 STR("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, SUBSCRIBE, MESSAGE\r\n"
			     "Accept: application/sdp\r\n"));
	return true;
}

/* ------------------------------------------------------------------------------------------ where to */

/* The top Route names us (we put it there by Record-Route). */
static bool route_is_ours(const struct core *core, struct str value)
{
	struct sip_nameaddr na;
	struct sip_uri uri;

	return !sip_address_parse(&na, &uri, value) && !na.star && is_ours(core, &uri);
}

/* RFC 3261 §16.6 step 6 within a dialog: the next Route, else the Request-URI; only to configured peers, so that nobody is an open relay. */
static bool next_hop(const struct core *core, const struct sip_msg *m, struct str route, struct addr *to)
{
	struct sip_nameaddr na;
	struct sip_uri uri;
	struct str text = m->uri;

	if (route.n && !sip_nameaddr_parse(&na, route))
		text = na.uri;
	if (sip_uri_parse(&uri, text) || sip_uri_target(&uri, to))
		return false;
	return route_known_source(core->route, to);
}

static uint16_t listen_for(const struct core *core, const struct addr *to, uint16_t preferred)
{
	if (preferred < core->nlisten && core->listen[preferred].bound.family == to->family)
		return preferred;
	for (unsigned i = 0; i < core->nlisten; i++)
		if (core->listen[i].bound.family == to->family)
			return (uint16_t)i;
	return preferred;
}

/* By the number, as calls go. Returns the status to refuse with, or 0. */
static unsigned by_number(struct work *w, const struct sip_msg *m, struct texts *x, struct addr *to, uint16_t *listen)
{
	const struct route_gateway *gw;
	struct out o = OUT(x->uri, sizeof x->uri), number;
	uint16_t list[CANDIDATES];
	char user[CALL_USER_MAX], sent[CALL_USER_MAX + CONF_PREFIX];
	struct str dialed = STR_NONE;
	unsigned n, i = 0;

	sip_uri_user(&m->request_uri, user, sizeof user, &dialed);
	n = route_candidates(w->core->route, dialed, w->call.seed, list, CANDIDATES);
	while (i < n && !route_can_dial(w->core->route, list[i], dialed))
		i++;
	if (i == n)
		return 404;
	gw = route_gateway(w->core->route, list[i]);
	w->call.leg[LEG_B].gateway = list[i];
	number = OUT(sent, sizeof sent);
	if (dialed.n && !route_number(w->core->route, list[i], dialed, &number))
		dialed = out_done(&number);
	*to = gw->addr;
	*listen = gw->listen;
	out_lit(&o, "sip:");
	if (dialed.n) {
		out_str(&o, dialed);
		out_lit(&o, "@");
	}
	addr_print(&o, &gw->addr);
	sip_uri_put_params(&o, &m->request_uri);
	if (!o.overflow)
		sip_edit_replace(&x->edit, m->uri, out_done(&o));
	return 0;
}

/* ------------------------------------------------------------------------------------------ the request */

static bool makes_dialog(const struct sip_msg *m)
{
	return m->method == SIP_SUBSCRIBE || m->method == SIP_REFER || m->method == SIP_NOTIFY;
}

static void add_lines(struct work *w, const struct sip_msg *m, const struct txn *t, struct texts *x, struct out *lines)
{
	const struct core_listen *us = &w->core->listen[t->listen];
	struct str value = sip_value(m, SIP_H_MAX_FORWARDS);
	struct out o = OUT(x->forwards, sizeof x->forwards);
	uint32_t left;

	txn_put_via(lines, w, t);
	if (makes_dialog(m)) {
		out_lit(lines, "Record-Route: <sip:");
		out_mem(lines, us->text, us->text_bytes);
		out_lit(lines, ";lr>\r\n");
	}
	if (sip_number_parse(value, 255, &left)) {
		out_lit(lines, "Max-Forwards: 70\r\n");
		return;
	}
	out_u64(&o, left - 1);
	sip_edit_replace(&x->edit, value, out_done(&o));
}

/* Returns the status to refuse with, or 0. */
static unsigned forward(struct work *w, const struct sip_msg *m)
{
	struct sip_values routes = sip_values(m, SIP_H_ROUTE);
	char buf[CALL_MESSAGE_MAX];
	uint16_t listen = w->datagram->listen;
	struct str route = STR_NONE;
	struct addr to;
	struct texts x;
	struct out lines = OUT(x.lines, sizeof x.lines);
	struct txn *s, *c;
	unsigned status;
	size_t n;

	sip_edit_init(&x.edit, m);
	if (sip_values_next(&routes, &route) && route_is_ours(w->core, route)) {
		sip_edit_drop_value(&x.edit, route);
		if (!sip_values_next(&routes, &route))
			route = STR_NONE;
	}
	if (m->to_tag.n) {
		if (!sip_first(m, SIP_H_ROUTE) || !next_hop(w->core, m, route, &to))
			return 481;
		listen = listen_for(w->core, &to, listen);
	} else if ((status = by_number(w, m, &x, &to, &listen))) {
		return status;
	}
	if (!(s = server_open(w, m, LEG_A)) || !(c = call_txn_new(w, true, m->method, LEG_B)))
		return 503;
	s->peer = c->id;
	c->peer = s->id;
	c->cseq = m->cseq;
	c->listen = listen;
	add_lines(w, m, c, &x, &lines);
	sip_edit_insert_top(&x.edit, out_done(&lines));
	if (lines.overflow || sip_edit_write(&x.edit, buf, sizeof buf, &n))
		return 513;
	client_start(w, c, buf, n, &to, listen);
	return w->full ? 503 : 0;
}

int relay_request(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, const struct request_keys *keys)
{
	unsigned caller = CALL_NO_GATEWAY, status;
	struct work w;

	if (!admit(core, d, m) || options_to_us(core, d, m))
		return 0;
	if (!m->to_tag.n && route_caller(core->route, &d->from, &caller)) {
		shm_count(core->self, CNT_unknown_source);
		if (!core->drop_unknown)
			stateless_answer(core, d, m, 403, STR_NONE, STR_NONE);
		return 0;
	}
	if (shm_heap_tight(core->shm) || work_begin_new(&w, core, d, keys->call)) {
		stateless_full(core, d, m);
		return 0;
	}
	w.server = keys->server;
	w.call.phase = CALL_RELAY;
	w.call.seed = core->random(core->random_arg);
	w.call.leg[LEG_A].gateway = (uint16_t)caller;
	w.call.leg[LEG_A].source = w.call.leg[LEG_A].remote = d->from;
	w.call.leg[LEG_A].listen = d->listen;
	status = forward(&w, m);
	if (status)
		work_abort(&w);
	else if (work_commit(&w))
		status = 503;
	if (!status)
		shm_count(core->self, CNT_relays);
	else if (status == 481)
		shm_count(core->self, CNT_no_dialog);
	if (status)
		stateless_answer(core, d, m, status, STR_NONE, STR_NONE);
	return 0;
}

/* ------------------------------------------------------------------------------------------ the response */

void relay_response(struct work *w, struct txn *c, const struct sip_msg *m)
{
	enum txn_action a = client_response(w, c, m->status);
	struct txn *s = call_txn_by_id(&w->call, c->peer);
	char buf[CALL_MESSAGE_MAX];
	size_t n;

	if (m->status >= 200)
		c->request = 0;
	if (a != TXN_DO_PASS || !s || m->status == 100 || (s->state != TXN_TRYING && s->state != TXN_PROCEEDING))
		return;
	if (rewrite_relayed(w, m, s, buf, sizeof buf, &n))
		w->full = true;
	else
		server_send(w, s, m->status, buf, n);
}

void relay_failed(struct work *w, struct txn *c)
{
	struct txn *s = call_txn_by_id(&w->call, c->peer);

	if (s && s->state != TXN_COMPLETED)
		txn_terminate(s); /* RFC 4320 §4.2: never 408 */
}
