/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Framing: start lines, header lines, the body; and what happens to what is malformed. */
#include "t/sip-tests.h"

static struct sample s;

static int parse(const char *text)
{
	sample_text(&s, text);
	return sip_parse(&s.msg, s.bytes, s.n, &s.why);
}

static int parse_bytes(const char *bytes, size_t n)
{
	s.why = (struct sip_fault){ 0, "" };
	return sip_parse(&s.msg, bytes, n, &s.why);
}

#define HEAD "Via: SIP/2.0/UDP h;branch=z9hG4bKx\nFrom: <sip:a@h>;tag=1\nTo: <sip:b@h>\nCall-ID: c\nCSeq: 1 OPTIONS\n"
#define REQUEST "OPTIONS sip:b@h SIP/2.0\n" HEAD

static void test_request(void)
{
	const struct sip_header *h;

	ok(parse(REQUEST "Content-Length: 4\n\nbodyrest") == 0, "RFC3261-7.1: a request");
	ok(s.msg.method == SIP_OPTIONS && !s.msg.status, "method");
	is_str(s.msg.method_name, STR("OPTIONS"), "its name");
	is_str(s.msg.uri, STR("sip:b@h"), "Request-URI");
	is_str(s.msg.version, STR("SIP/2.0"), "version");
	is_str(s.msg.start_line, STR("OPTIONS sip:b@h SIP/2.0\r\n"), "the start line with its end");
	is_str(s.msg.body, STR("body"), "RFC3261-18.3: the body ends by Content-Length");
	ok(s.msg.raw.n == s.n - 4, "RFC4475-3.1.1.8: what follows in the datagram is no part of it");
	is_str(s.msg.head_end, STR("\r\n"), "the empty line");
	h = sip_first(&s.msg, SIP_H_TO);
	ok(h && str_eq(h->name, STR("To")) && str_eq(h->value, STR("<sip:b@h>")) && str_eq(h->line, STR("To: <sip:b@h>\r\n")), "a header: name, value, line");
	ok(parse(REQUEST "\nall of it\n") == 0 && str_eq(s.msg.body, STR("all of it\r\n")), "RFC3261-18.3: without Content-Length over UDP the rest is the body");
	ok(parse("FROB%4a sip:b@h SIP/2.0\n" HEAD "\n") == 0 && s.msg.method == SIP_UNKNOWN && str_eq(s.msg.method_name, STR("FROB%4a")), "RFC4475-3.1.1.5: an unknown method keeps its name");
	ok(parse("\n\n" REQUEST "\n") == 0 && s.msg.raw.p == s.bytes + 4, "RFC3261-7.5: empty lines before the start line are skipped");
}

static void test_response(void)
{
	ok(parse("SIP/2.0 180 Ringing Now\n" HEAD "\n") == 0 && s.msg.status == 180 && !s.msg.method_name.n, "RFC3261-7.2: a response");
	is_str(s.msg.reason, STR("Ringing Now"), "reason phrase");
	ok(parse("SIP/2.0 100 \n" HEAD "\n") == 0 && s.msg.status == 100 && !s.msg.reason.n, "RFC4475-3.1.1.13: an empty reason phrase");
	ok(parse("SIP/2.0 100\n" HEAD "\n") == 0 && s.msg.status == 100, "without even its space");
	ok(parse("sip/2.0 699 x\n" HEAD "\n") == 0 && s.msg.status == 699, "RFC3261-7.1: the version's case does not matter");
	static const char *const bad[] = { "SIP/2.0 99 x\n", "SIP/2.0 700 x\n", "SIP/2.0 4294967301 x\n", "SIP/2.0  200 x\n", "SIP/2.0 2x0 x\n", "SIP/2.0 \n", "SIP/2.0\n", "SIP/2.0 -20 x\n" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char text[512];
		snprintf(text, sizeof text, "%s%s\n", bad[i], HEAD);
		ok(parse(text) == ERR_SYNTAX && strcmp(s.why.reason, "Bad Status-Line") == 0 && !sip_answerable(&s.msg), "RFC4475-3.1.2.19: no Status-Line: %.*s", (int)strcspn(bad[i], "\n"), bad[i]);
	}
}

static void test_request_line(void)
{
	static const char *const bad[] = { "OPTIONS  sip:b@h SIP/2.0\n", "OPTIONS sip:b@h  SIP/2.0\n", "OPTIONS sip:b@h SIP/2.0 \n", " OPTIONS sip:b@h SIP/2.0\n", "OPTIONS SIP/2.0\n", "OPTIONS  SIP/2.0\n" };
	static const char *const none[] = { "OPTIONS sip:b@h\n", "OPTIONS sip:b@h HTTP/1.1\n", "GET / HTTP/1.1\n", "garbage\n", "OPT@IONS sip:b@h SIP/2.0\n", "OPTIONS\tsip:b@h SIP/2.0\n", "/ SIP/2.0\n" };
	char text[512];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(text, sizeof text, "%s%s\n", bad[i], HEAD);
		ok(parse(text) == ERR_SYNTAX && s.why.status == 400 && strcmp(s.why.reason, "Bad Request-Line") == 0 && sip_answerable(&s.msg), "RFC4475-3.1.2.9: refused and answered: \"%.*s\"", (int)strcspn(bad[i], "\n"), bad[i]);
	}
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		snprintf(text, sizeof text, "%s%s\n", none[i], HEAD);
		ok(parse(text) == ERR_SYNTAX && !sip_answerable(&s.msg), "RFC3261-7.1: no SIP message, not answered: \"%.*s\"", (int)strcspn(none[i], "\n"), none[i]);
	}
}

static void test_headers(void)
{
	const struct sip_header *h;

	parse("OPTIONS sip:b@h SIP/2.0\nv : SIP/2.0/UDP h\nSUBJECT\t:\nX-Odd: a\n b\n\tc\nVIA: x, y\nx-odd:  last \n\n");
	h = sip_first(&s.msg, SIP_H_VIA);
	ok(h && str_eq(h->name, STR("v")) && str_eq(h->value, STR("SIP/2.0/UDP h")), "RFC3261-7.3.3: compact form, white space before the colon");
	h = h ? sip_next(&s.msg, h) : NULL;
	ok(h && str_eq(h->value, STR("x, y")) && !sip_next(&s.msg, h), "RFC3261-7.3.1: headers of one name are chained in order");
	h = sip_first(&s.msg, SIP_H_SUBJECT);
	ok(h && !h->value.n && h->value.p == h->line.p + 9, "RFC3261-20.36: an empty value lies right behind its colon");
	h = sip_first(&s.msg, SIP_H_OTHER);
	ok(h && str_eq(h->value, STR("a\r\n b\r\n\tc")) && str_eq(h->line, STR("X-Odd: a\r\n b\r\n\tc\r\n")), "RFC3261-7.3.1: folding stays in the value");
	h = h ? sip_next(&s.msg, h) : NULL;
	ok(h && str_eq(h->name, STR("x-odd")) && str_eq(h->value, STR("last")), "unknown headers are chained too");
	is_u64(s.msg.nheaders, 5, "five headers");
	is_str(sip_value(&s.msg, SIP_H_FROM), STR(""), "the value of a header that is not there");
}

static void test_values(void)
{
	static const char *const want[] = { "SIP/2.0/UDP a", "SIP/2.0/UDP b", "SIP/2.0/UDP c" };
	struct sip_values v;
	struct str one;
	size_t n = 0, same = 0;

	parse("OPTIONS sip:b@h SIP/2.0\nVia: SIP/2.0/UDP a ,\n SIP/2.0/UDP b\nVia:\nVia: SIP/2.0/UDP c\nAllow: INVITE, ACK\nk: timer , 100REL\nAuthorization: Digest a=\"b\", c=d\n\n");
	for (v = sip_values(&s.msg, SIP_H_VIA); sip_values_next(&v, &one); n++)
		same += n < 3 && str_eq(one, str_of(want[n]));
	ok(n == 3 && same == 3, "RFC3261-7.3.1: values over several lines, an empty one among them");
	v = sip_values(&s.msg, SIP_H_AUTHORIZATION);
	ok(sip_values_next(&v, &one) && str_eq(one, STR("Digest a=\"b\", c=d")) && !sip_values_next(&v, &one), "RFC3261-20.7: commas of credentials separate no values");
	ok(sip_has_token(&s.msg, SIP_H_SUPPORTED, STR("100rel")) && sip_has_token(&s.msg, SIP_H_SUPPORTED, STR("timer")), "RFC3261-7.3.1: option tags in any case");
	ok(!sip_has_token(&s.msg, SIP_H_SUPPORTED, STR("time")) && !sip_has_token(&s.msg, SIP_H_REQUIRE, STR("timer")), "and no others");
	ok(sip_has_token(&s.msg, SIP_H_ALLOW, STR("ACK")) && !sip_has_token(&s.msg, SIP_H_ALLOW, STR("ack")), "RFC3261-7.1: methods in theirs");
}

static void refused(const char *text, const char *reason, const char *title)
{
	int err = parse(text);

	ok(err == ERR_SYNTAX && s.why.status == 400 && strcmp(s.why.reason, reason) == 0 && sip_answerable(&s.msg), "%s: 400 %s", title, s.why.reason);
}

static void test_faults(void)
{
	refused(REQUEST "No colon here\n\n", "Bad header line", "RFC3261-7.3.1: a line without colon");
	refused(REQUEST "Bad name: x\n\n", "Bad header line", "RFC3261-25.1: a name that is no token");
	refused(REQUEST ": x\n\n", "Bad header line", "RFC3261-25.1: no name");
	refused(REQUEST, "Headers do not end", "RFC3261-7: no empty line");
	refused(REQUEST "Content-Length: 5\n\nfour", "Bad Content-Length", "RFC4475-3.1.2.2: a body that is cut off");
	refused(REQUEST "l: -1\n\n", "Bad Content-Length", "RFC4475-3.1.2.3: a negative length");
	refused(REQUEST "l: 99999999999999999999999\n\n", "Bad Content-Length", "RFC3261-20.14: an absurd length");
	refused(REQUEST "l:\n\n", "Bad Content-Length", "RFC3261-20.14: an empty length");
	refused(REQUEST "X: a\rb\n\n", "CR in a header", "RFC3261-7: CR within a line");
	ok(parse("OPTIONS sip:b@h SIP/2.0\n first: x\n" HEAD "\n") == ERR_SYNTAX, "RFC3261-7.3.1: the first header line cannot continue anything");
	static const char nul[] = "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX: a\0b\r\n\r\n";
	ok(parse_bytes(nul, sizeof nul - 1) == ERR_SYNTAX && strcmp(s.why.reason, "NUL in a header") == 0 && sip_answerable(&s.msg), "a NUL in a header");
	static const char quoted[] = "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX: \"a\\\0b\"\r\n\r\n";
	ok(parse_bytes(quoted, sizeof quoted - 1) == 0, "RFC4475-3.1.1.2: NUL as a quoted-pair");
	static const char unquoted[] = "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX: \\\0 \"a\"\r\n\r\n";
	ok(parse_bytes(unquoted, sizeof unquoted - 1) == ERR_SYNTAX, "a backslash outside quotes does not help it");
	static const char pair[] = "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX: \"\\a\0b\"\r\n\r\n";
	ok(parse_bytes(pair, sizeof pair - 1) == ERR_SYNTAX, "a NUL in quotes that is no quoted-pair");
	static const char start[] = "OPTIONS sip:b\0@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n";
	ok(parse_bytes(start, sizeof start - 1) == ERR_SYNTAX, "a NUL in the start line");
	static const char body[] = "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n\0\r\0\n";
	ok(parse_bytes(body, sizeof body - 1) == 0 && s.msg.body.n == 4, "RFC4475-3.1.1.11: a body may hold anything");
	ok(parse("ACK sip:b@h SIP/2.0\n" HEAD "Bad\n\n") == ERR_SYNTAX && !sip_answerable(&s.msg), "RFC3261-17.1.1.3: an ACK is never answered");
	ok(parse("OPTIONS sip:b@h SIP/2.0\nFrom: x\n\n") == 0 && !sip_answerable(&s.msg), "without a Via nobody can be answered");
}

static void test_sizes(void)
{
	static char big[70000];
	struct out o = OUT(big, sizeof big);

	out_lit(&o, "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n");
	for (unsigned i = 0; i < SIP_HEADERS_MAX - 1; i++)
		out_lit(&o, "X: y\r\n");
	ok(parse_bytes(big, (out_lit(&o, "\r\n"), o.n)) == 0 && s.msg.nheaders == SIP_HEADERS_MAX, "as many headers as we keep");
	o.n -= 2;
	ok(parse_bytes(big, (out_lit(&o, "X: y\r\n\r\n"), o.n)) == ERR_SYNTAX && strcmp(s.why.reason, "Too many headers") == 0 && sip_answerable(&s.msg), "one more: 400 Too many headers");
	o = OUT(big, sizeof big);
	out_lit(&o, "OPTIONS sip:");
	while (o.n < 60000)
		out_lit(&o, "x");
	out_lit(&o, "@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n");
	ok(parse_bytes(big, o.n) == 0 && s.msg.uri.n == 60000 - 8 + 2, "a Request-URI of 60 kB");
	memset(big, '\n', sizeof big);
	is_u64(parse_bytes(big, sizeof big), ERR_NOTFOUND, "nothing but line ends is a keep-alive");
	is_u64(parse_bytes(big, 0), ERR_NOTFOUND, "and so is nothing at all");
	is_u64(parse_bytes("\r\n\r\n", 4), ERR_NOTFOUND, "RFC5626-3.5.1: a ping");
	memset(big, 0, sizeof big);
	ok(parse_bytes(big, sizeof big) == ERR_SYNTAX && !sip_answerable(&s.msg), "64 kB of NUL");
	memset(big, ':', sizeof big);
	ok(parse_bytes(big, sizeof big) == ERR_SYNTAX && !sip_answerable(&s.msg), "64 kB of colons");
}

static void test_bare_lf(void)
{
	static const char text[] = "OPTIONS sip:b@h SIP/2.0\nVia: SIP/2.0/UDP h\nX: a\n b\n\nbody";

	ok(parse_bytes(text, sizeof text - 1) == 0 && str_eq(s.msg.body, STR("body")) && s.msg.nheaders == 2 && str_eq(s.msg.head_end, STR("\n")), "lines that end in LF alone are read");
}

int main(void)
{
	test_request();
	test_response();
	test_request_line();
	test_headers();
	test_values();
	test_faults();
	test_sizes();
	test_bare_lf();
	return tap_done();
}
