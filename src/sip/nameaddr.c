/* SPDX-License-Identifier: GPL-2.0-or-later */
/* name-addr / addr-spec with header parameters: From, To, Contact, Route …, RFC 3261 §20.10, §25.1. */
#include "sip/grammar.h"

/* Takes the display name off the front of s, up to the "<". An unquoted one may hold whatever cannot be taken for something else. */
static int parse_display(struct sip_nameaddr *na, struct str *s)
{
	size_t n;

	if (s->p[0] == '"') {
		n = sip_quoted_span(*s);
		na->display = sip_take(s, n);
		sip_lws(s);
		return n && s->n && s->p[0] == '<' ? 0 : ERR_SYNTAX;
	}
	n = sip_span(*s, SIP_C_DISPLAY);
	if (n == s->n || s->p[n] != '<')
		return ERR_NOTFOUND;
	na->display = str_trim(sip_take(s, n));
	return 0;
}

/* addr-spec in brackets. It holds neither white space nor controls: it may become the Request-URI of another message. */
static int parse_brackets(struct sip_nameaddr *na, struct sip_uri *uri, struct str *s)
{
	na->brackets = sip_char(s, '<');
	na->uri.p = s->p;
	if (uri ? sip_uri_take(uri, s) : !sip_take_of(s, SIP_C_URI).n)
		return ERR_SYNTAX;
	na->uri.n = (size_t)(s->p - na->uri.p);
	return sip_char(s, '>') ? 0 : ERR_SYNTAX;
}

/* A bare addr-spec ends at the ";": its parameters are the header's. One with a comma or a question mark must stand in brackets. */
static int parse_bare(struct sip_nameaddr *na, struct sip_uri *uri, struct str *s)
{
	na->uri = sip_take_of(s, SIP_C_BARE);
	if (uri)
		return sip_uri_parse(uri, na->uri);
	return na->uri.n ? 0 : ERR_SYNTAX;
}

/* The header's parameters, to the end of s. */
static int parse_params(struct sip_nameaddr *na, struct str *s)
{
	struct sip_one_param one;

	na->params = *s;
	while (s->n && !sip_param_next(s, &one))
		if (!na->tag.p && str_ieq(one.name, STR("tag"))) {
			na->tag = one.value;
			na->tag_quoted = one.quoted;
		}
	return s->n ? ERR_SYNTAX : 0;
}

int sip_address_parse(struct sip_nameaddr *na, struct sip_uri *uri, struct str value)
{
	struct str s = str_trim(value);
	int err;

	*na = (struct sip_nameaddr){ .star = str_eq(s, STR("*")) };
	if (na->star)
		return 0;
	if (!s.n)
		return ERR_SYNTAX;
	err = parse_display(na, &s);
	if (err == ERR_NOTFOUND)
		err = parse_bare(na, uri, &s);
	else if (!err)
		err = parse_brackets(na, uri, &s);
	if (err)
		return err;
	sip_lws(&s);
	return parse_params(na, &s);
}

int sip_nameaddr_parse(struct sip_nameaddr *na, struct str value)
{
	struct sip_nameaddr found;
	int err = sip_address_parse(&found, NULL, value);

	if (!err)
		*na = found;
	return err;
}
