/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SIP and SIPS URIs (RFC 3261 §19.1), tel URIs (RFC 3966), and any other by its scheme. */
#include "sip/grammar.h"

enum { SIP_PORT = 5060 };

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return (c | 0x20) - 'a' + 10;
}

/* The byte that "%" HEX HEX at the start of s stands for, or -1. */
static int escape_value(struct str s)
{
	if (s.n < 3 || s.p[0] != '%' || !sip_is(s.p[1], SIP_C_HEX) || !sip_is(s.p[2], SIP_C_HEX))
		return -1;
	return hex_value(s.p[1]) * 16 + hex_value(s.p[2]);
}

static bool escapes_good(struct str s)
{
	for (size_t at = str_chr(s, '%'); at < s.n; at += 1 + str_chr(str_from(s, at + 1), '%'))
		if (escape_value(str_from(s, at)) < 0)
			return false;
	return true;
}

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ); its length, or 0 */
static size_t scheme_span(struct str s)
{
	size_t n = sip_span(s, SIP_C_SCHEME);

	return n < s.n && s.p[n] == ':' && !memchr("0123456789+-.", s.p[0], 13) ? n : 0;
}

static int take_scheme(struct sip_uri *uri, struct str *s)
{
	bool sip = str_istarts(*s, STR("sip:")), sips = !sip && str_istarts(*s, STR("sips:"));

	uri->is_sip = sip || sips;
	uri->is_sips = sips;
	uri->scheme = sip_take(s, sip ? 3 : sips ? 4 : scheme_span(*s));
	return uri->scheme.n && sip_char(s, ':') ? 0 : ERR_SYNTAX;
}

/* userinfo = ( user / telephone-subscriber ) [ ":" password ] "@" */
static int take_userinfo(struct sip_uri *uri, struct str *s)
{
	struct str rest = *s, info = sip_take_of(&rest, SIP_C_PLAIN);
	size_t colon = info.n;

	uri->user = STR_NONE;
	uri->password = STR_NONE;
	/* most have a user without escapes, and no password */
	if (!sip_char(&rest, '@')) {
		rest = *s;
		info = sip_take(&rest, str_chr(str_head(rest, sip_span(rest, SIP_C_URI)), '@'));
		if (!sip_char(&rest, '@'))
			return 0;
		if (!escapes_good(info))
			return ERR_SYNTAX;
		colon = str_chr(info, ':');
	}
	uri->user = str_head(info, colon);
	uri->password = str_from(info, colon + 1);
	*s = rest;
	return uri->user.n ? 0 : ERR_SYNTAX;
}

/* uri-parameters and headers; a second "@" could mean another host to the next reader. */
static int take_tail(struct sip_uri *uri, struct str *s)
{
	struct str tail = sip_take_of(s, SIP_C_URI);
	size_t question = str_chr(tail, '?');

	if (tail.n && tail.p[0] != ';' && tail.p[0] != '?')
		return ERR_SYNTAX;
	uri->params = str_head(tail, question);
	uri->headers = str_from(tail, question + 1);
	return str_chr(tail, '@') == tail.n ? 0 : ERR_SYNTAX;
}

/* What follows the scheme of a URI that is not ours to pick apart. */
static int take_other(struct sip_uri *uri, struct str *s)
{
	*uri = (struct sip_uri){ .scheme = uri->scheme };
	return sip_take_of(s, SIP_C_URI).n ? 0 : ERR_SYNTAX;
}

static int take_sip(struct sip_uri *uri, struct str *s)
{
	if (take_userinfo(uri, s) || sip_hostport(s, &uri->host, &uri->port, false))
		return ERR_SYNTAX;
	return take_tail(uri, s);
}

int sip_uri_take(struct sip_uri *uri, struct str *s)
{
	struct str rest = *s;
	const char *start;

	if (take_scheme(uri, &rest))
		return ERR_SYNTAX;
	start = rest.p;
	if (uri->is_sip ? take_sip(uri, &rest) : take_other(uri, &rest))
		return ERR_SYNTAX;
	uri->rest = str_make(start, (size_t)(rest.p - start));
	uri->all = str_make(s->p, (size_t)(rest.p - s->p));
	*s = rest;
	return 0;
}

int sip_uri_parse(struct sip_uri *uri, struct str text)
{
	struct sip_uri found;

	if (sip_uri_take(&found, &text) || text.n)
		return ERR_SYNTAX;
	*uri = found;
	return 0;
}

int sip_uri_target(const struct sip_uri *uri, struct addr *to)
{
	struct str host = uri->host, maddr;
	struct addr a;

	if (sip_param(uri->params, STR("maddr"), &maddr))
		host = maddr;
	if (!uri->is_sip || addr_parse_ip(&a, host))
		return ERR_SYNTAX;
	if (!addr_is_unicast(&a))
		return ERR_DENIED;
	a.port = uri->port ? uri->port : SIP_PORT;
	*to = a;
	return 0;
}

void sip_uri_put_params(struct out *o, const struct sip_uri *uri)
{
	struct str rest = uri->params;
	struct sip_one_param one;

	while (sip_param_next(&rest, &one) == 0)
		if (!str_ieq(one.name, STR("maddr")) && !str_ieq(one.name, STR("ttl")) && !str_ieq(one.name, STR("transport")))
			out_str(o, one.all);
}

/* visual-separator, RFC 3966 §5.1.1 */
static bool separator(char c)
{
	return c == '-' || c == '.' || c == '(' || c == ')';
}

int sip_uri_user(const struct sip_uri *uri, char *buf, size_t cap, struct str *user)
{
	bool tel = str_ieq(uri->scheme, STR("tel"));
	struct str text = tel ? uri->rest : uri->user, kind;
	struct out o = OUT(buf, cap);

	if (!tel && uri->is_sip && sip_param(uri->params, STR("user"), &kind))
		tel = str_ieq(kind, STR("phone"));
	if (tel)
		text = str_head(text, str_chr(text, ';'));
	if (!text.n)
		return ERR_SYNTAX;
	while (text.n) {
		int byte = escape_value(text);
		char plain = (char)byte;
		bool decode = byte >= 0 && sip_is(plain, SIP_C_PLAIN);
		struct str one = sip_take(&text, byte >= 0 ? 3 : 1);
		if (decode)
			one = str_make(&plain, 1);
		if (!tel || one.n != 1 || !separator(one.p[0]))
			out_str(&o, one);
	}
	if (o.overflow)
		return ERR_SPACE;
	if (!o.n)
		return ERR_SYNTAX;
	*user = out_done(&o);
	return 0;
}
