/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What user agents write. Every body names its call, so that one which comes to another call is noticed. */
#include "base/bug.h"
#include "sim.h"

uint64_t text_hash(struct str s)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3ull;
	return h;
}

uint64_t text_branch(const struct sip_msg *m)
{
	struct sip_values v = sip_values(m, SIP_H_VIA);
	struct sip_via via;
	struct str top;

	if (!sip_values_next(&v, &top) || sip_via_parse(&via, top))
		return 0;
	return text_hash(via.branch);
}

static void put_body(struct out *o, struct ua *ua, bool sdp, enum sip_method method)
{
	char body[400];
	struct out b = OUT(body, sizeof body);

	if (sdp) {
		out_fmt(&b, "v=0\r\no=sim %u %u IN IP4 ", ua->call->number, ua->sdp_version);
		addr_print_host(&b, &ua->addr);
		out_fmt(&b, "\r\ns=%s\r\nc=IN IP4 ", ua->tag);
		addr_print_host(&b, &ua->addr);
		out_lit(&b, "\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 101\r\n");
		out_lit(o, "Content-Type: application/sdp\r\n");
	} else if (method == SIP_INFO || method == SIP_MESSAGE) {
		out_fmt(&b, "o=sim %u\r\n", ua->call->number);
		out_lit(o, "Content-Type: text/plain\r\n");
	}
	out_fmt(o, "Content-Length: %u\r\n\r\n", (unsigned)b.n);
	out_str(o, out_done(&b));
}

static void put_contact(struct out *o, struct ua *ua)
{
	out_fmt(o, "Contact: <sip:%c%u@", ua->caller ? 'a' : 'b', ua->call->number);
	addr_print(o, &ua->addr);
	out_lit(o, ">\r\n");
}

static void put_dialog(struct out *o, struct ua *ua, uint32_t cseq, enum sip_method method)
{
	out_fmt(o, "Max-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %.*s\r\n", ua->local, ua->remote, ua->call_id,
		cseq, STR_FMT(sip_method_name(method)));
}

static uint32_t done(const struct out *o)
{
	BUG_ON(o->overflow);
	return (uint32_t)o->n;
}

static void put_allow(struct out *o, const struct ua *ua)
{
	out_lit(o, "Allow: INVITE, ACK, BYE, CANCEL, INFO, OPTIONS, MESSAGE");
	if (ua->session.updates)
		out_lit(o, ", UPDATE");
	if (ua->rel.knows)
		out_lit(o, ", PRACK");
	out_lit(o, "\r\n");
}

uint32_t text_request(struct ua *ua, enum sip_method method, uint32_t cseq, const char *branch, bool sdp, const char *lines, char *buf, size_t cap)
{
	struct out o = OUT(buf, cap);

	out_fmt(&o, "%.*s %s SIP/2.0\r\nVia: SIP/2.0/UDP ", STR_FMT(sip_method_name(method)), ua->target);
	addr_print(&o, &ua->addr);
	out_fmt(&o, ";rport;branch=%s\r\n", branch);
	put_dialog(&o, ua, cseq, method);
	if (method == SIP_INVITE || method == SIP_UPDATE) {
		put_contact(&o, ua);
		put_allow(&o, ua);
		ua_session_put_wish(ua, &o);
	}
	if (method == SIP_INVITE && ua->rel.knows)
		out_fmt(&o, "%s: 100rel\r\n", ua->rel.knows == REL_REQUIRES && ua->state == UA_SETUP ? "Require" : "Supported");
	out_fmt(&o, "%s", lines);
	put_body(&o, ua, sdp, method);
	return done(&o);
}

/* What a refusal says for those who may ask again. */
static void put_refusal(struct out *o, const struct ua *ua, unsigned status)
{
	if (status == 422)
		out_fmt(o, "Min-SE: %u\r\n", ua->session.min_s);
	if (status == 420)
		out_lit(o, "Unsupported: 100rel\r\n");
	if (status == 421)
		out_lit(o, "Require: 100rel\r\n");
}

uint32_t text_response(struct ua *ua, const struct ua_txn *t, unsigned status, bool sdp, char *buf, size_t cap)
{
	struct out o = OUT(buf, cap);
	bool invite = t->method == SIP_INVITE, success = status >= 200 && status < 300;
	struct sip_fault why;
	struct sip_msg m;

	BUG_ON(sip_parse(&m, t->request, t->request_bytes, &why) || sip_check(&m, &why));
	sip_response_head(&o, &m, status, sip_reason(status), status == 100 ? STR_NONE : str_of(ua->tag), &t->peer);
	if ((invite && status > 100 && status < 300) || (t->method == SIP_UPDATE && success)) {
		put_contact(&o, ua);
		put_allow(&o, ua);
	}
	if (success && (invite || t->method == SIP_UPDATE))
		ua_session_put_answer(ua, &m, &o);
	if (ua->rel.writing)
		out_fmt(&o, "Require: 100rel\r\nRSeq: %u\r\n", ua->rel.rseq);
	put_refusal(&o, ua, status);
	put_body(&o, ua, sdp, SIP_UNKNOWN);
	return done(&o);
}

uint64_t text_author(struct str body)
{
	for (size_t i = 0; i + 3 < body.n; i++)
		if (memcmp(body.p + i, "\ns=", 3) == 0) {
			struct str rest = str_from(body, i + 3);
			return text_hash(str_trim(str_head(rest, str_chr(rest, '\n'))));
		}
	return 0;
}

/* The third field of the o= line. */
uint32_t text_version(struct str body)
{
	uint64_t number = 0;

	for (size_t i = 0; i + 6 < body.n; i++)
		if (memcmp(body.p + i, "o=sim ", 6) == 0) {
			struct str rest = str_from(body, i + 6);
			rest = str_from(rest, str_chr(rest, ' ') + 1);
			return str_u64(str_head(rest, str_chr(rest, ' ')), UINT32_MAX, &number) ? 0 : (uint32_t)number;
		}
	return 0;
}

uint32_t text_follow(struct ua *ua, const struct ua_txn *invite, enum sip_method method, struct str to, char *buf, size_t cap)
{
	struct out o = OUT(buf, cap);
	struct sip_fault why;
	struct sip_msg m;

	BUG_ON(sip_parse(&m, invite->request, invite->request_bytes, &why) || sip_check(&m, &why));
	out_fmt(&o, "%.*s %.*s SIP/2.0\r\nVia: %.*s\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %.*s\r\nCall-ID: %s\r\nCSeq: %u %.*s\r\n",
		STR_FMT(sip_method_name(method)), STR_FMT(m.uri), STR_FMT(sip_value(&m, SIP_H_VIA)), ua->local, STR_FMT(to), ua->call_id,
		invite->cseq, STR_FMT(sip_method_name(method)));
	out_lit(&o, "Content-Length: 0\r\n\r\n");
	return done(&o);
}

bool text_foreign(const struct sim_call *c, struct str body)
{
	uint64_t number;

	for (size_t i = 0; i + 6 < body.n; i++)
		if (memcmp(body.p + i, "o=sim ", 6) == 0) {
			struct str rest = str_from(body, i + 6);
			size_t n = 0;
			while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9')
				n++;
			return str_u64(str_head(rest, n), UINT32_MAX, &number) || number != c->number;
		}
	return false;
}
