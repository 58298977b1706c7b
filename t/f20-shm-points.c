/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process dies at every injection point of shm/, at each passage: first in a life of work (a step, a deferral, a record, a
 * scan), then also in the repair of that death. After the repair the arena must be sound, the object in its old state or the
 * new one, and what is published must be queued to be sent (shm/README B, C, D, F). Most deaths are long jumps out of the
 * point, which leave the arena as a kill does; the last part dies by SIGKILL in a forked child. */
#include "t/shm-deaths.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <urcu/uatomic.h>

/* ------------------------------------------------------------------------------------------ a life of work */
/* What the kernel does. */
static void fill(struct mmsghdr *m, unsigned i)
{
	struct sockaddr_in *in = m->msg_hdr.msg_name;

	*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(5060) };
	memset(m->msg_hdr.msg_iov->iov_base, 'A' + (int)i, 100 + i);
	m->msg_len = 100 + i;
	at->received[i] = true;
	at->handled[i] = false;
}

/* One batch, a datagram from each of two sockets. */
static void receive_two(void)
{
	at->received[0] = at->received[1] = false;
	fill(shm_journal_open(self, 0, 1), 0);
	fill(shm_journal_open(self, 1, 2), 1);
}

/* Three go to the kernel, which takes the second; the third is marked. */
static void outbox_work(void)
{
	struct addr to = { .family = 4, .port = 1 };
	struct mmsghdr *m;

	EXPECT(!shm_outbox_put(self, 0, &to, "hello", 5));
	EXPECT(!shm_outbox_put(self, 0, &to, "taken", 5));
	EXPECT(!shm_outbox_put(self, 0, &to, "early", 5));
	m = shm_sending_open(self);
	m[0] = m[1] = (struct mmsghdr){ .msg_hdr.msg_iovlen = 1 };
	shm_sending_add(self, 0, 1);
	shm_sending_add(self, 1, 0);
	shm_sending_close(self, 2);
	uatomic_set(&m[0].msg_len, 5);
	at->taken = true;
	shm_outbox_sent_early(self, 2);
	at->early = true;
	shm_outbox_sent_early(self, 1);
	m = shm_sending_open(self);
	shm_sending_add(self, 0, 0); /* what is noted of the message is still the one before */
	m[0].msg_len = 0;
	shm_sending_close(self, 1);
}

static void journal_work(void)
{
	struct shm_datagram d;
	receive_two();
	EXPECT(!shm_defer(self, 0));
	at->handled[1] = true;
	shm_journal_done(self, 1);
	EXPECT(!shm_deferred(self, 0, &d) && d.length == 100 && d.bytes[99] == 'A');
	at->handled[0] = true;
	shm_deferred_done(self, 0);
	outbox_work();
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

static bool says(const struct shm_out *out, const char *word)
{
	return out->length == strlen(word) && memcmp(out->bytes, word, out->length) == 0;
}

/* Guarantee F, as the successor sees it before its first quiescent state. */
static void expect_queued(void)
{
	const struct shm_state *s = shm_peek(shm, at->slot, 0, NULL);
	struct shm_datagram d;
	struct shm_out out;
	bool queued = false, seen[2] = { false, false };

	for (unsigned i = 0; shm_outbox_entry(self, i, &out) == 0; i++) {
		EXPECT(out.sent == ((says(&out, "taken") && at->taken) || (says(&out, "early") && at->early)));
		queued = queued || (s && out.length == s->jpos && *(const char *)out.bytes == (char)s->jpos);
	}
	EXPECT(queued || at->sent || !s || s->jpos != at->jpos);
	for (unsigned i = 0; i < SHM_JOURNAL_BATCH; i++)
		if (!shm_journal_entry(self, i, &d)) {
			EXPECT(i < 2 && d.length == 100 + i && d.listen == 1 + i && d.bytes[0] == 'A' + (int)i && d.from.port == 5060);
			seen[i] = true;
			shm_journal_done(self, i);
		}
	while (!shm_deferred(self, 0, &d)) {
		EXPECT(d.length == 100 && d.bytes[0] == 'A');
		EXPECT(!seen[0]);
		seen[0] = true;
		shm_deferred_done(self, 0);
	}
	for (unsigned i = 0; i < 2; i++)
		EXPECT(!at->received[i] || seen[i] || at->handled[i]);
}

/* ------------------------------------------------------------------------------------------ deaths */
static void repair(void)
{
	shm_repair(shm, shm_proc_slot(shm, SHM_WORKER, 0));
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

int main(void)
{
	open_arena();
	all_deaths();
	deaths_by_signal();
	close_arena();
	return tap_done();
}
