/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dialogs (RFC 3261 §12): strings of each leg, route sets, remote targets, early dialogs. */
#include "base/err.h"
#include "call/call.h"

enum { CSEQ_FIRST_MAX = 1 << 30, ROUTES_MAX = 8192, ROUTES_COUNT = 64 };

/* Whether a name-addr holds a URI that a request can be sent to. *uri: without headers, which a Request-URI does not have (RFC 3261 §19.1.1). */
static bool usable(struct str value, struct str *uri)
{
	struct sip_nameaddr na;
	struct sip_uri u;

	if (sip_address_parse(&na, &u, value) || na.star)
		return false;
	*uri = u.headers.n ? str_head(na.uri, (size_t)(u.headers.p - 1 - na.uri.p)) : na.uri;
	return true;
}

/* The URI of a message's Contact. A response's headers were not checked when it came: what cannot be read is as good as missing. */
static bool contact_uri(const struct sip_msg *m, struct str *uri)
{
	struct sip_values v = sip_values(m, SIP_H_CONTACT);
	struct str value;

	return sip_values_next(&v, &value) && usable(value, uri);
}

/* The Record-Route values as a route set: in order for a UAS (§12.1.1), reversed for a UAC (§12.1.2). */
static struct str route_set(const struct sip_msg *m, bool reversed, char *buf, size_t cap)
{
	struct sip_values v = sip_values(m, SIP_H_RECORD_ROUTE);
	struct out o = OUT(buf, cap);
	struct str value[ROUTES_COUNT], uri;
	unsigned n = 0;

	while (n < ROUTES_COUNT && sip_values_next(&v, &value[n]))
		n += usable(value[n], &uri);
	for (unsigned i = 0; i < n; i++) {
		if (i)
			out_lit(&o, ", ");
		out_str(&o, value[reversed ? n - 1 - i : i]);
	}
	return o.overflow ? STR_NONE : out_done(&o);
}

/* Whether a message is the datagram in work, and not one that waited for its turn. */
static bool is_in_work(const struct work *w, const struct sip_msg *m)
{
	const struct shm_datagram *d = w->datagram;

	return d && m->raw.p >= d->bytes && m->raw.p < d->bytes + d->length;
}

/* Without a Contact (sloppy peers): the address that the message came from, or its leg's where it waited for its turn behind another. */
static struct str guessed_target(const struct work *w, unsigned leg, const struct sip_msg *m, char *buf, size_t cap)
{
	struct out o = OUT(buf, cap);

	out_lit(&o, "sip:");
	addr_print(&o, is_in_work(w, m) ? &w->datagram->from : &w->call.leg[leg].source);
	return out_done(&o);
}

shm_ref dialog_of_invite(struct work *w, const struct sip_msg *invite, struct str dialed)
{
	char routes[ROUTES_MAX], guessed[ADDR_TEXT + 8];
	struct str contact;
	bool has = contact_uri(invite, &contact);
	struct str s[DIALOG_FIELDS] = {
		[DIALOG_CALL_ID] = invite->call_id,
		[DIALOG_LOCAL] = sip_value(invite, SIP_H_TO),
		[DIALOG_REMOTE] = sip_value(invite, SIP_H_FROM),
		[DIALOG_TARGET] = has ? contact : guessed_target(w, LEG_A, invite, guessed, sizeof guessed),
		[DIALOG_ROUTES] = route_set(invite, false, routes, sizeof routes),
		[DIALOG_DIALED] = dialed,
	};
	return work_strings(w, s, DIALOG_FIELDS);
}

/* contact: its URI; NULL where the response has none. */
static shm_ref dialog_with_contact(struct work *w, const struct sip_msg *response, const struct str *contact)
{
	char routes[ROUTES_MAX], guessed[ADDR_TEXT + 8];
	struct str s[DIALOG_FIELDS] = {
		[DIALOG_CALL_ID] = response->call_id,
		[DIALOG_LOCAL] = sip_value(response, SIP_H_FROM),
		[DIALOG_REMOTE] = sip_value(response, SIP_H_TO),
		[DIALOG_TARGET] = contact ? *contact : guessed_target(w, LEG_B, response, guessed, sizeof guessed),
		[DIALOG_ROUTES] = route_set(response, true, routes, sizeof routes),
	};
	return work_strings(w, s, DIALOG_FIELDS);
}

shm_ref dialog_of_response(struct work *w, const struct sip_msg *response)
{
	struct str contact;

	return dialog_with_contact(w, response, contact_uri(response, &contact) ? &contact : NULL);
}

static shm_ref with_field(struct work *w, shm_ref dialog, enum dialog_field field, struct str value)
{
	struct str s[DIALOG_FIELDS];

	if (!dialog || str_eq(strings_get(w->core->shm, dialog, field), value))
		return dialog;
	for (unsigned i = 0; i < DIALOG_FIELDS; i++)
		s[i] = strings_get(w->core->shm, dialog, i);
	s[field] = value;
	return work_strings(w, s, DIALOG_FIELDS);
}

shm_ref dialog_retarget(struct work *w, shm_ref dialog, struct str target)
{
	return with_field(w, dialog, DIALOG_TARGET, target);
}

shm_ref dialog_with_local(struct work *w, shm_ref dialog, struct str local)
{
	return with_field(w, dialog, DIALOG_LOCAL, local);
}

shm_ref dialog_with_sent(struct work *w, shm_ref dialog, struct str sent)
{
	bool same = str_eq(sent, strings_get(w->core->shm, dialog, DIALOG_DIALED));

	return with_field(w, dialog, DIALOG_SENT, same ? STR_NONE : sent);
}

void dialog_next_hop(struct work *w, shm_ref dialog, const struct addr *fallback, struct addr *to)
{
	struct str routes = strings_get(w->core->shm, dialog, DIALOG_ROUTES), first, text;
	struct sip_nameaddr na;
	struct sip_uri uri;
	struct addr a;

	text = strings_get(w->core->shm, dialog, DIALOG_TARGET);
	if (sip_list_next(&routes, &first) && !sip_nameaddr_parse(&na, first))
		text = na.uri;
	*to = *fallback;
	if (sip_uri_parse(&uri, text) || sip_uri_target(&uri, &a))
		return;
	a.transport = fallback->transport;
	a.scope = addr_same_ip(&a, fallback) ? fallback->scope : 0;
	if (a.family == fallback->family)
		*to = a;
}

void leg_learn(struct leg *leg, const struct sip_msg *m)
{
	struct sip_values v = sip_values(m, SIP_H_ALLOW);
	struct str name;
	uint32_t allow = 0;

	if (!sip_first(m, SIP_H_ALLOW))
		return;
	while (sip_values_next(&v, &name))
		allow |= 1u << sip_method_of(name);
	leg->allow = allow | 1u << SIP_UNKNOWN;
}

uint64_t call_key(const struct core *core, struct str call_id, struct str from_tag)
{
	struct str part[2] = { call_id, from_tag };

	return siphash_strs(shm_key_index(core->shm), part, 2) | 1;
}

uint64_t tag_hash(const struct core *core, struct str tag)
{
	return siphash(shm_key_index(core->shm), tag.p, tag.n) | 1;
}

struct fork *fork_find(struct call *c, uint64_t hash)
{
	for (unsigned i = 0; i < c->nforks; i++)
		if (c->fork[i].tag_hash == hash)
			return &c->fork[i];
	return NULL;
}

struct fork *fork_by_tag(struct work *w, struct str tag)
{
	return w->call.nforks ? fork_find(&w->call, tag_hash(w->core, tag)) : NULL;
}

/* One of a failed attempt makes room, unless the caller's PRACK may still come for it. */
static struct fork *stale_fork(struct call *c)
{
	for (unsigned i = 0; i < c->nforks; i++)
		if (c->fork[i].flags & FORK_STALE && (!c->open.rseq || c->fork[i].tag_hash != c->open.tag_hash))
			return &c->fork[i];
	return NULL;
}

struct fork *fork_of(struct work *w, const struct sip_msg *response)
{
	struct call *c = &w->call;
	struct str uri;
	bool contact = contact_uri(response, &uri);
	uint32_t rseq;
	uint64_t hash;
	struct fork *f;

	if (!response->to_tag.n && !reliable_came(response, &rseq)) /* a reliable one must be acknowledged, tag or not */
		return NULL;
	hash = tag_hash(w->core, response->to_tag);
	if ((f = fork_find(c, hash))) {
		if (f->flags & FORK_STALE || (f->flags & FORK_GUESSED && contact))
			f->dialog = dialog_with_contact(w, response, contact ? &uri : NULL);
	} else {
		if (!(f = c->nforks < CALL_FORKS ? &c->fork[c->nforks++] : stale_fork(c)))
			return NULL;
		*f = (struct fork){ .tag_hash = hash, .dialog = dialog_with_contact(w, response, contact ? &uri : NULL) };
		f->cseq_remote[LEG_A] = c->leg[LEG_A].cseq_remote;
	}
	f->flags &= (uint8_t)~FORK_STALE;
	if (contact)
		f->flags &= (uint8_t)~FORK_GUESSED;
	else if (f->dialog && !f->rseq_theirs && !f->sdp)
		f->flags |= FORK_GUESSED;
	return f;
}

void forks_renew(struct call *c)
{
	for (unsigned i = 0; i < c->nforks; i++) {
		struct fork *f = &c->fork[i];
		f->rseq_theirs = 0;
		f->offer = OFFER_NONE;
		f->flags = FORK_STALE;
	}
}

unsigned forks_alive(const struct call *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->nforks; i++)
		n += !(c->fork[i].flags & FORK_STALE);
	return n;
}

void forks_drop(struct call *c)
{
	c->nforks = 0;
}

void leg_next_hop(struct work *w, unsigned leg, const struct txn *t, struct addr *to)
{
	struct leg *l = &w->call.leg[leg];

	if (txn_is_client(t) && t->target)
		dialog_next_hop(w, t->target, &t->remote, to);
	else if (leg == LEG_B && t->fork && t->fork <= w->call.nforks)
		dialog_next_hop(w, w->call.fork[t->fork - 1].dialog, &l->source, to);
	else
		*to = l->remote;
}

uint32_t cseq_first(uint32_t theirs)
{
	return theirs && theirs < CSEQ_FIRST_MAX ? theirs : 1;
}

uint32_t leg_cseq(struct leg *leg, uint32_t theirs)
{
	leg->cseq_local = leg->cseq_local ? leg->cseq_local + 1 : cseq_first(theirs);
	return leg->cseq_local;
}

shm_ref leg_refreshed(struct work *w, unsigned leg, const struct sip_msg *m)
{
	struct str uri;

	return contact_uri(m, &uri) ? dialog_retarget(w, w->call.leg[leg].dialog, uri) : 0;
}

void leg_set_dialog(struct work *w, unsigned leg, shm_ref dialog)
{
	struct leg *l = &w->call.leg[leg];

	if (!dialog)
		return;
	l->dialog = dialog;
	dialog_next_hop(w, dialog, &l->source, &l->remote);
}

/* Where the dialog of a transaction is kept: of several early ones, its own. */
static shm_ref *dialog_of(struct call *c, const struct txn *t)
{
	if (t->leg == LEG_B && t->fork && t->fork <= c->nforks)
		return &c->fork[t->fork - 1].dialog;
	return &c->leg[t->leg].dialog;
}

shm_ref txn_refreshed(struct work *w, const struct txn *t, const struct sip_msg *m)
{
	struct str uri;

	return contact_uri(m, &uri) ? dialog_retarget(w, *dialog_of(&w->call, t), uri) : 0;
}

/* Only the target is taken: the rest of the dialog may have changed since. */
void txn_set_target(struct work *w, const struct txn *t, shm_ref refreshed)
{
	shm_ref *dialog = dialog_of(&w->call, t);

	if (!refreshed)
		return;
	*dialog = dialog_retarget(w, *dialog, strings_get(w->core->shm, refreshed, DIALOG_TARGET));
	if (dialog == &w->call.leg[t->leg].dialog)
		leg_set_dialog(w, t->leg, *dialog);
}

void leg_keep(struct work *w, unsigned leg, struct str sdp)
{
	struct leg *l = &w->call.leg[leg];

	if (!sdp.n)
		return;
	l->sdp = work_keep(w, sdp.p, sdp.n);
	l->sdp_bytes = (uint32_t)sdp.n;
	l->session.flags &= (uint8_t)~SESSION_NEWS;
}

void leg_keep_sdp(struct work *w, unsigned leg, const struct sip_msg *m)
{
	leg_keep(w, leg, sdp_of(m));
}

struct str leg_sdp(const struct work *w, unsigned leg)
{
	const struct leg *l = &w->call.leg[leg];
	const char *p = l->sdp ? shm_block(w->core->shm, l->sdp) : NULL;

	return p ? str_make(p, l->sdp_bytes) : STR_NONE;
}

void leg_keep_offer(struct work *w, const struct txn *c, shm_ref request, uint32_t bytes)
{
	const char *p = request ? shm_block(w->core->shm, request) : NULL;

	if (c->flags & TXN_HAD_OFFER && p)
		leg_keep(w, c->leg, sdp_of_sent(p, bytes));
}
