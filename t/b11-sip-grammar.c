/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The grammar rules of RFC 3261 §25.1 one by one: characters, lists, parameters, name-addr, Via, CSeq, RAck, numbers. */
#include "sip/grammar.h"
#include "t/sip-tests.h"

/* Whether a class holds exactly the characters of a set (given as text), in the ASCII range; bytes above as said. */
static bool class_is(unsigned class, const char *set, bool letters, bool digits, bool above)
{
	for (int c = 0; c < 256; c++) {
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), digit = c >= '0' && c <= '9';
		bool want = c > 127 ? above : (letter && letters) || (digit && digits) || (c && strchr(set, c));
		if (want != sip_is((char)c, class)) {
			diag("character 0x%02x", c);
			return false;
		}
	}
	return true;
}

/* Whether a class holds all bytes but those of a set. */
static bool class_lacks(unsigned class, const char *set)
{
	for (int c = 0; c < 256; c++)
		if (sip_is((char)c, class) == (c && strchr(set, c))) {
			diag("character 0x%02x", c);
			return false;
		}
	return true;
}

static void test_classes(void)
{
	ok(class_is(SIP_C_TOKEN, "-.!%*_+`'~", true, true, false), "RFC3261-25.1: token");
	ok(class_is(SIP_C_LWS, " \t\r\n", false, false, false), "RFC3261-25.1: the characters of LWS");
	ok(class_is(SIP_C_HOST, "-._", true, true, false), "RFC3261-25.1: hostname, and the underscore");
	ok(class_is(SIP_C_DIGIT, "", false, true, false), "RFC3261-25.1: DIGIT");
	ok(class_is(SIP_C_HEX, "abcdefABCDEF", false, true, false), "RFC3261-25.1: HEXDIG, both cases");
	ok(class_is(SIP_C_PLAIN, "-_.!~*'()&=+$,;?/", true, true, false), "RFC3261-25.1: unreserved and user-unreserved");
	ok(class_is(SIP_C_URI, "!#$%&'()*+,-./:;=?@[\\]^_`{|}~", true, true, true), "what may stand in a URI: all but controls, space, <>, quotes");
	ok(class_is(SIP_C_NAME, "!#$%&'()*+-./:?@[\\]^_`{|}~", true, true, true), "what may stand in a parameter's name: the same without =");
	ok(class_lacks(SIP_C_DISPLAY, "<>\",;:\\"), "what may stand in an unquoted display name");
	ok(class_lacks(SIP_C_BARE, ";,?<>\" \t\r\n"), "RFC3261-20.10: what may stand in a URI without brackets");
	ok(class_is(SIP_C_SCHEME, "+-.", true, true, false), "RFC3261-25.1: scheme");
	ok(class_is(SIP_C_VALUE, "!#$%&'()*+-./:=?@[\\]^_`{|}~", true, true, true), "what may stand in an unquoted parameter value");
}

/* The values of a list joined by "|". */
static const char *list_of(const char *text)
{
	static char joined[512];
	struct out o = OUT(joined, sizeof joined - 1);
	struct str rest = str_of(text), value;

	while (sip_list_next(&rest, &value)) {
		out_str(&o, value);
		out_lit(&o, "|");
	}
	joined[o.n] = 0;
	return joined;
}

static void test_lists(void)
{
	is_text(list_of("a, b ,c"), "a|b|c|", "RFC3261-7.3.1: comma list");
	is_text(list_of(""), "", "RFC3261-20.37: an empty list");
	is_text(list_of(" ,, a,, ,b,"), "a|b|", "empty elements are passed over");
	is_text(list_of("\"a,\\\",b\" <sip:x,y@h>;p=\"1,2\", d"), "\"a,\\\",b\" <sip:x,y@h>;p=\"1,2\"|d|", "commas in quotes and <> separate nothing");
	is_text(list_of("SIP/2.0/UDP h (one, (two, \\) three)), x"), "SIP/2.0/UDP h (one, (two, \\) three))|x|", "commas in comments separate nothing");
	is_text(list_of("<sip:a(b@h>, c"), "<sip:a(b@h>|c|", "a parenthesis in a URI is no comment");
	is_text(list_of("sip:a(b@h, c"), "sip:a(b@h|c|", "nor in a bare URI");
	is_text(list_of("\"open, a"), "\"open, a|", "an open quote reaches to the end");
	is_text(list_of("<open, a"), "<open, a|", "an open bracket reaches to the end");
	is_text(list_of("x (open, a"), "x (open, a|", "an open comment reaches to the end");
	is_text(list_of("a,\r\n b\r\n\t,c"), "a|b|c|", "RFC3261-7.3.1: folding between values");
}

static void test_params(void)
{
	struct str v = STR_NONE;

	ok(sip_param(STR(";a;tag=x;b=y"), STR("TAG"), &v) && str_eq(v, STR("x")), "RFC3261-7.3.1: parameter names are case-insensitive");
	ok(sip_param(STR(" ; a ; tag = \"q;\\\"tag=2\" ; b"), STR("tag"), &v) && str_eq(v, STR("q;\\\"tag=2")), "RFC3261-25.1: white space around ; and =, quoted values");
	ok(sip_param(STR(";lr"), STR("lr"), &v) && v.n == 0, "a flag has an empty value");
	ok(sip_param(STR(";lr"), STR("lr"), NULL), "the value need not be asked for");
	ok(!sip_param(STR(";xlr;lrx"), STR("lr"), NULL), "a name matches as a whole");
	ok(!sip_param(STR(""), STR("lr"), NULL), "no parameters");
	ok(sip_param(STR(";maddr=[2001:db8::1];lr"), STR("maddr"), &v) && str_eq(v, STR("[2001:db8::1]")), "an IPv6 reference as a value");
	ok(sip_param(STR(";a/b=1;lr=x"), STR("lr"), &v) && str_eq(v, STR("x")), "RFC3261-25.1: a URI parameter's name may have more than a token");
	ok(sip_param(STR(";a=1;a=2"), STR("a"), &v) && str_eq(v, STR("1")), "of two the first counts");
	ok(!sip_param(STR(";=x;lr"), STR("lr"), NULL), "what follows an empty name is not guessed at");
	ok(sip_param(STR(";tag=\r\n x"), STR("tag"), &v) && str_eq(v, STR("x")), "folding after =");
}

static bool nameaddr_is(const char *text, const char *display, const char *uri, const char *params)
{
	struct sip_nameaddr na;

	return sip_nameaddr_parse(&na, str_of(text)) == 0 && str_eq(na.display, str_of(display)) && str_eq(na.uri, str_of(uri)) &&
	       str_eq(na.params, str_of(params));
}

static bool nameaddr_bad(const char *text)
{
	struct sip_nameaddr na;

	return sip_nameaddr_parse(&na, str_of(text)) == ERR_SYNTAX;
}

static void test_nameaddr(void)
{
	struct sip_nameaddr na;

	ok(nameaddr_is("<sip:a@h>", "", "sip:a@h", ""), "RFC3261-20.10: brackets only");
	ok(nameaddr_is("\"A \\\" <x>\" <sip:a@h;lr>;tag=1", "\"A \\\" <x>\"", "sip:a@h;lr", ";tag=1"), "RFC3261-25.1: quoted display name, URI and header parameters apart");
	ok(nameaddr_is("Anna  van Dijk<sip:a@h> ; tag = 1", "Anna  van Dijk", "sip:a@h", "; tag = 1"), "RFC4475-3.1.1.6: token display name, no space before <");
	ok(nameaddr_is("sip:a@h;tag=1", "", "sip:a@h", ";tag=1"), "RFC3261-20.10: without brackets parameters are the header's");
	ok(nameaddr_is("tel:+1-23", "", "tel:+1-23", ""), "RFC3966-3: a tel URI");
	ok(nameaddr_is("J\xc3\xbcrgen (home) <sip:a@h>", "J\xc3\xbcrgen (home)", "sip:a@h", ""), "an unquoted display name that is clear though it is no token");
	ok(nameaddr_is("  <sip:a@h>\r\n ;x", "", "sip:a@h", ";x"), "folding before the parameters");
	ok(sip_nameaddr_parse(&na, STR("*")) == 0 && na.star, "RFC3261-20.10: Contact: *");
	ok(sip_nameaddr_parse(&na, STR("<sip:a@h>")) == 0 && na.brackets && !na.star, "brackets are told");
	ok(sip_nameaddr_parse(&na, STR("sip:a@h")) == 0 && !na.brackets, "and their absence");
	ok(nameaddr_bad("") && nameaddr_bad("<>") && nameaddr_bad("<sip:a@h"), "RFC3261-25.1: nothing, empty brackets, no end");
	ok(nameaddr_bad("\"open <sip:a@h>"), "RFC4475-3.1.2.6: an open quote");
	ok(nameaddr_bad("Bell, Alex <sip:a@h>"), "RFC4475-3.1.2.15: a comma in an unquoted name");
	ok(nameaddr_bad("< sip:a@h>") && nameaddr_bad("<sip:a@h\r\n X: y>") && nameaddr_bad("<sip:a@h\x01>"), "RFC4475-3.1.2.14: white space, folding or a control within brackets");
	ok(nameaddr_bad("sip:a@h?Route=x"), "RFC4475-3.1.2.13: a question mark outside brackets");
	ok(nameaddr_bad("<sip:a@h>;;"), "RFC4475-3.1.2.1: empty parameters");
	ok(nameaddr_bad("<sip:a@h>x") && nameaddr_bad("<sip:a@h> <sip:b@h>") && nameaddr_bad("<sip:a@h>, <sip:b@h>"), "something after the brackets");
	ok(nameaddr_bad("<sip:a@h>;tag=\"open"), "an open quote in a parameter");
	ok(sip_nameaddr_parse(&na, STR("<sip:a@h>;tag=\"x y\";tag=z")) == 0 && str_eq(na.tag, STR("x y")) && na.tag_quoted, "RFC3261-25.1: a quoted tag; the first counts");
	ok(sip_nameaddr_parse(&na, STR("<sip:a@h>;tag")) == 0 && na.tag.p && !na.tag.n && !na.tag_quoted, "an empty tag");
	ok(sip_nameaddr_parse(&na, STR("<sip:a@h>;gat=1")) == 0 && !na.tag.p, "no tag");
	ok(nameaddr_bad("\"x\" sip:a@h"), "RFC3261-25.1: a display name wants brackets");
}

/* One pass over address and URI: it accepts what both accept, and finds the same. */
static void test_address(void)
{
	static const char *const texts[] = { "<sip:a@h>;tag=1", "\"A\" <sips:a:p@h:5061;lr?x=y>", "sip:a@h;tag=1", "sip:h", "<sip:%41@[::1]:5>;x", "<tel:+1-23;ext=4>", "*", "<sip:#@h>",
		"", "<>", "<sip:>", "<a@h>", "<sip:a@h", "<sip:a@h x>", "<sip:a@h>>", "<sip:a@b@c>", "<sip:a@h;x=@>", "<sip:%4@h>", "<sip:a@h:0>", "<sip:a@h:5x>", "<sip:a@[::1>]>",
		"a@h", "sip:a@h:", "sip:@h", "<sip:a@h>;", "<:x>", "<1sip:x>", "<sip:a@h/>", "<tel:>", "<tel:1\x7f>" };
	unsigned same = 0;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct str text = str_of(texts[i]);
		struct sip_nameaddr one, na;
		struct sip_uri first, uri;
		bool got = !sip_address_parse(&one, &first, text);
		bool want = !sip_nameaddr_parse(&na, text) && (na.star || !sip_uri_parse(&uri, na.uri));

		if (got == want && (!got || (one.star && na.star) || (str_eq(one.uri, na.uri) && str_eq(one.params, na.params) && str_eq(first.all, uri.all) && str_eq(first.host, uri.host))))
			same++;
		else
			diag("%s", texts[i]);
	}
	is_u64(same, sizeof texts / sizeof *texts, "RFC3261-20.10: an address and its URI in one pass");
}

static void test_via(void)
{
	struct sip_via v;

	ok(sip_via_parse(&v, STR("SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKx;received=192.0.2.9;rport=5;maddr=192.0.2.7;ttl=3")) == 0, "RFC3261-20.42: Via");
	is_str(v.transport, STR("UDP"), "transport");
	is_str(v.host, STR("192.0.2.1"), "host");
	is_u64(v.port, 5070, "port");
	is_str(v.branch, STR("z9hG4bKx"), "branch");
	is_str(v.received, STR("192.0.2.9"), "received");
	is_str(v.maddr, STR("192.0.2.7"), "maddr");
	ok(v.rport_asked && v.rport == 5, "RFC3581-4: rport with a value");
	ok(sip_via_parse(&v, STR("SIP/2.0/UDP h;rport")) == 0 && v.rport_asked && !v.rport && !v.port, "RFC3581-3: rport without");
	ok(sip_via_parse(&v, STR("SIP / 2.0\r\n / TCP   [2001:db8::1] : 5061 ;\tbranch = a")) == 0 && str_eq(v.host, STR("[2001:db8::1]")) &&
	   v.port == 5061 && str_eq(v.branch, STR("a")) && str_eq(v.transport, STR("TCP")), "RFC4475-3.1.1.1: white space, folding, IPv6");
	ok(sip_via_parse(&v, STR("SIP/2.0/UDP h;branch=a (a comment, (nested \\( ))")) == 0 && str_eq(v.params, STR(";branch=a")), "RFC2543-6.40: a comment");
	ok(sip_via_parse(&v, STR("SIP/2.0/UDP h")) == 0 && !v.branch.n && !v.params.n, "RFC4475-3.4.1: no branch");
	ok(sip_via_parse(&v, STR("SIP/7.0/UDP h")) == 0, "RFC4475-3.1.2.16: another version is readable");
	static const char *const bad[] = { "", "SIP/2.0/UDP", "SIP/2.0 UDP h", "SIP/2.0/UDP;x", "SIP/2.0/UDPh;branch", "SIP/2.0/UDP h:", "SIP/2.0/UDP h:0",
		"SIP/2.0/UDP h:65536", "SIP/2.0/UDP h;", "SIP/2.0/UDP h;;x", "SIP/2.0/UDP h x", "SIP/2.0/UDP [::1", "SIP/2.0/UDP [nonsense]",
		"SIP/2.0/UDP h;rport=x", "SIP/2.0/UDP h;rport=70000", "SIP/2.0/UDP h (open" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		is_u64(sip_via_parse(&v, str_of(bad[i])), ERR_SYNTAX, "RFC3261-20.42: no Via: \"%s\"", bad[i]);
}

static void test_cseq_rack(void)
{
	uint32_t n = 0, r = 0;
	struct str m = STR_NONE;

	ok(sip_cseq_parse(STR("0009\r\n  INVITE"), &n, &m) == 0 && n == 9 && str_eq(m, STR("INVITE")), "RFC3261-20.16: leading zeros, folding");
	ok(sip_cseq_parse(STR("2147483647 X"), &n, &m) == 0 && n == 2147483647, "RFC3261-8.1.1.5: the largest number");
	is_u64(sip_cseq_parse(STR("2147483648 X"), &n, &m), ERR_RANGE, "RFC3261-8.1.1.5: 2^31 is too large");
	is_u64(sip_cseq_parse(STR("36893488147419103232 X"), &n, &m), ERR_RANGE, "RFC4475-3.1.2.4: far too large");
	static const char *const bad[] = { "", "1", "INVITE", "-1 INVITE", "1 ", "1INVITE", "1 INVITE x", "1 IN@VITE", "0x1 INVITE" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		is_u64(sip_cseq_parse(str_of(bad[i]), &n, &m), ERR_SYNTAX, "RFC3261-20.16: no CSeq: \"%s\"", bad[i]);
	is_u64(n, 2147483647, "what failed changes nothing");
	ok(sip_rack_parse(STR("776656 \t1\r\n INVITE"), &r, &n, &m) == 0 && r == 776656 && n == 1 && str_eq(m, STR("INVITE")), "RFC3262-7.2: RAck");
	ok(sip_rack_parse(STR("4294967295 2147483647 X"), &r, &n, &m) == 0 && r == UINT32_MAX, "RFC3262-7.2: the largest");
	is_u64(sip_rack_parse(STR("4294967296 1 X"), &r, &n, &m), ERR_RANGE, "RFC3262-7.2: too large");
	ok(sip_rack_parse(STR("1 INVITE"), &r, &n, &m) == ERR_SYNTAX && sip_rack_parse(STR("1 2"), &r, &n, &m) == ERR_SYNTAX &&
	   sip_rack_parse(STR(""), &r, &n, &m) == ERR_SYNTAX && sip_rack_parse(STR("1;2 INVITE"), &r, &n, &m) == ERR_SYNTAX && sip_rack_parse(STR("1 2 INVITE x"), &r, &n, &m) == ERR_SYNTAX, "RFC3262-7.2: no RAck");
}

static void test_numbers(void)
{
	uint32_t n = 0;
	char who = 'x';

	ok(sip_session_expires_parse(STR("1800"), &n, &who) == 0 && n == 1800 && who == 0, "RFC4028-4: Session-Expires alone");
	ok(sip_session_expires_parse(STR("4000 ; x=y;Refresher = UAC"), &n, &who) == 0 && n == 4000 && who == 'c', "RFC4028-4: refresher=uac");
	ok(sip_session_expires_parse(STR("90;refresher=uas"), &n, &who) == 0 && who == 's', "RFC4028-4: refresher=uas");
	ok(sip_session_expires_parse(STR("90;refresher=both"), &n, &who) == 0 && who == 0, "RFC4028-4: an unknown refresher is none");
	ok(sip_session_expires_parse(STR(""), &n, &who) == ERR_SYNTAX && sip_session_expires_parse(STR("1h"), &n, &who) == ERR_SYNTAX &&
	   sip_session_expires_parse(STR("-1"), &n, &who) == ERR_SYNTAX, "RFC4028-4: no number");
	ok(sip_number_parse(STR("18000 (in a meeting);duration=3600"), UINT32_MAX, &n) == 0 && n == 18000, "RFC3261-20.33: Retry-After with comment and parameter");
	ok(sip_number_parse(STR("0068"), 255, &n) == 0 && n == 68, "RFC4475-3.1.1.1: Max-Forwards with leading zeros");
	is_u64(sip_number_parse(STR("256"), 255, &n), ERR_RANGE, "RFC3261-20.22: Max-Forwards above 255");
	is_u64(sip_number_parse(STR("1 2"), 255, &n), ERR_SYNTAX, "two numbers");
	ok(sip_number_parse(STR("000000000000000000000000000000001"), 255, &n) == 0 && n == 1, "any number of leading zeros");
}

int main(void)
{
	test_classes();
	test_lists();
	test_params();
	test_nameaddr();
	test_address();
	test_via();
	test_cseq_rack();
	test_numbers();
	return tap_done();
}
