/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The heap: chunks of one size class each, assigned once; a block is taken and freed by one compare-and-swap on its own
 * header. Everything else here (bits, warm lists, flags) only says where to look. */
#include "shm/internal.h"

#include <wchar.h>

/* Since a chunk keeps its class, a flood of large messages must not get all of them: blocks above 4 KiB get a quarter, and
 * half of that is left for the largest class, in which all of them find room. */
enum {
	LARGE_UNITS = 64, LARGE_CHUNKS_MIN = 4,
	SMALL_HEAP = 256 << 20, /* bytes; could be filled in a quarter of a second */
};

/* Classes 0 to 15: that many units + 1. Above: eight steps each doubling, so at most an eighth is wasted. */
static unsigned class_of(uint32_t units)
{
	unsigned log;

	if (units <= 16)
		return units - 1;
	log = 31 - (unsigned)__builtin_clz(units - 1);
	return 16 + (log - 4) * 8 + ((units - 1 - (1u << log)) >> (log - 3));
}

uint32_t shm_class_units(unsigned class)
{
	unsigned log;

	if (class < 16)
		return class + 1;
	log = 4 + (class - 16) / 8;
	return (1u << log) + ((class - 16) % 8 + 1) * (1u << (log - 3));
}

static unsigned chunk_class(const struct shm *shm, uint32_t chunk)
{
	return (uatomic_read(&shm->chunk_class[chunk]) & (SHM_CHUNK_FULL - 1)) - 1;
}

static void clear_full(struct shm *shm, uint32_t chunk)
{
	uint32_t is = uatomic_read(&shm->chunk_class[chunk]);

	if (is & SHM_CHUNK_FULL)
		uatomic_cmpxchg(&shm->chunk_class[chunk], is, is & ~(uint32_t)SHM_CHUNK_FULL);
}

/* Marks a block as maybe free. The word's change comes before the look at the flag, and mark_full() does it the other way
 * round, so one of the two sees the other. */
static void hint_free(struct shm *shm, uint32_t index)
{
	uint32_t chunk = index / SHM_CHUNK_UNITS;
	uint32_t block = index % SHM_CHUNK_UNITS / shm_class_units(chunk_class(shm, chunk));

	uatomic_and(&shm->chunk_hints[chunk].busy[block / 64], ~(1ull << block % 64));
	cmm_smp_mb__after_uatomic_and();
	clear_full(shm, chunk);
}

static bool is_free(const struct shm *shm, uint32_t index)
{
	return shm_low(uatomic_read(&shm_head(shm, index)->word)) == 0;
}

static bool try_take(struct shm_self *self, uint32_t index, uint64_t *hints, uint64_t bit, shm_ref *note, shm_ref *ref)
{
	struct shm *shm = self->shm;
	struct shm_block_head *head = shm_head(shm, index);
	uint64_t word = uatomic_read(&head->word), mine = word | shm_block_owner(shm, self->proc);

	uatomic_set(note, shm_pack(shm_high(word), index));
	SHM_STEP("shm.block.candidate");
	if (shm_low(word) == 0 && uatomic_cmpxchg(&head->word, word, mine) == word) {
		SHM_STEP("shm.block.taken");
		uatomic_or(hints, bit);
		*ref = shm_pack(shm_high(word), index);
		return true;
	}
	uatomic_or(hints, bit); /* the hint was stale */
	cmm_smp_mb__after_uatomic_or();
	SHM_STEP("shm.block.stale");
	if (is_free(shm, index))
		hint_free(shm, index);
	return false;
}

/* The block that is taken next is fetched while this one is filled. */
static bool take_warm(struct shm_self *self, struct shm_cursor *c, uint32_t units, shm_ref *note, shm_ref *ref)
{
	while (c->nwarm) {
		uint32_t index = c->warm[--c->nwarm], block = index % SHM_CHUNK_UNITS / units;
		uint64_t *hints = &self->shm->chunk_hints[index / SHM_CHUNK_UNITS].busy[block / 64];

		if (c->nwarm)
			shm_fetch_block(self->shm, c->warm[c->nwarm - 1], units);
		if (is_free(self->shm, index) && try_take(self, index, hints, 1ull << block % 64, note, ref))
			return true;
	}
	return false;
}

/* The bits of a word of hints that stand for blocks. */
static uint64_t word_mask(uint32_t word, uint32_t blocks)
{
	return blocks - word * 64 >= 64 ? ~0ull : (1ull << (blocks - word * 64)) - 1;
}

static uint32_t block_index(const struct shm_cursor *c, uint64_t maybe, uint32_t units)
{
	return c->chunk * SHM_CHUNK_UNITS + (c->word * 64 + (uint32_t)__builtin_ctzll(maybe)) * units;
}

static bool take_in_chunk(struct shm_self *self, struct shm_cursor *c, uint32_t units, shm_ref *note, shm_ref *ref)
{
	uint32_t blocks = SHM_CHUNK_UNITS / units, words = (blocks + 63) / 64;

	for (uint32_t i = 0; i < words; i++, c->word = (c->word + 1) % words) {
		uint64_t *hints = &self->shm->chunk_hints[c->chunk].busy[c->word];
		uint64_t maybe = ~uatomic_read(hints) & word_mask(c->word, blocks);

		for (; maybe; maybe &= maybe - 1) {
			if (!try_take(self, block_index(c, maybe, units), hints, maybe & -maybe, note, ref))
				continue;
			if (maybe & (maybe - 1))
				shm_fetch_block(self->shm, block_index(c, maybe & (maybe - 1), units), units);
			return true;
		}
	}
	return false;
}

/* Flags a chunk in which nothing was found; returns whether something was freed in it meanwhile. */
static bool mark_full(struct shm *shm, uint32_t chunk, unsigned class)
{
	uint32_t blocks = SHM_CHUNK_UNITS / shm_class_units(class);

	uatomic_cmpxchg(&shm->chunk_class[chunk], class + 1, (class + 1) | SHM_CHUNK_FULL);
	SHM_STEP("shm.chunk.full");
	for (uint32_t w = 0; w < (blocks + 63) / 64; w++)
		if (~uatomic_read(&shm->chunk_hints[chunk].busy[w]) & word_mask(w, blocks)) {
			clear_full(shm, chunk);
			return true;
		}
	return false;
}

/* The next chunk at or after `from` whose word in the table is `want`; 0 = none. */
static uint32_t find_chunk(const struct shm *shm, uint32_t from, uint32_t to, uint32_t want)
{
	const wchar_t *table = (const wchar_t *)shm->chunk_class, *at;

	_Static_assert(sizeof(wchar_t) == sizeof(uint32_t), "wmemchr searches 32-bit words");
	at = from < to ? wmemchr(table + from, (wchar_t)want, to - from) : NULL;
	return at ? (uint32_t)(at - table) : 0;
}

static bool enter_chunk(struct shm_self *self, struct shm_cursor *c, uint32_t chunk, unsigned class)
{
	uint32_t blocks = SHM_CHUNK_UNITS / shm_class_units(class);

	c->chunk = chunk;
	c->word = self->slot % ((blocks + 63) / 64);
	return chunk != 0;
}

static uint64_t large_limit(const struct shm *shm)
{
	return shm->nchunks / 4 > LARGE_CHUNKS_MIN ? shm->nchunks / 4 : LARGE_CHUNKS_MIN;
}

static bool may_grow(const struct shm *shm, unsigned class)
{
	uint64_t limit = large_limit(shm);

	if (uatomic_read(&shm->header->chunks_assigned) >= shm->nchunks)
		return false;
	if (class != SHM_CLASSES - 1)
		limit /= 2;
	return shm_class_units(class) <= LARGE_UNITS || uatomic_read(&shm->header->large_assigned) < limit;
}

static bool new_chunk(struct shm_self *self, struct shm_cursor *c, unsigned class)
{
	struct shm *shm = self->shm;
	uint32_t chunk = may_grow(shm, class) ? 1 : shm->nchunks + 1;

	while ((chunk = find_chunk(shm, chunk, shm->nchunks + 1, 0)) != 0)
		if (uatomic_cmpxchg(&shm->chunk_class[chunk], 0, class + 1) == 0) {
			SHM_STEP("shm.chunk.assigned");
			uatomic_inc(&shm->header->chunks_assigned);
			if (shm_class_units(class) > LARGE_UNITS)
				uatomic_inc(&shm->header->large_assigned);
			return enter_chunk(self, c, chunk, class);
		}
	return false;
}

static bool shared_chunk(struct shm_self *self, struct shm_cursor *c, unsigned class)
{
	struct shm *shm = self->shm;
	uint32_t chunk = find_chunk(shm, c->chunk + 1, shm->nchunks + 1, class + 1);

	if (!chunk)
		chunk = find_chunk(shm, 1, c->chunk + 1 <= shm->nchunks ? c->chunk + 1 : shm->nchunks + 1, class + 1);
	return enter_chunk(self, c, chunk, class);
}

/* While the heap is half empty each process takes chunks of its own, so that they do not fight over words of hints. */
static bool next_chunk(struct shm_self *self, struct shm_cursor *c, unsigned class)
{
	bool plenty = uatomic_read(&self->shm->header->chunks_assigned) * 2 < self->shm->nchunks;

	if (plenty && new_chunk(self, c, class))
		return true;
	return shared_chunk(self, c, class) || new_chunk(self, c, class);
}

static bool take_class(struct shm_self *self, unsigned class, shm_ref *note, shm_ref *ref)
{
	struct shm_cursor *c = &self->cursors[class];
	uint32_t units = shm_class_units(class);

	if (take_warm(self, c, units, note, ref))
		return true;
	if (!c->chunk && !next_chunk(self, c, class))
		return false;
	for (uint32_t tries = 0; tries <= 2 * self->shm->nchunks; tries++) {
		if (take_in_chunk(self, c, units, note, ref))
			return true;
		if (mark_full(self->shm, c->chunk, class))
			continue;
		if (!next_chunk(self, c, class))
			return false;
	}
	return false;
}

int shm_block_take(struct shm_self *self, size_t bytes, shm_ref *note, shm_ref *ref)
{
	unsigned class;

	if (bytes == 0 || bytes > SHM_BLOCK_MAX)
		return ERR_RANGE;
	class = class_of((uint32_t)((bytes + SHM_BLOCK_HEAD + SHM_UNIT - 1) / SHM_UNIT));
	for (; class < SHM_CLASSES; class++)
		if (take_class(self, class, note, ref))
			return 0;
	return ERR_FULL;
}

/* In test builds who reads a block after its grace period sees it at once. */
static void poison(struct shm *shm, shm_ref ref)
{
#ifdef VELADOR_INJECT
	memset(shm_payload(shm, shm_low(ref)), 0xdd, shm_block_bytes(shm, ref));
#else
	(void)shm;
	(void)ref;
#endif
}

void shm_block_free(struct shm *shm, struct shm_self *self, shm_ref ref)
{
	struct shm_block_head *head = shm_head(shm, shm_low(ref));
	uint64_t word = uatomic_read(&head->word);

	if (shm_high(word) == shm_high(ref) && shm_low(word)) {
		poison(shm, ref);
		uatomic_cmpxchg(&head->word, word, shm_pack(shm_high(ref) + 1, 0));
	}
	SHM_STEP("shm.block.freed");
	if (!is_free(shm, shm_low(ref)))
		return; /* freed long ago, and taken again since */
	hint_free(shm, shm_low(ref));
	if (self) {
		struct shm_cursor *c = &self->cursors[chunk_class(shm, shm_low(ref) / SHM_CHUNK_UNITS)];

		if (c->nwarm < SHM_WARM)
			c->warm[c->nwarm++] = shm_low(ref);
	}
}

void shm_block_undo(struct shm *shm, const struct shm_proc *p, shm_ref candidate)
{
	uint64_t taken = shm_pack(shm_high(candidate), shm_block_owner(shm, p));

	if (!candidate)
		return;
	if (uatomic_read(&shm_head(shm, shm_low(candidate))->word) == taken)
		shm_block_free(shm, NULL, candidate);
	else if (is_free(shm, shm_low(candidate)))
		hint_free(shm, shm_low(candidate));
}

/* The dead one may have flagged a chunk and not looked again, or taken one and not counted it. */
void shm_block_repair_hints(struct shm *shm)
{
	uint64_t assigned = 0, large = 0;

	for (uint32_t chunk = 1; chunk <= shm->nchunks; chunk++) {
		clear_full(shm, chunk);
		if (uatomic_read(&shm->chunk_class[chunk])) {
			assigned++;
			large += shm_class_units(chunk_class(shm, chunk)) > LARGE_UNITS;
		}
	}
	uatomic_set(&shm->header->chunks_assigned, assigned);
	uatomic_set(&shm->header->large_assigned, large);
}

void *shm_block(const struct shm *shm, shm_ref ref)
{
	uint64_t word = ref ? uatomic_read(&shm_head(shm, shm_low(ref))->word) : 0;

	return shm_low(word) && shm_high(word) == shm_high(ref) ? shm_payload(shm, shm_low(ref)) : NULL;
}

uint32_t shm_block_bytes(const struct shm *shm, shm_ref ref)
{
	return shm_class_units(chunk_class(shm, shm_low(ref) / SHM_CHUNK_UNITS)) * SHM_UNIT - SHM_BLOCK_HEAD;
}

static uint64_t chunk_used_bytes(const struct shm *shm, uint32_t chunk)
{
	uint32_t units = shm_class_units(chunk_class(shm, chunk)), words = (SHM_CHUNK_UNITS / units + 63) / 64;
	uint64_t blocks = 0;

	for (uint32_t w = 0; w < words; w++)
		blocks += (uint64_t)__builtin_popcountll(uatomic_read(&shm->chunk_hints[chunk].busy[w]));
	return blocks * units * SHM_UNIT;
}

struct usage {
	uint64_t used, large;   /* bytes of all blocks taken, and of the large ones */
	uint64_t last_resort;   /* bytes that blocks of the largest class, in which every size finds room, may still take */
};

static struct usage usage_of(const struct shm *shm)
{
	uint64_t left = uatomic_read(&shm->header->chunks_assigned), large_chunks = 0;
	struct usage u = { .last_resort = 0 };

	for (uint32_t chunk = 1; left && chunk <= shm->nchunks; chunk++) {
		unsigned class = chunk_class(shm, chunk);
		uint64_t bytes;

		if (class >= SHM_CLASSES)
			continue;
		left--;
		bytes = chunk_used_bytes(shm, chunk);
		u.used += bytes;
		if (shm_class_units(class) <= LARGE_UNITS)
			continue;
		u.large += bytes;
		large_chunks++;
		if (class == SHM_CLASSES - 1)
			u.last_resort += SHM_CHUNK_BYTES - bytes;
	}
	if (large_chunks < large_limit(shm))
		u.last_resort += (large_limit(shm) - large_chunks) * SHM_CHUNK_BYTES;
	return u;
}

void shm_heap_usage(const struct shm *shm, uint64_t *used_bytes, uint64_t *all_bytes)
{
	*used_bytes = usage_of(shm).used;
	*all_bytes = (uint64_t)shm->nchunks * SHM_CHUNK_BYTES;
}

/* Calls that have begun will still grow, and more begin until the next look. */
bool shm_heap_watch(struct shm *shm)
{
	uint64_t all = (uint64_t)shm->nchunks * SHM_CHUNK_BYTES, large = large_limit(shm) * SHM_CHUNK_BYTES;
	struct usage u = usage_of(shm);

	uatomic_set(&shm->header->heap_tight, u.used > all / 8 * 7 || u.large > large / 2 || u.last_resort < large / 4);
	return all < SMALL_HEAP || u.used > all / 16 * 7 || u.large > large / 4 || u.last_resort < large / 2;
}

bool shm_heap_tight(const struct shm *shm)
{
	return uatomic_read(&shm->header->heap_tight);
}
