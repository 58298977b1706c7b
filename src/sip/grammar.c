/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sip/grammar.h"

/* Sums of SIP_C_*, 16 characters a row; t/b11-sip-grammar compares them with the sets of RFC 3261 §25.1. */
const uint8_t sip_class[256] = {
	  0,   0,   0,   0,   0,   0,   0,   0,   0,   2,   2,   0,   0,   2,   0,   0,
	  0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
	  2, 153,   0, 136, 152, 137, 152, 153, 152, 152, 153, 153,  24, 157, 157, 152,
	253, 253, 253, 253, 253, 253, 253, 253, 253, 253, 136,  24,   0, 152,   0, 152,
	136, 221, 221, 221, 221, 221, 221, 157, 157, 157, 157, 157, 157, 157, 157, 157,
	157, 157, 157, 157, 157, 157, 157, 157, 157, 157, 157, 136, 136, 136, 136, 157,
	137, 221, 221, 221, 221, 221, 221, 157, 157, 157, 157, 157, 157, 157, 157, 157,
	157, 157, 157, 157, 157, 157, 157, 157, 157, 157, 157, 136, 136, 136, 153,   0,
	136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136,
	136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136,
	136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136,
	136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136,
	136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136,
	136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136,
	136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136,
	136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136, 136,
};

size_t sip_quoted_span(struct str s)
{
	size_t end = s.n && s.p[0] == '"' ? 1 + str_chr(str_from(s, 1), '"') : s.n;

	/* most have no escape in them */
	if (end >= s.n || !memchr(s.p, '\\', end))
		return end < s.n ? end + 1 : 0;
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '"')
			return i + 1;
		if (s.p[i] == '\\')
			i++;
	}
	return 0;
}

size_t sip_comment_span(struct str s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')')
			depth--;
		else if (s.p[i] == '\\')
			i++;
		if (!depth)
			return i < s.n && s.p[0] == '(' ? i + 1 : 0;
	}
	return 0;
}

/* The length of the host at the start of s, 0 where there is none. */
static size_t host_span(struct str s)
{
	struct addr ip;
	size_t n;

	if (!s.n || s.p[0] != '[')
		return sip_span(s, SIP_C_HOST);
	n = str_chr(s, ']') + 1;
	return n <= s.n && addr_parse_ip(&ip, str_head(s, n)) == 0 && ip.family == 6 ? n : 0;
}

int sip_hostport(struct str *s, struct str *host, uint16_t *port, bool lws)
{
	struct str rest = *s, name = sip_take(&rest, host_span(rest));
	uint64_t number = 0;

	if (!name.n)
		return ERR_SYNTAX;
	if (lws ? sip_mark(&rest, ':') : rest.n && rest.p[0] == ':' && sip_take(&rest, 1).n) {
		struct str digits = sip_take(&rest, sip_span(rest, SIP_C_DIGIT));
		if (str_u64(digits, UINT16_MAX, &number) || !number)
			return ERR_SYNTAX;
	}
	*host = name;
	*port = (uint16_t)number;
	*s = rest;
	return 0;
}
