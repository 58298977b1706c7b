/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers, hexadecimal, addresses and hashes: what is written fast against how it is written plainly. */
#include <arpa/inet.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/siphash.h"
#include "t/tap.h"

static bool wrote(const struct out *o, const char *want)
{
	return !o->overflow && str_eq(out_done(o), str_of(want));
}

static bool prints_number(uint64_t v)
{
	char buf[24], want[24];
	struct out o = OUT(buf, sizeof buf), narrow;

	snprintf(want, sizeof want, "%llu", (unsigned long long)v);
	out_u64(&o, v);
	narrow = OUT(buf, strlen(want) - 1);
	out_u64(&narrow, v);
	return narrow.overflow && !narrow.n && wrote(&o, want);
}

static void test_numbers(void)
{
	uint64_t power = 1;
	bool good = true;

	for (unsigned i = 0; i < 20; i++, power *= 10)
		good = good && prints_number(power) && prints_number(power - 1) && prints_number(power + 1) && prints_number(power / 7 * 3);
	ok(good && prints_number(UINT64_MAX), "numbers of every length; none where it does not fit");
	good = true;
	for (uint64_t v = 0; v < 20000; v++)
		good = good && prints_number(v);
	ok(good, "and all the small ones");
}

static void test_hex(void)
{
	char buf[24], want[24], text[HEX_WORD];
	bool good = true;
	uint32_t v;

	for (unsigned digits = 1; digits <= 16; digits++) {
		uint64_t n = UINT64_C(0x0123456789abcdef) * digits;
		struct out o = OUT(buf, digits);
		snprintf(want, sizeof want, "%016llx", (unsigned long long)n);
		out_hex(&o, n, digits);
		good = good && wrote(&o, want + 16 - digits);
	}
	ok(good, "so many digits as are asked for, the lowest");
	for (unsigned at = 0; at < HEX_WORD; at++)
		for (unsigned c = 0; c < 256; c++) {
			bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
			memcpy(text, "09afbe18", sizeof text);
			text[at] = (char)c;
			memcpy(want, text, sizeof text);
			want[sizeof text] = 0;
			good = good && hex_read(text, &v) == digit && (!digit || v == strtoul(want, NULL, 16));
		}
	ok(good, "every digit is read at every place, and nothing else is");
}

static bool reads_like_inet_pton(const char *text)
{
	struct addr a = { .port = 7 };
	uint8_t want[16] = { 0 };
	int family = inet_pton(AF_INET, text, want) == 1 ? 4 : inet_pton(AF_INET6, text, want) == 1 ? 6 : 0;
	bool same = addr_parse_ip(&a, str_of(text)) == (family ? 0 : ERR_SYNTAX);

	return same && (!family || (a.family == family && memcmp(a.ip, want, sizeof want) == 0));
}

static void test_addresses(void)
{
	static const char *const texts[] = {
		"0.0.0.0", "255.255.255.255", "192.0.2.1", "10.20.30.40", "1.2.3", "1.2.3.4.5", "1.2.3.4.", ".1.2.3.4", "1..2.3", "1.2.3.256", "1.2.3.0256", "01.2.3.4",
		"1.2.3.00", "1.2.3.-4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.a", "4294967297.2.3.4", "", ".", "1", "example.com", "::", "::1", "2001:db8::1", "::ffff:1.2.3.4", "1:2", "1.2.3.4:5",
	};
	char buf[ADDR_TEXT], want[ADDR_TEXT];
	bool good = true;

	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
		ok(reads_like_inet_pton(texts[i]), "\"%s\" is read as inet_pton() reads it", texts[i]);
	for (unsigned v = 0; v < 256; v++) {
		struct addr a = { .family = 4, .ip = { (uint8_t)v, (uint8_t)(v * 7), (uint8_t)(v * 31), (uint8_t)(255 - v) }, .port = (uint16_t)(v * 257) };
		struct addr back;
		struct out o = OUT(buf, sizeof buf), narrow;
		snprintf(want, sizeof want, "%u.%u.%u.%u:%u", a.ip[0], a.ip[1], a.ip[2], a.ip[3], a.port);
		addr_print(&o, &a);
		narrow = OUT(buf, strlen(want) - 1);
		good = good && wrote(&o, want) && addr_parse(&back, out_done(&o), 0) == 0 && addr_eq(&a, &back);
		addr_print(&narrow, &a);
		good = good && narrow.overflow;
	}
	ok(good, "IPv4 addresses are written and read back");
}

/* SipHash-1-3 as its paper has it, a byte at a time. */
static uint64_t plain_hash(const struct siphash_key *key, const unsigned char *p, size_t n)
{
	uint64_t v[4] = { key->k[0] ^ 0x736f6d6570736575, key->k[1] ^ 0x646f72616e646f6d, key->k[0] ^ 0x6c7967656e657261, key->k[1] ^ 0x7465646279746573 };

	for (size_t at = 0, words = n / 8 + 1; at < words + 3; at++) {
		uint64_t m = at + 1 == words ? (uint64_t)n << 56 : 0;
		for (size_t i = 0; at < words && i < 8 && 8 * at + i < n; i++)
			m |= (uint64_t)p[8 * at + i] << (8 * i);
		if (at == words)
			v[2] ^= 0xff;
		v[3] ^= m;
		v[0] += v[1], v[1] = (v[1] << 13 | v[1] >> 51) ^ v[0], v[0] = v[0] << 32 | v[0] >> 32;
		v[2] += v[3], v[3] = (v[3] << 16 | v[3] >> 48) ^ v[2];
		v[0] += v[3], v[3] = (v[3] << 21 | v[3] >> 43) ^ v[0];
		v[2] += v[1], v[1] = (v[1] << 17 | v[1] >> 47) ^ v[2], v[2] = v[2] << 32 | v[2] >> 32;
		v[0] ^= m;
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void test_hashes(void)
{
	const struct siphash_key key = { { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	unsigned char bytes[80], joined[80];
	bool good = true;

	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)(i * 37 + 0x81);
	ok(siphash(&key, "", 0) == UINT64_C(0xabac0158050fc4dc), "the vector of the empty text");
	for (size_t n = 0; n < 64; n++)
		good = good && siphash(&key, bytes, n) == plain_hash(&key, bytes, n);
	ok(good, "every length up to eight words");
	for (size_t a = 0; a < 20; a++)
		for (size_t b = 0; b < 20; b++)
			for (size_t c = 0; c < 20; c++) {
				const char *p = (const char *)bytes;
				struct str part[3] = { str_make(p, a), str_make(p + a, b), str_make(p + a + b, c) };
				memset(joined, 0, sizeof joined);
				memcpy(joined, p, a);
				memcpy(joined + a + 1, p + a, b);
				memcpy(joined + a + b + 2, p + a + b, c);
				good = good && siphash_strs(&key, part, 3) == plain_hash(&key, joined, a + b + c + 3);
			}
	ok(good, "slices hash as one text with a NUL after each");
	ok(siphash_strs(&key, (struct str[]){ STR_NONE }, 1) == siphash(&key, "", 1), "an empty one, too");
}

int main(void)
{
	test_numbers();
	test_hex();
	test_addresses();
	test_hashes();
	return tap_done();
}
