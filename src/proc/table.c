/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small reader of JSON into a tree, and its printer. It reads only what control writes, so escapes stay as they stand (they keep a
 * terminal safe), but for quotes and backslashes. */
#include "proc/table.h"

#include "base/counters.h"
#include "base/err.h"

enum { DEPTH_MAX = 16, COLUMNS_MAX = 64, WIDTH_MAX = 60, VALUE_WIDTH = 14 };

enum kind { SCALAR, ARRAY, OBJECT };

struct node {
	enum kind kind;
	struct str key;             /* in an object */
	struct str text;            /* of a scalar, without quotes; null is empty */
	struct node *child, *next;
};

struct reader {
	struct str rest;
	unsigned depth;
};

static void skip_space(struct reader *r)
{
	while (r->rest.n && strchr(" \t\r\n", r->rest.p[0]))
		r->rest = str_from(r->rest, 1);
}

static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (!r->rest.n || r->rest.p[0] != c)
		return false;
	r->rest = str_from(r->rest, 1);
	return true;
}

static int read_string(struct reader *r, struct str *text)
{
	size_t n = 0;

	if (!take(r, '"'))
		return ERR_SYNTAX;
	while (n < r->rest.n && r->rest.p[n] != '"')
		n += r->rest.p[n] == '\\' ? 2 : 1;
	if (n >= r->rest.n)
		return ERR_SYNTAX;
	*text = str_head(r->rest, n);
	r->rest = str_from(r->rest, n + 1);
	return 0;
}

static int read_value(struct reader *r, struct node **node);

static int read_members(struct reader *r, struct node *parent, char close)
{
	struct node **last = &parent->child;
	struct str key = STR_NONE;
	int err;

	if (take(r, close))
		return 0;
	do {
		if (close == '}' && ((err = read_string(r, &key)) || !take(r, ':')))
			return ERR_SYNTAX;
		if ((err = read_value(r, last)))
			return err;
		(*last)->key = key;
		last = &(*last)->next;
	} while (take(r, ','));
	return take(r, close) ? 0 : ERR_SYNTAX;
}

static int read_word(struct reader *r, struct str *text)
{
	size_t n = 0;

	while (n < r->rest.n && !strchr(",]} \t\r\n", r->rest.p[n]))
		n++;
	*text = str_head(r->rest, n);
	r->rest = str_from(r->rest, n);
	if (str_eq(*text, STR("null")))
		*text = STR_NONE;
	return n ? 0 : ERR_SYNTAX;
}

static int read_value(struct reader *r, struct node **node)
{
	struct node *v = calloc(1, sizeof *v);
	int err;

	if (!v)
		return ERR_SYSTEM;
	*node = v;
	if (++r->depth > DEPTH_MAX)
		return ERR_SYNTAX;
	skip_space(r);
	if (take(r, '{')) {
		v->kind = OBJECT;
		err = read_members(r, v, '}');
	} else if (take(r, '[')) {
		v->kind = ARRAY;
		err = read_members(r, v, ']');
	} else if (r->rest.n && r->rest.p[0] == '"') {
		err = read_string(r, &v->text);
	} else {
		err = read_word(r, &v->text);
	}
	r->depth--;
	return err;
}

static void release(struct node *v)
{
	while (v) {
		struct node *next = v->next;
		release(v->child);
		free(v);
		v = next;
	}
}

/* ------------------------------------------------------------------------------------------ printing */
/* The columns that a scalar takes, UTF-8 counted by characters. */
static int width(struct str s)
{
	int n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static struct str cell(const struct node *v)
{
	return v->kind == SCALAR ? (v->text.n ? v->text : STR("-")) : v->child ? STR("...") : STR("-");
}

static void pad(FILE *to, int n)
{
	fprintf(to, "%*s", n > 0 ? n : 0, "");
}

/* A list of objects: a column for each member of the first. */
static void print_rows(FILE *to, const struct node *list, int indent)
{
	int widths[COLUMNS_MAX] = { 0 }, column;

	for (const struct node *row = list->child; row; row = row->next) {
		column = 0;
		for (const struct node *v = row->child; v && column < COLUMNS_MAX; v = v->next, column++) {
			int w = width(cell(v)) > width(v->key) ? width(cell(v)) : width(v->key);
			w = w < WIDTH_MAX ? w : WIDTH_MAX;
			widths[column] = w > widths[column] ? w : widths[column];
		}
	}
	for (int head = 1; head >= 0; head--) {
		for (const struct node *row = list->child; row; row = head ? NULL : row->next) {
			pad(to, indent);
			column = 0;
			for (const struct node *v = row->child; v && column < COLUMNS_MAX; v = v->next, column++) {
				struct str s = head ? v->key : cell(v);
				fprintf(to, "%.*s", STR_FMT(s));
				pad(to, v->next ? widths[column] - width(s) + 2 : 0);
			}
			fputc('\n', to);
		}
	}
}

static void print_value(FILE *to, const struct node *v, int indent);

static void print_members(FILE *to, const struct node *object, int indent)
{
	int widest = 0;

	for (const struct node *v = object->child; v; v = v->next)
		if (v->kind == SCALAR && width(v->key) > widest)
			widest = width(v->key);
	for (const struct node *v = object->child; v; v = v->next) {
		pad(to, indent);
		fprintf(to, "%.*s", STR_FMT(v->key));
		if (v->kind == SCALAR) {
			const char *help = counter_help(v->key);
			pad(to, widest - width(v->key) + 2);
			fprintf(to, "%.*s", STR_FMT(cell(v)));
			if (help)
				fprintf(to, "%*s%s", width(cell(v)) < VALUE_WIDTH ? VALUE_WIDTH - width(cell(v)) : 2, "", help);
			fputc('\n', to);
		} else if (!v->child) {
			fprintf(to, ": none\n");
		} else {
			fprintf(to, ":\n");
			print_value(to, v, indent + 2);
		}
	}
}

/* Whether a list's objects hold only scalars, so that they fit into rows. */
static bool is_flat(const struct node *list)
{
	for (const struct node *row = list->child; row; row = row->next)
		for (const struct node *v = row->child; v; v = v->next)
			if (row->kind != OBJECT || (v->kind != SCALAR && v->child))
				return false;
	return list->child && list->child->kind == OBJECT;
}

static void print_value(FILE *to, const struct node *v, int indent)
{
	if (v->kind == OBJECT) {
		print_members(to, v, indent);
	} else if (v->kind == SCALAR) {
		pad(to, indent);
		fprintf(to, "%.*s\n", STR_FMT(cell(v)));
	} else if (is_flat(v)) {
		print_rows(to, v, indent);
	} else {
		for (const struct node *row = v->child; row; row = row->next) {
			print_value(to, row, indent);
			if (row->next && row->kind != SCALAR)
				fputc('\n', to);
		}
	}
}

int table_print(FILE *to, struct str json)
{
	struct reader r = { .rest = json };
	struct node *root = NULL;
	int err = read_value(&r, &root);

	skip_space(&r);
	if (!err && r.rest.n)
		err = ERR_SYNTAX;
	if (!err && root->kind == ARRAY && !root->child)
		fputs("none\n", to);
	else if (!err)
		print_value(to, root, 0);
	release(root);
	return err;
}
