/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a process dies in the tests of shm/: a hook at the injection points that jumps out of them, or kills; a worker that publishes
 * states of one object; and the end, when all is freed and nothing may be left. */
#ifndef VELADOR_T_SHM_DEATHS_H
#define VELADOR_T_SHM_DEATHS_H

#include "t/tap.h"

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include "base/err.h"
#include "base/inject.h"
#include "shm/shm.h"

enum { SLOTS = 64, KEY = 1000, BIG = SHM_BLOCK_MAX };

static struct shm *shm;
static struct shm_self *self, *bystander;
static jmp_buf grave;
static long passages_left;
static const char *died_at;
static bool by_signal;
/* What the one at work was doing; in shared memory where it is a child. */
static struct progress {
	uint64_t jpos;       /* of the state being published; the object bore jpos - 1 before */
	bool published;      /* the commit came back */
	bool sent;           /* and the outbox was emptied */
	bool early, taken;   /* "early" was marked as sent before what stands in front of it; "taken" the kernel had noted */
	uint32_t slot;
	bool received[2];    /* datagrams lie in the journal */
	bool handled[2];
	bool freeing;
} *at;

static void pass_point(const char *point)
{
	if (--passages_left != 0)
		return;
	died_at = point;
	if (by_signal)
		kill(getpid(), SIGKILL);
	longjmp(grave, 1);
}

static unsigned problems;
static char first_problem[200];
static void problem(void *arg, const char *text)
{
	(void)arg;
	if (problems++ == 0)
		snprintf(first_problem, sizeof first_problem, "%s", text);
}

/* Turns a broken expectation into a problem, to be told with the point. */
#define EXPECT(condition)                                    \
	do {                                                 \
		if (!(condition))                            \
			problem(NULL, "not so: " #condition); \
	} while (0)

static shm_ref make(struct shm_step *step, uint64_t deadline_ms, unsigned flags, unsigned gateway)
{
	shm_ref state, blob, vain, kept = 0;
	void *p;
	struct shm_state *s;

	EXPECT(!shm_step_alloc(step, 200, &blob, &p));
	memset(p, (int)at->jpos, 200);
	EXPECT(!shm_step_alloc(step, 100, &vain, &p));
	EXPECT(!shm_step_alloc(step, 500, &state, &p));
	if (step->old)
		kept = shm_state_refs(step->old)[0];
	s = p;
	*s = (struct shm_state){
		.jpos = at->jpos, .deadline_ms = deadline_ms, .key = { KEY, KEY | 1ull << 50 }, .bytes = 300,
		.flags = (uint16_t)flags, .gateway = (uint16_t)gateway, .nsends = 2, .nrefs = kept ? 2 : 1,
	};
	shm_state_sends(s)[0] = (struct shm_send){ .bytes = blob, .length = (uint32_t)at->jpos };
	shm_state_sends(s)[1] = (struct shm_send){ .bytes = vain, .length = 50 }; /* sent, and not kept */
	shm_state_refs(s)[0] = blob;
	if (kept)
		shm_state_refs(s)[1] = kept;
	return state;
}

static void publish(struct shm_step *step, uint64_t deadline_ms, unsigned flags, unsigned gateway)
{
	shm_ref state;

	at->jpos++;
	at->sent = at->published = false;
	state = make(step, deadline_ms, flags, gateway);
	shm_step_commit(step, state);
	at->published = true;
}

static void drain(struct shm_self *who)
{
	shm_outbox_sent(who, shm_outbox_count(who));
	if (who == self)
		at->sent = true;
	shm_rcu_quiescent(who);
}

static void bury_all(void)
{
	struct shm_step step;
	struct shm_record_file file;
	struct shm_self *recorder;
	uint32_t slot, generation;

	EXPECT(!shm_self_claim(&recorder, shm, SHM_RECORDER, 0));
	shm_record_begin(recorder, &file);
	for (unsigned p = 0; p < SHM_PROCS_MAX; p++)
		while (shm_notice_next(recorder, p, &slot, &generation))
			shm_record_commit(recorder, file.offset + 1, &slot, &generation, 1);
	shm_self_leave(recorder);
	shm_self_free(recorder);
	for (slot = 0; slot < SLOTS; slot++)
		if (!shm_step_begin(&step, self, slot, 0)) {
			if ((step.old->flags & SHM_STATE_RECORD) && !shm_recorded(shm, slot, step.generation))
				problem(NULL, "an ended object was never noticed");
			else
				shm_step_free(&step);
		}
	drain(self);
	shm_rcu_quiescent(bystander);
	drain(self);
}

static void expect_empty(void)
{
	uint64_t used, all;

	shm_check(shm, true, problem, NULL);
	shm_heap_usage(shm, &used, &all);
	EXPECT(used == 0);
	EXPECT(shm_objects_used(shm) == 0 && shm_objects_live(shm) == 0 && shm_gateway_calls(shm, 8) == 0);
}

/* Runs fn, dying at the n-th passage (0 = never); returns whether it came to its end. */
static bool run(void (*fn)(void), long n)
{
	volatile bool ended = false;

	passages_left = n;
	if (setjmp(grave) == 0) {
		fn();
		ended = true;
	}
	passages_left = 0;
	return ended;
}

static void claim(void)
{
	if (shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no process slot");
}

static void open_arena(void)
{
	struct shm_params params = { .slots = SLOTS, .heap_bytes = 4 << 20, .endpoints = 64, .workers_max = 2 };

	if (shm_create(&shm, NULL, &params) || shm_self_claim(&bystander, shm, SHM_WORKER, 1))
		tap_bail("no arena");
	/* A room in the arena that nothing here uses otherwise: forked children note their progress in it. */
	_Static_assert(sizeof *at <= SHM_NAME, "fits");
	at = (void *)shm_gateway(shm, SHM_GATEWAYS_MAX - 1)->name;
	inject_hook = pass_point;
}

static void close_arena(void)
{
	shm_self_leave(bystander);
	shm_self_free(bystander);
	shm_close(shm, true);
}

#endif
