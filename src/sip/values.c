/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several values on a line and several lines of a header, RFC 3261 §7.3.1. */
#include "sip/grammar.h"

/* The length of what begins at s.p[at] and may hide commas: a quoted string, <>, a comment after white space. What does not end
 * reaches to the end of s. 0 for any other character. */
static size_t hiding_span(struct str s, size_t at)
{
	struct str rest = str_from(s, at);
	size_t n;

	if (rest.p[0] == '"')
		n = sip_quoted_span(rest);
	else if (rest.p[0] == '<')
		n = str_chr(rest, '>') + 1;
	else if (rest.p[0] == '(' && (at == 0 || sip_is(s.p[at - 1], SIP_C_LWS)))
		n = sip_comment_span(rest);
	else
		return 0;
	return n && n <= rest.n ? n : rest.n;
}

/* Where the first value of s ends: at its comma, or at s.n. */
static size_t value_span(struct str s)
{
	if (!memchr(s.p, ',', s.n))
		return s.n;
	for (size_t i = 0; i < s.n;) {
		size_t hidden = hiding_span(s, i);
		if (!hidden && s.p[i] == ',')
			return i;
		i += hidden ? hidden : 1;
	}
	return s.n;
}

bool sip_list_next(struct str *rest, struct str *value)
{
	struct str one;

	while (rest->n && (rest->p[0] == ',' || sip_is(rest->p[0], SIP_C_LWS)))
		sip_take(rest, 1);
	if (!rest->n)
		return false;
	one = sip_take(rest, value_span(*rest));
	*value = str_trim(one);
	return true;
}

bool sip_values_next(struct sip_values *v, struct str *value)
{
	while (!v->rest.n || !sip_list_next(&v->rest, value)) {
		const struct sip_header *h = v->h;

		if (!h)
			return false;
		v->h = sip_next(v->m, h);
		if (!(sip_header_flags(h->id) & SIP_HF_LIST)) {
			*value = h->value;
			return true;
		}
		v->rest = h->value;
	}
	return true;
}

bool sip_has_token(const struct sip_msg *m, enum sip_header_id id, struct str token)
{
	struct sip_values v = sip_values(m, id);
	struct str one;

	while (sip_values_next(&v, &one))
		if (id == SIP_H_ALLOW ? str_eq(one, token) : str_ieq(one, token))
			return true;
	return false;
}
