/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parameters: SEMI generic-param, RFC 3261 §25.1. */
#include "sip/grammar.h"

/* gen-value: a token, a host or a quoted string; unquoted, whatever cannot be taken for something else is accepted. */
static int param_value(struct str *rest, struct sip_one_param *one)
{
	struct str all;

	one->quoted = rest->n && rest->p[0] == '"';
	if (!one->quoted) {
		one->value = sip_take_of(rest, SIP_C_VALUE);
		return rest->n && (rest->p[0] == '"' || rest->p[0] == '<' || rest->p[0] == '>') ? ERR_SYNTAX : 0;
	}
	all = sip_take(rest, sip_quoted_span(*rest));
	if (!all.n)
		return ERR_SYNTAX;
	one->value = str_make(all.p + 1, all.n - 2);
	return 0;
}

int sip_param_next(struct str *params, struct sip_one_param *one)
{
	struct str rest = *params, at;

	sip_lws(&rest);
	at = rest;
	if (!sip_char(&rest, ';'))
		return ERR_NOTFOUND;
	sip_lws(&rest);
	/* pname allows more than a token in a URI ("[", "/", "&" …), so a name goes on to whatever ends it */
	one->name = sip_take_of(&rest, SIP_C_NAME);
	one->value = str_make(rest.p, 0);
	one->quoted = false;
	one->all = str_make(at.p, (size_t)(rest.p - at.p));
	if (!one->name.n)
		return ERR_SYNTAX;
	if (sip_mark(&rest, '=')) {
		if (param_value(&rest, one))
			return ERR_SYNTAX;
		one->all.n = (size_t)(rest.p - at.p);
	}
	*params = rest;
	return 0;
}

bool sip_param(struct str params, struct str name, struct str *value)
{
	struct sip_one_param one;

	while (params.n && sip_param_next(&params, &one) == 0) {
		if (!str_ieq(one.name, name))
			continue;
		if (value)
			*value = one.value;
		return true;
	}
	return false;
}
