/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/str.h"
#include "base/err.h"

enum { UINT64_DIGITS = 19 }; /* any so many fit into 64 bits */

static inline unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool str_same_folded(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i] && lower((unsigned char)a[i]) != lower((unsigned char)b[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_head(s, prefix.n), prefix);
}

bool str_istarts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_same_folded(s.p, prefix.p, prefix.n);
}

static inline bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	const char *p = s.p, *end = s.n ? p + s.n : p;

	while (p != end && blank(*p))
		p++;
	while (p != end && blank(end[-1]))
		end--;
	return str_make(p, (size_t)(end - p));
}

int str_u64(struct str s, uint64_t max, uint64_t *out)
{
	bool overflow = false;
	uint64_t v = 0;

	if (!s.n)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - '0';
		if (digit > 9)
			return ERR_SYNTAX;
		if (i >= UINT64_DIGITS)
			overflow |= v > (UINT64_MAX - digit) / 10;
		v = v * 10 + digit;
	}
	if (overflow || v > max)
		return ERR_RANGE;
	*out = v;
	return 0;
}
