/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/json.h"

/* A finished value ends in a quote, a bracket, a digit, or the last letter of true, false, null. */
static void separate(struct out *o)
{
	char last = o->n ? o->p[o->n - 1] : 0;

	if (last == '"' || (last >= '0' && last <= '9') || last == '}' || last == ']' || last == 'l' || last == 'e')
		out_lit(o, ",");
}

void json_object_open(struct out *o)
{
	separate(o);
	out_lit(o, "{");
}

void json_object_close(struct out *o)
{
	out_lit(o, "}");
}

void json_array_open(struct out *o)
{
	separate(o);
	out_lit(o, "[");
}

void json_array_close(struct out *o)
{
	out_lit(o, "]");
}

void json_key(struct out *o, const char *name)
{
	separate(o);
	out_lit(o, "\"");
	out_str(o, str_of(name));
	out_lit(o, "\":");
}

/* Length of the well-formed UTF-8 sequence at the head of s, 0 where there is none (RFC 3629 §4). */
static size_t utf8_length(struct str s)
{
	const unsigned char *u = (const unsigned char *)s.p;
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xc2 || u[0] > 0xf4)
		return 0;
	n = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	if (s.n < n)
		return 0;
	if (u[0] == 0xe0)
		low = 0xa0;
	else if (u[0] == 0xed)
		high = 0x9f;
	else if (u[0] == 0xf0)
		low = 0x90;
	else if (u[0] == 0xf4)
		high = 0x8f;
	if (u[1] < low || u[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* Writes one ASCII character that may not stand for itself. */
static void escape(struct out *o, unsigned char c)
{
	switch (c) {
	case '"': out_lit(o, "\\\""); break;
	case '\\': out_lit(o, "\\\\"); break;
	case '\n': out_lit(o, "\\n"); break;
	case '\r': out_lit(o, "\\r"); break;
	case '\t': out_lit(o, "\\t"); break;
	default:
		out_lit(o, "\\u");
		out_hex(o, c, 4);
	}
}

/* Length of the head of s that may stand in a string as it is. */
static size_t plain_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && (unsigned char)s.p[n] >= 0x20 && (unsigned char)s.p[n] < 0x7f && s.p[n] != '"' && s.p[n] != '\\')
		n++;
	return n;
}

void json_str(struct out *o, struct str s)
{
	separate(o);
	out_lit(o, "\"");
	while (s.n) {
		size_t n = plain_length(s);
		if (n) {
			out_mem(o, s.p, n);
		} else if ((n = utf8_length(s)) == 0) {
			out_lit(o, "\\ufffd");
			n = 1;
		} else if (n == 1) {
			escape(o, (unsigned char)s.p[0]);
		} else {
			out_mem(o, s.p, n);
		}
		s = str_from(s, n);
	}
	out_lit(o, "\"");
}

void json_u64(struct out *o, uint64_t v)
{
	separate(o);
	out_u64(o, v);
}

void json_bool(struct out *o, bool v)
{
	separate(o);
	out_str(o, v ? STR("true") : STR("false"));
}

void json_null(struct out *o)
{
	separate(o);
	out_lit(o, "null");
}

void json_seconds(struct out *o, uint64_t ms)
{
	separate(o);
	out_u64(o, ms / 1000);
	out_fmt(o, ".%03u", (unsigned)(ms % 1000));
}

void json_addr(struct out *o, const struct addr *a)
{
	if (!a->family) {
		json_null(o);
		return;
	}
	separate(o);
	out_lit(o, "\"");
	addr_print(o, a);
	out_lit(o, "\"");
}

/* v with exactly `digits` digits, and what follows. */
static char *put_number(char *at, unsigned v, unsigned digits, char then)
{
	for (unsigned i = digits; i-- > 0; v /= 10)
		at[i] = (char)('0' + v % 10);
	at[digits] = then;
	return at + digits + 1;
}

void out_time(struct out *o, uint64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	char text[32], *at = text;
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || tm.tm_year + 1900 > 9999) {
		o->overflow = true;
		return;
	}
	at = put_number(at, (unsigned)tm.tm_year + 1900, 4, '-');
	at = put_number(at, (unsigned)tm.tm_mon + 1, 2, '-');
	at = put_number(at, (unsigned)tm.tm_mday, 2, 'T');
	at = put_number(at, (unsigned)tm.tm_hour, 2, ':');
	at = put_number(at, (unsigned)tm.tm_min, 2, ':');
	at = put_number(at, (unsigned)tm.tm_sec, 2, '.');
	at = put_number(at, (unsigned)(wall_ms % 1000), 3, 'Z');
	out_mem(o, text, (size_t)(at - text));
}

void json_time(struct out *o, uint64_t wall_ms)
{
	if (!wall_ms) {
		json_null(o);
		return;
	}
	separate(o);
	out_lit(o, "\"");
	out_time(o, wall_ms);
	out_lit(o, "\"");
}
