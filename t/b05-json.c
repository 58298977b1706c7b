/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer of JSON: commas, escapes, what is no UTF-8, times, overflow. */
#include "base/json.h"
#include "t/tap.h"

static char buffer[4096];

static bool writes(const char *bytes, size_t n, const char *want, const char *what)
{
	struct out o = OUT(buffer, sizeof buffer);

	json_str(&o, str_make(bytes, n));
	return is_str(out_done(&o), str_of(want), "%s", what);
}

static void test_strings(void)
{
	writes("", 0, "\"\"", "RFC8259-7: an empty string");
	writes("plain {text},", 13, "\"plain {text},\"", "plain text");
	writes("a\"b\\c", 5, "\"a\\\"b\\\\c\"", "RFC8259-7: quotes and backslashes are escaped");
	writes("\r\n\t\0\x1f\x7f", 6, "\"\\r\\n\\t\\u0000\\u001f\\u007f\"", "control characters too");
	writes("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "UTF-8 stays");
	writes("\xff\xc3", 2, "\"\\ufffd\\ufffd\"", "RFC3629-3: stray and cut bytes are replaced");
	writes("\xc0\xaf\xe0\x80\xaf", 5, "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"", "RFC3629-10: overlong forms");
	writes("\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"", "RFC3629-3: surrogates");
	writes("\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"", "RFC3629-3: beyond U+10FFFF");
}

static void test_structure(void)
{
	static const struct addr none = { .family = 0 };
	struct out o = OUT(buffer, sizeof buffer);
	struct addr a;

	addr_parse(&a, STR("[2001:db8::1]:5060"), 0);
	json_object_open(&o);
	json_key(&o, "n"), json_u64(&o, UINT64_MAX), json_key(&o, "i"), json_u64(&o, 0);
	json_key(&o, "l"), json_array_open(&o), json_array_open(&o), json_array_close(&o), json_object_open(&o), json_object_close(&o);
	json_bool(&o, true), json_bool(&o, false), json_null(&o), json_str(&o, STR("{")), json_str(&o, STR(":")), json_array_close(&o);
	json_key(&o, "s"), json_seconds(&o, 1002), json_key(&o, "a"), json_addr(&o, &a), json_key(&o, "b"), json_addr(&o, &none);
	json_object_close(&o);
	is_str(out_done(&o), STR("{\"n\":18446744073709551615,\"i\":0,\"l\":[[],{},true,false,null,\"{\",\":\"],"
				 "\"s\":1.002,\"a\":\"[2001:db8::1]:5060\",\"b\":null}"), "commas come by themselves");
}

/* Every day of 500 years, and then some, as the C library has them. */
static void test_days(void)
{
	bool good = true;

	for (uint64_t day = 0; day < 2932896 && good; day += day < 183000 ? 1 : 97) {
		uint64_t ms = day * 86400000 + day * 7919 % 86400000;
		time_t seconds = (time_t)(ms / 1000);
		struct out o = OUT(buffer, sizeof buffer);
		char want[64];
		struct tm tm;
		size_t n;

		out_time(&o, ms);
		gmtime_r(&seconds, &tm);
		n = strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S", &tm);
		n += (size_t)snprintf(want + n, sizeof want - n, ".%03uZ", (unsigned)(ms % 1000));
		good = str_eq(out_done(&o), str_make(want, n));
	}
	ok(good, "days, months and leap years as gmtime_r() has them");
}

/* Whatever a string holds, at whatever place of a word: the plain way, character by character. */
static void test_places(void)
{
	bool good = true;

	for (unsigned at = 0; at < 20; at++)
		for (unsigned c = 0; c < 0x80; c++) {
			struct out o = OUT(buffer, sizeof buffer), plain = OUT(buffer + 512, 512);
			char text[20];

			memset(text, 'x', sizeof text);
			text[at] = (char)c;
			json_str(&o, str_make(text, sizeof text));
			out_lit(&plain, "\"");
			out_mem(&plain, text, at);
			if (c == '"' || c == '\\')
				out_lit(&plain, "\\");
			if (c == '\n' || c == '\r' || c == '\t')
				out_fmt(&plain, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
			else if (c < 0x20 || c == 0x7f)
				out_fmt(&plain, "\\u%04x", c);
			else
				out_mem(&plain, text + at, 1);
			out_mem(&plain, text + at + 1, sizeof text - at - 1);
			out_lit(&plain, "\"");
			good = good && str_eq(out_done(&o), out_done(&plain));
		}
	ok(good, "RFC8259-7: each character is escaped, or not, at every place");
}

static void test_times(void)
{
	struct out o = OUT(buffer, sizeof buffer);

	json_time(&o, 951782399999), json_time(&o, 0), out_lit(&o, "\n"), out_time(&o, 1);
	is_str(out_done(&o), STR("\"2000-02-28T23:59:59.999Z\",null\n1970-01-01T00:00:00.001Z"), "RFC3339-5.6: UTC with milliseconds");
	o = OUT(buffer, 10);
	json_time(&o, 951782399999);
	ok(o.overflow, "what does not fit is an overflow");
	o = OUT(buffer, sizeof buffer);
	out_time(&o, UINT64_MAX);
	ok(o.overflow, "so is a time beyond all years");
	o = OUT(buffer, sizeof buffer);
	out_time(&o, OUT_TIME_MAX_MS);
	is_str(out_done(&o), STR("9999-12-31T23:59:59.999Z"), "of which this is the last moment");
	out_time(&o, OUT_TIME_MAX_MS + 1);
	ok(o.overflow, "and no later one");
}

int main(void)
{
	test_strings();
	test_structure();
	test_times();
	test_days();
	test_places();
	return tap_done();
}
