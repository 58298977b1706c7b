/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CSeq = 1*DIGIT LWS Method, RFC 3261 §20.16; the number is below 2^31 (§8.1.1.5). */
#include "sip/grammar.h"

int sip_cseq_parse(struct str value, uint32_t *number, struct str *method)
{
	struct str s = str_trim(value), name;
	uint64_t v;
	int err = str_take_u64(&s, INT32_MAX, &v);

	if (err)
		return err;
	if (!sip_lws(&s))
		return ERR_SYNTAX;
	name = sip_token(&s);
	if (!name.n || s.n)
		return ERR_SYNTAX;
	*number = (uint32_t)v;
	*method = name;
	return 0;
}
