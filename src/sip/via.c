/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Via, RFC 3261 §20.42, with the rport of RFC 3581 and the comment of RFC 2543. */
#include "sip/grammar.h"

/* sent-protocol = protocol-name SLASH protocol-version SLASH transport. Another version is read too: its sender wants a 505. */
static int parse_protocol(struct sip_via *via, struct str *s)
{
	static const struct str usual = { "SIP/2.0/", 8 };

	if (str_starts(*s, usual)) {
		sip_take(s, usual.n);
		sip_lws(s);
	} else if (!sip_token(s).n || !sip_mark(s, '/') || !sip_token(s).n || !sip_mark(s, '/')) {
		return ERR_SYNTAX;
	}
	via->transport = sip_token(s);
	return via->transport.n && sip_lws(s) ? 0 : ERR_SYNTAX;
}

static int take_param(struct sip_via *via, const struct sip_one_param *one)
{
	uint64_t port = 0;

	if (str_ieq(one->name, STR("branch"))) {
		via->branch = one->value;
	} else if (str_ieq(one->name, STR("rport"))) {
		via->rport_asked = true;
		if (one->value.n && str_u64(one->value, UINT16_MAX, &port))
			return ERR_SYNTAX;
		via->rport = (uint16_t)port;
	} else if (str_ieq(one->name, STR("received"))) {
		via->received = one->value;
	} else if (str_ieq(one->name, STR("maddr"))) {
		via->maddr = one->value;
	}
	return 0;
}

/* Reads as far as it can: *via is good where sent-by could be read, whatever comes after it. *whole: that all of it could. */
static int read_via(struct sip_via *via, struct str value, bool *whole)
{
	struct str s = str_trim(value);
	struct sip_one_param one;
	const char *start = NULL;
	int err = ERR_NOTFOUND;

	via->all = s;
	via->branch = STR_NONE;
	via->received = STR_NONE;
	via->maddr = STR_NONE;
	via->rport = 0;
	via->rport_asked = false;
	if (parse_protocol(via, &s) || sip_hostport(&s, &via->host, &via->port, true))
		return ERR_SYNTAX;
	via->params = str_make(s.p, 0);
	while (s.n && !(err = sip_param_next(&s, &one)) && !(err = take_param(via, &one))) {
		start = start ? start : one.all.p;
		via->params = str_make(start, (size_t)(s.p - start));
	}
	sip_lws(&s);
	*whole = err != ERR_SYNTAX && sip_comment_span(s) == s.n;
	return 0;
}

int sip_via_parse(struct sip_via *via, struct str value)
{
	struct sip_via found;
	bool whole;

	if (read_via(&found, value, &whole) || !whole)
		return ERR_SYNTAX;
	*via = found;
	return 0;
}

int sip_via_top(struct sip_via *via, const struct sip_msg *m)
{
	struct sip_values vias = sip_values(m, SIP_H_VIA);
	struct sip_via found;
	struct str top;
	bool whole;

	if (m->via.all.n) {
		*via = m->via; /* sip_check() has read it */
		return 0;
	}
	if (!sip_values_next(&vias, &top) || read_via(&found, top, &whole))
		return ERR_SYNTAX;
	*via = found;
	return 0;
}
