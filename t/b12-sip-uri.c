/* SPDX-License-Identifier: GPL-2.0-or-later */
/* URIs: reading, the number to route by, equivalence. */
#include "t/sip-tests.h"

static void test_parse(void)
{
	struct sip_uri u;

	ok(sip_uri_parse(&u, STR("sips:al%69ce:secret@[2001:db8::1]:5070;transport=tcp;lr?subject=x&to=y")) == 0, "RFC3261-19.1.1: everything there is");
	ok(u.is_sip && u.is_sips && str_eq(u.scheme, STR("sips")), "scheme");
	is_str(u.user, STR("al%69ce"), "user, escaped as written");
	is_str(u.password, STR("secret"), "password");
	is_str(u.host, STR("[2001:db8::1]"), "host with its brackets");
	is_u64(u.port, 5070, "port");
	is_str(u.params, STR(";transport=tcp;lr"), "parameters");
	is_str(u.headers, STR("subject=x&to=y"), "headers");
	ok(sip_uri_parse(&u, STR("SIP:example.org")) == 0 && u.is_sip && !u.is_sips && !u.user.n && !u.port, "RFC3261-25.1: schemes are case-insensitive; host alone");
	ok(sip_uri_parse(&u, STR("sip:user;par=u%40example.net@example.com")) == 0 && str_eq(u.user, STR("user;par=u%40example.net")) && !u.params.n, "RFC4475-3.1.1.9: semicolon in the user part");
	ok(sip_uri_parse(&u, STR("sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com")) == 0 &&
	   str_eq(u.host, STR("example.com")) && str_eq(u.password, STR("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")), "RFC4475-3.1.1.2: all that a user part may hold");
	ok(sip_uri_parse(&u, STR("sip:%00@h")) == 0 && u.user.n == 3, "RFC4475-3.1.1.4: escaped NUL");
	ok(sip_uri_parse(&u, STR("sip:#21#@h")) == 0 && str_eq(u.user, STR("#21#")), "a service code with # is clear, though # should be escaped");
	ok(sip_uri_parse(&u, STR("tel:+1-201-555-0123;ext=5")) == 0 && !u.is_sip && str_eq(u.rest, STR("+1-201-555-0123;ext=5")), "RFC3966-3: tel");
	ok(sip_uri_parse(&u, STR("soap.beep://192.0.2.103:3002")) == 0 && !u.is_sip && str_eq(u.scheme, STR("soap.beep")), "RFC4475-3.3.3: another scheme");
	ok(sip_uri_parse(&u, STR("nobodyKnowsThisScheme:totallyopaquecontent")) == 0 && !u.is_sip, "RFC4475-3.3.2: an unknown scheme");
	static const char *const bad[] = { "", "sip", "sip:", ":x", "1sip:h", "si p:h", "sip:@h", "sip:u@", "sip:u@h:", "sip:u@h:x", "sip:u@h:0", "sip:u@h:65536",
		"sip:u@h x", "sip:u@h; lr", "<sip:u@h>", "sip:u%4@h", "sip:u%zz@h", "sip:u@[::1", "sip:u@[::1]x", "sip:u@h@h", "sip:u@h/x", "sip:u@h\x01", "sip:u@h\"" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		is_u64(sip_uri_parse(&u, str_of(bad[i])), ERR_SYNTAX, "RFC3261-25.1: no URI: \"%s\"", bad[i]);
}

static const char *target_of(const char *text)
{
	static char buf[ADDR_TEXT + 1];
	struct out o = OUT(buf, sizeof buf - 1);
	struct sip_uri u;
	struct addr a;
	int err;

	if (sip_uri_parse(&u, str_of(text)))
		return "no URI";
	if ((err = sip_uri_target(&u, &a)))
		return err == ERR_DENIED ? "denied" : "none";
	addr_print(&o, &a);
	buf[o.n] = 0;
	return buf;
}

static void test_target(void)
{
	is_text(target_of("sip:u@192.0.2.1"), "192.0.2.1:5060", "RFC3263-4.2: an address and no port");
	is_text(target_of("sips:[2001:db8::1]:5070;lr"), "[2001:db8::1]:5070", "IPv6, a port");
	is_text(target_of("sip:u@h.example:5070;MADDR=192.0.2.2;ttl=1"), "192.0.2.2:5070", "RFC3261-19.1.1: maddr instead of a name, with the URI's port");
	is_text(target_of("sip:u@192.0.2.1;maddr=[2001:db8::2]"), "[2001:db8::2]:5060", "RFC3261-19.1.1: and of an address");
	is_text(target_of("sip:u@192.0.2.1;maddr=h.example"), "none", "a maddr that is a name");
	is_text(target_of("sip:u@192.0.2.1;maddr"), "none", "an empty one");
	is_text(target_of("sip:u@h.example"), "none", "a name");
	is_text(target_of("tel:1"), "none", "no SIP URI");
	is_text(target_of("sip:u@192.0.2.1;maddr=224.0.1.75"), "denied", "multicast");
	is_text(target_of("sip:u@[ff02::1]"), "denied", "multicast, IPv6");
	is_text(target_of("sip:255.255.255.255"), "denied", "broadcast");
}

static void test_put_params(void)
{
	char buf[80];
	struct out o = OUT(buf, sizeof buf);
	struct sip_uri u;

	ok(sip_uri_parse(&u, STR("sip:u@h;user=phone;maddr=192.0.2.1;transport=udp;x=%41;TTL=1;lr?a=b")) == 0, "a URI with all kinds of parameters");
	sip_uri_put_params(&o, &u);
	is_str(out_done(&o), STR(";user=phone;x=%41;lr"), "RFC3261-16.5: those that hold for another host");
}

static const char *user_of(const char *text)
{
	static char buf[80];
	struct sip_uri u;
	struct str user;

	if (sip_uri_parse(&u, str_of(text)) || sip_uri_user(&u, buf, sizeof buf - 1, &user))
		return "none";
	buf[user.n] = 0;
	return buf;
}

static void test_user(void)
{
	struct sip_uri u;
	struct str user;
	char small[4];

	is_text(user_of("sip:+493012345@h"), "+493012345", "the user part as it is");
	is_text(user_of("sip:%2B49%3301@h"), "+49301", "RFC3261-19.1.2: escapes that need not be");
	is_text(user_of("sip:a%40b%20c%00%23@h"), "a%40b%20c%00%23", "RFC3261-19.1.2: escapes that must stay");
	is_text(user_of("sip:a%zz@h"), "none", "a broken escape");
	is_text(user_of("tel:+49-(30).12;ext=1"), "+493012", "RFC3966-5.1.1: visual separators and parameters of a tel number");
	is_text(user_of("sip:+49-30;isub=7@h;user=phone"), "+4930", "RFC3261-19.1.6: a telephone-subscriber in a SIP URI");
	is_text(user_of("sip:anna-maria@h"), "anna-maria", "a name keeps its dash");
	is_text(user_of("sip:h"), "none", "no user");
	is_text(user_of("tel:-.()"), "none", "nothing but separators");
	is_text(user_of("tel:;x"), "none", "an empty number");
	ok(sip_uri_parse(&u, STR("sip:12345@h")) == 0 && sip_uri_user(&u, small, sizeof small, &user) == ERR_SPACE, "a buffer too small");
}

static bool eq(const char *x, const char *y)
{
	struct sip_uri a, b;

	if (sip_uri_parse(&a, str_of(x)) || sip_uri_parse(&b, str_of(y)))
		return false;
	if (sip_uri_eq(&a, &b) != sip_uri_eq(&b, &a))
		diag("not symmetric");
	return sip_uri_eq(&a, &b);
}

static void test_equivalence(void)
{
	char many[512];
	struct out o = OUT(many, sizeof many - 1);

	ok(eq("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"), "RFC3261-19.1.4: escapes and case");
	ok(eq("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"), "RFC3261-19.1.4: a parameter in one only");
	ok(eq("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"), "RFC3261-19.1.4: other parameters in each");
	ok(eq("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"), "RFC3261-19.1.4: order of parameters");
	ok(eq("sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x"), "RFC3261-19.1.4: order of headers");
	ok(!eq("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"), "RFC3261-19.1.4: the user part's case counts");
	ok(!eq("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"), "RFC3261-19.1.4: a default port is not the same as none");
	ok(eq("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"), "RFC3261-19.1.4: transport in one only");
	ok(!eq("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"), "RFC3261-19.1.4: another port");
	ok(!eq("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"), "RFC3261-19.1.4: headers are never ignored");
	ok(!eq("sip:bob@h;user=phone", "sip:bob@h") && !eq("sip:bob@h;maddr=1.2.3.4", "sip:bob@h") && !eq("sip:bob@h;ttl=1", "sip:bob@h"), "RFC3261-19.1.4: user, maddr, ttl in one only");
	ok(!eq("sip:a@h;x=1", "sip:a@h;x=2"), "RFC3261-19.1.4: a parameter with other values");
	ok(!eq("sip:a@h", "sips:a@h"), "RFC3261-19.1.4: sip is not sips");
	ok(!eq("sip:a%3Bb@h", "sip:a;b@h"), "RFC3261-19.1.4: an escaped reserved character differs");
	ok(!eq("sip:%00@h", "sip:%00%00@h"), "RFC4475-3.1.1.4: escaped NULs differ by number");
	ok(!eq("sip:a:x@h", "sip:a@h"), "RFC3261-19.1.4: a password in one only");
	ok(eq("tel:+1", "TEL:+1") && !eq("tel:+1", "tel:+2"), "other schemes compare as text");
	out_lit(&o, "sip:a@h");
	for (unsigned i = 0; i < 60; i++)
		out_fmt(&o, ";p%u=1", i);
	many[o.n] = 0;
	ok(!eq(many, "sip:a@h"), "with very many parameters two URIs are held to differ");
}

int main(void)
{
	test_parse();
	test_target();
	test_put_params();
	test_user();
	test_equivalence();
	return tap_done();
}
