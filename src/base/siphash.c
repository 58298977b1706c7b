/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/siphash.h"

#include <endian.h>

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

static inline struct state start(const struct siphash_key *key)
{
	return (struct state){
		.v0 = key->k[0] ^ 0x736f6d6570736575ULL, .v1 = key->k[1] ^ 0x646f72616e646f6dULL,
		.v2 = key->k[0] ^ 0x6c7967656e657261ULL, .v3 = key->k[1] ^ 0x7465646279746573ULL,
	};
}

static inline uint64_t load64(const unsigned char *p)
{
	uint64_t m;

	memcpy(&m, p, sizeof m);
	return le64toh(m);
}

static inline uint64_t load32(const unsigned char *p)
{
	uint32_t m;

	memcpy(&m, p, sizeof m);
	return le32toh(m);
}

/* The next n bytes, fewer than 8, the first lowest. What is read twice falls onto itself. */
static inline uint64_t load_rest(const unsigned char *p, size_t n)
{
	if (n >= 4)
		return load32(p) | load32(p + n - 4) << (8 * (n - 4));
	if (!n)
		return 0;
	return p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) | (uint64_t)p[n - 1] << (8 * (n - 1));
}

static inline uint64_t finish(struct state *s)
{
	word(s, s->tail | s->bytes << 56);
	s->v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		round1(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	struct state s = start(key);

	for (s.bytes = n; n >= 8; p += 8, n -= 8)
		word(&s, load64(p));
	s.tail = load_rest(p, n);
	return finish(&s);
}

/* The next n bytes and a NUL. Words are put together from what is left of the slice before and the head of this one. */
static inline void feed_ended(struct state *s, const unsigned char *p, size_t n)
{
	unsigned have = s->bytes % 8, bits = 8 * have;
	uint64_t m;

	s->bytes += n + 1;
	for (; n >= 8; p += 8, n -= 8) {
		m = load64(p);
		word(s, s->tail | m << bits);
		s->tail = have ? m >> (64 - bits) : 0;
	}
	m = load_rest(p, n);
	s->tail |= m << bits;
	if (have + n + 1 >= 8) { /* the NUL at least begins or fills a word */
		word(s, s->tail);
		s->tail = have ? m >> (64 - bits) : 0;
	}
}

uint64_t siphash_strs(const struct siphash_key *key, const struct str *strs, size_t count)
{
	struct state s = start(key);

	for (size_t i = 0; i < count; i++)
		feed_ended(&s, (const unsigned char *)strs[i].p, strs[i].n);
	return finish(&s);
}
