/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Framing: start line, headers, body, RFC 3261 §7 and §18.3. */
#include "sip/grammar.h"

struct reader {
	struct sip_msg *m;
	struct str rest;        /* not yet read */
	bool stray_cr;          /* there was a CR elsewhere than at a line's end */
	struct sip_fault fault; /* the first that was found; reading goes on, so that a 400 can be sent */
};

static void fault(struct reader *r, const char *reason)
{
	if (!r->fault.reason)
		r->fault = (struct sip_fault){ 400, reason };
}

static void msg_init(struct sip_msg *m)
{
	/* each by itself: in a chain each copies the one before, which is still on its way to memory */
	m->raw = STR_NONE;
	m->start_line = STR_NONE;
	m->method_name = STR_NONE;
	m->uri = STR_NONE;
	m->version = STR_NONE;
	m->reason = STR_NONE;
	m->body = STR_NONE;
	m->head_end = STR_NONE;
	m->call_id = STR_NONE;
	m->from_tag = STR_NONE;
	m->to_tag = STR_NONE;
	m->via.all = STR_NONE;
	m->method = SIP_UNKNOWN;
	m->status = m->nheaders = 0;
	m->cseq = 0;
	memset(m->first, 0xff, sizeof m->first);
}

/* Takes a line with its end off the front; the rest, where there is no end. */
static inline struct str take_line(struct reader *r)
{
	const char *lf = memchr(r->rest.p, '\n', r->rest.n), *cr;
	struct str line = { r->rest.p, lf ? (size_t)(lf + 1 - r->rest.p) : r->rest.n };

	r->rest.p += line.n;
	r->rest.n -= line.n;
	cr = memchr(line.p, '\r', line.n);
	if (cr && cr + 1 != lf)
		r->stray_cr = true;
	return line;
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

	m->start_line = take_line(r);
	text = line_text(m->start_line);
	if (str_istarts(text, STR("SIP/")))
		read_status_line(r, text);
	else
		read_request_line(r, text);
}

static void add_header(struct sip_msg *m, enum sip_header_id id, struct str name, struct str value, struct str line)
{
	uint16_t at = m->nheaders++;
	struct sip_header *h = &m->header[at];

	h->name = name;
	h->value = value;
	h->line = line;
	h->id = (uint16_t)id;
	h->next = SIP_NONE;
	if (m->first[id] == SIP_NONE)
		m->first[id] = at;
	else
		m->header[m->last[id]].next = at;
	m->last[id] = at;
}

static bool space(char c)
{
	return c == ' ' || c == '\t';
}

/* header = field-name HCOLON field-value. An empty value lies right behind the colon, so that it can be replaced. */
static void read_header(struct reader *r, struct str line)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct str name, text, value;
	enum sip_header_id id;

	if (!colon) {
		fault(r, "Bad header line");
		return;
	}
	name = str_make(line.p, (size_t)(colon - line.p));
	text = str_make(colon + 1, line.n - name.n - 1);
	value = str_trim(text);
	if (!value.n)
		value.p = text.p;
	while (name.n && space(name.p[name.n - 1]))
		name.n--;
	id = sip_header_find(name);
	if (id == SIP_H_OTHER && (!name.n || sip_span(name, SIP_C_TOKEN) != name.n))
		fault(r, "Bad header line");
	else if (r->m->nheaders == SIP_HEADERS_MAX)
		fault(r, "Too many headers");
	else
		add_header(r->m, id, name, value, line);
}

/* Takes a line with those that continue it (RFC 3261 §7.3.1) off the front. */
static struct str take_folded(struct reader *r)
{
	struct str line = take_line(r);

	while (r->rest.n && space(r->rest.p[0]))
		line.n += take_line(r).n;
	return line;
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
		read_header(r, take_folded(r));
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

	if (memchr(head.p, '\0', head.n))
		check_nuls(r, head);
	if (r->stray_cr)
		fault(r, "CR in a header");
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
