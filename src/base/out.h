/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An output buffer of fixed size that remembers overflow, so that a writer checks once at the end.
 * Init with OUT(buffer, bytes); after the last out_*() call test .overflow. The caller owns the memory. */
#ifndef VELADOR_BASE_OUT_H
#define VELADOR_BASE_OUT_H

#include "base/str.h"

struct out {
	char *p;
	size_t n;      /* bytes written */
	size_t cap;    /* bytes there are */
	bool overflow; /* something did not fit; what was written is incomplete */
};

#define OUT(buf, bytes) ((struct out){ (buf), 0, (bytes), false })

static inline void out_mem(struct out *o, const void *p, size_t n)
{
	if (n > o->cap - o->n) {
		o->overflow = true;
		return;
	}
	if (n)
		memcpy(o->p + o->n, p, n);
	o->n += n;
}

/* Room for n bytes, which the caller writes at once: they count as written. NULL where they do not fit. */
static inline char *out_room(struct out *o, size_t n)
{
	char *at = o->p + o->n;

	if (n > o->cap - o->n) {
		o->overflow = true;
		return NULL;
	}
	o->n += n;
	return at;
}

/* "00" to "99", one after the other. */
extern const char out_pairs[200];
static inline char *out_put_pair(char *at, unsigned v)
{
	memcpy(at, out_pairs + 2 * v, 2);
	return at + 2;
}

void out_u64(struct out *o, uint64_t v);
/* v as lower-case hexadecimal with exactly `digits` digits (1–16). */
void out_hex(struct out *o, uint64_t v, unsigned digits);
void out_fmt(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void out_str(struct out *o, struct str s)
{
	out_mem(o, s.p, s.n);
}

#define out_lit(o, lit) out_mem((o), "" lit, sizeof(lit) - 1)

static inline struct str out_done(const struct out *o)
{
	return str_make(o->p, o->n);
}

#endif
