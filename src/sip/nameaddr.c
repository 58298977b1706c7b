/* SPDX-License-Identifier: GPL-2.0-or-later */
/* name-addr / addr-spec with header parameters: From, To, Contact, Route …, RFC 3261 §20.10, §25.1. */
#include "sip/grammar.h"

/* Takes the display name off the front of s, up to the "<". An unquoted one may hold whatever cannot be taken for something else. */
static int parse_display(struct sip_nameaddr *na, struct str *s)
{
	size_t n = 0;

	if (s->p[0] == '"') {
		n = sip_quoted_span(*s);
		na->display = sip_take(s, n);
		sip_lws(s);
		return n && s->n && s->p[0] == '<' ? 0 : ERR_SYNTAX;
	}
	while (n < s->n && !memchr("<>\",;:\\", s->p[n], 7))
		n++;
	if (n == s->n || s->p[n] != '<')
		return ERR_NOTFOUND;
	na->display = str_trim(sip_take(s, n));
	return 0;
}

/* addr-spec in brackets. It holds neither white space nor controls: it may become the Request-URI of another message. */
static int parse_brackets(struct sip_nameaddr *na, struct str *s)
{
	size_t end = str_chr(*s, '>');

	if (end == s->n || end < 2)
		return ERR_SYNTAX;
	na->brackets = true;
	na->uri = str_from(sip_take(s, end), 1);
	sip_take(s, 1);
	return sip_span(na->uri, SIP_C_URI) == na->uri.n ? 0 : ERR_SYNTAX;
}

/* A bare addr-spec ends at the ";": its parameters are the header's. One with a comma or a question mark must stand in brackets. */
static int parse_bare(struct sip_nameaddr *na, struct str *s)
{
	size_t n = 0;

	while (n < s->n && !memchr(";,?<>\"", s->p[n], 6) && !sip_is(s->p[n], SIP_C_LWS))
		n++;
	na->uri = sip_take(s, n);
	return n ? 0 : ERR_SYNTAX;
}

int sip_nameaddr_parse(struct sip_nameaddr *na, struct str value)
{
	struct sip_nameaddr found = { .star = false };
	struct str s = str_trim(value), all;
	struct sip_one_param one;
	int err;

	if (!s.n)
		return ERR_SYNTAX;
	if (str_eq(s, STR("*"))) {
		found.star = true;
		*na = found;
		return 0;
	}
	err = parse_display(&found, &s);
	if (err == ERR_NOTFOUND)
		err = parse_bare(&found, &s);
	else if (!err)
		err = parse_brackets(&found, &s);
	if (err)
		return err;
	sip_lws(&s);
	all = s;
	while (!(err = sip_param_next(&s, &one)))
		if (!found.tag.p && str_ieq(one.name, STR("tag")))
			found.tag = one.value;
	if (err != ERR_NOTFOUND || s.n)
		return ERR_SYNTAX;
	found.params = all;
	*na = found;
	return 0;
}
