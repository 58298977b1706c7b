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
};
extern const uint8_t sip_class[256];

static inline bool sip_is(char c, unsigned classes)
{
	return sip_class[(unsigned char)c] & classes;
}

/* How many bytes at the start of s belong to a class. */
static inline size_t sip_span(struct str s, unsigned classes)
{
	size_t n = 0;

	while (n < s.n && sip_is(s.p[n], classes))
		n++;
	return n;
}

/* Takes n bytes off the front of s and returns them. */
static inline struct str sip_take(struct str *s, size_t n)
{
	struct str head = str_head(*s, n);

	*s = str_from(*s, n);
	return head;
}

/* Takes a token off the front; empty where there is none. */
static inline struct str sip_token(struct str *s)
{
	return sip_take(s, sip_span(*s, SIP_C_TOKEN));
}

/* Takes white space off the front, folding included (LWS). Returns how much there was. */
static inline size_t sip_lws(struct str *s)
{
	size_t n = sip_span(*s, SIP_C_LWS);

	if (n) {
		s->p += n;
		s->n -= n;
	}
	return n;
}

/* Takes the character c with white space around it off the front. Returns whether it was there. */
static inline bool sip_mark(struct str *s, char c)
{
	size_t n = sip_span(*s, SIP_C_LWS);

	if (n == s->n || s->p[n] != c)
		return false;
	s->p += n + 1;
	s->n -= n + 1;
	sip_lws(s);
	return true;
}

/* The length of the quoted string, or of the comment (they nest), at the start of s; 0 where it does not end. */
size_t sip_quoted_span(struct str s);
size_t sip_comment_span(struct str s);

/* Takes a host (name, IPv4 or "[" IPv6 "]") and an optional ":" port off the front. *port is 0 where there is none.
 * lws: white space may stand around the colon. Returns 0 or ERR_SYNTAX. */
int sip_hostport(struct str *s, struct str *host, uint16_t *port, bool lws);

/* One ";name" or ";name=value". */
struct sip_one_param {
	struct str name;
	struct str value; /* without its quotes */
	struct str all;   /* from the ';' on, with the quotes */
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

/* The fault texts that name a header. */
enum sip_trouble { SIP_MISSING, SIP_DUPLICATE, SIP_BAD };
const char *sip_fault_text(enum sip_header_id id, enum sip_trouble trouble);
/* SIP_HF_* of a header. */
unsigned sip_header_flags(enum sip_header_id id);

#endif
