/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Responses: what they copy from the request and where they go. */
#include "t/sip-tests.h"

static struct sample s, want;

static struct addr at(const char *text)
{
	struct addr a;

	if (addr_parse(&a, str_of(text), 5060))
		tap_bail("bad address in the test");
	return a;
}

static void responds(const char *request, unsigned status, const char *tag, const char *source, const char *text, const char *title)
{
	static char buf[4096];
	struct out o = OUT(buf, sizeof buf);
	struct addr a = at(source);

	sample_text(&s, request);
	(void)sip_parse(&s.msg, s.bytes, s.n, &s.why);
	sip_response_head(&o, &s.msg, status, sip_reason(status), str_of(tag), &a);
	sample_text(&want, text);
	is_mem(o.p, o.n, want.bytes, want.n, "%s", title);
}

#define REST "From: <sip:a@h>;tag=1\nTo: <sip:b@h>\nCall-ID: c\nCSeq: 1 INVITE\n"

static void test_head(void)
{
	responds("INVITE sip:b@h SIP/2.0\nSubject: x\nCSeq: 1 INVITE\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\nFrom: <sip:a@h>;tag=1\nVia: SIP/2.0/UDP q\nTo: <sip:b@h>\nCall-ID: c\n\n",
		 404, "new", "127.0.0.1:5070",
		 "SIP/2.0 404 Not Found\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\nVia: SIP/2.0/UDP q\nFrom: <sip:a@h>;tag=1\nTo: <sip:b@h>;tag=new\nCall-ID: c\nCSeq: 1 INVITE\n",
		 "RFC3261-8.2.6.2: what a response copies, in order");
	responds("INVITE sip:b@h SIP/2.0\nVia: SIP/2.0/UDP h\nTimestamp: 54\n" REST "\n", 100, "", "127.0.0.1",
		 "SIP/2.0 100 Trying\nVia: SIP/2.0/UDP h;received=127.0.0.1\n" REST "Timestamp: 54\n", "RFC3261-8.2.6.1: Timestamp in a 100; no tag of ours");
	responds("INVITE sip:b@h SIP/2.0\nVia: SIP/2.0/UDP h\nTimestamp: 54\nFrom: <sip:a@h>\nTo: sip:b@h;x;Tag=old\nCall-ID: c\nCSeq: 1 INVITE\n\n", 486, "new", "127.0.0.1",
		 "SIP/2.0 486 Busy Here\nVia: SIP/2.0/UDP h;received=127.0.0.1\nFrom: <sip:a@h>\nTo: sip:b@h;x;Tag=old\nCall-ID: c\nCSeq: 1 INVITE\n", "RFC3261-8.2.6.2: a To tag that is there stays");
	responds("INVITE sip:b@h SIP/2.0\nt:\n <sip:b@h>\n ;x = y \nv :\n SIP/2.0/UDP h\n ;branch = z9hG4bK1\n , SIP/2.0/UDP i,\n SIP/2.0/UDP j\nv: SIP/2.0/UDP k\nf: <sip:a@h>;tag=1\ni: c\nCSeq: 1\n INVITE\n\n",
		 200, "new", "127.0.0.1",
		 "SIP/2.0 200 OK\nv :\n SIP/2.0/UDP h\n ;branch = z9hG4bK1;received=127.0.0.1\n , SIP/2.0/UDP i,\n SIP/2.0/UDP j\nv: SIP/2.0/UDP k\nf: <sip:a@h>;tag=1\nt:\n <sip:b@h>\n ;x = y;tag=new \ni: c\nCSeq: 1\n INVITE\n",
		 "RFC3261-7.3.1: several Vias a line, folded lines, compact forms");
}

static void via_becomes(const char *via, const char *source, const char *stamped, const char *title)
{
	char request[1024], text[1024];

	snprintf(request, sizeof request, "INVITE sip:b@h SIP/2.0\nVia: %s\n" REST "\n", via);
	snprintf(text, sizeof text, "SIP/2.0 100 Trying\nVia: %s\n" REST, stamped);
	responds(request, 100, "", source, text, title);
}

static void test_via(void)
{
	via_becomes("SIP/2.0/UDP 127.0.0.1;branch=a", "127.0.0.1:9", "SIP/2.0/UDP 127.0.0.1;branch=a", "RFC3261-18.2.1: no received where sent-by is the source");
	via_becomes("SIP/2.0/UDP 127.0.0.2;branch=a", "127.0.0.1:9", "SIP/2.0/UDP 127.0.0.2;branch=a;received=127.0.0.1", "RFC3261-18.2.1: received where it is not");
	via_becomes("SIP/2.0/UDP localhost", "127.0.0.1:9", "SIP/2.0/UDP localhost;received=127.0.0.1", "RFC3261-18.2.1: received for a host name");
	via_becomes("SIP/2.0/UDP 127.0.0.1;rport;branch=a", "127.0.0.1:99", "SIP/2.0/UDP 127.0.0.1;branch=a;received=127.0.0.1;rport=99", "RFC3581-4: rport is filled, with received in any case");
	via_becomes("SIP/2.0/UDP 127.0.0.1;rport=1;received=9.9.9.9;branch=a", "127.0.0.1:99", "SIP/2.0/UDP 127.0.0.1;branch=a;received=127.0.0.1;rport=99", "RFC3581-4: what the sender wrote there is not believed");
	via_becomes("SIP/2.0/UDP 127.0.0.1;received=9.9.9.9", "127.0.0.1:99", "SIP/2.0/UDP 127.0.0.1", "RFC3261-18.2.1: nor his received alone");
	via_becomes("SIP/2.0/UDP [::1]:5070;rport", "[::1]:99", "SIP/2.0/UDP [::1]:5070;received=::1;rport=99", "RFC5118-4.5: an IPv6 received has no brackets");
	via_becomes("SIP/2.0/UDP [0:0::1]", "[::1]:99", "SIP/2.0/UDP [0:0::1]", "RFC5118-4.5: one address in two spellings");
	via_becomes("SIP/2.0/UDP h;branch=a (me, here)", "127.0.0.1:9", "SIP/2.0/UDP h;branch=a;received=127.0.0.1 (me, here)", "RFC2543-6.40: before a comment");
	via_becomes("SIP/2.0/UDP h(me)", "127.0.0.1:9", "SIP/2.0/UDP h;received=127.0.0.1 (me)", "which it does not run into");
	via_becomes("SIP/2.0/UDP h;a=1;;b, x", "127.0.0.1:9", "SIP/2.0/UDP h;a=1;received=127.0.0.1;;b, x", "RFC4475-3.1.2.1: a Via that is bad only behind sent-by");
	via_becomes("nonsense", "127.0.0.1:9", "nonsense", "one that cannot be read is copied");
	via_becomes("\nVia: SIP/2.0/UDP h", "127.0.0.1:9", "\nVia: SIP/2.0/UDP h;received=127.0.0.1", "an empty line before it");
}

static void test_faulty(void)
{
	responds("INVITE sip:b@h SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1\nCSeq: 1 INVITE\n\n", 400, "new", "127.0.0.1", "SIP/2.0 400 Bad Request\nVia: SIP/2.0/UDP 127.0.0.1\nCSeq: 1 INVITE\n", "RFC4475-3.3.1: what is missing is left out");
	responds("INVITE sip:b@h SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1\nTo: \"open\nCSeq: 1", 400, "new", "127.0.0.1", "SIP/2.0 400 Bad Request\nVia: SIP/2.0/UDP 127.0.0.1\nTo: \"open\nCSeq: 1\n", "a To that cannot be read is copied; a line that does not end is ended");
}

static const char *target_of(const char *via, const char *source, enum addr_transport transport)
{
	static char text[ADDR_TEXT + 1];
	struct out o = OUT(text, ADDR_TEXT);
	struct addr a = at(source), to;
	struct sip_via v;
	int err;

	a.transport = transport;
	if (sip_via_parse(&v, str_of(via)))
		return "bad via";
	err = sip_response_target(&v, &a, &to);
	if (err)
		return err_text(err);
	addr_print(&o, &to);
	text[o.n] = 0;
	return to.transport == transport ? text : "another transport";
}

static void test_target(void)
{
	is_text(target_of("SIP/2.0/UDP h:5070", "127.0.0.1:99", ADDR_UDP), "127.0.0.1:5070", "RFC3261-18.2.2: to the source address, the port of sent-by");
	is_text(target_of("SIP/2.0/UDP h", "127.0.0.1:99", ADDR_UDP), "127.0.0.1:5060", "RFC3261-18.2.2: 5060 where it has none");
	is_text(target_of("SIP/2.0/UDP h:5070;rport", "127.0.0.1:99", ADDR_UDP), "127.0.0.1:99", "RFC3581-4: with rport to the source port");
	is_text(target_of("SIP/2.0/UDP h:5070;received=9.9.9.9", "127.0.0.1:99", ADDR_UDP), "127.0.0.1:5070", "a received that the sender wrote is not believed");
	is_text(target_of("SIP/2.0/UDP h:5070", "[::1]:99", ADDR_UDP), "[::1]:5070", "RFC3261-18.2.2: IPv6");
	is_text(target_of("SIP/2.0/UDP h:5070;maddr=127.0.0.7;rport", "127.0.0.1:99", ADDR_UDP), "127.0.0.7:5070", "RFC3261-18.2.2: maddr comes first");
	is_text(target_of("SIP/2.0/UDP h;maddr=224.0.1.75", "127.0.0.1:99", ADDR_UDP), err_text(ERR_DENIED), "a multicast maddr is refused");
	is_text(target_of("SIP/2.0/UDP h;maddr=255.255.255.255", "127.0.0.1:99", ADDR_UDP), err_text(ERR_DENIED), "RFC4475-3.3.10: and a broadcast one");
	is_text(target_of("SIP/2.0/UDP h;maddr=[ff02::1]", "[::1]:99", ADDR_UDP), err_text(ERR_DENIED), "in IPv6 too");
	is_text(target_of("SIP/2.0/UDP h;maddr=::1", "127.0.0.1:99", ADDR_UDP), err_text(ERR_DENIED), "one of the other family");
	is_text(target_of("SIP/2.0/UDP h;maddr=example.org", "127.0.0.1:99", ADDR_UDP), err_text(ERR_SYNTAX), "a host name cannot be resolved here");
	is_text(target_of("SIP/2.0/TCP h:5070;maddr=127.0.0.7", "127.0.0.1:99", ADDR_TCP), "127.0.0.1:99", "RFC3261-18.2.2: over TCP the connection itself");
}

int main(void)
{
	test_head();
	test_via();
	test_faulty();
	test_target();
	return tap_done();
}
