/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process dies at every injection point of shm/, at each passage: first in a life of work (a step, a deferral, a record, a
 * scan), then also in the repair of that death. After the repair the arena must be sound, the object in its old state or the
 * new one, and what is published must be queued to be sent (shm/README B, C, D, F). Most deaths are long jumps out of the
 * point, which leave the arena as a kill does; the last part dies by SIGKILL in a forked child. */
#include "t/tap.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <sys/wait.h>
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
	uint32_t slot;
	bool received;       /* two datagrams lie in the journal */
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

/* ------------------------------------------------------------------------------------------ a life of work */
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

static void receive_two(void)
{
	struct mmsghdr *m = shm_journal_open(self, 1);

	for (unsigned i = 0; i < 2; i++) {
		struct sockaddr_in *in = m[i].msg_hdr.msg_name;

		*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(5060) };
		memset(m[i].msg_hdr.msg_iov->iov_base, 'A' + (int)i, 100 + i);
		m[i].msg_len = 100 + i;
	}
	at->received = true;
	at->handled[0] = at->handled[1] = false;
}

static void journal_work(void)
{
	struct shm_datagram d;
	struct addr to = { .family = 4, .port = 1 };

	receive_two();
	EXPECT(!shm_defer(self, 0));
	at->handled[1] = true;
	shm_journal_done(self, 1);
	EXPECT(!shm_deferred(self, 0, &d) && d.length == 100 && d.bytes[99] == 'A');
	at->handled[0] = true;
	shm_deferred_done(self, 0);
	EXPECT(!shm_outbox_put(self, 0, &to, "hello", 5));
	drain(self);
}

/* Blocks so large that three fill a chunk: chunks are assigned and flagged. */
static void chunk_work(void)
{
	struct shm_step step;
	shm_ref ref;
	void *p;

	EXPECT(!shm_step_begin_new(&step, self));
	for (unsigned i = 0; i < 5; i++)
		EXPECT(!shm_step_alloc(&step, BIG, &ref, &p));
	shm_step_abort(&step);
}

static void life(void)
{
	struct shm_step step;

	EXPECT(!shm_step_begin_new(&step, self));
	at->slot = step.slot;
	publish(&step, 5000, SHM_STATE_LIVE, 1);
	drain(self);
	EXPECT(!shm_step_begin(&step, self, at->slot, 0));
	publish(&step, 3000, SHM_STATE_LIVE, 2);
	drain(self);
	EXPECT(!shm_step_begin(&step, self, at->slot, 0));
	shm_step_resend(&step);
	drain(self);
	journal_work();
	EXPECT(!shm_step_begin(&step, self, at->slot, 0));
	publish(&step, 8000, SHM_STATE_RECORD, 0);
	drain(self);
	EXPECT(!shm_step_begin(&step, self, at->slot, 0));
	make(&step, 1, 0, 0);
	shm_step_abort(&step);
	chunk_work();
	shm_rcu_offline(self);
	shm_rcu_online(self);
}

/* ------------------------------------------------------------------------------------------ others meanwhile, and after */
/* A bystander makes, changes and frees an object of its own while the dead one lies there unrepaired. */
static void others_go_on(void)
{
	struct shm_step step;
	struct progress mine = { .jpos = 0 }, *saved = at;
	int err;

	at = &mine;
	err = shm_step_begin(&step, bystander, saved->slot, 0);
	EXPECT(err == 0 || err == ERR_BUSY || err == ERR_STALE);
	if (!err)
		shm_step_abort(&step);
	EXPECT(!shm_step_begin_new(&step, bystander));
	mine.slot = step.slot;
	publish(&step, 7000, SHM_STATE_LIVE, 9);
	drain(bystander);
	EXPECT(!shm_step_begin(&step, bystander, mine.slot, 0));
	publish(&step, 7100, SHM_STATE_LIVE, 9);
	drain(bystander);
	EXPECT(!shm_step_begin(&step, bystander, mine.slot, 0));
	shm_step_free(&step);
	drain(bystander);
	at = saved;
}

/* At any instant, also while somebody lies dead in the middle: the board is never later than what is published. */
static void expect_board_in_time(void)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		const struct shm_state *s = shm_peek(shm, slot, 0, NULL);

		EXPECT(!s || shm_board_deadline(shm, slot) <= s->deadline_ms);
		EXPECT(!s || shm_board_next(shm) <= s->deadline_ms);
	}
}

static void expect_atomic(void)
{
	const struct shm_state *s = shm_peek(shm, at->slot, 0, NULL);
	uint64_t jpos = s ? s->jpos : 0;

	if (!at->jpos)
		return;
	EXPECT(jpos == at->jpos || (!at->published && jpos == at->jpos - 1));
	if (s)
		EXPECT(*(char *)shm_block(shm, shm_state_refs(s)[0]) == (char)jpos);
}

/* Guarantee F, as the successor sees it before its first quiescent state. */
static void expect_queued(void)
{
	const struct shm_state *s = shm_peek(shm, at->slot, 0, NULL);
	struct shm_datagram d;
	struct shm_out out;
	bool queued = false, seen[2] = { false, false };

	for (unsigned i = 0; shm_outbox_entry(self, i, &out) == 0; i++)
		queued = queued || (s && out.length == s->jpos && *(const char *)out.bytes == (char)s->jpos);
	EXPECT(queued || at->sent || !s || s->jpos != at->jpos);
	for (unsigned i = 0; i < SHM_JOURNAL_BATCH; i++)
		if (!shm_journal_entry(self, i, &d)) {
			EXPECT(i < 2 && d.length == 100 + i && d.bytes[0] == 'A' + (int)i && d.from.port == 5060);
			seen[i] = true;
			shm_journal_done(self, i);
		}
	while (!shm_deferred(self, 0, &d)) {
		EXPECT(d.length == 100 && d.bytes[0] == 'A');
		EXPECT(!seen[0]);
		seen[0] = true;
		shm_deferred_done(self, 0);
	}
	EXPECT(!at->received || ((seen[0] || at->handled[0]) && (seen[1] || at->handled[1])));
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

/* ------------------------------------------------------------------------------------------ deaths */
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

static void repair(void)
{
	shm_repair(shm, shm_proc_slot(shm, SHM_WORKER, 0));
}

static void claim(void)
{
	if (shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no process slot");
}

/* One life that ends at passage n, its repair at passage m. Returns bit 0: the life ended by itself; bit 1: the repair did. */
static unsigned live_and_die(long n, long m)
{
	static const char *life_at;
	unsigned ended = 0;

	*at = (struct progress){ .jpos = 0 };
	died_at = NULL;
	claim();
	ended |= run(life, n) ? 1 : 0;
	life_at = died_at;
	expect_board_in_time();
	others_go_on();
	ended |= run(repair, m) ? 2 : 0;
	others_go_on();
	repair();
	shm_check(shm, true, problem, NULL);
	expect_atomic();
	shm_self_free(self);
	claim();
	expect_queued();
	bury_all();
	expect_empty();
	shm_self_leave(self);
	shm_self_free(self);
	if (problems) {
		fail("passage %ld at %s, repair killed at passage %ld at %s: %s", n, life_at ? life_at : "the end", m,
		     died_at ? died_at : "-", first_problem);
		exit(tap_done());
	}
	return ended;
}

static void all_deaths(void)
{
	long n, m, deaths = 0, repairs = 0;
	bool over = false;

	for (n = 1; !over; n++) {
		for (m = 0;; m++) {
			unsigned ended = live_and_die(n, m);

			over = ended & 1;
			deaths += !(ended & 1);
			repairs += !(ended & 2);
			if (m && (ended & 2))
				break;
		}
	}
	ok(n > 100, "D: %ld passages of a life, %ld deaths, %ld of them with the repair killed as well: always sound", n - 2, deaths, repairs);
}

static void deaths_by_signal(void)
{
	long n, deaths = 0;
	int status = 0;

	by_signal = true;
	for (n = 1; n == 1 || WIFSIGNALED(status); n++) {
		pid_t pid;

		*at = (struct progress){ .jpos = 0 };
		pid = fork();
		if (pid == 0) {
			claim();
			passages_left = n;
			life();
			_exit(problems ? 1 : 0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			tap_bail("no child");
		deaths += WIFSIGNALED(status);
		others_go_on();
		repair();
		shm_check(shm, true, problem, NULL);
		expect_atomic();
		claim();
		expect_queued();
		bury_all();
		expect_empty();
		shm_self_leave(self);
		shm_self_free(self);
		if (problems) {
			fail("killed at passage %ld: %s", n, first_problem);
			return;
		}
	}
	ok(deaths > 100 && WIFEXITED(status) && WEXITSTATUS(status) == 0, "D: %ld children killed, one at each passage: always sound", deaths);
	by_signal = false;
}

/* ------------------------------------------------------------------------------------------ recorder and timer */
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

int main(void)
{
	struct shm_params params = { .slots = SLOTS, .heap_bytes = 4 << 20, .endpoints = 64, .workers_max = 2 };
	struct progress *shared;

	if (shm_create(&shm, NULL, &params) || shm_self_claim(&bystander, shm, SHM_WORKER, 1))
		tap_bail("no arena");
	/* A room in the arena that nothing here uses otherwise: the forked children note their progress in it. */
	_Static_assert(sizeof *shared <= sizeof shm_gateway(shm, 0)->name, "fits");
	at = (void *)shm_gateway(shm, SHM_GATEWAYS_MAX - 1)->name;
	inject_hook = pass_point;
	all_deaths();
	deaths_by_signal();
	recorder_deaths();
	timer_deaths();
	shm_close(shm, true);
	return tap_done();
}
