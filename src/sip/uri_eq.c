/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Equivalence of URIs, RFC 3261 §19.1.4. */
#include "sip/grammar.h"

/* Parameters or headers above this number are not compared: such URIs are held to differ. Bounds the work that a sender can cause. */
enum { COMPARED_MAX = 32 };

static int hex_value(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Takes the next character off s; an escaped one counts as the plain one, unless it is of the reserved set. */
static int next_char(struct str *s, bool fold)
{
	int c = (unsigned char)sip_take(s, 1).p[0];

	if (c == '%' && s->n >= 2 && sip_is(s->p[0], SIP_C_HEX) && sip_is(s->p[1], SIP_C_HEX)) {
		struct str hex = sip_take(s, 2);
		c = hex_value(hex.p[0]) * 16 + hex_value(hex.p[1]);
		if (c && memchr(";/?:@&=+$,%", c, 11))
			return 256 + c;
	}
	return fold && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool text_eq(struct str a, struct str b, bool fold)
{
	while (a.n && b.n)
		if (next_char(&a, fold) != next_char(&b, fold))
			return false;
	return !a.n && !b.n;
}

struct pair {
	struct str name, value;
};

/* Takes "name=value" up to the separator off s; false at its end. */
static bool next_pair(struct str *s, char separator, struct pair *pair)
{
	struct str one;

	while (s->n && s->p[0] == separator)
		sip_take(s, 1);
	if (!s->n)
		return false;
	one = sip_take(s, str_chr(*s, separator));
	pair->name = str_head(one, str_chr(one, '='));
	pair->value = str_from(one, pair->name.n + 1);
	return true;
}

static bool find_pair(struct str s, char separator, struct str name, struct pair *pair)
{
	while (next_pair(&s, separator, pair))
		if (text_eq(pair->name, name, true))
			return true;
	return false;
}

/* Parameters that must be in both URIs or in none. */
static bool never_ignored(struct str name)
{
	return str_ieq(name, STR("user")) || str_ieq(name, STR("ttl")) || str_ieq(name, STR("method")) ||
	       str_ieq(name, STR("maddr"));
}

static bool params_fit(struct str a, struct str b)
{
	struct pair x, y;
	unsigned n = 0;

	while (next_pair(&a, ';', &x)) {
		if (++n > COMPARED_MAX)
			return false;
		if (find_pair(b, ';', x.name, &y) ? !text_eq(x.value, y.value, true) : never_ignored(x.name))
			return false;
	}
	return true;
}

/* Headers are never ignored. */
static bool headers_fit(struct str a, struct str b)
{
	struct pair x, y;
	unsigned n = 0;

	while (next_pair(&a, '&', &x))
		if (++n > COMPARED_MAX || !find_pair(b, '&', x.name, &y) || !text_eq(x.value, y.value, false))
			return false;
	return true;
}

bool sip_uri_eq(const struct sip_uri *a, const struct sip_uri *b)
{
	if (!str_ieq(a->scheme, b->scheme))
		return false;
	if (!a->is_sip)
		return str_eq(a->rest, b->rest);
	return text_eq(a->user, b->user, false) && text_eq(a->password, b->password, false) &&
	       str_ieq(a->host, b->host) && a->port == b->port &&
	       params_fit(a->params, b->params) && params_fit(b->params, a->params) &&
	       headers_fit(a->headers, b->headers) && headers_fit(b->headers, a->headers);
}
