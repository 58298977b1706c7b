/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SIP messages (RFC 3261): reading, picking apart, rewriting, building. Pure: no I/O, no clock, no globals, no allocation;
 * any process may call everything here. A parsed message is slices over the received bytes, which must stay while it is used.
 *
 * sip_parse() finds the start line and every header in one pass and checks only the framing. Values are parsed when asked for, by
 * the function of their grammar rule (one file a rule). sip_check() says whether a message is fit to be handled.
 * A message is rewritten by a list of edits over the original bytes (struct sip_edit), never by printing it again. */
#ifndef VELADOR_SIP_H
#define VELADOR_SIP_H

#include "base/addr.h"
#include "base/out.h"
#include "base/str.h"

/* ------------------------------------------------------------------------------------------ tables */
/* Methods: METHOD(name). Unknown methods are SIP_UNKNOWN and keep their name as a slice. */
enum sip_method {
	SIP_UNKNOWN = 0,
#define METHOD(name) SIP_##name,
#include "sip/method.def"
#undef METHOD
	SIP_METHOD_COUNT
};
enum sip_method sip_method_of(struct str name); /* case-sensitive, RFC 3261 §7.1 */
struct str sip_method_name(enum sip_method m);

/* Headers: HEADER(id, "Name", "compact letter or empty", flags, "RFC section"); flags: SIP_HF_*. */
enum {
	SIP_HF_LIST = 1,   /* comma-separated values may share a line, RFC 3261 §7.3.1 */
	SIP_HF_SINGLE = 2, /* at most one in a message */
};
enum sip_header_id {
	SIP_H_OTHER = 0,
#define HEADER(id, name, compact, flags, section) SIP_H_##id,
#include "sip/header.def"
#undef HEADER
	SIP_H_COUNT
};
struct str sip_header_name(enum sip_header_id id);
/* Case-insensitive, long and compact form. SIP_H_OTHER where unknown. */
enum sip_header_id sip_header_of(struct str name);

/* The usual reason phrase of a status code (status.def); "Unknown" where it has none. */
struct str sip_reason(unsigned status);

/* Whether an option tag is a registered one (option.def): who relays it leaves its meaning to the far end. */
bool sip_option_known(struct str tag);

/* ------------------------------------------------------------------------------------------ a message */
enum { SIP_HEADERS_MAX = 192, SIP_NONE = 0xffff };

/* RFC 3261 §19.1, §25.1: sip:, sips:, tel: and any other scheme (then only scheme and rest are set). */
struct sip_uri {
	struct str scheme;   /* "sip" */
	struct str user;     /* escaped as written; empty = none */
	struct str password;
	struct str host;     /* IPv6 with brackets */
	uint16_t port;       /* 0 = none */
	bool is_sip, is_sips;
	struct str params;   /* from the first ';' of the URI, without headers */
	struct str headers;  /* after '?' */
	struct str all;      /* the whole URI */
	struct str rest;     /* after "scheme:" */
};

/* RFC 3261 §20.42. */
struct sip_via {
	struct str transport;  /* "UDP" */
	struct str host;       /* IPv6 with brackets */
	uint16_t port;         /* 0 = none */
	struct str branch, received, maddr;
	uint16_t rport;        /* value; 0 = none */
	bool rport_asked;      /* ;rport is there, with or without value */
	struct str params;     /* from the first ';' */
	struct str all;
};

struct sip_header {
	struct str name;   /* as written */
	struct str value;  /* trimmed; folding (CR LF SP) still inside */
	struct str line;   /* the whole of it: name to the last CR LF */
	uint16_t id;       /* enum sip_header_id */
	uint16_t next;     /* next of the same id, SIP_NONE at the end (kept for SIP_H_OTHER too) */
};

struct sip_msg {
	struct str raw;          /* start line to the end of the body (not what follows it in a datagram) */
	struct str start_line;   /* with its CR LF */
	struct str method_name;  /* requests; empty in responses and in what is no SIP message */
	struct str uri;          /* requests: Request-URI as written */
	struct str version;
	struct str reason;       /* responses; may be empty */
	struct str body;
	struct str head_end;     /* the empty line that ends the headers (CR LF) */
	enum sip_method method;  /* of the request, or of a response's CSeq once sip_check() passed */
	uint16_t status;         /* 100 to 699; 0 = a request */
	uint16_t nheaders;
	uint16_t first[SIP_H_COUNT]; /* index of the first header of an id, or SIP_NONE */
	uint16_t last[SIP_H_COUNT];  /* private: set where first is */
	struct sip_header header[SIP_HEADERS_MAX];
	/* filled by sip_check() */
	struct str call_id;
	struct str from_tag, to_tag; /* without quotes; empty = none */
	uint32_t cseq;
	struct sip_via via;          /* the topmost; all is empty where sip_check() did not come so far */
	struct sip_uri request_uri;  /* requests */
};

/* Why a message was refused: a fixed text that names the header ("Bad Via", "Missing Call-ID", "Duplicate CSeq", "CSeq method mismatch", "Too many headers" …), fit for
 * a reason phrase, and the status that a request deserves: 505 for another version, else 400 (for more than SIP_HEADERS_MAX headers too: 513 speaks of bytes,
 * and a sender who reads 513 would try a congestion-controlled transport). */
struct sip_fault {
	uint16_t status;
	const char *reason;
};

/* Frames a datagram: start line, headers, body by Content-Length (over UDP: absent = the rest; more than there is = fault 400). Leading CRLFs are
 * skipped. Accepts bare LF line ends. NUL bytes in the head are a fault, except
 * as a quoted-pair in a quoted string (RFC 4475 §3.1.1.2).
 * Returns 0; ERR_SYNTAX (*why says what; msg->status/method/first headers hold what could be read, so that sip_answerable() can tell whether a 400 can be sent);
 * ERR_NOTFOUND for a keep-alive (nothing but CRLF or empty). */
int sip_parse(struct sip_msg *msg, const char *bytes, size_t n, struct sip_fault *why);

/* Whether enough was read of a faulty request to answer it: it is a request (method_name is set), not ACK, with a readable top Via. Other headers may be
 * missing: RFC 4475 §3.3.1 wants a 400 for that very reason, and the response copies what there is. */
bool sip_answerable(const struct sip_msg *msg);

/* What every request and response must have before anybody handles it: exactly one Call-ID, CSeq, From, To; at least one Via; readable; CSeq number < 2^31, its method equal to the
 * request's; Max-Forwards readable; SIP/2.0; single headers single; Content-Length consistent; Request-URI readable. Fills call_id, tags, cseq, via, request_uri.
 * Tolerant as RFC 4475 allows (accept what can be understood unambiguously). Returns 0 or ERR_SYNTAX with *why. */
int sip_check(struct sip_msg *msg, struct sip_fault *why);

/* The first header of an id, or NULL; the next of the same id, or NULL. */
static inline const struct sip_header *sip_first(const struct sip_msg *m, enum sip_header_id id)
{
	return m->first[id] == SIP_NONE ? NULL : &m->header[m->first[id]];
}
static inline const struct sip_header *sip_next(const struct sip_msg *m, const struct sip_header *h)
{
	return h->next == SIP_NONE ? NULL : &m->header[h->next];
}
/* The first value of an id (whole header value), or the empty slice. */
static inline struct str sip_value(const struct sip_msg *m, enum sip_header_id id)
{
	const struct sip_header *h = sip_first(m, id);

	return h ? h->value : STR_NONE;
}

/* Walks the comma-separated values of all headers of one id in order (quotes, <> and comments respected).
 *	struct sip_values v = sip_values(m, SIP_H_VIA); struct str one;
 *	while (sip_values_next(&v, &one)) ... */
struct sip_values {
	const struct sip_msg *m;
	const struct sip_header *h;
	struct str rest;
};
static inline struct sip_values sip_values(const struct sip_msg *m, enum sip_header_id id)
{
	return (struct sip_values){ m, sip_first(m, id), STR_NONE };
}
bool sip_values_next(struct sip_values *v, struct str *value);
/* Splits the first value off a comma list that is no header. */
bool sip_list_next(struct str *rest, struct str *value);
/* Whether a list of tokens (Supported, Require, Allow …) has the token: case-insensitive for option tags, exact for methods. */
bool sip_has_token(const struct sip_msg *m, enum sip_header_id id, struct str token);

/* ------------------------------------------------------------------------------------------ grammar rules */
/* ;name=value parameters after a value. Finds one (name case-insensitive). Returns whether it is there; *value (may be NULL) is its value, unquoted only as
 * far as the surrounding quotes, empty for a flag. `params` starts at the first ';' or is empty. */
bool sip_param(struct str params, struct str name, struct str *value);

int sip_uri_parse(struct sip_uri *uri, struct str text);
/* The number or name to route by: user part without escapes that need none; a tel: number, and the user part
 * of a SIP URI with user=phone, without parameters and visual separators. "%00" stays as it is written. Written into buf. Returns its length in out, ERR_SPACE, ERR_SYNTAX. */
int sip_uri_user(const struct sip_uri *uri, char *buf, size_t cap, struct str *user);
/* Where a request to this URI goes, as far as it says so itself: the IP address of maddr, else of the host (RFC 3261 §19.1.1, RFC 3263 §4), and the port.
 * Returns 0; ERR_SYNTAX where it is no SIP URI or names no IP address; ERR_DENIED where that is a multicast or broadcast address. */
int sip_uri_target(const struct sip_uri *uri, struct addr *to);
/* Writes the parameters that still hold where a proxy puts another host into the URI: all but maddr, ttl and transport (RFC 3261 §16.5). */
void sip_uri_put_params(struct out *o, const struct sip_uri *uri);
/* Compares as RFC 3261 §19.1.4. */
bool sip_uri_eq(const struct sip_uri *a, const struct sip_uri *b);

/* From, To, Contact, Route, Record-Route, Refer-To …: [display name] <URI> ;params, or URI ;params. */
struct sip_nameaddr {
	struct str display;  /* with its quotes */
	struct str uri;      /* between <> or bare */
	struct str params;   /* header parameters, from the first ';' */
	struct str tag;      /* of the parameters; p == NULL: there is none */
	bool tag_quoted;
	bool brackets;
	bool star;           /* Contact: * */
};
int sip_nameaddr_parse(struct sip_nameaddr *na, struct str value);
/* The same with its URI, read in the same pass (not for a star; uri may be NULL). *na and *uri are undefined where it fails. Returns 0 or ERR_SYNTAX. */
int sip_address_parse(struct sip_nameaddr *na, struct sip_uri *uri, struct str value);

int sip_via_parse(struct sip_via *via, struct str value);
/* The first Via value of a message as far as it can be read: where its parameters are malformed, those before. That is enough to
 * answer a request with 400 (sip_response_target()). Returns 0, or ERR_SYNTAX where sent-by cannot be read. */
int sip_via_top(struct sip_via *via, const struct sip_msg *m);

/* number SP method, RFC 3261 §20.16; the number below 2^31. */
int sip_cseq_parse(struct str value, uint32_t *number, struct str *method);
/* RFC 3262 §7.2: response-num CSeq-num Method. */
int sip_rack_parse(struct str value, uint32_t *rseq, uint32_t *cseq, struct str *method);
/* RFC 4028 §4: delta-seconds ;refresher=uac|uas. *refresher: 'c', 's' or 0. Also for Min-SE. */
int sip_session_expires_parse(struct str value, uint32_t *seconds, char *refresher);
/* A number of the whole value (parameters after ';' allowed), 0 to max. */
int sip_number_parse(struct str value, uint32_t max, uint32_t *number);

/* ------------------------------------------------------------------------------------------ rewriting */
/* A list of edits over a parsed message, written in one go. Edits refer to slices of the caller, which must live until sip_edit_write().
 * At most SIP_EDITS_MAX; more sets overflow, which write reports. */
enum { SIP_EDITS_MAX = 256 };
struct sip_edit_op {
	const char *at;      /* where in msg->raw */
	uint32_t cut;        /* bytes of the original left out from there */
	bool of_list;        /* private: takes values out of a comma list */
	struct str put;      /* bytes written instead */
};
struct sip_edit {
	const struct sip_msg *m;
	uint32_t n;
	bool overflow;
	bool body_replaced;
	struct str body;
	char length_line[48]; /* private: the Content-Length that sip_edit_body() makes */
	struct sip_edit_op op[SIP_EDITS_MAX];
};
void sip_edit_init(struct sip_edit *e, const struct sip_msg *m);
/* Replaces any slice of the message's head by other bytes (start line parts, a header's value, a parameter); an empty slice at a place inserts there. Slices
 * must not overlap those of other edits, except that what lies within a dropped line or value goes with it. A slice outside the head is a BUG. */
void sip_edit_replace(struct sip_edit *e, struct str part, struct str by);
/* Removes a header with its line; all headers of an id. */
void sip_edit_drop(struct sip_edit *e, const struct sip_header *h);
void sip_edit_drop_all(struct sip_edit *e, enum sip_header_id id);
/* Inserts whole lines ("Name: value\r\n", may be several) right after the start line, or before the empty line at the end of the headers. */
void sip_edit_insert_top(struct sip_edit *e, struct str lines);
void sip_edit_insert_end(struct sip_edit *e, struct str lines);
/* Another body, with Content-Length set right (added where it lacks). type empty: Content-Type stays (removed when the body is empty). `type_line`: "Content-Type: …\r\n". */
void sip_edit_body(struct sip_edit *e, struct str body, struct str type_line);
/* Removes one value, a slice that sip_values_next() gave, from its comma list; the whole line with the last value of it. A list
 * may lose several values in any order; each call walks its line. No other edit may touch the value. */
void sip_edit_drop_value(struct sip_edit *e, struct str value);
/* Removes one token from the lists of an id (Supported, Require …), the header with the last token. */
void sip_edit_drop_token(struct sip_edit *e, enum sip_header_id id, struct str token);
/* Writes the edited message. Returns 0 or ERR_SPACE (cap too small, or too many edits). Edits may have been made in any order. */
int sip_edit_write(struct sip_edit *e, char *buf, size_t cap, size_t *n);

/* ------------------------------------------------------------------------------------------ building */
/* Writes the top Via value with `received` (and the value of `rport`, where it is asked for) as RFC 3261 §18.2.1 and RFC 3581 §4 say; those
 * it came with are left out. For a proxy's forwarded request, and used by sip_response_head(). */
void sip_via_stamp(struct out *o, const struct sip_via *via, const struct addr *source);

/* The head that every response to a request copies (RFC 3261 §8.2.6.2): all Via lines (the top one with received/rport as RFC 3581 says when
 * source != NULL), From, To (with ;tag=to_tag appended where it has none and to_tag is not empty), Call-ID, CSeq; Timestamp for 100. Appends to o.
 * Serves faulty requests too: what is missing is left out, and only what can be read is changed. */
void sip_response_head(struct out *o, const struct sip_msg *req, unsigned status, struct str reason, struct str to_tag, const struct addr *source);

/* Where a response to this request goes (RFC 3261 §18.2.2, RFC 3581): *to from the top Via and the source; transport and scope are the source's. Over TCP it is
 * the source itself (the connection). Returns 0; ERR_SYNTAX where maddr is no IP address; ERR_DENIED where it is a multicast or broadcast address or of
 * another family than the source (to be dropped). */
int sip_response_target(const struct sip_via *top, const struct addr *source, struct addr *to);

#endif
