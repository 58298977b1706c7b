/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reasonable syntax, RFC 3261 §16.3 step 1 and §8.1.1: what every message must have before anybody handles it. */
#include "sip/grammar.h"

/* A message refused for the sake of one header. */
struct verdict {
	enum sip_header_id id;
	enum sip_trouble trouble;
};
static const struct verdict good = { SIP_H_OTHER, SIP_MISSING };

static struct verdict bad(enum sip_header_id id)
{
	return (struct verdict){ id, SIP_BAD };
}

static struct verdict check_presence(const struct sip_msg *m)
{
	static const uint8_t wanted[] = { SIP_H_VIA, SIP_H_FROM, SIP_H_TO, SIP_H_CALL_ID, SIP_H_CSEQ };

	for (size_t i = 0; i < sizeof wanted; i++)
		if (m->first[wanted[i]] == SIP_NONE)
			return (struct verdict){ wanted[i], SIP_MISSING };
	for (size_t i = 0; i < m->nheaders; i++)
		if (m->header[i].next != SIP_NONE && (sip_header_flags(m->header[i].id) & SIP_HF_SINGLE))
			return (struct verdict){ m->header[i].id, SIP_DUPLICATE };
	return good;
}

/* From and To: a name-addr whose URI is one. The tag is optional (RFC 2543); it is written into other messages, so it must be of one piece;
 * to an empty one no tag could be added. */
static int check_party(struct str value, struct str *tag)
{
	struct sip_nameaddr na;
	struct sip_uri uri;

	if (sip_address_parse(&na, &uri, value) || na.star)
		return ERR_SYNTAX;
	*tag = na.tag;
	if (tag->p && !tag->n)
		return ERR_SYNTAX;
	/* without quotes it is of one piece */
	return na.tag_quoted && sip_span(*tag, SIP_C_VALUE) != tag->n ? ERR_SYNTAX : 0;
}

/* Call-ID = word [ "@" word ]; any text without white space is taken. */
static int check_call_id(struct str value)
{
	bool one_piece = str_below(value, '!') == value.n && str_chr(value, 127) == value.n;

	return value.n && one_piece ? 0 : ERR_SYNTAX;
}

static struct verdict check_identity(struct sip_msg *m, struct str *cseq_method)
{
	struct sip_values vias = sip_values(m, SIP_H_VIA);
	struct str top;

	if (!sip_values_next(&vias, &top) || sip_via_parse(&m->via, top))
		return bad(SIP_H_VIA);
	if (check_party(sip_value(m, SIP_H_FROM), &m->from_tag))
		return bad(SIP_H_FROM);
	if (check_party(sip_value(m, SIP_H_TO), &m->to_tag))
		return bad(SIP_H_TO);
	m->call_id = sip_value(m, SIP_H_CALL_ID);
	if (check_call_id(m->call_id))
		return bad(SIP_H_CALL_ID);
	if (sip_cseq_parse(sip_value(m, SIP_H_CSEQ), &m->cseq, cseq_method))
		return bad(SIP_H_CSEQ);
	return good;
}

/* The first value of a header that a request may have. */
static int check_address(const struct sip_msg *m, enum sip_header_id id)
{
	struct sip_values values = sip_values(m, id);
	struct sip_nameaddr na;
	struct sip_uri uri;
	struct str one;

	if (!sip_values_next(&values, &one))
		return 0;
	return sip_address_parse(&na, &uri, one);
}

static struct verdict check_request_headers(const struct sip_msg *m)
{
	const struct sip_header *hops = sip_first(m, SIP_H_MAX_FORWARDS);
	uint32_t n;

	if (hops && sip_number_parse(hops->value, 255, &n))
		return bad(SIP_H_MAX_FORWARDS);
	if (check_address(m, SIP_H_CONTACT))
		return bad(SIP_H_CONTACT);
	if (check_address(m, SIP_H_ROUTE))
		return bad(SIP_H_ROUTE);
	return good;
}

static int refuse(struct sip_fault *why, uint16_t status, const char *reason)
{
	*why = (struct sip_fault){ status, reason };
	return ERR_SYNTAX;
}

/* The Request-URI has no headers (RFC 3261 §19.1.1): acting on them would let a link write our message. */
static int check_request_line(struct sip_msg *m, struct sip_fault *why)
{
	if (sip_uri_parse(&m->request_uri, m->uri) || m->request_uri.headers.n)
		return refuse(why, 400, "Bad Request-URI");
	return 0;
}

int sip_check(struct sip_msg *msg, struct sip_fault *why)
{
	struct verdict v = check_presence(msg);
	struct str cseq_method = STR_NONE;

	if (!str_ieq(msg->version, STR("SIP/2.0")))
		return refuse(why, 505, "Version not supported");
	if (v.id == SIP_H_OTHER)
		v = check_identity(msg, &cseq_method);
	if (v.id == SIP_H_OTHER && !msg->status)
		v = check_request_headers(msg);
	if (v.id != SIP_H_OTHER)
		return refuse(why, 400, sip_fault_text(v.id, v.trouble));
	if (msg->status) {
		msg->method = sip_method_of(cseq_method);
		return 0;
	}
	if (!str_eq(cseq_method, msg->method_name))
		return refuse(why, 400, "CSeq method mismatch");
	return check_request_line(msg, why);
}
