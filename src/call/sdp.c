/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the session description lies in a message: its whole body, or one of several parts (RFC 2046 §5.1; RFC 3204 beside ISUP). */
#include "call/call.h"

static struct str take_line(struct str *rest)
{
	struct str line = str_head(*rest, str_chr(*rest, '\n'));

	*rest = str_from(*rest, line.n + 1);
	return str_trim(line);
}

static bool is_delimiter(struct str line, struct str boundary)
{
	return str_starts(line, STR("--")) && str_starts(str_from(line, 2), boundary);
}

/* Goes past the head of a part. Returns whether the part is a description. */
static bool part_head(struct str *rest)
{
	bool sdp = false;

	while (rest->n) {
		struct str line = take_line(rest);
		size_t colon = str_chr(line, ':');
		if (!line.n)
			break;
		if (str_ieq(str_trim(str_head(line, colon)), STR("Content-Type")))
			sdp = str_istarts(str_trim(str_from(line, colon + 1)), STR("application/sdp"));
	}
	return sdp;
}

static struct str part_body(struct str rest, struct str boundary)
{
	struct str from = rest;

	while (rest.n) {
		const char *at = rest.p;
		if (is_delimiter(take_line(&rest), boundary))
			return str_head(from, (size_t)(at - from.p));
	}
	return from;
}

struct str sdp_of(const struct sip_msg *m)
{
	struct str type = sip_value(m, SIP_H_CONTENT_TYPE), rest = m->body, boundary;

	if (str_istarts(type, STR("application/sdp")))
		return m->body;
	if (!str_istarts(type, STR("multipart/")) || !sip_param(str_from(type, str_chr(type, ';')), STR("boundary"), &boundary))
		return STR_NONE;
	while (rest.n)
		if (is_delimiter(take_line(&rest), boundary) && part_head(&rest))
			return part_body(rest, boundary);
	return STR_NONE;
}
