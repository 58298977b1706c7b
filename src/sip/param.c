/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parameters: SEMI generic-param, RFC 3261 §25.1. */
#include "sip/grammar.h"

/* gen-value: a token, a host or a quoted string; unquoted, whatever cannot be taken for something else is accepted. */
static int param_value(struct str *rest, struct str *value)
{
	size_t n = sip_quoted_span(*rest);

	if (n) {
		*value = str_make(rest->p + 1, n - 2);
		sip_take(rest, n);
		return 0;
	}
	*value = sip_take(rest, sip_span(*rest, SIP_C_VALUE));
	return rest->n && (rest->p[0] == '"' || rest->p[0] == '<' || rest->p[0] == '>') ? ERR_SYNTAX : 0;
}

/* pname allows more than a token in a URI ("[", "/", "&" …), so a name goes on to whatever ends it. */
static struct str param_name(struct str *rest)
{
	size_t n = 0;

	while (n < rest->n && rest->p[n] != '=' && sip_is(rest->p[n], SIP_C_VALUE))
		n++;
	return sip_take(rest, n);
}

int sip_param_next(struct str *params, struct sip_one_param *one)
{
	struct str rest = *params, at;
	int err;

	sip_lws(&rest);
	at = rest;
	if (!sip_mark(&rest, ';'))
		return ERR_NOTFOUND;
	one->name = param_name(&rest);
	one->value = str_make(rest.p, 0);
	if (!one->name.n)
		return ERR_SYNTAX;
	one->all = str_make(at.p, (size_t)(rest.p - at.p));
	if (sip_mark(&rest, '=')) {
		err = param_value(&rest, &one->value);
		if (err)
			return err;
		one->all.n = (size_t)(rest.p - at.p);
	}
	*params = rest;
	return 0;
}

bool sip_param(struct str params, struct str name, struct str *value)
{
	struct sip_one_param one;

	while (sip_param_next(&params, &one) == 0) {
		if (!str_ieq(one.name, name))
			continue;
		if (value)
			*value = one.value;
		return true;
	}
	return false;
}
