/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/str.h"

#include <endian.h>

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

/* Eight bytes at a time: taking the limit from each of them sets the top bit of the first that is below it (the ones after that may
 * have been borrowed from); a top bit that was set before does not count. */
size_t str_below(struct str s, unsigned char limit)
{
	const uint64_t each = UINT64_MAX / 255, limits = each * limit, tops = each << 7;
	uint64_t word;
	size_t at = 0;

	for (; at + sizeof word <= s.n; at += sizeof word) {
		memcpy(&word, s.p + at, sizeof word);
		word = le64toh(word);
		word = (word - limits) & ~word & tops;
		if (word)
			return at + (size_t)__builtin_ctzll(word) / 8;
	}
	while (at < s.n && (unsigned char)s.p[at] >= limit)
		at++;
	return at;
}

bool str_fits_u64(struct str digits)
{
	static const struct str largest = { "18446744073709551615", 20 };

	while (digits.n > largest.n && digits.p[0] == '0')
		digits = str_from(digits, 1);
	return digits.n < largest.n || (digits.n == largest.n && memcmp(digits.p, largest.p, largest.n) <= 0);
}
