/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slices: comparing, searching, trimming, numbers. */
#include "base/str.h"
#include "t/tap.h"

static void test_comparing(void)
{
	ok(str_eq(STR_NONE, STR("")) && !str_eq(STR("a"), STR("A")) && !str_eq(STR("a"), STR("ab")), "the same bytes");
	ok(str_ieq(STR("a-Z@[`{"), STR("A-z@[`{")) && !str_ieq(STR("@"), STR("`")) && !str_ieq(STR("["), STR("{")), "RFC3261-7.3.1: only letters fold");
	ok(str_ieq(STR_NONE, STR_NONE) && !str_ieq(STR("\xc4"), STR("\xe4")), "nothing is nothing; only ASCII folds");
	ok(str_starts(STR("SIP/2.0"), STR("SIP/")) && !str_starts(STR("sip/2.0"), STR("SIP/")) && !str_starts(STR("SI"), STR("SIP/")), "a prefix");
	ok(str_istarts(STR("sip/2.0"), STR("SIP/")) && !str_istarts(STR("SIP"), STR("SIP/")) && str_istarts(STR_NONE, STR("")), "a prefix in any case");
}

/* str_below() against the plain way, for every byte at every place of texts up to three words long. */
static bool below_is_right(unsigned char limit)
{
	char text[24];

	for (size_t n = 0; n <= sizeof text; n++)
		for (size_t at = 0; at < n; at++)
			for (unsigned c = 0; c < 256; c++) {
				memset(text, limit, sizeof text);
				text[at] = (char)c;
				if (at + 1 < n)
					text[at + 1] = (char)(c ^ 0x80);
				size_t want = c < limit ? at : at + 1 < n && (c ^ 0x80) < limit ? at + 1 : n;
				if (str_below(str_make(text, n), limit) != want)
					return false;
			}
	return true;
}

static void test_searching(void)
{
	ok(below_is_right(1) && below_is_right(' ') && below_is_right('!') && below_is_right(128), "the first byte below a limit");
	is_u64(str_below(STR_NONE, ' '), 0, "none in nothing");
	is_u64(str_chr(STR("a:b:c"), ':'), 1, "the first of a character");
	is_u64(str_chr(STR("abc"), ':'), 3, "the length where there is none");
}

static void test_trimming(void)
{
	is_str(str_trim(STR(" \t\r\na b\r\n \t")), STR("a b"), "space, tab, CR and LF go at both ends, not within");
	is_u64(str_trim(STR(" \r\n")).n, 0, "nothing but white space");
	is_u64(str_trim(STR_NONE).n, 0, "nothing");
	is_str(str_trim(STR("\v\x80")), STR("\v\x80"), "no other byte is white space");
}

static void test_numbers(void)
{
	struct str s = STR("0815;x");
	uint64_t v = 7;

	ok(str_take_u64(&s, 815, &v) == 0 && v == 815 && str_eq(s, STR(";x")), "a number is taken off the front");
	ok(str_take_u64(&s, 815, &v) == ERR_SYNTAX && str_eq(s, STR(";x")), "where there is none, nothing is taken");
	s = STR("816 x");
	ok(str_take_u64(&s, 815, &v) == ERR_RANGE && v == 815 && str_eq(s, STR(" x")), "one that is too large is taken, and not told");
	ok(str_u64(STR("18446744073709551615"), UINT64_MAX, &v) == 0 && v == UINT64_MAX, "the largest");
	ok(str_u64(STR("00018446744073709551615"), UINT64_MAX, &v) == 0 && v == UINT64_MAX, "leading zeros do not count");
	is_u64(str_u64(STR("18446744073709551616"), UINT64_MAX, &v), ERR_RANGE, "one more is too large");
	is_u64(str_u64(STR("18446744073709551617"), 815, &v), ERR_RANGE, "also where it wraps to a small one");
	is_u64(str_u64(STR("99999999999999999999999"), UINT64_MAX, &v), ERR_RANGE, "and far more");
	ok(str_u64(STR("1x"), 815, &v) == ERR_SYNTAX && str_u64(STR("99999999999999999999x"), 815, &v) == ERR_SYNTAX &&
	   str_u64(STR(""), 815, &v) == ERR_SYNTAX && str_u64(STR("-1"), 815, &v) == ERR_SYNTAX && str_u64(STR("\xb1"), 815, &v) == ERR_SYNTAX, "what is no number");
	is_u64(v, UINT64_MAX, "what failed changes nothing");
}

int main(void)
{
	test_comparing();
	test_searching();
	test_trimming();
	test_numbers();
	return tap_done();
}
