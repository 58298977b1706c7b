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

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) */
static bool scheme_good(struct str s)
{
	if (!s.n || !sip_is(s.p[0], SIP_C_HOST) || sip_is(s.p[0], SIP_C_DIGIT))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!(sip_is(s.p[i], SIP_C_HOST) && s.p[i] != '_') && s.p[i] != '+')
			return false;
	return s.p[0] != '-' && s.p[0] != '.';
}

/* userinfo = ( user / telephone-subscriber ) [ ":" password ] "@" */
static int parse_userinfo(struct sip_uri *uri, struct str *rest)
{
	size_t at = str_chr(*rest, '@'), colon;
	struct str info;

	if (at == rest->n)
		return 0;
	info = sip_take(rest, at);
	sip_take(rest, 1);
	if (!escapes_good(info) || str_chr(*rest, '@') != rest->n)
		return ERR_SYNTAX;
	colon = str_chr(info, ':');
	uri->user = str_head(info, colon);
	uri->password = str_from(info, colon + 1);
	return uri->user.n ? 0 : ERR_SYNTAX;
}

static int parse_sip(struct sip_uri *uri)
{
	struct str rest = uri->rest;
	size_t question;

	if (parse_userinfo(uri, &rest) || sip_hostport(&rest, &uri->host, &uri->port, false))
		return ERR_SYNTAX;
	if (rest.n && rest.p[0] != ';' && rest.p[0] != '?')
		return ERR_SYNTAX;
	question = str_chr(rest, '?');
	uri->params = str_head(rest, question);
	uri->headers = str_from(rest, question + 1);
	return 0;
}

int sip_uri_parse(struct sip_uri *uri, struct str text)
{
	size_t colon = str_chr(text, ':');
	struct sip_uri u = { .scheme = str_head(text, colon), .all = text, .rest = str_from(text, colon + 1) };

	if (!u.rest.n || !scheme_good(u.scheme) || sip_span(u.rest, SIP_C_URI) != u.rest.n)
		return ERR_SYNTAX;
	u.is_sips = str_ieq(u.scheme, STR("sips"));
	u.is_sip = u.is_sips || str_ieq(u.scheme, STR("sip"));
	if (u.is_sip && parse_sip(&u))
		return ERR_SYNTAX;
	*uri = u;
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
