/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Session-Expires and Min-SE: delta-seconds *(SEMI param), RFC 4028 §4 and §5. */
#include "sip/grammar.h"

int sip_session_expires_parse(struct str value, uint32_t *seconds, char *refresher)
{
	struct str params = str_from(value, str_chr(value, ';')), who;
	uint32_t v;
	int err = sip_number_parse(value, UINT32_MAX, &v);

	if (err)
		return err;
	*seconds = v;
	*refresher = 0;
	if (sip_param(params, STR("refresher"), &who)) {
		if (str_ieq(who, STR("uac")))
			*refresher = 'c';
		else if (str_ieq(who, STR("uas")))
			*refresher = 's';
	}
	return 0;
}
