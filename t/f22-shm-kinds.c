/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A recorder dies at every injection point of its commit, a timer process at every one of its scan, a worker while it enters an endpoint: no
 * record is torn, no deadline lost, no entry stays half made (shm/README D). */
#include "t/shm-deaths.h"

static struct shm_self *other;

static void record_life(void)
{
	uint32_t slots[3] = { 1, 2, 3 }, generations[3] = { (uint32_t)at->jpos, (uint32_t)at->jpos, (uint32_t)at->jpos };

	shm_record_commit(other, at->jpos, slots, generations, 3);
}

static void recorder_deaths(void)
{
	bool ended = false;
	long n;

	for (n = 1; !ended; n++) {
		struct shm_record_file file;
		bool all = true, none = true;

		at->jpos = 100 + (uint64_t)n;
		if (shm_self_claim(&other, shm, SHM_RECORDER, 0))
			tap_bail("no recorder");
		shm_record_open(other, &(struct shm_record_file){ .offset = 7 });
		ended = run(record_life, n);
		shm_self_free(other);
		if (shm_self_claim(&other, shm, SHM_RECORDER, 0))
			tap_bail("no recorder");
		shm_record_begin(other, &file);
		for (uint32_t slot = 1; slot <= 3; slot++)
			shm_recorded(shm, slot, (uint32_t)at->jpos) ? (none = false) : (all = false);
		EXPECT(file.offset == (all ? at->jpos : 7) && (all || none));
		EXPECT(!ended || all);
		shm_self_leave(other);
		shm_self_free(other);
	}
	is_u64(problems, 0, "D: a recorder that dies at any of %ld passages has moved its file and marked all, or nothing", n - 2);
}

static void due(void *arg, uint32_t slot, uint64_t deadline_ms)
{
	struct shm_step step;

	(void)arg;
	(void)deadline_ms;
	EXPECT(!shm_step_begin(&step, other, slot, 0));
	at->jpos = step.old->jpos;
	publish(&step, 9000, SHM_STATE_LIVE, 1);
}

static void timer_life(void)
{
	shm_board_rebuild(other);
	shm_board_scan(other, 5000, due, NULL);
}

static void timer_deaths(void)
{
	bool ended = false;
	long n;

	for (n = 1; !ended && !problems; n++) {
		struct shm_step step;

		claim();
		*at = (struct progress){ .jpos = 0 };
		EXPECT(!shm_step_begin_new(&step, self));
		at->slot = step.slot;
		publish(&step, 5000, SHM_STATE_LIVE, 1);
		drain(self);
		EXPECT(!shm_self_claim(&other, shm, SHM_TIMER, 0));
		ended = run(timer_life, n);
		shm_self_free(other);
		EXPECT(!shm_self_claim(&other, shm, SHM_TIMER, 0));
		timer_life();
		EXPECT(shm_board_next(shm) == 9000 && shm_peek(shm, at->slot, 0, NULL)->deadline_ms == 9000);
		shm_check(shm, true, problem, NULL);
		drain(other);
		shm_rcu_quiescent(self);
		shm_rcu_quiescent(bystander);
		shm_rcu_quiescent(other);
		shm_self_leave(other);
		shm_self_free(other);
		bury_all();
		expect_empty();
		shm_self_leave(self);
		shm_self_free(self);
	}
	ok(problems == 0, "D: a timer process that dies at any of %ld passages loses no deadline%s%s", n - 2, problems ? ": " : "", first_problem);
}

/* While a rebuild looks at an object, its holder frees it. */
static void free_it(const char *point)
{
	struct shm_step step;

	if (strcmp(point, "shm.board.peeked") != 0 || !at->freeing || !shm_peek(shm, at->slot, 0, NULL))
		return;
	at->freeing = false;
	EXPECT(!shm_step_begin(&step, self, at->slot, 0));
	shm_step_free(&step);
}

static void rebuild_race(void)
{
	struct shm_step step;

	claim();
	EXPECT(!shm_self_claim(&other, shm, SHM_TIMER, 0));
	*at = (struct progress){ .jpos = 0 };
	EXPECT(!shm_step_begin_new(&step, self));
	at->slot = step.slot;
	publish(&step, 5000, SHM_STATE_LIVE, 1);
	drain(self);
	EXPECT(at->slot == 0); /* the first that a rebuild looks at */
	at->freeing = true;
	inject_hook = free_it;
	shm_board_rebuild(other);
	inject_hook = pass_point;
	EXPECT(!at->freeing && !shm_peek(shm, at->slot, 0, NULL));
	EXPECT(shm_board_deadline(shm, at->slot) == SHM_NEVER);
	drain(other);
	drain(self);
	shm_check(shm, true, problem, NULL);
	shm_self_leave(other);
	shm_self_free(other);
	shm_self_leave(self);
	shm_self_free(self);
	ok(problems == 0, "D: a rebuild does not bring back the deadline of an object freed meanwhile%s%s", problems ? ": " : "", first_problem);
}

static struct addr measured;
static void endpoint_life(void)
{
	shm_endpoint_sample(shm, &measured, 800);
}

static void endpoint_deaths(void)
{
	bool ended = false;
	long n;

	for (n = 1; !ended; n++) {
		struct shm_endpoint_info info = { .samples = 0 };
		bool found = false;

		measured = (struct addr){ .family = 4, .port = (uint16_t)n };
		ended = run(endpoint_life, n);
		endpoint_life();
		for (uint32_t i = 0; i < shm_endpoints(shm) && !found; i++)
			found = shm_endpoint_info(shm, i, &info) && addr_eq(&info.addr, &measured);
		EXPECT(found && info.srtt_ms == 800 && info.samples >= 1);
	}
	is_u64(problems, 0, "D: an endpoint's entry half made at any of %ld passages is made whole by the next sample", n - 2);
}

int main(void)
{
	open_arena();
	recorder_deaths();
	timer_deaths();
	rebuild_race();
	endpoint_deaths();
	close_arena();
	return tap_done();
}
