/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking values out of comma lists. A list is written anew from its values: those that stay keep the separators between them,
 * and a list that none stay in goes with its line. So values of one line may be dropped one after the other, in any order. */
#include "sip/grammar.h"

/* What is dropped: the value at this place, or every value that is this token. */
struct choice {
	const char *at;
	struct str token;
	bool exact;
};

static bool chosen(const struct choice *c, struct str value)
{
	if (c->at)
		return value.p == c->at;
	return c->exact ? str_eq(value, c->token) : str_ieq(value, c->token);
}

/* The edits made before, in order of their place, so that one walk over them goes along with the walk over the values. */
struct earlier {
	const struct sip_edit *e;
	uint32_t at, n;
};

/* Whether an earlier edit cuts all of this value. Asked for values in the order of their line. */
static bool gone(struct earlier *x, struct str value)
{
	const struct sip_edit_op *op = x->e->op;

	while (x->at < x->n && op[x->at].at + op[x->at].cut <= value.p)
		x->at++;
	for (uint32_t i = x->at; i < x->n && op[i].at <= value.p; i++)
		if (!op[i].put.n && sip_within(str_make(op[i].at, op[i].cut), value))
			return true;
	return false;
}

static void cut(struct sip_edit *e, const char *from, const char *to)
{
	sip_edit_replace(e, str_make(from, (size_t)(to - from)), STR_NONE);
	if (!e->overflow)
		e->op[e->n - 1].of_list = true;
}

/* Takes back those of the first n edits that cut values of this header: they were made anew. */
static void forget_cuts(struct sip_edit *e, uint32_t n, const struct sip_header *h)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < e->n; i++) {
		struct sip_edit_op op = e->op[i];
		if (i >= n || !op.of_list || !sip_within(h->line, str_make(op.at, op.cut)))
			e->op[kept++] = op;
	}
	e->n = kept;
}

static void drop_chosen(struct sip_edit *e, const struct sip_header *h, const struct choice *c)
{
	struct str rest = h->value, value;
	const char *run = NULL, *run_end = NULL, *live_end = NULL;
	uint32_t before = e->n;
	struct earlier earlier = { e, 0, before };
	bool found = false, overflow = e->overflow;

	sip_edit_sort(e);
	while (sip_list_next(&rest, &value)) {
		bool hit = chosen(c, value);

		found |= hit;
		if (hit || gone(&earlier, value)) {
			run = run ? run : value.p;
			run_end = value.p + value.n;
			continue;
		}
		if (run)
			cut(e, run, value.p);
		run = NULL;
		live_end = value.p + value.n;
	}
	if (!found) {
		e->n = before;
		e->overflow = overflow;
		return;
	}
	if (!live_end)
		cut(e, h->line.p, h->line.p + h->line.n);
	else if (run)
		cut(e, live_end, run_end);
	forget_cuts(e, before, h);
}

void sip_edit_drop_value(struct sip_edit *e, struct str value)
{
	const struct sip_msg *m = e->m;

	for (size_t i = 0; i < m->nheaders; i++)
		if (sip_within(m->header[i].value, value)) {
			drop_chosen(e, &m->header[i], &(struct choice){ .at = value.p });
			return;
		}
}

void sip_edit_drop_token(struct sip_edit *e, enum sip_header_id id, struct str token)
{
	struct choice c = { .token = token, .exact = id == SIP_H_ALLOW };

	for (const struct sip_header *h = sip_first(e->m, id); h; h = sip_next(e->m, h))
		drop_chosen(e, h, &c);
}
