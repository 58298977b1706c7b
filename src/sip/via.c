/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Via, RFC 3261 §20.42, with the rport of RFC 3581 and the comment of RFC 2543. */
#include "sip/grammar.h"

/* sent-protocol = protocol-name SLASH protocol-version SLASH transport. Another version is read too: its sender wants a 505. */
static int parse_protocol(struct sip_via *via, struct str *s)
{
	if (!sip_token(s).n || !sip_mark(s, '/') || !sip_token(s).n || !sip_mark(s, '/'))
		return ERR_SYNTAX;
	via->transport = sip_token(s);
	return via->transport.n && sip_lws(s) ? 0 : ERR_SYNTAX;
}

static int take_param(struct sip_via *via, const struct sip_one_param *one)
{
	uint64_t port = 0;

	if (str_ieq(one->name, STR("branch"))) {
		via->branch = one->value;
	} else if (str_ieq(one->name, STR("received"))) {
		via->received = one->value;
	} else if (str_ieq(one->name, STR("maddr"))) {
		via->maddr = one->value;
	} else if (str_ieq(one->name, STR("rport"))) {
		via->rport_asked = true;
		if (one->value.n && str_u64(one->value, UINT16_MAX, &port))
			return ERR_SYNTAX;
		via->rport = (uint16_t)port;
	}
	return 0;
}

/* Reads as far as it can; *via is filled where sent-by could be read, whatever comes after it. */
static int read_via(struct sip_via *via, struct str value, bool *whole)
{
	struct str s = str_trim(value);
	struct sip_via v = { .all = s };
	struct sip_one_param one;
	const char *start = NULL;
	int err;

	if (parse_protocol(&v, &s) || sip_hostport(&s, &v.host, &v.port, true))
		return ERR_SYNTAX;
	v.params = str_make(s.p, 0);
	while (!(err = sip_param_next(&s, &one)) && !(err = take_param(&v, &one))) {
		start = start ? start : one.all.p;
		v.params = str_make(start, (size_t)(s.p - start));
	}
	sip_lws(&s);
	*whole = err == ERR_NOTFOUND && sip_comment_span(s) == s.n;
	*via = v;
	return 0;
}

int sip_via_parse(struct sip_via *via, struct str value)
{
	struct sip_via v;
	bool whole;

	if (read_via(&v, value, &whole) || !whole)
		return ERR_SYNTAX;
	*via = v;
	return 0;
}

int sip_via_top(struct sip_via *via, const struct sip_msg *m)
{
	struct sip_values vias = sip_values(m, SIP_H_VIA);
	struct str top;
	bool whole;

	return sip_values_next(&vias, &top) ? read_via(via, top, &whole) : ERR_SYNTAX;
}
