/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A slice of bytes that somebody else owns. Never NUL-terminated by contract, may hold NUL bytes;
 * an empty slice may have p == NULL. Pure: any process may call everything here. */
#ifndef VELADOR_BASE_STR_H
#define VELADOR_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
/* For printf: printf("%.*s", STR_FMT(s)). */
#define STR_FMT(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_make(const char *p, size_t n)
{
	return (struct str){ p, n };
}

/* The slice of a NUL-terminated string; NULL gives the empty slice. */
static inline struct str str_of(const char *z)
{
	return (struct str){ z, z ? strlen(z) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive comparison, the case rule of RFC 3261 §7.3.1. Most texts are written as the RFC writes them, so the bytes are
 * compared first: beside a literal that is an instruction or two. */
bool str_same_folded(const char *a, const char *b, size_t n);
static inline bool str_ieq(struct str a, struct str b)
{
	return a.n == b.n && (str_eq(a, b) || str_same_folded(a.p, b.p, a.n));
}

/* Offset of the first c in s, or s.n when there is none. */
static inline size_t str_chr(struct str s, char c)
{
	const char *q = s.n ? memchr(s.p, c, s.n) : NULL;
	return q ? (size_t)(q - s.p) : s.n;
}

/* The part of s from offset `from` on (from is cut to s.n). */
static inline struct str str_from(struct str s, size_t from)
{
	from = from < s.n ? from : s.n;
	return (struct str){ from ? s.p + from : s.p, s.n - from };
}

/* The first n bytes of s. */
static inline struct str str_head(struct str s, size_t n)
{
	return (struct str){ s.p, n < s.n ? n : s.n };
}

/* Whether s begins with prefix (exactly; _i: ASCII case-insensitively). */
static inline bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_head(s, prefix.n), prefix);
}

static inline bool str_istarts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_ieq(str_head(s, prefix.n), prefix);
}

/* Offset of the first byte of s below limit (1 to 128), or s.n when there is none; bytes above 127 are never below. */
size_t str_below(struct str s, unsigned char limit);

static inline bool str_blank(char c)
{
	return (unsigned char)c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n');
}

/* Without spaces, tabs, CR and LF at both ends. */
static inline struct str str_trim(struct str s)
{
	while (s.n && str_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && str_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Whether a number of these digits fits into 64 bits; so many digits always do. */
enum { STR_U64_DIGITS = 19 };
bool str_fits_u64(struct str digits);

/* Takes the decimal number at the front of s off it, all of its digits even where it is too large.
 * Returns 0; ERR_SYNTAX where s does not begin with a digit; ERR_RANGE above max. */
static inline int str_take_u64(struct str *s, uint64_t max, uint64_t *out)
{
	struct str rest = *s;
	uint64_t v = 0, digit;
	size_t n = 0;

	for (; n < rest.n && (digit = (uint64_t)rest.p[n] - '0') <= 9; n++)
		v = v * 10 + digit;
	*s = str_from(rest, n);
	if (!n)
		return ERR_SYNTAX;
	if (v > max || (n > STR_U64_DIGITS && !str_fits_u64(str_head(rest, n))))
		return ERR_RANGE;
	*out = v;
	return 0;
}

/* Reads a decimal number that fills s wholly (any number of digits).
 * Returns 0; ERR_SYNTAX where s is empty or has another character; ERR_RANGE above max. */
static inline int str_u64(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t v;
	int err = str_take_u64(&s, max, &v);

	if (s.n)
		return ERR_SYNTAX;
	if (!err)
		*out = v;
	return err;
}

#endif
