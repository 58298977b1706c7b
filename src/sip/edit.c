/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rewriting: a list of edits over the bytes of a parsed message. */
#include "base/bug.h"
#include "sip/grammar.h"

void sip_edit_init(struct sip_edit *e, const struct sip_msg *m)
{
	e->m = m;
	e->n = 0;
	e->overflow = e->body_replaced = false;
	e->body = STR_NONE;
}

static void add(struct sip_edit *e, const char *at, size_t cut, struct str put)
{
	if (e->n == SIP_EDITS_MAX) {
		e->overflow = true;
		return;
	}
	e->op[e->n++] = (struct sip_edit_op){ at, (uint32_t)cut, false, put };
}

void sip_edit_replace(struct sip_edit *e, struct str part, struct str by)
{
	const struct sip_msg *m = e->m;

	BUG_ON(!sip_within(str_make(m->raw.p, (size_t)(m->head_end.p - m->raw.p)), part));
	add(e, part.p, part.n, by);
}

void sip_edit_drop(struct sip_edit *e, const struct sip_header *h)
{
	sip_edit_replace(e, h->line, STR_NONE);
}

void sip_edit_drop_all(struct sip_edit *e, enum sip_header_id id)
{
	for (const struct sip_header *h = sip_first(e->m, id); h; h = sip_next(e->m, h))
		sip_edit_drop(e, h);
}

void sip_edit_insert_top(struct sip_edit *e, struct str lines)
{
	add(e, e->m->start_line.p + e->m->start_line.n, 0, lines);
}

void sip_edit_insert_end(struct sip_edit *e, struct str lines)
{
	add(e, e->m->head_end.p, 0, lines);
}

/* Headers that speak of a body. */
static void drop_body_headers(struct sip_edit *e)
{
	sip_edit_drop_all(e, SIP_H_CONTENT_TYPE);
	sip_edit_drop_all(e, SIP_H_CONTENT_DISPOSITION);
	sip_edit_drop_all(e, SIP_H_CONTENT_ENCODING);
	sip_edit_drop_all(e, SIP_H_CONTENT_LANGUAGE);
}

void sip_edit_body(struct sip_edit *e, struct str body, struct str type_line)
{
	const struct sip_header *h = sip_first(e->m, SIP_H_CONTENT_LENGTH);
	struct out o = OUT(e->length_line, sizeof e->length_line);

	e->body_replaced = true;
	e->body = body;
	if (!h)
		out_lit(&o, "Content-Length: ");
	out_u64(&o, body.n);
	if (!h)
		out_lit(&o, "\r\n");
	if (type_line.n || !body.n)
		drop_body_headers(e);
	if (type_line.n)
		sip_edit_insert_end(e, type_line);
	if (h)
		sip_edit_replace(e, h->value, out_done(&o));
	else
		sip_edit_insert_end(e, out_done(&o));
}

/* By place; insertions before what is cut at the same place; else in the order in which they were made. */
static bool before(const struct sip_edit_op *a, const struct sip_edit_op *b)
{
	return a->at < b->at || (a->at == b->at && !a->cut && b->cut);
}

/* Edits come nearly in order, so that insertion moves few. */
void sip_edit_sort(struct sip_edit *e)
{
	for (uint32_t i = 1; i < e->n; i++) {
		struct sip_edit_op one;
		uint32_t k = i;

		if (!before(&e->op[i], &e->op[i - 1]))
			continue;
		one = e->op[i];
		for (; k && before(&one, &e->op[k - 1]); k--)
			e->op[k] = e->op[k - 1];
		e->op[k] = one;
	}
}

int sip_edit_write(struct sip_edit *e, char *buf, size_t cap, size_t *n)
{
	const char *at = e->m->raw.p, *head_end = e->m->head_end.p + e->m->head_end.n;
	struct out o = OUT(buf, cap);

	if (e->overflow)
		return ERR_SPACE;
	sip_edit_sort(e);
	for (uint32_t i = 0; i < e->n; i++) {
		const struct sip_edit_op *op = &e->op[i];
		/* within something that was cut: what was to be changed there is gone with it */
		bool gone = op->at < at;

		if (!gone) {
			out_mem(&o, at, (size_t)(op->at - at));
			out_str(&o, op->put);
		}
		if (!gone || op->at + op->cut > at)
			at = op->at + op->cut;
	}
	out_mem(&o, at, (size_t)(head_end - at));
	out_str(&o, e->body_replaced ? e->body : e->m->body);
	if (o.overflow)
		return ERR_SPACE;
	*n = o.n;
	return 0;
}
