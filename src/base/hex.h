/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lower-case hexadecimal, eight digits at a time: a word of eight bytes is eight digits, so none of them costs a loop. Pure. */
#ifndef VELADOR_BASE_HEX_H
#define VELADOR_BASE_HEX_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { HEX_WORD = 8 }; /* digits of 32 bits */

/* The digits of v, the first one in the highest byte. */
static inline uint64_t hex_digits(uint32_t v)
{
	uint64_t x = v, letters;

	x = (x | x << 16) & 0x0000ffff0000ffff;
	x = (x | x << 8) & 0x00ff00ff00ff00ff;
	x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
	letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101;
	return x + 0x3030303030303030 + letters * ('a' - '9' - 1);
}

/* Writes all eight digits of v. */
static inline void hex_write(char to[HEX_WORD], uint32_t v)
{
	uint64_t text = htobe64(hex_digits(v));

	memcpy(to, &text, sizeof text);
}

/* Reads eight digits. Returns false where one of them is none (a capital letter is none). */
static inline bool hex_read(const char from[HEX_WORD], uint32_t *v)
{
	uint64_t text, x;

	memcpy(&text, from, sizeof text);
	text = be64toh(text);
	x = (text & 0x0f0f0f0f0f0f0f0f) + (text >> 6 & 0x0101010101010101) * 9;
	x = (x | x >> 4) & 0x00ff00ff00ff00ff;
	x = (x | x >> 8) & 0x0000ffff0000ffff;
	x = (x | x >> 16) & 0xffffffff;
	*v = (uint32_t)x;
	return hex_digits(*v) == text;
}

#endif
