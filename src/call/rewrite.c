/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changes in a message that crosses from one leg to the other: Via, Route, Record-Route, Contact's URI, Max-Forwards, CSeq, RAck, and the Call-ID where
 * the leg has its own. All else passes as it came. */
#include "base/err.h"
#include "call/call.h"

enum { LINES_MAX = CALL_MESSAGE_MAX, CONTACTS_MAX = 8, URI_TEXT = 160 };

/* Texts that the edits point to until the message is written. */
struct texts {
	char lines[LINES_MAX], uri[URI_TEXT], cseq[16], rack[64], forwards[16], ruri[4096];
	struct sip_edit edit;
};

/* A listening address of ours, "IP:port". */
static struct str ours(const struct work *w, unsigned listen)
{
	const struct core_listen *l = &w->core->listen[listen < w->core->nlisten ? listen : 0];

	return str_make(l->text, l->text_bytes);
}

void txn_put_via(struct out *o, const struct work *w, const struct txn *t)
{
	struct handle h = { w->step.slot, w->step.generation, t->branch };

	out_lit(o, "Via: SIP/2.0/UDP ");
	out_str(o, ours(w, t->listen));
	out_lit(o, ";branch=");
	handle_branch(o, w->core, &h);
	out_lit(o, "\r\n");
}

/* The URI of our Contact on a leg. */
static void put_contact_uri(struct out *o, const struct work *w, unsigned leg)
{
	struct handle h = { w->step.slot, w->step.generation, leg };

	out_lit(o, "sip:");
	handle_contact(o, w->core, &h);
	out_lit(o, "@");
	out_str(o, ours(w, w->call.leg[leg].listen));
}

/* The URI of each Contact becomes ours; what is no name-addr is replaced whole. needed: it opens or keeps a dialog, so there must be one. */
static void edit_contact(struct texts *x, const struct work *w, const struct sip_msg *m, unsigned leg, bool needed, struct out *lines)
{
	struct sip_values v = sip_values(m, SIP_H_CONTACT);
	struct out o = OUT(x->uri, sizeof x->uri);
	struct sip_nameaddr na;
	struct str value, bracketed;

	if (!sip_values_next(&v, &value)) {
		if (!needed)
			return;
		sip_edit_drop_all(&x->edit, SIP_H_CONTACT);
		leg_put_contact(w, leg, lines);
		return;
	}
	out_lit(&o, "<");
	put_contact_uri(&o, w, leg);
	out_lit(&o, ">");
	bracketed = out_done(&o);
	do {
		if (!sip_nameaddr_parse(&na, value) && !na.star)
			sip_edit_replace(&x->edit, na.uri, str_make(bracketed.p + 1, bracketed.n - 2));
		else
			sip_edit_replace(&x->edit, value, bracketed);
	} while (sip_values_next(&v, &value));
}

/* CSeq's number alone: the method stays as it is written, whatever its length. */
static void edit_number(struct texts *x, const struct sip_msg *m, uint32_t number)
{
	struct str value = sip_value(m, SIP_H_CSEQ);
	struct out o = OUT(x->cseq, sizeof x->cseq);
	size_t digits = 0;

	while (digits < value.n && value.p[digits] >= '0' && value.p[digits] <= '9')
		digits++;
	out_u64(&o, number);
	sip_edit_replace(&x->edit, str_head(value, digits), out_done(&o));
}

/* Max-Forwards less one; 70 where it lacks (RFC 3261 §16.6). */
static void edit_forwards(struct texts *x, const struct sip_msg *m, struct out *lines)
{
	struct str value = sip_value(m, SIP_H_MAX_FORWARDS);
	struct out o = OUT(x->forwards, sizeof x->forwards);
	uint32_t left;

	if (sip_number_parse(value, 255, &left)) {
		out_lit(lines, "Max-Forwards: 70\r\n");
		return;
	}
	out_u64(&o, left ? left - 1 : 0);
	sip_edit_replace(&x->edit, value, out_done(&o));
}

/* The dialog that a request on this leg belongs to: of several early ones, the transaction's. */
static shm_ref dialog_for(const struct work *w, unsigned leg, const struct txn *t)
{
	if (txn_is_client(t) && t->target)
		return t->target;
	if (leg == LEG_B && t->fork && t->fork <= w->call.nforks)
		return w->call.fork[t->fork - 1].dialog;
	return w->call.leg[leg].dialog;
}

/* Request-URI and Route of a dialog's request (RFC 3261 §12.2.1.1): loose, or strict with the target last. */
static struct str put_route(const struct work *w, shm_ref dialog, struct out *lines, char *buf, size_t cap)
{
	struct str target = strings_get(w->core->shm, dialog, DIALOG_TARGET);
	struct str routes = strings_get(w->core->shm, dialog, DIALOG_ROUTES), rest = routes, first;
	struct out o = OUT(buf, cap);
	struct sip_nameaddr na;
	struct sip_uri uri;

	if (!sip_list_next(&rest, &first) || sip_nameaddr_parse(&na, first))
		return target;
	if (sip_uri_parse(&uri, na.uri) || sip_param(uri.params, STR("lr"), NULL)) {
		out_lit(lines, "Route: ");
		out_str(lines, routes);
		out_lit(lines, "\r\n");
		return target;
	}
	out_lit(lines, "Route: ");
	if (rest.n) {
		out_str(lines, str_trim(rest));
		out_lit(lines, ", ");
	}
	out_lit(lines, "<");
	out_str(lines, target);
	out_lit(lines, ">\r\n");
	out_str(&o, na.uri);
	return o.overflow ? target : out_done(&o);
}

static void edit_call_id(struct texts *x, const struct work *w, const struct sip_msg *m, unsigned to)
{
	struct str own;

	if (!(w->call.flags & CALL_OWN_ID))
		return;
	own = strings_get(w->core->shm, w->call.leg[to].dialog, DIALOG_CALL_ID);
	if (own.n)
		sip_edit_replace(&x->edit, sip_value(m, SIP_H_CALL_ID), own);
}

/* RFC 3262 §7.2: RAck names the INVITE's number on the leg that it goes to. */
static void edit_rack(struct texts *x, struct work *w, const struct sip_msg *m, unsigned to)
{
	struct out o = OUT(x->rack, sizeof x->rack);
	struct str value = sip_value(m, SIP_H_RACK), method;
	uint32_t rseq, number;

	if (!value.n || sip_rack_parse(value, &rseq, &number, &method))
		return;
	for (unsigned i = 0; i < w->call.ntxns; i++) {
		const struct txn *s = &w->call.txn[i];
		const struct txn *c = txn_is_client(s) || s->leg == to || s->cseq != number ? NULL : call_txn_by_id(&w->call, s->peer);
		if (!c || c->method != sip_method_of(method))
			continue;
		out_u64(&o, rseq);
		out_lit(&o, " ");
		out_u64(&o, c->cseq);
		out_lit(&o, " ");
		out_str(&o, method);
		sip_edit_replace(&x->edit, value, out_done(&o));
		return;
	}
}

static int write_request(struct texts *x, struct out *lines, char *buf, size_t cap, size_t *n)
{
	if (lines->overflow)
		return ERR_SPACE;
	sip_edit_insert_top(&x->edit, out_done(lines));
	return sip_edit_write(&x->edit, buf, cap, n);
}

static void request_edits(struct texts *x, struct work *w, const struct sip_msg *m, unsigned to, struct txn *t, struct out *lines)
{
	sip_edit_init(&x->edit, m);
	sip_edit_drop_all(&x->edit, SIP_H_VIA);
	sip_edit_drop_all(&x->edit, SIP_H_ROUTE);
	sip_edit_drop_all(&x->edit, SIP_H_RECORD_ROUTE);
	txn_put_via(lines, w, t);
	edit_forwards(x, m, lines);
	edit_contact(x, w, m, to, m->method == SIP_INVITE, lines);
	edit_number(x, m, t->cseq);
	edit_call_id(x, w, m, to);
	if (session_borne(m->method)) {
		session_strip(&x->edit);
		session_ask(w, t, lines);
	}
	reliable_strip(w, &x->edit, to, lines);
}

int rewrite_request(struct work *w, const struct sip_msg *m, unsigned to, struct txn *t, char *buf, size_t cap, size_t *n)
{
	struct texts x;
	struct out lines = OUT(x.lines, sizeof x.lines);

	request_edits(&x, w, m, to, t, &lines);
	sip_edit_replace(&x.edit, m->uri, put_route(w, dialog_for(w, to, t), &lines, x.ruri, sizeof x.ruri));
	if (m->method == SIP_PRACK)
		edit_rack(&x, w, m, to);
	return write_request(&x, &lines, buf, cap, n);
}

/* The gateway's number and address; the URI's other parts pass, but for what led to us (admit() has seen to its length). */
static struct str gateway_uri(struct work *w, const struct sip_msg *m, const struct route_gateway *gw, char *buf, size_t cap)
{
	const struct sip_uri *uri = &m->request_uri;
	struct str dialed = strings_get(w->core->shm, w->call.leg[LEG_A].dialog, DIALOG_DIALED);
	char number[CALL_USER_MAX + CONF_PREFIX];
	struct out o = OUT(buf, cap), user = OUT(number, sizeof number);

	out_lit(&o, "sip:");
	if (dialed.n) {
		if (route_number(w->core->route, w->call.leg[LEG_B].gateway, dialed, &user))
			return STR_NONE;
		out_str(&o, out_done(&user));
		out_lit(&o, "@");
	}
	addr_print(&o, &gw->addr);
	if (uri->is_sip)
		sip_uri_put_params(&o, uri);
	return o.overflow ? STR_NONE : out_done(&o);
}

int rewrite_invite(struct work *w, const struct sip_msg *m, const struct route_gateway *gw, struct txn *t, char *buf, size_t cap, size_t *n)
{
	struct texts x;
	struct out lines = OUT(x.lines, sizeof x.lines);

	struct str uri = gateway_uri(w, m, gw, x.ruri, sizeof x.ruri);

	if (!uri.n)
		return ERR_SPACE;
	request_edits(&x, w, m, LEG_B, t, &lines);
	reliable_ask(w, &lines);
	sip_edit_replace(&x.edit, m->uri, uri);
	return write_request(&x, &lines, buf, cap, n);
}

/* In long or compact form, as the request wrote it. */
static bool is_via(struct str line)
{
	return line.n && (line.p[0] | 0x20) == 'v' && sip_header_of(str_trim(str_head(line, str_chr(line, ':')))) == SIP_H_VIA;
}

/* The Via lines that stand in the head kept for a server transaction's responses. */
static struct str via_lines(const struct work *w, const struct txn *s)
{
	const char *head = shm_block(w->core->shm, s->request);
	struct str all, rest;
	size_t end;

	if (!head)
		return STR_NONE;
	all = str_make(head, s->request_bytes);
	all = rest = str_from(all, str_chr(all, '\n') + 1);
	while (is_via(rest) && (end = str_chr(rest, '\n')) < rest.n) {
		rest = str_from(rest, end + 1);
		while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t'))
			rest = str_from(rest, str_chr(rest, '\n') + 1);
	}
	return str_head(all, all.n - rest.n);
}

static void put_record_route(const struct work *w, const struct txn *s, unsigned status, struct out *lines)
{
	struct str routes;

	if (s->leg != LEG_A || !(s->flags & TXN_INITIAL) || status <= 100 || status >= 300)
		return;
	routes = strings_get(w->core->shm, w->call.leg[LEG_A].dialog, DIALOG_ROUTES);
	if (!routes.n)
		return;
	out_lit(lines, "Record-Route: ");
	out_str(lines, routes);
	out_lit(lines, "\r\n");
}

int rewrite_response(struct work *w, const struct sip_msg *m, const struct txn *s, unsigned status, char *buf, size_t cap, size_t *n)
{
	struct reshape shape = { .set_body = false };

	return rewrite_response_as(w, m, s, status, &shape, buf, cap, n);
}

int rewrite_response_as(struct work *w, const struct sip_msg *m, const struct txn *s, unsigned status, const struct reshape *shape, char *buf,
			size_t cap, size_t *n)
{
	struct texts x;
	struct out lines = OUT(x.lines, sizeof x.lines), first = OUT(x.ruri, sizeof x.ruri);

	sip_edit_init(&x.edit, m);
	sip_edit_drop_all(&x.edit, SIP_H_VIA);
	sip_edit_drop_all(&x.edit, SIP_H_RECORD_ROUTE);
	out_str(&lines, via_lines(w, s));
	put_record_route(w, s, status ? status : m->status, &lines);
	if (m->status < 300 || m->status >= 400)
		edit_contact(&x, w, m, s->leg, s->method == SIP_INVITE && m->status > 100 && m->status < 300, &lines);
	edit_number(&x, m, s->cseq);
	edit_call_id(&x, w, m, s->leg);
	if (session_borne(s->method)) {
		session_strip(&x.edit);
		if (m->status >= 200 && m->status < 300)
			session_answer(w, s, &lines);
		out_str(&lines, shape->lines);
		if (shape->set_body)
			sip_edit_body(&x.edit, shape->body, shape->type);
	}
	reliable_strip(w, &x.edit, s->leg, &lines);
	if (status && status != m->status) {
		out_lit(&first, "SIP/2.0 ");
		out_u64(&first, status);
		out_lit(&first, " ");
		out_str(&first, sip_reason(status));
		out_lit(&first, "\r\n");
		sip_edit_replace(&x.edit, m->start_line, out_done(&first));
	}
	return write_request(&x, &lines, buf, cap, n);
}

void leg_put_contact(const struct work *w, unsigned leg, struct out *lines)
{
	out_lit(lines, "Contact: <");
	put_contact_uri(lines, w, leg);
	out_lit(lines, ">\r\n");
}

int rewrite_again(struct work *w, const struct sip_msg *sent, struct txn *t, char *buf, size_t cap, size_t *n)
{
	struct texts x;
	struct out lines = OUT(x.lines, sizeof x.lines);

	sip_edit_init(&x.edit, sent);
	sip_edit_drop_all(&x.edit, SIP_H_VIA);
	txn_put_via(&lines, w, t);
	edit_number(&x, sent, t->cseq);
	session_strip(&x.edit);
	session_ask(w, t, &lines);
	return write_request(&x, &lines, buf, cap, n);
}

int rewrite_relayed(struct work *w, const struct sip_msg *m, const struct txn *s, char *buf, size_t cap, size_t *n)
{
	struct sip_edit edit;

	sip_edit_init(&edit, m);
	sip_edit_drop_all(&edit, SIP_H_VIA);
	sip_edit_insert_top(&edit, via_lines(w, s));
	return sip_edit_write(&edit, buf, cap, n);
}

int make_request(struct work *w, enum sip_method method, unsigned leg, const struct txn *t, struct str lines, struct str type, struct str body,
		 char *buf, size_t cap, size_t *n)
{
	char route[LINES_MAX], ruri[4096];
	struct out o = OUT(buf, cap), r = OUT(route, sizeof route);
	shm_ref dialog = dialog_for(w, leg, t);
	struct str name = sip_method_name(method);
	struct str uri = put_route(w, dialog, &r, ruri, sizeof ruri);

	out_str(&o, name);
	out_lit(&o, " ");
	out_str(&o, uri);
	out_lit(&o, " SIP/2.0\r\n");
	txn_put_via(&o, w, t);
	out_str(&o, out_done(&r));
	out_lit(&o, "Max-Forwards: 70\r\nFrom: ");
	out_str(&o, strings_get(w->core->shm, dialog, DIALOG_LOCAL));
	out_lit(&o, "\r\nTo: ");
	out_str(&o, strings_get(w->core->shm, dialog, DIALOG_REMOTE));
	out_lit(&o, "\r\nCall-ID: ");
	out_str(&o, strings_get(w->core->shm, dialog, DIALOG_CALL_ID));
	out_lit(&o, "\r\nCSeq: ");
	out_u64(&o, t->cseq);
	out_lit(&o, " ");
	out_str(&o, name);
	out_lit(&o, "\r\n");
	out_str(&o, lines);
	if (body.n)
		out_str(&o, type);
	out_lit(&o, "Content-Length: ");
	out_u64(&o, body.n);
	out_lit(&o, "\r\n\r\n");
	out_str(&o, body);
	*n = o.n;
	return o.overflow || r.overflow ? ERR_SPACE : 0;
}
