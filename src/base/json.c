/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/json.h"

#define EACH_BYTE UINT64_C(0x0101010101010101)
enum { DAY_MS = 24 * 3600 * 1000, TIME_TEXT = sizeof "YYYY-MM-DDThh:mm:ss.mmmZ" - 1 };

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

static bool plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* The highest bit of each byte of x below n is set, and of bytes above the first such one perhaps: whether there is one. */
static inline uint64_t any_below(uint64_t x, unsigned char n)
{
	return (x - EACH_BYTE * n) & ~x & EACH_BYTE * 0x80;
}

/* The same of eight characters at once. */
static bool plain_word(const char *p)
{
	uint64_t x, odd;

	memcpy(&x, p, sizeof x);
	odd = ((x + EACH_BYTE) | x) & EACH_BYTE * 0x80; /* 0x7f and above */
	odd |= any_below(x, 0x20) | any_below(x ^ EACH_BYTE * '"', 1) | any_below(x ^ EACH_BYTE * '\\', 1);
	return !odd;
}

/* Length of the head of s that may stand in a string as it is. */
static size_t plain_length(struct str s)
{
	size_t n = 0;

	while (n + sizeof(uint64_t) <= s.n && plain_word(s.p + n))
		n += sizeof(uint64_t);
	while (n < s.n && plain((unsigned char)s.p[n]))
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

/* Days since 1970-01-01 as "YYYY-MM-DD". Years are counted from March, so that a leap day is their last, in eras of 400 years. */
static char *put_date(char *at, uint32_t days)
{
	enum { TO_MARCH_0000 = 719468, ERA = 146097, YEARS_4 = 1460, YEARS_100 = 36524 };
	uint32_t era = (days + TO_MARCH_0000) / ERA, day = (days + TO_MARCH_0000) % ERA;
	uint32_t year = (day - day / YEARS_4 + day / YEARS_100 - day / (ERA - 1)) / 365, month;

	day -= 365 * year + year / 4 - year / 100;
	month = (5 * day + 2) / 153; /* 0 = March; any five months before February have 153 days */
	day -= (153 * month + 2) / 5;
	year += 400 * era + (month >= 10);
	month = month < 10 ? month + 3 : month - 9;
	at = out_put_pair(out_put_pair(at, year / 100), year % 100);
	*at++ = '-';
	at = out_put_pair(at, month);
	*at++ = '-';
	return out_put_pair(at, day + 1);
}

void out_time(struct out *o, uint64_t wall_ms)
{
	uint32_t ms = (uint32_t)(wall_ms % DAY_MS);
	char *at;

	if (wall_ms > OUT_TIME_MAX_MS) {
		o->overflow = true;
		return;
	}
	if (!(at = out_room(o, TIME_TEXT)))
		return;
	at = put_date(at, (uint32_t)(wall_ms / DAY_MS));
	*at++ = 'T';
	at = out_put_pair(at, ms / 3600000);
	*at++ = ':';
	at = out_put_pair(at, ms / 60000 % 60);
	*at++ = ':';
	at = out_put_pair(at, ms / 1000 % 60);
	*at++ = '.';
	*at++ = (char)('0' + ms / 100 % 10);
	at = out_put_pair(at, ms % 100);
	*at = 'Z';
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
