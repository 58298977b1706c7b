/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one change of an object costs, and one look at it. Not part of make check. */
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "shm/shm.h"

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void commit(struct shm_step *step, uint64_t deadline_ms)
{
	shm_ref blob = step->old ? shm_state_refs(step->old)[0] : 0, ref;
	struct shm_state *s;
	void *p;

	if (!blob && shm_step_alloc(step, 600, &blob, &p))
		abort();
	if (shm_step_alloc(step, 1000, &ref, &p))
		abort();
	s = p;
	*s = (struct shm_state){ .deadline_ms = deadline_ms, .key = { 0x9e3779b97f4a7c15ull * (step->slot + 1) },
		.bytes = 700, .flags = SHM_STATE_LIVE, .gateway = 1, .nrefs = 1 };
	shm_state_refs(s)[0] = blob;
	shm_step_commit(step, ref);
}

static void report(const char *what, uint64_t from_ns, unsigned n)
{
	printf("%-48s %8.1f ns\n", what, (double)(now_ns() - from_ns) / n);
	fflush(stdout);
}

/* Two workers at once, each on objects of its own. */
static void contend(struct shm *shm, uint32_t live, unsigned n)
{
	for (unsigned w = 1; w <= 2; w++) {
		struct shm_self *self;
		struct shm_step step;
		uint64_t from;

		if (fork() != 0)
			continue;
		if (shm_self_claim(&self, shm, SHM_WORKER, w))
			_exit(1);
		from = now_ns();
		for (unsigned i = 0; i < n; i++) {
			while (shm_step_begin(&step, self, (i % (live / 2)) * 2 + w - 1, 0)) {
				shm_rcu_quiescent(self); /* limbo is full: the other one was put to sleep by the scheduler */
				sched_yield();
			}
			commit(&step, 1000000 + i % 5000);
			if (i % 8 == 0)
				shm_rcu_quiescent(self);
		}
		report("two processes at once, quiescent each 8", from, n);
		shm_self_leave(self);
		_exit(0);
	}
	while (wait(NULL) > 0)
		continue;
}

int main(int argc, char **argv)
{
	uint32_t slots = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000, live = slots / 5 * 4;
	struct shm_params params = { .slots = slots, .workers_max = 8, .heap_bytes = argc > 2 ? strtoull(argv[2], NULL, 10) << 20 : 0 };
	struct shm_self *self;
	struct shm_step step;
	struct shm *shm;
	uint64_t from, used, all, seed = 1, sum = 0;
	unsigned n = 2000000;

	if (!params.heap_bytes)
		params.heap_bytes = (80ull << 20) + (uint64_t)slots * 1472; /* with room for two full limbo lists */
	if (shm_create(&shm, argc > 3 ? argv[3] : NULL, &params) || shm_self_claim(&self, shm, SHM_WORKER, 0))
		return 1;
	from = now_ns();
	for (unsigned i = 0; i < live; i++) {
		if (shm_step_begin_new(&step, self))
			return 1;
		commit(&step, 1000000 + i % 5000);
		shm_rcu_quiescent(self);
	}
	report("begin_new, 2 allocs, commit, quiescent (cold)", from, live);
	shm_heap_usage(shm, &used, &all);
	printf("%u objects, heap %.0f of %.0f MiB\n", shm_objects_used(shm), (double)used / 1048576, (double)all / 1048576);
	from = now_ns();
	for (unsigned i = 0; i < n; i++) {
		if (shm_step_begin(&step, self, 7, 0))
			return 1;
		commit(&step, 1000000 + i);
		shm_rcu_quiescent(self);
	}
	report("begin, alloc 1 KiB, commit, quiescent: one object", from, n);
	from = now_ns();
	for (unsigned i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		if (shm_step_begin(&step, self, (uint32_t)((seed >> 33) % live), 0))
			return 1;
		commit(&step, 1000000 + i % 5000);
		if (i % 32 == 0)
			shm_rcu_quiescent(self);
	}
	report("the same, random objects, quiescent each 32", from, n);
	from = now_ns();
	for (unsigned i = 0; i < n * 10; i++)
		sum += shm_peek(shm, 7 + (i & 3), 0, NULL)->deadline_ms;
	report("peek", from, n * 10);
	from = now_ns();
	for (unsigned i = 0; i < 1000; i++)
		sum += shm_board_next(shm);
	report("idle look over the board", from, 1000);
	fflush(stdout);
	shm_rcu_offline(self);
	contend(shm, live < 2000 ? live : 2000, n);
	shm_close(shm, true);
	return sum == 0;
}
