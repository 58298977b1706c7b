/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Session descriptions (RFC 4566, RFC 3264): where one lies in a message, whether two say the same, and answers made from what is known. */
#include "call/call.h"

/* ------------------------------------------------------------------------------------------ where it lies: RFC 2046 §5.1; RFC 3204 beside ISUP */

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

bool has_sdp(const struct sip_msg *m)
{
	return sdp_of(m).n > 0;
}

struct str sdp_of_sent(const char *bytes, size_t n)
{
	struct sip_fault why;
	struct sip_msg m;

	return sip_parse(&m, bytes, n, &why) ? STR_NONE : sdp_of(&m);
}

/* ------------------------------------------------------------------------------------------ comparing */

bool sdp_same(struct str a, struct str b)
{
	while (a.n || b.n) {
		struct str x = str_trim(str_head(a, str_chr(a, '\n'))), y = str_trim(str_head(b, str_chr(b, '\n')));

		a = str_from(a, str_chr(a, '\n') + 1);
		b = str_from(b, str_chr(b, '\n') + 1);
		if (str_starts(x, STR("o=")) && str_starts(y, STR("o="))) {
			for (unsigned field = 0; field < 2; field++) {
				size_t i = str_chr(x, ' '), k = str_chr(y, ' ');
				if (!str_eq(str_head(x, i), str_head(y, k)))
					return false;
				x = str_from(x, i + 1);
				y = str_from(y, k + 1);
			}
			x = str_from(x, str_chr(x, ' '));
			y = str_from(y, str_chr(y, ' '));
		}
		if (!str_eq(x, y))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------------------------------ answering */

struct str sdp_refusal(struct str offer, struct out *o)
{
	while (offer.n) {
		size_t end = str_chr(offer, '\n');
		struct str line = str_trim(str_head(offer, end));
		size_t port = str_chr(line, ' ') + 1, after;

		offer = str_from(offer, end + 1);
		if (line.n < 2 || line.p[0] == 'a')
			continue;
		if (str_starts(line, STR("m=")) && port < line.n) {
			after = str_chr(str_from(line, port), ' ');
			out_str(o, str_head(line, port));
			out_lit(o, "0");
			out_str(o, str_from(line, port + after));
		} else {
			out_str(o, line);
		}
		out_lit(o, "\r\n");
	}
	return o->overflow ? STR_NONE : out_done(o);
}

/* The lines of one description from one m= line to the next; the first call gives what stands before all of them. */
static struct str section(struct str *rest)
{
	size_t at = 0;

	while (at < rest->n) {
		at += str_chr(str_from(*rest, at), '\n') + 1;
		if (at >= rest->n || str_starts(str_from(*rest, at), STR("m=")))
			break;
	}
	struct str first = str_head(*rest, at);
	*rest = str_from(*rest, at);
	return first;
}

/* A description may lack its last line's end. */
static void put_section(struct out *o, struct str s)
{
	out_str(o, s);
	if (s.n && s.p[s.n - 1] != '\n')
		out_lit(o, "\r\n");
}

struct str sdp_answer(struct str offer, struct str known, struct out *o)
{
	struct str theirs = offer, ours = known;

	if (!known.n)
		return sdp_refusal(offer, o);
	section(&theirs);
	put_section(o, section(&ours));
	while (theirs.n) {
		struct str stream = section(&theirs);
		if (ours.n)
			put_section(o, section(&ours));
		else
			sdp_refusal(stream, o);
	}
	return o->overflow ? known : out_done(o);
}
