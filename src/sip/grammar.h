/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to src/sip: character classes, white space, quoted strings, comments and parameters, on which every
 * grammar rule stands (RFC 3261 §25.1). */
#ifndef VELADOR_SIP_GRAMMAR_H
#define VELADOR_SIP_GRAMMAR_H

#include "base/err.h"
#include "sip/sip.h"

enum {
	SIP_C_TOKEN = 1, /* token */
	SIP_C_LWS = 2,   /* SP HTAB CR LF */
	SIP_C_HOST = 4,  /* hostname, with the "_" that many hosts bear */
	SIP_C_URI = 8,   /* may stand in a URI: all but controls, space, <, > and quote */
	SIP_C_PLAIN = 16, /* needs no escape in a user part: unreserved, user-unreserved */
	SIP_C_DIGIT = 32,
	SIP_C_HEX = 64,
	SIP_C_VALUE = 128, /* may stand in an unquoted parameter value */
	SIP_C_NAME = 256,  /* the same, but for "=": a parameter's name */
	SIP_C_SCHEME = 512,
	SIP_C_DISPLAY = 1024, /* may stand in an unquoted display name: what cannot be taken for something else */
	SIP_C_BARE = 2048, /* may stand in a URI without <> */
};
extern const uint16_t sip_class[256];

static inline bool sip_is(char c, unsigned classes)
{
	return sip_class[(unsigned char)c] & classes;
}

/* How many bytes at the start of s belong to a class. What is left is counted up to zero: an instruction less a byte, and most bytes pass here. */
static inline size_t sip_span(struct str s, unsigned classes)
{
	ptrdiff_t left = -(ptrdiff_t)s.n;
	const char *end = left ? s.p + s.n : s.p;

	while (left && sip_is(end[left], classes))
		left++;
	return s.n + (size_t)left;
}

/* Takes n bytes off the front of s and returns them. */
static inline struct str sip_take(struct str *s, size_t n)
{
	struct str head = str_head(*s, n);

	*s = str_from(*s, n);
	return head;
}

/* Takes the bytes of a class off the front and returns them. */
static inline struct str sip_take_of(struct str *s, unsigned classes)
{
	struct str run = { s->p, sip_span(*s, classes) };

	if (run.n) {
		s->p += run.n;
		s->n -= run.n;
	}
	return run;
}

/* Takes a token off the front; empty where there is none. */
static inline struct str sip_token(struct str *s)
{
	return sip_take_of(s, SIP_C_TOKEN);
}

/* Takes the character c off the front. Returns whether it was there. */
static inline bool sip_char(struct str *s, char c)
{
	if (!s->n || s->p[0] != c)
		return false;
	s->p++;
	s->n--;
	return true;
}

/* Takes white space off the front, folding included (LWS). Returns how much there was. */
static inline size_t sip_lws(struct str *s)
{
	size_t before = s->n;

	while (s->n && sip_is(s->p[0], SIP_C_LWS)) {
		s->p++;
		s->n--;
	}
	return before - s->n;
}

/* Takes the character c with white space around it off the front. Returns whether it was there. */
static inline bool sip_mark(struct str *s, char c)
{
	struct str rest = *s;

	sip_lws(&rest);
	if (!sip_char(&rest, c))
		return false;
	sip_lws(&rest);
	*s = rest;
	return true;
}

/* The length of the quoted string, or of the comment (they nest), at the start of s; 0 where it does not end. */
size_t sip_quoted_span(struct str s);
size_t sip_comment_span(struct str s);

/* Takes a URI off the front of s, as far as its characters go; what may follow it is the caller's to say. *uri is undefined where there is none.
 * Returns 0 or ERR_SYNTAX. */
int sip_uri_take(struct sip_uri *uri, struct str *s);

/* The length of the "[" IPv6 "]" at the start of s, 0 where there is none. */
size_t sip_ip6_span(struct str s);

/* Takes a host (name, IPv4 or "[" IPv6 "]") and an optional ":" port off the front. *port is 0 where there is none.
 * lws: white space may stand around the colon. *s is undefined where it fails. Returns 0 or ERR_SYNTAX. */
static inline int sip_hostport(struct str *s, struct str *host, uint16_t *port, bool lws)
{
	uint64_t number = 0;

	*host = s->n && s->p[0] == '[' ? sip_take(s, sip_ip6_span(*s)) : sip_take_of(s, SIP_C_HOST);
	if (!host->n)
		return ERR_SYNTAX;
	if (lws ? sip_mark(s, ':') : sip_char(s, ':'))
		if (str_take_u64(s, UINT16_MAX, &number) || !number)
			return ERR_SYNTAX;
	*port = (uint16_t)number;
	return 0;
}

/* One ";name" or ";name=value". */
struct sip_one_param {
	struct str name;
	struct str value; /* without its quotes */
	struct str all;   /* from the ';' on, with the quotes */
	bool quoted;      /* the value was a quoted string */
};
/* Takes a parameter off the front of params. Returns 0; ERR_NOTFOUND where params does not begin with ";" (white space aside);
 * ERR_SYNTAX where what begins there is none. */
int sip_param_next(struct str *params, struct sip_one_param *one);

/* Whether `part` lies within `whole`. */
static inline bool sip_within(struct str whole, struct str part)
{
	return part.p >= whole.p && part.p + part.n <= whole.p + whole.n;
}

/* Puts edits in the order of their places; those of one place stay in the order in which they were made, insertions first. */
void sip_edit_sort(struct sip_edit *e);

/* Where a header's name lies in header_slot.def: without collisions over header.def, letters folded. name: not empty. t/b10-sip-tables
 * looks for other factors when a new header needs them. */
enum { SIP_SLOTS = 512, SIP_SLOT_LENGTH = 34, SIP_SLOT_FIRST = 23, SIP_SLOT_MIDDLE = 154 };
static inline unsigned sip_header_slot(struct str name)
{
	unsigned first = name.p[0] | 0x20, middle = name.p[name.n / 2] | 0x20, last = name.p[name.n - 1] | 0x20;

	return ((unsigned)name.n * SIP_SLOT_LENGTH + first * SIP_SLOT_FIRST + middle * SIP_SLOT_MIDDLE + last) % SIP_SLOTS;
}

/* sip_header_of(), compiled in place. */
extern const uint8_t sip_slot_id[SIP_SLOTS];
extern const struct str sip_names[SIP_H_COUNT];
enum sip_header_id sip_compact_of(struct str letter); /* a letter, or nothing */
static inline enum sip_header_id sip_header_find(struct str name)
{
	unsigned id;

	if (name.n < 2)
		return sip_compact_of(name);
	id = sip_slot_id[sip_header_slot(name)];
	return str_ieq(sip_names[id], name) ? id : SIP_H_OTHER;
}

/* The fault texts that name a header. */
enum sip_trouble { SIP_MISSING, SIP_DUPLICATE, SIP_BAD };
const char *sip_fault_text(enum sip_header_id id, enum sip_trouble trouble);
/* SIP_HF_* of a header. */
extern const uint8_t sip_flags_of[SIP_H_COUNT];
static inline unsigned sip_header_flags(enum sip_header_id id)
{
	return sip_flags_of[id];
}

#endif
