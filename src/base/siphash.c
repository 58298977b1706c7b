/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/siphash.h"

struct state {
	uint64_t v0, v1, v2, v3, tail, bytes;
};

static inline uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static inline void round1(struct state *s)
{
	s->v0 += s->v1, s->v1 = rotl(s->v1, 13) ^ s->v0, s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3, s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3, s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1, s->v1 = rotl(s->v1, 17) ^ s->v2, s->v2 = rotl(s->v2, 32);
}

static inline void word(struct state *s, uint64_t m)
{
	s->v3 ^= m;
	round1(s);
	s->v0 ^= m;
}

static void start(struct state *s, const struct siphash_key *key)
{
	*s = (struct state){
		.v0 = key->k[0] ^ 0x736f6d6570736575ULL, .v1 = key->k[1] ^ 0x646f72616e646f6dULL,
		.v2 = key->k[0] ^ 0x6c7967656e657261ULL, .v3 = key->k[1] ^ 0x7465646279746573ULL,
	};
}

/* The next n bytes, at most 8, the first lowest. */
static inline uint64_t load(const unsigned char *p, size_t n)
{
	uint64_t m = 0;

	if (n == 8) {
		memcpy(&m, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		m = __builtin_bswap64(m);
#endif
		return m;
	}
	for (size_t i = 0; i < n; i++)
		m |= (uint64_t)p[i] << (8 * i);
	return m;
}

/* Words are put together from what is left of the slice before and the head of this one. */
static inline void feed(struct state *s, const unsigned char *p, size_t n)
{
	unsigned have = s->bytes % 8, bits = 8 * have;

	s->bytes += n;
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t m = load(p, 8);

		word(s, s->tail | m << bits);
		s->tail = have ? m >> (64 - bits) : 0;
	}
	if (n) {
		uint64_t m = load(p, n);

		s->tail |= m << bits;
		if (have + n >= 8) {
			word(s, s->tail);
			s->tail = have + n > 8 ? m >> (64 - bits) : 0;
		}
	}
}

static uint64_t finish(struct state *s)
{
	word(s, s->tail | s->bytes << 56);
	s->v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		round1(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t siphash(const struct siphash_key *key, const void *p, size_t n)
{
	struct state s;

	start(&s, key);
	feed(&s, p, n);
	return finish(&s);
}

uint64_t siphash_strs(const struct siphash_key *key, const struct str *strs, size_t count)
{
	static const unsigned char nul;
	struct state s;

	start(&s, key);
	for (size_t i = 0; i < count; i++) {
		feed(&s, (const unsigned char *)strs[i].p, strs[i].n);
		feed(&s, &nul, 1);
	}
	return finish(&s);
}
