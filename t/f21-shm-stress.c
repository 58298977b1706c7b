/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Readers, updaters and a timer process over one arena, all of them killed again and again: by SIGKILL at any instant, and at
 * random injection points; their repairs as well. Freed blocks are overwritten in this build, so a reader that met one would see it
 * (shm/README A, B, C, E). At the end nothing may have leaked.
 *
 * VELADOR_STRESS_S: seconds to run (default 6). VELADOR_STRESS_SEED: the seed (default: from the clock, printed). */
#include "t/tap.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <urcu/uatomic.h>

#include "base/err.h"
#include "base/inject.h"
#include "shm/shm.h"

enum { SLOTS = 256, CHILDREN = 6, UPDATERS = 3, BODY = 400, READS = 40, BATCH = 8, HOT = 2 };

/* What the owner's part of each state holds. */
struct body {
	uint64_t version;
	uint64_t sum;        /* over the bytes, and the blob's */
	unsigned char bytes[BODY];
};

/* Shared with the children. */
static struct tally {
	volatile bool stop;
	uint64_t now_ms;
	uint64_t reads, commits, frees, full, busy, bad;
	uint64_t deaths, repair_deaths;
	char text[200];
} *tally;

static struct shm *shm;
static struct shm_self *self;
static uint64_t seed;

static uint32_t roll(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % below);
}

static void bad(const char *format, uint64_t a, uint64_t b)
{
	if (uatomic_add_return(&tally->bad, 1) == 1)
		snprintf(tally->text, sizeof tally->text, format, (unsigned long long)a, (unsigned long long)b);
}

static uint64_t sum(const unsigned char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

/* ------------------------------------------------------------------------------------------ readers */
/* Whether the state, its body and its blob are whole; its version. */
static uint64_t look(uint32_t slot, const struct shm_state *s)
{
	const struct body *b = shm_state_body(s);
	const unsigned char *blob;

	if (s->nrefs != 1 || s->nsends != 1 || s->key[0] != 0x100000000ull + slot) {
		bad("slot %llu: its head is torn (%llx)", slot, s->key[0]);
		return 0;
	}
	blob = shm_block(shm, shm_state_refs(s)[0]);
	if (!blob)
		bad("slot %llu: its blob %llx is gone", slot, shm_state_refs(s)[0]);
	else if (b->sum != (sum(b->bytes, BODY) ^ sum(blob, 200)))
		bad("slot %llu: version %llu does not add up", slot, b->version);
	return b->version;
}

static void reader(void)
{
	static struct { uint32_t generation; uint64_t version; } seen[SLOTS];

	while (!tally->stop) {
		const struct shm_state *held[READS];
		uint32_t slots[READS], generation;

		for (unsigned i = 0; i < READS; i++) {
			struct shm_index_iter it;

			slots[i] = roll(SLOTS);
			held[i] = NULL;
			shm_index_start(&it, 0x100000000ull + slots[i]);
			if (i % 2 && !shm_index_next(shm, &it, &slots[i]))
				continue;
			if (!(held[i] = shm_peek(shm, slots[i], 0, &generation)))
				continue;
			if (generation == seen[slots[i]].generation && look(slots[i], held[i]) < seen[slots[i]].version)
				bad("slot %llu went back from version %llu", slots[i], seen[slots[i]].version);
			seen[slots[i]].generation = generation;
			seen[slots[i]].version = ((struct body *)shm_state_body(held[i]))->version;
		}
		if (roll(8) == 0)
			sched_yield();
		for (unsigned i = 0; i < READS; i++)
			if (held[i])
				look(slots[i], held[i]); /* still, as we have not been quiescent */
		uatomic_add(&tally->reads, READS);
		shm_rcu_quiescent(self);
	}
}

/* ------------------------------------------------------------------------------------------ updaters */
static void commit(struct shm_step *step)
{
	const struct body *was = step->old ? shm_state_body(step->old) : NULL;
	shm_ref ref, blob;
	struct shm_state *s;
	struct body *b;
	void *p;
	int err;

	if ((err = shm_step_alloc(step, 200 + roll(3000), &blob, &p)) == 0) {
		memset(p, (int)roll(256), 200);
		if (roll(50) == 0)
			err = shm_step_alloc(step, 60000, &ref, &p); /* in vain */
	}
	if (!err)
		err = shm_step_alloc(step, sizeof *s + sizeof(struct shm_send) + sizeof(shm_ref) + sizeof *b + roll(600), &ref, &p);
	if (err || roll(20) == 0) {
		uatomic_add(&tally->full, err != 0);
		shm_step_abort(step);
		return;
	}
	s = p;
	*s = (struct shm_state){
		.deadline_ms = uatomic_read(&tally->now_ms) + roll(50), .key = { 0x100000000ull + step->slot },
		.bytes = sizeof *s + sizeof(struct shm_send) + sizeof(shm_ref) + sizeof *b,
		.flags = SHM_STATE_LIVE, .gateway = (uint16_t)roll(5), .nsends = 1, .nrefs = 1,
	};
	shm_state_sends(s)[0] = (struct shm_send){ .bytes = blob, .length = 200 };
	shm_state_refs(s)[0] = blob;
	b = shm_state_body(s);
	for (unsigned i = 0; i < BODY; i++)
		b->bytes[i] = (unsigned char)roll(256);
	b->version = was ? was->version + 1 : 1;
	b->sum = sum(b->bytes, BODY) ^ sum(shm_block(shm, blob), 200);
	shm_step_commit(step, ref);
	uatomic_inc(&tally->commits);
}

static void update(uint32_t slot)
{
	struct shm_step step;
	uint32_t generation = 0;
	int err;

	if (slot < SLOTS) {
		if (!shm_peek(shm, slot, 0, &generation))
			return;
		if (roll(8) == 0)
			sched_yield(); /* it may be freed, and be another, before we take it */
		err = shm_step_begin(&step, self, slot, generation);
	} else {
		err = shm_step_begin_new(&step, self);
	}
	if (err) {
		uatomic_add(&tally->busy, err == ERR_BUSY);
		return;
	}
	if (slot < SLOTS && (!step.old || step.generation != generation))
		bad("slot %llu: taken with another generation than %llu", slot, generation);
	if (step.old)
		look(slot, step.old);
	if (step.old && roll(5) == 0) {
		shm_step_free(&step);
		uatomic_inc(&tally->frees);
	} else {
		commit(&step);
	}
}

static void send_all(void)
{
	struct shm_out out;

	for (unsigned i = 0; shm_outbox_entry(self, i, &out) == 0; i++)
		if (out.length != 200 || ((const char *)out.bytes)[0] != ((const char *)out.bytes)[199])
			bad("outbox: torn bytes (%llu, %llu)", i, out.length);
	shm_outbox_sent(self, shm_outbox_count(self));
	shm_rcu_quiescent(self);
}

static void updater(void)
{
	send_all();
	while (!tally->stop) {
		for (unsigned i = 0; i < BATCH; i++)
			update(roll(4) == 0 ? SLOTS : roll(roll(2) ? HOT : SLOTS));
		send_all();
		if (roll(16) == 0) {
			shm_rcu_offline(self);
			sched_yield();
			shm_rcu_online(self);
		}
	}
}

static void due(void *arg, uint32_t slot, uint64_t deadline_ms)
{
	(void)arg;
	if (deadline_ms > uatomic_read(&tally->now_ms))
		bad("slot %llu due before its time %llu", slot, deadline_ms);
	if (shm_outbox_count(self) < SHM_OUTBOX / 2)
		update(slot);
}

static void timer(void)
{
	send_all();
	shm_board_rebuild(self);
	while (!tally->stop) {
		shm_board_scan(self, uatomic_add_return(&tally->now_ms, 1), due, NULL);
		send_all();
		sched_yield();
	}
}

/* ------------------------------------------------------------------------------------------ the supervisor's part */
static long passages_left;
static void pass_point(const char *point)
{
	(void)point;
	if (passages_left && --passages_left == 0)
		kill(getpid(), SIGKILL);
}

static struct child {
	pid_t pid;
	enum shm_kind kind;
	unsigned index;
	void (*life)(void);
} children[CHILDREN] = {
	{ 0, SHM_WORKER, 0, updater }, { 0, SHM_WORKER, 1, updater }, { 0, SHM_WORKER, 2, updater },
	{ 0, SHM_TIMER, 0, timer }, { 0, SHM_CONTROL, 0, reader }, { 0, SHM_RECORDER, 0, reader },
};

static pid_t start(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		tap_bail("no child");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

static void start_child(struct child *c)
{
	bool at_point = roll(2);
	uint32_t passages = 1 + roll(roll(2) ? 400 : 20000);

	roll(1);
	seed ^= 0x9e3779b97f4a7c15ull;
	if ((c->pid = start()) != 0)
		return;
	passages_left = at_point ? (long)passages : 0;
	if (shm_self_claim(&self, shm, c->kind, c->index))
		_exit(2);
	c->life();
	shm_outbox_sent(self, shm_outbox_count(self));
	passages_left = 0;
	shm_self_leave(self);
	_exit(0);
}

static void repair(const struct child *c)
{
	long passages = roll(3) == 0 ? 1 + (long)roll(60) : 0;
	int status;
	pid_t pid = start();

	if (pid == 0) {
		passages_left = passages;
		shm_repair(shm, shm_proc_slot(shm, c->kind, c->index));
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	tally->repair_deaths += WIFSIGNALED(status);
	shm_repair(shm, shm_proc_slot(shm, c->kind, c->index));
}

static void reap(struct child *c, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		bad("a child died of signal %llu (%llu)", (uint64_t)WTERMSIG(status), 0);
	tally->deaths++;
	repair(c);
	start_child(c);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Two timer processes in a row may well die on the same object here; that it is set aside then (H) is no fault. */
static unsigned problems;
static void problem(void *arg, const char *text)
{
	(void)arg;
	if (strstr(text, "set aside"))
		return;
	diag("%s", text);
	problems++;
}

static unsigned check(bool quiet)
{
	problems = 0;
	shm_check(shm, quiet, problem, NULL);
	return problems;
}

static void torment(uint64_t until_ms)
{
	/* On a busy machine longer, until it has proved something. */
	while ((now_ms() < until_ms || ((tally->deaths <= 20 || tally->commits <= 1000) && now_ms() < until_ms + 60000)) && !tally->bad) {
		struct timespec nap = { .tv_nsec = 100000 + roll(3000000) };
		int status;

		nanosleep(&nap, NULL);
		if (roll(4) == 0)
			kill(children[roll(CHILDREN)].pid, SIGKILL);
		for (unsigned i = 0; i < CHILDREN; i++)
			if (waitpid(children[i].pid, &status, WNOHANG) == children[i].pid)
				reap(&children[i], status);
		if (roll(64) == 0 && check(false))
			bad("a running arena is unsound (%llu, %llu)", 0, 0);
	}
	tally->stop = true;
	for (unsigned i = 0; i < CHILDREN; i++) {
		int status;

		while (waitpid(children[i].pid, &status, 0) < 0 && errno == EINTR)
			continue;
		if (!WIFEXITED(status))
			shm_repair(shm, shm_proc_slot(shm, children[i].kind, children[i].index));
	}
}

/* The timer process may have been the last to die, in the middle of a scan: its successor's first act. */
static void rebuild(void)
{
	if (shm_self_claim(&self, shm, SHM_TIMER, 0))
		tap_bail("no process slot");
	send_all();
	shm_board_rebuild(self);
	shm_self_leave(self);
	shm_self_free(self);
}

/* Frees everything, in the place of each process, so that each gives back what it holds in limbo. */
static void bury_all(void)
{
	struct shm_self *all[CHILDREN];
	struct shm_step step;

	for (unsigned i = 0; i < CHILDREN; i++) {
		if (shm_self_claim(&all[i], shm, children[i].kind, children[i].index))
			tap_bail("no process slot");
		shm_outbox_sent(all[i], shm_outbox_count(all[i]));
	}
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		if (!shm_step_begin(&step, all[0], slot, 0))
			shm_step_free(&step);
	for (unsigned turn = 0; turn < 3; turn++)
		for (unsigned i = 0; i < CHILDREN; i++)
			shm_rcu_quiescent(all[i]);
	for (unsigned i = 0; i < CHILDREN; i++) {
		shm_self_leave(all[i]);
		shm_self_free(all[i]);
	}
}

int main(void)
{
	struct shm_params params = { .slots = SLOTS, .heap_bytes = 24 << 20, .endpoints = 64, .workers_max = UPDATERS };
	const char *seconds = getenv("VELADOR_STRESS_S"), *given = getenv("VELADOR_STRESS_SEED");
	uint64_t used, all;

	tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED || shm_create(&shm, NULL, &params))
		tap_bail("no arena");
	seed = given ? strtoull(given, NULL, 10) : now_ms();
	note("seed %llu", (unsigned long long)seed);
	inject_hook = pass_point;
	for (unsigned i = 0; i < CHILDREN; i++)
		start_child(&children[i]);
	torment(now_ms() + 1000 * (seconds ? strtoull(seconds, NULL, 10) : 6));
	note("%llu reads, %llu commits, %llu frees, %llu times held, %llu times no room", (unsigned long long)tally->reads,
	     (unsigned long long)tally->commits, (unsigned long long)tally->frees, (unsigned long long)tally->busy,
	     (unsigned long long)tally->full);
	ok(tally->deaths > 20 && tally->commits > 1000, "%llu deaths, %llu more in repair", (unsigned long long)tally->deaths,
	   (unsigned long long)tally->repair_deaths);
	rebuild();
	ok(tally->bad == 0, "A, C, E: no reader saw freed or torn memory, nothing went back%s%s", tally->bad ? ": " : "", tally->text);
	is_u64(check(true), 0, "B, D: the arena is sound");
	bury_all();
	shm_heap_usage(shm, &used, &all);
	is_u64(check(true), 0, "D: and is so when all is freed");
	is_u64(used, 0, "nothing leaked");
	is_u64(shm_objects_used(shm), 0, "no object is left");
	shm_close(shm, true);
	if (tap_failed)
		diag("VELADOR_STRESS_SEED=%llu", (unsigned long long)seed);
	return tap_done();
}
