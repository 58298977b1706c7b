/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RAck = response-num LWS CSeq-num LWS Method, RFC 3262 §7.2. */
#include "sip/grammar.h"

int sip_rack_parse(struct str value, uint32_t *rseq, uint32_t *cseq, struct str *method)
{
	struct str s = str_trim(value), name;
	uint64_t response;
	uint32_t number;
	int err = str_take_u64(&s, UINT32_MAX, &response);

	if (err)
		return err;
	if (!sip_lws(&s))
		return ERR_SYNTAX;
	err = sip_cseq_parse(s, &number, &name);
	if (err)
		return err;
	*rseq = (uint32_t)response;
	*cseq = number;
	*method = name;
	return 0;
}
