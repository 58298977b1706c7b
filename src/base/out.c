/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/out.h"

#include <stdarg.h>
#include <stdio.h>

void out_u64(struct out *o, uint64_t v)
{
	char digits[20], *d = digits + sizeof digits;

	do {
		*--d = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	out_mem(o, d, (size_t)(digits + sizeof digits - d));
}

void out_hex(struct out *o, uint64_t v, unsigned digits)
{
	char hex[16];

	for (unsigned i = digits; i-- > 0; v >>= 4)
		hex[i] = "0123456789abcdef"[v & 15];
	out_mem(o, hex, digits);
}

void out_fmt(struct out *o, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(o->p + o->n, o->cap - o->n, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= o->cap - o->n)
		o->overflow = true;
	else
		o->n += (size_t)n;
}
