/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/out.h"
#include "base/hex.h"

#include <stdarg.h>
#include <stdio.h>

const char out_pairs[200] =
	"00010203040506070809" "10111213141516171819" "20212223242526272829" "30313233343536373839" "40414243444546474849"
	"50515253545556575859" "60616263646566676869" "70717273747576777879" "80818283848586878889" "90919293949596979899";

static unsigned digits_of(uint64_t v)
{
	unsigned n = 1;

	for (; v >= 10000; v /= 10000)
		n += 4;
	return n + (v >= 10) + (v >= 100) + (v >= 1000);
}

void out_u64(struct out *o, uint64_t v)
{
	unsigned n = digits_of(v);
	char *at = out_room(o, n);

	if (!at)
		return;
	for (at += n; v >= 100; v /= 100)
		out_put_pair(at -= 2, v % 100);
	if (v >= 10)
		out_put_pair(at - 2, (unsigned)v);
	else
		at[-1] = (char)('0' + v);
}

void out_hex(struct out *o, uint64_t v, unsigned digits)
{
	char hex[2 * HEX_WORD];

	hex_write(hex, (uint32_t)(v >> 32));
	hex_write(hex + HEX_WORD, (uint32_t)v);
	out_mem(o, hex + sizeof hex - digits, digits);
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
