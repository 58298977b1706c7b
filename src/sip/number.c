/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A number with parameters or a comment after it: Max-Forwards, Expires, Retry-After, RSeq … */
#include "sip/grammar.h"

int sip_number_parse(struct str value, uint32_t max, uint32_t *number)
{
	struct str s = str_trim(value);
	uint64_t v;
	int err = str_take_u64(&s, max, &v);

	if (err)
		return err;
	sip_lws(&s);
	if (s.n && s.p[0] != ';' && s.p[0] != '(')
		return ERR_SYNTAX;
	*number = (uint32_t)v;
	return 0;
}
