/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Responses: what they copy (RFC 3261 §8.2.6.2) and where they go (§18.2.2, RFC 3581 §4). */
#include "sip/grammar.h"

/* Whether sent-by names the source's address; a host name does not (RFC 3261 §18.2.1). */
static bool sent_by_source(const struct sip_via *via, const struct addr *source)
{
	struct addr ip;

	return addr_parse_ip(&ip, via->host) == 0 && addr_same_ip(&ip, source);
}

/* IPv6 without brackets: via-received, RFC 5118 §4.5. */
static void print_received(struct out *o, const struct addr *source)
{
	char text[ADDR_TEXT];
	struct out host = OUT(text, sizeof text);
	struct str s;

	addr_print_host(&host, source);
	s = out_done(&host);
	if (s.n > 2 && s.p[0] == '[')
		s = str_make(s.p + 1, s.n - 2);
	out_lit(o, ";received=");
	out_str(o, s);
}

void sip_via_stamp(struct out *o, const struct sip_via *via, const struct addr *source)
{
	struct str params = via->params;
	struct sip_one_param one;
	const char *end = via->params.p + via->params.n;

	out_mem(o, via->all.p, (size_t)(via->params.p - via->all.p));
	while (sip_param_next(&params, &one) == 0)
		if (!str_ieq(one.name, STR("received")) && !str_ieq(one.name, STR("rport")))
			out_str(o, one.all);
	if (via->rport_asked || !sent_by_source(via, source))
		print_received(o, source);
	if (via->rport_asked) {
		out_lit(o, ";rport=");
		out_u64(o, source->port);
	}
	/* a comment that follows at once would be read as part of the last value */
	if (end < via->all.p + via->all.n && *end == '(')
		out_lit(o, " ");
	out_mem(o, end, (size_t)(via->all.p + via->all.n - end));
}

/* A copied line of a faulty request may lack its end. */
static void end_line(struct out *o)
{
	if (o->n && o->p[o->n - 1] != '\n')
		out_lit(o, "\r\n");
}

static void put_line(struct out *o, const struct sip_header *h)
{
	out_str(o, h->line);
	end_line(o);
}

/* Every Via line as it is, but for the top value (which may share its line with others, RFC 3261 §7.3.1). */
static void put_vias(struct out *o, const struct sip_msg *req, const struct addr *source)
{
	struct sip_via top = { .port = 0 };
	bool stamp = source && sip_via_top(&top, req) == 0;

	for (const struct sip_header *h = sip_first(req, SIP_H_VIA); h; h = sip_next(req, h)) {
		const char *end = h->line.p + h->line.n, *after;

		if (!stamp || !sip_within(h->line, top.all)) {
			put_line(o, h);
			continue;
		}
		after = top.all.p + top.all.n;
		out_mem(o, h->line.p, (size_t)(top.all.p - h->line.p));
		sip_via_stamp(o, &top, source);
		out_mem(o, after, (size_t)(end - after));
		end_line(o);
	}
}

static void put_to(struct out *o, const struct sip_header *h, struct str tag)
{
	const char *end = h->value.p + h->value.n;
	struct sip_nameaddr na;

	if (!tag.n || sip_nameaddr_parse(&na, h->value) || na.tag.p) {
		put_line(o, h);
		return;
	}
	out_mem(o, h->line.p, (size_t)(end - h->line.p));
	out_lit(o, ";tag=");
	out_str(o, tag);
	out_mem(o, end, (size_t)(h->line.p + h->line.n - end));
	end_line(o);
}

static void put_all(struct out *o, const struct sip_msg *req, enum sip_header_id id)
{
	for (const struct sip_header *h = sip_first(req, id); h; h = sip_next(req, h))
		put_line(o, h);
}

void sip_response_head(struct out *o, const struct sip_msg *req, unsigned status, struct str reason, struct str to_tag,
		       const struct addr *source)
{
	const struct sip_header *to = sip_first(req, SIP_H_TO);

	out_lit(o, "SIP/2.0 ");
	out_u64(o, status);
	out_lit(o, " ");
	out_str(o, reason);
	out_lit(o, "\r\n");
	put_vias(o, req, source);
	put_all(o, req, SIP_H_FROM);
	if (to)
		put_to(o, to, to_tag);
	put_all(o, req, SIP_H_CALL_ID);
	put_all(o, req, SIP_H_CSEQ);
	if (status == 100)
		put_all(o, req, SIP_H_TIMESTAMP);
}

int sip_response_target(const struct sip_via *top, const struct addr *source, struct addr *to)
{
	uint16_t port = top->port ? top->port : 5060;
	struct addr target = *source;

	if (source->transport == ADDR_UDP && top->maddr.n) {
		if (addr_parse_ip(&target, top->maddr))
			return ERR_SYNTAX;
		if (!addr_is_unicast(&target) || target.family != source->family)
			return ERR_DENIED;
		target.transport = source->transport;
		target.scope = source->scope;
		target.port = port;
	} else if (source->transport == ADDR_UDP && !top->rport_asked) {
		target.port = port;
	}
	*to = target;
	return 0;
}
