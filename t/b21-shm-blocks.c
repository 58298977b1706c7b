/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The heap of the arena: sizes, reuse, two processes at once, shortage (shm/README D, E, G); and the arena's file. */
#include "t/tap.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "shm/layout.h"

enum { OBJECTS = 2000 };

static struct shm *shm;
static struct shm_self *a, *b;

static void problem(void *arg, const char *text)
{
	(void)arg;
	diag("%s", text);
}

static uint64_t used_bytes(void)
{
	uint64_t used, all;

	shm_heap_usage(shm, &used, &all);
	return used;
}

/* Publishes an object whose one blob has `bytes` bytes of value `tag`; deadline_ms is the size, for later. */
static int put(struct shm_step *step, uint32_t bytes, int tag)
{
	shm_ref blob, ref;
	struct shm_state *s;
	void *p;

	if (shm_step_alloc(step, bytes, &blob, &p))
		goto full;
	memset(p, tag, bytes);
	if (shm_step_alloc(step, sizeof *s + sizeof blob, &ref, &p))
		goto full;
	s = p;
	*s = (struct shm_state){ .jpos = (uint64_t)tag, .deadline_ms = bytes, .bytes = sizeof *s + sizeof blob, .nrefs = 1 };
	shm_state_refs(s)[0] = blob;
	shm_step_commit(step, ref);
	return 0;
full:
	shm_step_abort(step);
	return ERR_FULL;
}

static bool is_whole(uint32_t slot)
{
	const struct shm_state *s = shm_peek(shm, slot, 0, NULL);
	const unsigned char *p = s ? shm_block(shm, shm_state_refs(s)[0]) : NULL;

	for (uint64_t i = 0; p && i < s->deadline_ms; i++)
		if (p[i] != s->jpos)
			return false;
	return !s || p;
}

static void sizes(void)
{
	struct shm_step step;
	unsigned waste = 0, short_of = 0, unaligned = 0;
	shm_ref ref;
	void *p;

	for (uint32_t bytes = 1; bytes <= SHM_BLOCK_MAX; bytes += bytes < 5000 ? 1 : 517) {
		uint32_t room;

		if (shm_step_begin_new(&step, a) || shm_step_alloc(&step, bytes, &ref, &p))
			tap_bail("no room");
		room = shm_block_bytes(shm, ref);
		short_of += room < bytes;
		if (bytes <= 4000) /* above, a heap as small as this has not all the classes */
			waste += room - bytes >= SHM_UNIT && room - bytes > (bytes + SHM_BLOCK_HEAD) / 8;
		unaligned += (uintptr_t)p % 16 != 0;
		shm_step_abort(&step);
	}
	ok(!short_of && !unaligned, "blocks are as large as asked, and aligned to 16");
	is_u64(waste, 0, "at most an eighth, or a unit, is wasted");
	if (shm_step_begin_new(&step, a))
		tap_bail("no slot");
	is_u64(shm_step_alloc(&step, 0, &ref, &p), ERR_RANGE, "no block of 0 bytes");
	is_u64(shm_step_alloc(&step, SHM_BLOCK_MAX + 1, &ref, &p), ERR_RANGE, "none above the largest");
	is_u64(shm_step_alloc(&step, SHM_BLOCK_MAX, &ref, &p), 0, "the largest");
	for (unsigned i = 1; i < SHM_STEP_ALLOCS; i++)
		shm_step_alloc(&step, 10, &ref, &p);
	is_u64(shm_step_alloc(&step, 10, &ref, &p), ERR_FULL, "a step has room for %d blocks", SHM_STEP_ALLOCS);
	shm_step_abort(&step);
	is_u64(used_bytes(), 0, "aborts give everything back");
}

/* Two process slots take, replace and free by turns; every byte stays its owner's. */
static void churn(void)
{
	unsigned broken = 0, full = 0;
	uint64_t seed = 1;

	for (unsigned i = 0; i < 60000; i++) {
		struct shm_self *self = i % 2 ? a : b;
		struct shm_step step;
		uint32_t slot;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		slot = (uint32_t)((seed >> 33) % OBJECTS);
		if (shm_step_begin(&step, self, slot, 0) == 0) {
			broken += !is_whole(slot);
			if (i % 3 == 0)
				shm_step_free(&step);
			else
				full += put(&step, 20 + (uint32_t)(seed >> 40) % 1500, (int)(seed >> 50 & 255)) != 0;
		} else if (shm_step_begin_new(&step, self) == 0) {
			full += put(&step, 20 + (uint32_t)(seed >> 40) % 1500, (int)(seed >> 50 & 255)) != 0;
		}
		if (i % 16 < 2)
			shm_rcu_quiescent(self);
	}
	ok(!broken && !full, "60,000 changes by two process slots: every byte is its owner's");
	is_u64(shm_check(shm, true, problem, NULL), 0, "and the arena is sound");
}

static void free_all(void)
{
	struct shm_step step;

	for (uint32_t slot = 0; slot < shm_slots(shm); slot++) {
		if (!shm_step_begin(&step, a, slot, 0))
			shm_step_free(&step);
		shm_rcu_quiescent(a);
		shm_rcu_quiescent(b);
	}
	shm_rcu_quiescent(a);
}

static void shortage(void)
{
	struct shm_step step;
	unsigned n = 0, again = 0;
	int err = 0;

	free_all();
	is_u64(used_bytes(), 0, "all is free again");
	while (!err && !(err = shm_step_begin_new(&step, a)))
		if (!(err = put(&step, 30000, 7)))
			n++;
	is_u64(err, ERR_FULL, "G: a full heap says so (%u objects)", n);
	is_u64(shm_check(shm, true, problem, NULL), 0, "the full heap is sound");
	free_all();
	for (err = 0; !err && !(err = shm_step_begin_new(&step, b));)
		if (!(err = put(&step, 30000, 8)))
			again++;
	ok(again == n, "all of it can be had again, by another (%u of %u)", again, n);
	free_all();
	is_u64(shm_check(shm, true, problem, NULL), 0, "and it is sound");
}

/* Chunks keep their class: large messages must not take them all from the rest. */
static void flood(void)
{
	struct shm_step step;
	unsigned small = 0;
	int err = 0;

	while (!err && !(err = shm_step_begin_new(&step, a)))
		err = put(&step, 60000, 1);
	is_u64(err, ERR_FULL, "G: a flood of the largest is stopped");
	shm_heap_watch(shm);
	ok(shm_heap_tight(shm), "G: and what is left is for those there are");
	for (err = 0; !err && small < 1000 && !(err = shm_step_begin_new(&step, a)); small += !err)
		err = put(&step, 1000, 2);
	is_u64(small, 1000, "G: and there is still room for a thousand of the usual size");
	free_all();
	shm_heap_watch(shm);
	ok(!shm_heap_tight(shm), "G: until there is room again");
}

/* How soon the heap is to be looked at again. */
static void soon_or_late(void)
{
	struct shm_params params = { .slots = OBJECTS, .heap_bytes = 512u << 20, .endpoints = 16, .workers_max = 1 };
	struct shm_self *self, *was = a;
	struct shm *all = shm;
	struct shm_step step;
	int err = 0;

	ok(shm_heap_watch(shm), "a small heap is looked at often");
	if (shm_create(&shm, NULL, &params) || shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no arena");
	a = self;
	ok(!shm_heap_watch(shm), "a large one seldom");
	while (!err && !(err = shm_step_begin_new(&step, a)))
		err = put(&step, 60000, 1);
	ok(shm_heap_watch(shm), "unless half of what is kept is reached");
	shm_self_leave(self);
	shm_self_free(self);
	shm_close(shm, true);
	shm = all;
	a = was;
}

static void readers_hold(void)
{
	struct shm_step step;
	const struct shm_state *s;
	uint32_t slot;

	if (shm_step_begin_new(&step, a) || put(&step, 100, 1))
		tap_bail("no room");
	slot = step.slot;
	shm_rcu_offline(b);
	shm_rcu_online(b);
	s = shm_peek(shm, slot, 0, NULL);
	if (shm_step_begin(&step, a, slot, 0) || put(&step, 100, 2))
		tap_bail("no room");
	for (unsigned i = 0; i < 10; i++)
		shm_rcu_quiescent(a);
	ok(s->jpos == 1 && shm_block(shm, shm_state_refs(s)[0]), "E: what a reader found stays until it is quiescent");
	shm_rcu_quiescent(b);
	shm_rcu_quiescent(a);
	ok(!shm_block(shm, shm_state_refs(s)[0]), "E: then it is given back");
	s = shm_peek(shm, slot, 0, NULL);
	shm_rcu_offline(b);
	if (shm_step_begin(&step, a, slot, 0))
		tap_bail("held");
	shm_step_free(&step);
	shm_rcu_quiescent(a);
	is_u64(used_bytes(), 0, "E: who is offline holds nothing");
	shm_rcu_online(b);
}

/* The whole heap, by blocks of the usual size: there is room left when it is called tight. */
static void nearly_full(void)
{
	struct shm_params params = { .slots = OBJECTS, .heap_bytes = 4 << 20, .endpoints = 16, .workers_max = 1 };
	struct shm_self *self, *was = a;
	struct shm *all = shm;
	struct shm_step step;
	unsigned before = 0, after = 0;

	if (shm_create(&shm, NULL, &params) || shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no arena");
	a = self;
	for (; !shm_heap_tight(shm) && !shm_step_begin_new(&step, a) && !put(&step, 3500, 3); before++)
		shm_heap_watch(shm);
	ok(shm_heap_tight(shm), "G: the same of the whole heap (%u objects)", before);
	while (after < before / 10 && !shm_step_begin_new(&step, a) && !put(&step, 3500, 3))
		after++;
	is_u64(after, before / 10, "G: when there is room for a tenth more");
	shm_self_leave(self);
	shm_self_free(self);
	shm_close(shm, true);
	shm = all;
	a = was;
}

static void file(void)
{
	struct shm_params params = { .slots = 64, .heap_bytes = 1 << 20, .endpoints = 16, .workers_max = 1 };
	struct shm *one, *two;
	struct stat st;
	char path[64];

	snprintf(path, sizeof path, "/tmp/velador-b21-%d", (int)getpid());
	is_u64(shm_create(&one, path, &params), 0, "an arena in a file");
	ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600, "of mode 0600");
	ok(st.st_blocks * 512 >= st.st_size, "its pages are allocated");
	is_u64(shm_create(&two, path, &params), ERR_EXISTS, "is not overwritten");
	shm_close(one, true);
	ok(stat(path, &st) != 0, "and is removed when told to");
	is_u64(shm_create(&two, "/nonexistent/arena", &params), ERR_SYSTEM, "no directory");
}

int main(void)
{
	struct shm_params params = { .slots = OBJECTS, .heap_bytes = 24 << 20, .workers_max = 2 };

	if (shm_create(&shm, NULL, &params) || shm_self_claim(&a, shm, SHM_WORKER, 0) || shm_self_claim(&b, shm, SHM_WORKER, 1))
		tap_bail("no arena");
	sizes();
	churn();
	shortage();
	flood();
	readers_hold();
	nearly_full();
	soon_or_late();
	file();
	shm_self_leave(a);
	shm_self_leave(b);
	shm_self_free(a);
	shm_self_free(b);
	shm_close(shm, true);
	return tap_done();
}
