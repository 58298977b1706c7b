/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a message must have before anybody handles it; each refusal names its header. */
#include "t/sip-tests.h"

static struct sample s;

static const char good[] =
	"INVITE sip:b@h SIP/2.0\n"
	"Via: SIP/2.0/UDP h;branch=z9hG4bKx\n"
	"Max-Forwards: 70\n"
	"From: \"A\" <sip:a@h>;tag=one\n"
	"To: <sip:b@h>\n"
	"Call-ID: c@h\n"
	"CSeq: 4711 INVITE\n"
	"Contact: <sip:a@h:5070>\n"
	"Route: <sip:p;lr>\n"
	"Content-Length: 0\n"
	"\n";

/* The good request with the line that begins with `name` put in other words (NULL: left out). */
static int check_with(const char *name, const char *line)
{
	static char text[4096];
	const char *at = strstr(good, name), *end = strchr(at, '\n') + 1;

	snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, line ? line : "", end);
	return sample_read(&s, text);
}

static void refused(const char *name, const char *line, const char *reason, const char *title)
{
	int err = check_with(name, line);

	ok(err == ERR_SYNTAX && s.why.status == 400 && strcmp(s.why.reason, reason) == 0, "%s: 400 %s", title, s.why.reason);
}

static void accepted(const char *name, const char *line, const char *title)
{
	ok(check_with(name, line) == 0, "%s", title);
	if (s.why.reason && *s.why.reason)
		diag("%s", s.why.reason);
}

static void test_good(void)
{
	ok(sample_read(&s, good) == 0, "RFC3261-8.1.1: a good request");
	is_str(s.msg.call_id, STR("c@h"), "Call-ID");
	is_str(s.msg.from_tag, STR("one"), "From tag");
	is_str(s.msg.to_tag, STR(""), "no To tag");
	is_u64(s.msg.cseq, 4711, "CSeq");
	ok(sample_read(&s, "SIP/2.0 200 OK\nv: SIP/2.0/UDP h\nf: sip:a@h;tag=\"one\"\nt: <sip:b@h>;x;tag=two\ni: c\ncseq: 3 BYE\n\n") == 0, "RFC3261-8.1.3: a good response");
	ok(s.msg.method == SIP_BYE && str_eq(s.msg.from_tag, STR("one")) && str_eq(s.msg.to_tag, STR("two")), "its method is the CSeq's; tags without quotes");
	ok(sample_read(&s, "SIP/2.0 200 OK\nv: SIP/2.0/UDP h\nf: sip:a@h\nt: <sip:b@h>\ni: c\ncseq: 3 FROB\n\n") == 0 && s.msg.method == SIP_UNKNOWN, "a response to an unknown method");
}

static void test_missing(void)
{
	refused("Via", NULL, "Missing Via", "RFC3261-8.1.1");
	refused("From", NULL, "Missing From", "RFC4475-3.3.1");
	refused("To", NULL, "Missing To", "RFC4475-3.3.1");
	refused("Call-ID", NULL, "Missing Call-ID", "RFC4475-3.3.1");
	refused("CSeq", NULL, "Missing CSeq", "RFC3261-8.1.1");
	accepted("Max-Forwards", NULL, "RFC4475-3.4.1: Max-Forwards may be missing");
	accepted("Contact", NULL, "a missing Contact is for those who need one");
	accepted("Content-Length", NULL, "RFC3261-20.14: Content-Length may be missing over UDP");
}

static void test_duplicates(void)
{
	refused("From", "f: <sip:a@h>;tag=1\nFrom: <sip:a@h>;tag=2\n", "Duplicate From", "RFC4475-3.3.8");
	refused("Call-ID", "i: a\nCall-ID: b\n", "Duplicate Call-ID", "RFC4475-3.3.8");
	refused("CSeq", "CSeq: 1 INVITE\nCSeq: 2 INVITE\n", "Duplicate CSeq", "RFC4475-3.3.8");
	refused("Max-Forwards", "Max-Forwards: 1\nMax-Forwards: 2\n", "Duplicate Max-Forwards", "RFC4475-3.3.8");
	refused("Content-Length", "Content-Length: 0\nl: 0\n", "Duplicate Content-Length", "RFC4475-3.3.9");
	refused("Content-Length", "Session-Expires: 90\nx: 91\n", "Duplicate Session-Expires", "RFC4028-4");
	accepted("Content-Length", "Supported: a\nSupported: b\nUser-Agent: x\nUser-Agent: y\n", "lists, and what only informs, may come twice");
}

static void test_bad(void)
{
	refused("Via", "Via: SIP/2.0/UDP\n", "Bad Via", "RFC3261-20.42");
	refused("Via", "Via:\n", "Bad Via", "RFC3261-20.42, empty");
	accepted("Via", "Via:\nVia: SIP/2.0/UDP h, nonsense\n", "RFC3261-16.3: only our own part of Via counts");
	refused("From", "From: \"open <sip:a@h>;tag=1\n", "Bad From", "RFC4475-3.1.2.6");
	refused("From", "From: *\n", "Bad From", "RFC3261-20.20, a star");
	refused("To", "To: < sip:b@h>\n", "Bad To", "RFC4475-3.1.2.14");
	refused("From", "From: <sip:a@h>;tag=\"a b\"\n", "Bad From", "RFC3261-25.1, a tag that is no token");
	refused("From", "From: <sip:a@h>;tag=\"a\n b\"\n", "Bad From", "RFC3261-25.1, a folded tag");
	refused("To", "To: <sip:b@h>;tag\n", "Bad To", "RFC3261-25.1, a tag without a value");
	refused("To", "To: <sip:b@h>;tag=;x\n", "Bad To", "RFC3261-25.1, an empty tag");
	refused("To", "To: <b>\n", "Bad To", "RFC3261-20.39, no scheme");
	refused("Call-ID", "Call-ID: a b\n", "Bad Call-ID", "RFC3261-20.8, two words");
	refused("Call-ID", "Call-ID:\n", "Bad Call-ID", "RFC3261-20.8, empty");
	refused("CSeq", "CSeq: -1 INVITE\n", "Bad CSeq", "RFC3261-20.16, negative");
	refused("CSeq", "CSeq: 2147483648 INVITE\n", "Bad CSeq", "RFC3261-8.1.1.5, 2^31");
	refused("CSeq", "CSeq: 1 BYE\n", "CSeq method mismatch", "RFC4475-3.1.2.17");
	refused("CSeq", "CSeq: 1 Invite\n", "CSeq method mismatch", "RFC3261-7.1, case");
	refused("Max-Forwards", "Max-Forwards: 256\n", "Bad Max-Forwards", "RFC4475-3.1.2.4");
	refused("Max-Forwards", "Max-Forwards: seven\n", "Bad Max-Forwards", "RFC3261-20.22");
	refused("Contact", "Contact: <sip:a@h>;;\n", "Bad Contact", "RFC4475-3.1.2.1");
	refused("Contact", "Contact: sip:a@h?Route=x\n", "Bad Contact", "RFC4475-3.1.2.13");
	accepted("Contact", "Contact: *\n", "RFC3261-20.10: Contact: *");
	accepted("Contact", "Contact: <nobody:knows>\n", "RFC4475-3.3.4: a Contact of another scheme");
	refused("Route", "Route: <sip:p lr>\n", "Bad Route", "RFC3261-20.34");
	accepted("Max-Forwards", "Max-Forwards: 0\n", "RFC4475-3.3.11: Max-Forwards 0 is readable");
	accepted("From", "From: sip:a@h\n", "RFC4475-3.4.1: no From tag");
}

static void test_request_line(void)
{
	refused("INVITE", "INVITE sip:b@h;x=%zz@ SIP/2.0\n", "Bad Request-URI", "RFC3261-25.1");
	refused("INVITE", "INVITE <sip:b@h> SIP/2.0\n", "Bad Request-URI", "RFC4475-3.1.2.7");
	refused("INVITE", "INVITE sip:b@h; lr SIP/2.0\n", "Bad Request-URI", "RFC4475-3.1.2.8");
	refused("INVITE", "INVITE sip:b@h?Route=%3Csip:x%3E SIP/2.0\n", "Bad Request-URI", "RFC4475-3.1.2.11");
	accepted("INVITE", "INVITE neverheard:of SIP/2.0\n", "RFC4475-3.3.2: an unknown scheme is for the router to refuse");
	accepted("INVITE", "INVITE tel:+1 SIP/2.0\n", "RFC3966-3: a tel URI");
	accepted("INVITE", "INVITE sip:b@h sip/2.0\n", "RFC3261-7.1: the version in any case");
	is_u64(check_with("INVITE", "INVITE sip:b@h SIP/7.0\n"), ERR_SYNTAX, "RFC4475-3.1.2.16: another version");
	is_u64(s.why.status, 505, "RFC4475-3.1.2.16: wants a 505");
	ok(sip_answerable(&s.msg), "and gets it");
	is_u64(check_with("INVITE", "INVITE sip:b@h SIP/2.00\n"), ERR_SYNTAX, "a version that only looks alike");
}

int main(void)
{
	test_good();
	test_missing();
	test_duplicates();
	test_bad();
	test_request_line();
	return tap_done();
}
