/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rewriting by a list of edits: each of them, their order, values that leave lists, bodies, overflow. */
#include "t/sip-tests.h"

static struct sample s, want;
static struct sip_edit e;
static char result[16384];

static const char invite[] =
	"INVITE sip:b@h SIP/2.0\n"
	"Via: SIP/2.0/UDP one;branch=z9hG4bK1, SIP/2.0/UDP two\n"
	"Via: SIP/2.0/UDP three\n"
	"Route: <sip:p;lr>\n"
	"From: <sip:a@h>;tag=1\n"
	"To: <sip:b@h>\n"
	"Call-ID: c\n"
	"CSeq: 1 INVITE\n"
	"Supported: timer, 100rel ,replaces\n"
	"Empty:\n"
	"Content-Type: application/sdp\n"
	"Content-Length: 4\n"
	"\n"
	"body";

static void begin(const char *text)
{
	sample_good(&s, text);
	sip_edit_init(&e, &s.msg);
}

/* The message as rewritten must be this text. */
static void written(const char *text, const char *title)
{
	size_t n = 0;
	int err = sip_edit_write(&e, result, sizeof result, &n);

	sample_text(&want, text);
	is_u64(err, 0, "%s: written", title);
	is_mem(result, n, want.bytes, want.n, "%s", title);
}

static struct str value_at(enum sip_header_id id, unsigned index)
{
	struct sip_values v = sip_values(&s.msg, id);
	struct str one = STR_NONE;

	for (unsigned i = 0; i <= index; i++)
		if (!sip_values_next(&v, &one))
			tap_bail("no such value");
	return one;
}

static void test_whole(void)
{
	begin(invite);
	written(invite, "without edits nothing changes");
	begin(invite);
	sip_edit_insert_end(&e, STR("Last: 1\r\n"));
	sip_edit_replace(&e, sip_value(&s.msg, SIP_H_CSEQ), STR("22 INVITE"));
	sip_edit_drop_all(&e, SIP_H_VIA);
	sip_edit_insert_top(&e, STR("Via: new\r\n"));
	sip_edit_replace(&e, s.msg.uri, STR("sip:else@where"));
	sip_edit_drop(&e, sip_first(&s.msg, SIP_H_ROUTE));
	sip_edit_insert_end(&e, STR("Last: 2\r\n"));
	sip_edit_replace(&e, sip_value(&s.msg, SIP_H_OTHER), STR("filled"));
	written("INVITE sip:else@where SIP/2.0\nVia: new\nFrom: <sip:a@h>;tag=1\nTo: <sip:b@h>\nCall-ID: c\nCSeq: 22 INVITE\n"
		"Supported: timer, 100rel ,replaces\nEmpty:filled\nContent-Type: application/sdp\nContent-Length: 4\nLast: 1\nLast: 2\n\nbody",
		"RFC3261-16.6: edits in any order");
}

static void test_drop_value(void)
{
	const struct {
		unsigned drop[3], n;
		const char *vias;
		const char *title;
	} cases[] = {
		{ { 0 }, 1, "Via: SIP/2.0/UDP two\nVia: SIP/2.0/UDP three\n", "RFC3261-16.7: the top Via leaves its line to the next" },
		{ { 1 }, 1, "Via: SIP/2.0/UDP one;branch=z9hG4bK1\nVia: SIP/2.0/UDP three\n", "the last value of a line, with its comma" },
		{ { 2 }, 1, "Via: SIP/2.0/UDP one;branch=z9hG4bK1, SIP/2.0/UDP two\n", "a value that was alone, with its line" },
		{ { 0, 1 }, 2, "Via: SIP/2.0/UDP three\n", "both values of a line, with the line" },
		{ { 1, 0 }, 2, "Via: SIP/2.0/UDP three\n", "in the other order" },
		{ { 2, 1, 0 }, 3, "", "all of them" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[1024];
		begin(invite);
		for (unsigned k = 0; k < cases[i].n; k++)
			sip_edit_drop_value(&e, value_at(SIP_H_VIA, cases[i].drop[k]));
		snprintf(text, sizeof text, "INVITE sip:b@h SIP/2.0\n%s%s", cases[i].vias, strstr(invite, "Route"));
		written(text, cases[i].title);
	}
}

/* The Require lines after these tokens were dropped, one after the other. */
static const char *require_without(const char *line, const char *const *tokens)
{
	static char text[1024];
	const char *rest = strstr(invite, "Route");
	size_t n;

	snprintf(text, sizeof text, "INVITE sip:b@h SIP/2.0\nVia: SIP/2.0/UDP h\n%s%s", line, rest);
	begin(text);
	for (; *tokens; tokens++)
		sip_edit_drop_token(&e, SIP_H_REQUIRE, str_of(*tokens));
	if (sip_edit_write(&e, result, sizeof result, &n))
		return "overflow";
	result[n] = 0;
	char *from = strstr(result, "UDP h\r\n") + 7;
	snprintf(text, sizeof text, "%.*s", (int)(strstr(from, "Route") - from), from);
	return text;
}

#define TOKENS(...) (const char *const[]){ __VA_ARGS__, NULL }

static void test_drop_token(void)
{
	is_text(require_without("Require: timer, 100rel ,replaces\n", TOKENS("timer")), "Require: 100rel ,replaces\r\n", "RFC4028-7.4: the first of three");
	is_text(require_without("Require: timer, 100rel ,replaces\n", TOKENS("100REL")), "Require: timer, replaces\r\n", "the middle one, in any case");
	is_text(require_without("Require: timer, 100rel ,replaces\n", TOKENS("replaces")), "Require: timer, 100rel\r\n", "the last");
	is_text(require_without("Require: timer, 100rel ,replaces\n", TOKENS("timer", "100rel")), "Require: replaces\r\n", "the first two");
	is_text(require_without("Require: timer, 100rel ,replaces\n", TOKENS("replaces", "timer")), "Require: 100rel\r\n", "the outer two");
	is_text(require_without("Require: timer, 100rel ,replaces\n", TOKENS("replaces", "100rel", "timer")), "", "all: the line goes");
	is_text(require_without("Require: timer, timer\nRequire: a,timer\n", TOKENS("timer")), "Require: a\r\n", "repeated, and over two lines");
	is_text(require_without("Require: timer\n", TOKENS("100rel")), "Require: timer\r\n", "one that is not there changes nothing");
	is_text(require_without("Require: , timer,, a\n", TOKENS("timer")), "Require: , a\r\n", "empty elements do not disturb");
	is_text(require_without("Require:\n timer\n ,a\n", TOKENS("timer")), "Require:\r\n a\r\n", "RFC3261-7.3.1: folded lists");
	is_text(require_without("Require:\n", TOKENS("timer")), "Require:\r\n", "an empty list stays");
}

static void test_body(void)
{
	size_t n = 0;

	begin(invite);
	sip_edit_body(&e, STR("v=0 another"), STR("Content-Type: text/other\r\n"));
	ok(sip_edit_write(&e, result, sizeof result - 1, &n) == 0, "written");
	result[n] = 0;
	ok(strstr(result, "Content-Length: 11\r\n") && strstr(result, "Content-Type: text/other\r\n") && !strstr(result, "application/sdp") &&
	   strstr(result, "\r\n\r\nv=0 another"), "RFC3261-20.14: another body, its type and length");
	begin(invite);
	sip_edit_body(&e, STR("longer"), STR_NONE);
	ok(sip_edit_write(&e, result, sizeof result - 1, &n) == 0, "written");
	result[n] = 0;
	ok(strstr(result, "Content-Length: 6\r\n") && strstr(result, "application/sdp"), "its type stays unless said");
	begin("SIP/2.0 200 OK\nVia: SIP/2.0/UDP h\nFrom: <sip:a@h>\nTo: <sip:b@h>\nCall-ID: c\nCSeq: 1 BYE\nContent-Type: a/b\nContent-Disposition: session\n\nbody");
	sip_edit_body(&e, STR_NONE, STR_NONE);
	written("SIP/2.0 200 OK\nVia: SIP/2.0/UDP h\nFrom: <sip:a@h>\nTo: <sip:b@h>\nCall-ID: c\nCSeq: 1 BYE\nContent-Length: 0\n\n", "no body: no header that speaks of one; Content-Length is added where it lacked");
}

static void test_limits(void)
{
	size_t n = 77;

	begin(invite);
	is_u64(sip_edit_write(&e, result, s.n - 1, &n), ERR_SPACE, "a buffer too small by one");
	is_u64(n, 77, "changes nothing");
	is_u64(sip_edit_write(&e, result, s.n, &n), 0, "one that just fits");
	for (unsigned i = 0; i < SIP_EDITS_MAX; i++)
		sip_edit_insert_end(&e, STR("X: y\r\n"));
	is_u64(sip_edit_write(&e, result, sizeof result, &n), 0, "as many edits as there is room for");
	sip_edit_insert_end(&e, STR("X: y\r\n"));
	is_u64(sip_edit_write(&e, result, sizeof result, &n), ERR_SPACE, "one more is told when writing");
	begin(invite);
	sip_edit_replace(&e, sip_value(&s.msg, SIP_H_ROUTE), STR("<sip:q>"));
	sip_edit_drop_all(&e, SIP_H_ROUTE);
	sip_edit_write(&e, result, sizeof result, &n);
	ok(!memmem(result, n, "sip:q", 5) && !memmem(result, n, "Route", 5) && n == s.n - 19, "what was changed in a line that is dropped goes with it");
}

int main(void)
{
	test_whole();
	test_drop_value();
	test_drop_token();
	test_body();
	test_limits();
	return tap_done();
}
