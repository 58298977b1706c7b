/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sleep of the timer process: who puts an earlier deadline on the board while it goes to sleep is seen by it, or rings. First by rule, then as a race of two
 * processes: in each round one says that it sleeps while the other publishes. */
#include "t/tap.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu/uatomic.h>

#include "base/err.h"
#include "shm/internal.h"

enum { ROUNDS = 200000, FAR_MS = 1000000, LONG_MS = 500000, SOON_MS = 1000, LIMIT_S = 120 };

static struct shm *shm;
static struct shm_self *self;

static void commit(struct shm_step *step, uint64_t deadline_ms)
{
	struct shm_state *s;
	shm_ref ref;
	void *p;

	if (shm_step_alloc(step, sizeof *s, &ref, &p))
		tap_bail("no block");
	s = p;
	*s = (struct shm_state){ .deadline_ms = deadline_ms, .bytes = sizeof *s, .flags = SHM_STATE_LIVE };
	shm_step_commit(step, ref);
}

static uint32_t make(uint64_t deadline_ms)
{
	struct shm_step step;

	if (shm_step_begin_new(&step, self))
		tap_bail("no slot");
	commit(&step, deadline_ms);
	return step.slot;
}

static void put(uint32_t slot, uint64_t deadline_ms)
{
	struct shm_step step;

	if (shm_step_begin(&step, self, slot, 0))
		tap_bail("the object is busy");
	commit(&step, deadline_ms);
	shm_rcu_quiescent(self);
}

/* Makes its summary true again: as a scan does. */
static void due(void *arg, uint32_t slot, uint64_t deadline_ms)
{
	(void)arg;
	(void)slot;
	(void)deadline_ms;
}

static void rules(void)
{
	uint32_t slot = make(FAR_MS);

	(void)shm_board_early(shm);
	is_u64(shm_board_sleep(shm, 0), FAR_MS, "who goes to sleep hears of the earliest deadline");
	put(slot, SOON_MS);
	ok(!shm_board_early(shm), "nobody rings one that has not slept yet");
	put(slot, FAR_MS);
	shm_board_scan(self, SOON_MS, due, NULL);
	is_u64(shm_board_sleep(shm, LONG_MS), FAR_MS, "nothing is due before it wakes");
	put(slot, LONG_MS);
	ok(!shm_board_early(shm), "a deadline at the time when it wakes needs no bell");
	put(slot, LONG_MS - 1);
	ok(shm_board_early(shm), "one before it does");
	ok(!shm_board_early(shm), "which is said once");
	put(slot, LONG_MS + 5);
	put(slot, LONG_MS - 1);
	ok(!shm_board_early(shm), "the same once more does not: whoever was rung first looks then");
	is_u64(shm_board_sleep(shm, LONG_MS), LONG_MS - 1, "and one that goes to sleep sees it on the board");
}

/* ---- the race */
static struct race {
	uint32_t ready, done;       /* rounds that the other has come to, and is through with */
	uint32_t early;             /* what it says of the round */
} *race;

/* Where there is one processor the other needs it. */
static void pause_or_yield(unsigned spins)
{
	if (spins > 2000)
		sched_yield();
	else
		caa_cpu_relax();
}

static void wait_until(const uint32_t *word, uint32_t is)
{
	for (unsigned spins = 0; uatomic_read(word) != is; spins++)
		pause_or_yield(spins);
	cmm_smp_rmb(); /* what was written before the word */
}

static void other(uint32_t slot)
{
	alarm(LIMIT_S); /* it is not inherited */
	if (shm_self_claim(&self, shm, SHM_WORKER, 1))
		_exit(1);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		wait_until(&race->ready, i);
		(void)*(volatile uint64_t *)&shm->header->board_wake_ms; /* so that the sleeper's store waits for its cache line, and shows late */
		put(slot, SOON_MS);
		uatomic_set(&race->early, shm_board_early(shm));
		put(slot, FAR_MS);
		uatomic_set(&race->done, i);
	}
	_exit(0);
}

static void race_on(void)
{
	uint32_t slot = make(FAR_MS), seen = 0, rung = 0, lost = 0, pauses = 0;
	int status;
	pid_t pid;

	race = mmap(NULL, sizeof *race, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (race == MAP_FAILED || (pid = fork()) < 0)
		tap_bail("no child");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		other(slot);
	}
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		bool saw;

		shm_board_sleep(shm, 0);
		shm_board_scan(self, FAR_MS - 1, due, NULL); /* the summary of the round before */
		uatomic_set(&race->ready, i);
		for (unsigned k = 0; k < pauses; k++)
			pause_or_yield(k);
		saw = shm_board_sleep(shm, LONG_MS) == SOON_MS;
		wait_until(&race->done, i);
		if (!saw)
			pauses++;
		else if (pauses)
			pauses--; /* so half of the rounds come before the other, half behind it, and most close to it */
		seen += saw;
		rung += race->early;
		lost += !saw && !race->early;
		shm_rcu_quiescent(self);
	}
	ok(waitpid(pid, &status, 0) == pid && status == 0, "the other ends well");
	is_u64(lost, 0, "no deadline was put on the board unseen and unrung, in %d rounds", ROUNDS);
	ok(seen > ROUNDS / 100 && rung > ROUNDS / 100, "both ways were taken: %u times it was seen, %u times rung", seen, rung);
	munmap(race, sizeof *race);
}

int main(void)
{
	struct shm_params params = { .slots = 64, .heap_bytes = 32 << 20, .workers_max = 2 };

	alarm(LIMIT_S);
	if (shm_create(&shm, NULL, &params) || shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no arena");
	rules();
	race_on();
	shm_self_leave(self);
	shm_self_free(self);
	shm_close(shm, true);
	return tap_done();
}
