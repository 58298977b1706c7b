/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Framing: start line, headers, body, RFC 3261 §7 and §18.3. */
#include "sip/grammar.h"

struct reader {
	struct sip_msg *m;
	struct str rest;        /* not yet read */
	struct sip_fault fault; /* the first that was found; reading goes on, so that a 400 can be sent */
};

static void fault(struct reader *r, const char *reason)
{
	if (!r->fault.reason)
		r->fault = (struct sip_fault){ 400, reason };
}

static void msg_init(struct sip_msg *m)
{
	m->raw = m->start_line = m->method_name = m->uri = m->version = m->reason = STR_NONE;
	m->body = m->head_end = m->call_id = m->from_tag = m->to_tag = STR_NONE;
	m->method = SIP_UNKNOWN;
	m->status = m->nheaders = 0;
	m->cseq = 0;
	memset(m->first, 0xff, sizeof m->first);
	memset(m->last, 0xff, sizeof m->last);
}

/* A line without its CR LF or LF. */
static struct str line_text(struct str line)
{
	if (line.n && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* Status-Line = SIP-Version SP Status-Code SP Reason-Phrase; the last SP may be missing. */
static void read_status_line(struct reader *r, struct str text)
{
	struct sip_msg *m = r->m;
	struct str code;
	uint64_t status;

	m->version = sip_take(&text, str_chr(text, ' '));
	sip_take(&text, 1);
	code = sip_take(&text, str_chr(text, ' '));
	m->reason = str_from(text, 1);
	if (code.n != 3 || str_u64(code, 699, &status) || status < 100)
		fault(r, "Bad Status-Line");
	else
		m->status = (uint16_t)status;
}

/* Request-Line = Method SP Request-URI SP SIP-Version. What does not end in a SIP version is no SIP message: its method stays empty. */
static void read_request_line(struct reader *r, struct str text)
{
	struct sip_msg *m = r->m;
	struct str trimmed = str_trim(text), rest = trimmed, method;
	size_t version = trimmed.n;

	while (version && trimmed.p[version - 1] != ' ')
		version--;
	method = sip_token(&rest);
	if (!method.n || !rest.n || rest.p[0] != ' ' || !str_istarts(str_from(trimmed, version), STR("SIP/"))) {
		fault(r, "Bad Request-Line");
		return;
	}
	m->method_name = method;
	m->method = sip_method_of(method);
	m->version = str_from(trimmed, version);
	if (version > method.n + 1)
		m->uri = str_make(rest.p + 1, version - method.n - 2);
	if (trimmed.n != text.n || !m->uri.n || m->uri.p[0] == ' ' || m->uri.p[m->uri.n - 1] == ' ')
		fault(r, "Bad Request-Line");
}

static void read_start_line(struct reader *r)
{
	struct sip_msg *m = r->m;
	struct str text;

	m->start_line = sip_take(&r->rest, str_chr(r->rest, '\n') + 1);
	text = line_text(m->start_line);
	if (str_istarts(text, STR("SIP/")))
		read_status_line(r, text);
	else
		read_request_line(r, text);
}

static void add_header(struct sip_msg *m, enum sip_header_id id, struct str name, struct str value, struct str line)
{
	uint16_t at = m->nheaders++;

	m->header[at] = (struct sip_header){ name, value, line, (uint16_t)id, SIP_NONE };
	if (m->first[id] == SIP_NONE)
		m->first[id] = at;
	else
		m->header[m->last[id]].next = at;
	m->last[id] = at;
}

/* The value after the colon; an empty one lies right behind it, so that it can be replaced. */
static struct str value_of(struct str rest)
{
	struct str value = str_trim(rest);

	return value.n ? value : str_head(rest, 0);
}

/* header = field-name HCOLON field-value */
static void read_header(struct reader *r, struct str line)
{
	size_t colon = str_chr(line, ':');
	struct str name = str_head(line, colon);
	enum sip_header_id id;

	while (name.n && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
		name.n--;
	id = sip_header_of(name);
	if (colon == line.n || (id == SIP_H_OTHER && (!name.n || sip_span(name, SIP_C_TOKEN) != name.n)))
		fault(r, "Bad header line");
	else if (r->m->nheaders == SIP_HEADERS_MAX)
		fault(r, "Too many headers");
	else
		add_header(r->m, id, name, value_of(str_from(line, colon + 1)), line);
}

/* Takes a line with those that continue it (RFC 3261 §7.3.1) off the front. */
static struct str take_line(struct str *rest)
{
	size_t n = str_chr(*rest, '\n') + 1;

	while (n < rest->n && (rest->p[n] == ' ' || rest->p[n] == '\t'))
		n += str_chr(str_from(*rest, n), '\n') + 1;
	return sip_take(rest, n);
}

static size_t empty_line_span(struct str s)
{
	if (s.n && s.p[0] == '\n')
		return 1;
	return s.n > 1 && s.p[0] == '\r' && s.p[1] == '\n' ? 2 : 0;
}

/* Reads on to the empty line, or until there are more headers than we keep. */
static void read_headers(struct reader *r)
{
	struct sip_msg *m = r->m;

	while (r->rest.n) {
		size_t n = empty_line_span(r->rest);
		if (n) {
			m->head_end = sip_take(&r->rest, n);
			return;
		}
		read_header(r, take_line(&r->rest));
		if (m->nheaders == SIP_HEADERS_MAX && r->fault.reason)
			break;
	}
	fault(r, "Headers do not end");
	m->head_end = str_make(r->rest.p, 0);
}

/* Whether every NUL of a line is a quoted-pair in a quoted string, where alone the grammar allows it. */
static bool nuls_quoted(struct str line)
{
	for (size_t i = 0; i < line.n; i++) {
		size_t quoted = sip_quoted_span(str_from(line, i));

		if (!line.p[i] || (line.p[i] == '"' && !quoted))
			return false;
		for (size_t k = 1; k < quoted; k++) {
			if (line.p[i + k] == '\\')
				k++;
			else if (!line.p[i + k])
				return false;
		}
		i += quoted ? quoted - 1 : 0;
	}
	return true;
}

static void check_nuls(struct reader *r, struct str head)
{
	const struct sip_msg *m = r->m;
	size_t seen = 0;

	if (!memchr(head.p, '\0', head.n))
		return;
	for (size_t i = 0; i < m->nheaders; i++) {
		seen += m->header[i].line.n;
		if (str_chr(m->header[i].line, '\0') < m->header[i].line.n && !nuls_quoted(m->header[i].line))
			fault(r, "NUL in a header");
	}
	if (seen + m->start_line.n + m->head_end.n != head.n || memchr(m->start_line.p, '\0', m->start_line.n))
		fault(r, "NUL in the head");
}

/* NUL, and CR elsewhere than at a line's end, could mean another thing to the next reader of the message. */
static void check_bytes(struct reader *r)
{
	struct str head = str_make(r->m->raw.p, (size_t)(r->rest.p - r->m->raw.p));

	check_nuls(r, head);
	for (size_t at = str_chr(head, '\r'); at < head.n; at += 1 + str_chr(str_from(head, at + 1), '\r'))
		if (at + 1 == head.n || head.p[at + 1] != '\n') {
			fault(r, "CR in a header");
			return;
		}
}

/* Over UDP the body is as long as Content-Length says, or the rest of the datagram (RFC 3261 §18.3). */
static void read_body(struct reader *r)
{
	const struct sip_header *h = sip_first(r->m, SIP_H_CONTENT_LENGTH);
	uint64_t length = r->rest.n;

	if (h && str_u64(h->value, r->rest.n, &length)) {
		fault(r, sip_fault_text(SIP_H_CONTENT_LENGTH, SIP_BAD));
		return;
	}
	r->m->body = sip_take(&r->rest, length);
}

int sip_parse(struct sip_msg *msg, const char *bytes, size_t n, struct sip_fault *why)
{
	struct reader r = { .m = msg, .rest = { bytes, n } };

	msg_init(msg);
	while (r.rest.n && (r.rest.p[0] == '\r' || r.rest.p[0] == '\n'))
		sip_take(&r.rest, 1);
	if (!r.rest.n)
		return ERR_NOTFOUND;
	msg->raw = r.rest;
	read_start_line(&r);
	read_headers(&r);
	check_bytes(&r);
	read_body(&r);
	msg->raw.n = (size_t)(r.rest.p - msg->raw.p);
	if (!r.fault.reason)
		return 0;
	*why = r.fault;
	return ERR_SYNTAX;
}

bool sip_answerable(const struct sip_msg *msg)
{
	struct sip_via via;

	return msg->method_name.n && msg->method != SIP_ACK && sip_via_top(&via, msg) == 0;
}
