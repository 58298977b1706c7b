/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks everything and says what is broken. Each check derives anew what the rest of the code keeps. */
#include "shm/internal.h"

#include <stdarg.h>

struct check {
	struct shm *shm;
	bool quiet;
	shm_problem_fn *fn;
	void *arg;
	unsigned problems;
	unsigned char *held;      /* each unit of the heap: what holds the block that begins there */
	int64_t used, live;
	int64_t gateways[SHM_GATEWAYS_MAX];
};

/* HELD_FREED: freed out of limbo by one who died before he left it there; his successor frees it again, which puts the hint right. */
enum { HELD_BY_STATE = 1, HELD_BY_LIMBO = 2, HELD_BY_DEFERRED = 4, HELD_FREED = 8 };

__attribute__((format(printf, 2, 3))) static void problem(struct check *c, const char *format, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	c->problems++;
	if (c->fn)
		c->fn(c->arg, text);
}

static bool in_heap(const struct check *c, uint32_t index)
{
	uint32_t chunk = index / SHM_CHUNK_UNITS, class;

	if (chunk < 1 || chunk > c->shm->nchunks)
		return false;
	class = uatomic_read(&c->shm->chunk_class[chunk]) & (SHM_CHUNK_FULL - 1);
	return class >= 1 && class <= SHM_CLASSES && index % SHM_CHUNK_UNITS % shm_class_units(class - 1) == 0;
}

/* A block that a state holds must be there and be held once. */
static void hold(struct check *c, uint32_t slot, shm_ref ref)
{
	if (!in_heap(c, shm_low(ref)) || !shm_block(c->shm, ref)) {
		problem(c, "slot %u: its block %#llx is gone", slot, (unsigned long long)ref);
		return;
	}
	if (c->held[shm_low(ref)] & HELD_BY_STATE)
		problem(c, "slot %u: its block %u is held twice", slot, shm_low(ref));
	c->held[shm_low(ref)] |= HELD_BY_STATE;
}

static void check_key(struct check *c, uint32_t slot, uint64_t key)
{
	struct shm_index_iter it;
	uint32_t found;

	shm_index_start(&it, key);
	while (key && shm_index_next(c->shm, &it, &found))
		if (found == slot)
			return;
	if (key && !uatomic_read(&c->shm->header->index_overflows))
		problem(c, "slot %u: not in the index under key %#llx", slot, (unsigned long long)key);
}

static void check_state(struct check *c, uint32_t slot, const struct shm_state *s, uint32_t index)
{
	const shm_ref *refs = shm_state_refs(s);

	hold(c, slot, shm_ref_of(c->shm, index));
	if (s->nrefs > SHM_REFS_MAX || s->nsends > SHM_SENDS_MAX || s->gateway > SHM_GATEWAYS_MAX) {
		problem(c, "slot %u: a broken state", slot);
		return;
	}
	for (unsigned i = 0; i < s->nrefs; i++)
		if (refs[i])
			hold(c, slot, refs[i]);
	check_key(c, slot, s->key[0]);
	check_key(c, slot, s->key[1]);
	c->used++;
	c->live += (s->flags & SHM_STATE_LIVE) != 0;
	if (s->gateway)
		c->gateways[s->gateway - 1]++;
}

static void check_owner(struct check *c, uint32_t slot, uint64_t owner)
{
	unsigned proc = shm_high(owner) - 1;

	if (!owner)
		return;
	if (proc >= c->shm->nprocs)
		problem(c, "slot %u: owner word %#llx", slot, (unsigned long long)owner);
	else if (shm_low(owner) != shm_proc(c->shm, proc)->incarnation && uatomic_read(&c->shm->slots[slot].owner) == owner)
		problem(c, "slot %u: held by a dead incarnation of process slot %u", slot, proc);
	else if (c->quiet)
		problem(c, "slot %u: held by process slot %u", slot, proc);
}

static void check_board(struct check *c, uint32_t slot, const struct shm_state *s)
{
	uint64_t is = uatomic_read(&c->shm->deadlines[slot]), want = s ? s->deadline_ms : SHM_NEVER;

	if (is != want)
		problem(c, "slot %u: board says %llu, state %llu", slot, (unsigned long long)is, (unsigned long long)want);
	if (uatomic_read(&c->shm->summaries[slot / SHM_BOARD_BLOCK]) > is)
		problem(c, "slot %u: deadline %llu is before its summary", slot, (unsigned long long)is);
}

static void check_slot(struct check *c, uint32_t slot)
{
	uint64_t pub = uatomic_read(&c->shm->slots[slot].pub);
	const struct shm_state *s = shm_payload(c->shm, shm_low(pub));
	bool hint = uatomic_read(&c->shm->slot_hints[slot / 64]) >> slot % 64 & 1;

	check_owner(c, slot, uatomic_read(&c->shm->slots[slot].owner));
	if (shm_low(pub) && shm_deaths(c->shm, slot) >= SHM_DEATHS_MAX)
		problem(c, "slot %u: set aside, since %u timer processes died on it", slot, shm_deaths(c->shm, slot));
	if (!c->quiet)
		return;
	if (s && !in_heap(c, shm_low(pub)))
		problem(c, "slot %u: published block %u is none", slot, shm_low(pub));
	else if (s)
		check_state(c, slot, s, shm_low(pub));
	if (!s && hint)
		problem(c, "slot %u: free, but its hint says busy", slot);
	check_board(c, slot, s);
}

static void hold_lists(struct check *c, unsigned proc)
{
	const struct shm_proc *p = shm_proc(c->shm, proc);

	for (uint32_t i = p->limbo_head; i != p->limbo_tail; i++) {
		shm_ref ref = p->limbo[i % SHM_LIMBO].ref;

		if (!in_heap(c, shm_low(ref)))
			problem(c, "process slot %u: limbo holds %#llx", proc, (unsigned long long)ref);
		else
			c->held[shm_low(ref)] |= shm_block(c->shm, ref) ? HELD_BY_LIMBO : HELD_FREED;
	}
	for (uint32_t i = p->deferred_head; i != p->deferred_tail; i++) {
		const struct shm_deferred_entry *e = &p->deferred[i % SHM_DEFERRED];

		if (e->live && shm_block(c->shm, e->ref))
			c->held[shm_low(e->ref)] |= HELD_BY_DEFERRED;
	}
	if (p->intent.phase != SHM_IDLE)
		problem(c, "process slot %u: a step is open", proc);
}

static void check_block(struct check *c, uint32_t index, bool hint)
{
	bool busy = shm_low(uatomic_read(&shm_head(c->shm, index)->word)) != 0;
	unsigned held = c->held[index];

	if (busy && !(held & ~(unsigned)HELD_FREED))
		problem(c, "block %u: leaked", index);
	if (busy && (held & HELD_BY_STATE) && (held & HELD_BY_LIMBO))
		problem(c, "block %u: published, and about to be freed", index);
	if (!busy && hint && !(held & HELD_FREED))
		problem(c, "block %u: free, but its hint says busy", index);
}

static void check_heap(struct check *c)
{
	struct shm *shm = c->shm;

	for (uint32_t chunk = 1; chunk <= shm->nchunks; chunk++) {
		uint32_t class = shm->chunk_class[chunk], units, blocks, freed = 0;

		if (!class)
			continue;
		units = shm_class_units((class & (SHM_CHUNK_FULL - 1)) - 1);
		blocks = SHM_CHUNK_UNITS / units;
		for (uint32_t b = 0; b < blocks; b++) {
			bool hint = shm->chunk_hints[chunk].busy[b / 64] >> b % 64 & 1;

			check_block(c, chunk * SHM_CHUNK_UNITS + b * units, hint);
			freed += !hint;
		}
		if ((class & SHM_CHUNK_FULL) && freed)
			problem(c, "chunk %u: flagged full, with %u blocks free", chunk, freed);
	}
}

static void check_index(struct check *c)
{
	struct shm *shm = c->shm;

	for (size_t i = 0; i < ((size_t)shm->nbuckets + SHM_WINDOW - 1) * SHM_BUCKET; i++) {
		uint64_t entry = uatomic_read(&shm->index[i]);
		const struct shm_state *s;

		if (!entry)
			continue;
		s = shm_low(entry) ? shm_peek(shm, shm_low(entry) - 1, 0, NULL) : NULL;
		if (!s || (shm_high(s->key[0]) != shm_high(entry) && shm_high(s->key[1]) != shm_high(entry)))
			problem(c, "index entry %zu names slot %u, which has not that key", i, shm_low(entry) - 1);
	}
}

static void check_counts(struct check *c)
{
	if (c->used != shm_objects_used(c->shm))
		problem(c, "%lld objects, counted %u", (long long)c->used, shm_objects_used(c->shm));
	if (c->live != shm_objects_live(c->shm))
		problem(c, "%lld live objects, counted %u", (long long)c->live, shm_objects_live(c->shm));
	for (unsigned i = 0; i < SHM_GATEWAYS_MAX; i++)
		if (c->gateways[i] != shm_gateway_calls(c->shm, i))
			problem(c, "gateway %u: %lld calls, counted %u", i, (long long)c->gateways[i], shm_gateway_calls(c->shm, i));
}

unsigned shm_check(struct shm *shm, bool quiet, shm_problem_fn *fn, void *arg)
{
	struct check *c = calloc(1, sizeof *c);
	unsigned problems;

	BUG_ON(!c);
	*c = (struct check){ .shm = shm, .quiet = quiet, .fn = fn, .arg = arg };
	c->held = quiet ? calloc((size_t)shm->nchunks + 1, SHM_CHUNK_UNITS) : NULL;
	BUG_ON(quiet && !c->held);
	for (uint32_t slot = 0; slot < shm->nslots; slot++)
		check_slot(c, slot);
	if (quiet) {
		for (unsigned i = 0; i < shm->nprocs; i++)
			hold_lists(c, i);
		check_heap(c);
		check_index(c);
		check_counts(c);
	}
	problems = c->problems;
	free(c->held);
	free(c);
	return problems;
}
