/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A slice of bytes that somebody else owns. Never NUL-terminated by contract, may hold NUL bytes;
 * an empty slice may have p == NULL. Pure: any process may call everything here. */
#ifndef VELADOR_BASE_STR_H
#define VELADOR_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* ASCII case-insensitive comparison, the case rule of RFC 3261 §7.3.1. */
bool str_same_folded(const char *a, const char *b, size_t n);
static inline bool str_ieq(struct str a, struct str b)
{
	return a.n == b.n && str_same_folded(a.p, b.p, a.n);
}

/* Whether s begins with prefix (exactly; _i: ASCII case-insensitively). */
bool str_starts(struct str s, struct str prefix);
bool str_istarts(struct str s, struct str prefix);

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

/* Without spaces, tabs, CR and LF at both ends. */
struct str str_trim(struct str s);

/* Reads a decimal number that fills s wholly (1 to 20 digits).
 * Returns 0; ERR_SYNTAX where s is empty or has another character; ERR_RANGE above max. */
int str_u64(struct str s, uint64_t max, uint64_t *out);

#endif
