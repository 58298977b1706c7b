/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Deaths while datagrams are handed to the kernel (shm/README F): it has noted what it took, so the successor sends the rest, and nothing twice. */
#include "shm/internal.h"
#include "t/udp-groups.h"

#include <sys/wait.h>

enum { LOADS = 3000, LIVES = 3, LOOKS = 1000000 };

static unsigned deaths, wrong; /* setjmp leaves them alone */

/* The process dies in sendmmsg; another claims its slot. */
static void succeed(void)
{
	deaths++;
	dies_after = 0;
	shm_repair(shm, shm_proc_slot(shm, SHM_WORKER, 0));
	shm_self_free(self);
	if (shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no successor");
	shm_rcu_online(self);
}

/* Sends what waits, and dies when the kernel has taken `taken` messages of a batch. Whether it did. */
static bool send_and_die(unsigned taken)
{
	static struct udp_sender sender;

	dies_after = taken + 1;
	if (setjmp(grave) == 0) {
		sender = new_sender();
		udp_flush(&sender, NULL);
		dies_after = 0;
		return false;
	}
	succeed();
	return true;
}

static void test_each_place(void)
{
	unsigned taken = 0, all = 0;

	do {
		struct udp_sender sender;
		struct seen seen;

		for (unsigned i = 0; i < 3 * OBJECTS; i++)
			queue(i % OBJECTS, &to[i % 5 == 0], i % 3 ? 500 : 100 + i, 0);
		if (!send_and_die(taken))
			tap_bail("it should have died");
		seen = collect();
		all = seen.n;
		sender = new_sender();
		wrong += udp_flush(&sender, NULL) != 0;
		collect_more(&seen);
		wrong += seen.n != 3 * OBJECTS || seen.overtaken || seen.wrong;
		shm_rcu_quiescent(self);
		taken++;
	} while (all < 3 * OBJECTS);
	is_u64(wrong, 0, "F: a death at each of %u places of a batch: each message comes once, in order", deaths);
}

/* Loads of several batches from two sockets, of which the kernel refuses some, and up to three deaths before the last one gets through. */
static void test_random(void)
{
	static const uint32_t lengths[] = { 100, 400, 401, 1400 };
	static const int errors[] = { 0, EINVAL, ENOBUFS, EPERM };
	static uint64_t random;
	static unsigned sent;
	static struct seen seen;

	random = 1;
	deaths = wrong = 0;
	for (volatile unsigned load = 0; load < LOADS; load++) {
		struct udp_sender sender;
		unsigned n;

		random = random * 6364136223846793005u + 1442695040888963407u;
		n = 1 + (unsigned)(random >> 33) % 150;
		sent = 0;
		for (unsigned i = 0; i < n; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			unsigned r = (unsigned)(random >> 40);
			bool bad = r / 64 % 40 == 0;
			queue(r % OBJECTS, bad ? &nowhere : &to[r / OBJECTS % PEERS], lengths[r / 4096 % 4], r / 16384 % 16 == 0);
			sent += !bad;
		}
		seen = (struct seen){ .n = 0 };
		for (volatile unsigned life = 0; life < LIVES; life++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			refusal = (struct refusal){ .error = errors[(random >> 50) % 4], .groups = true, .from = (unsigned)(random >> 56) % 4 };
			if (!send_and_die((unsigned)(random >> 40) % 20))
				break;
			collect_more(&seen);
		}
		refusal.error = 0;
		sender = new_sender();
		wrong += udp_flush(&sender, NULL) != 0 || shm_outbox_count(self) != 0;
		collect_more(&seen);
		wrong += seen.n != sent || seen.overtaken || seen.wrong;
		shm_rcu_quiescent(self);
	}
	is_u64(wrong, 0, "F: %d loads, %u deaths: each message comes once, in order", LOADS, deaths);
	ok(deaths > LOADS, "of most loads some died");
}

/* Notes of a batch that has left long ago mean nothing for what stands in the same places of the ring now. */
static void test_old_notes(void)
{
	struct udp_sender sender = new_sender();
	unsigned n = 0, got = 0;
	char byte;

	for (unsigned i = 0; i < SHM_SENDING_MAX; i++)
		shm_outbox_put(self, 0, &to[0], "x", 1);
	udp_flush(&sender, NULL);
	while (recv(peer, &byte, 1, MSG_DONTWAIT) == 1)
		got++;
	is_u64(got, SHM_SENDING_MAX, "a batch leaves");
	while (shm_outbox_put(self, 0, &to[0], "y", 1) == 0)
		n++;
	succeed();
	sender = new_sender();
	udp_flush(&sender, NULL);
	for (got = 0; recv(peer, &byte, 1, MSG_DONTWAIT) == 1;)
		got++;
	ok(n > SHM_OUTBOX - SHM_SENDING_MAX, "then the outbox is filled, so that what waits stands in its places: %u", n);
	is_u64(got, n, "F: a death later all of that is sent");
	shm_rcu_quiescent(self);
}

/* A process fills batch after batch while another looks at them: position 1 stands where 2 stood that had been taken, and has not been taken itself. */
static void test_torn_reads(void)
{
	const struct shm_proc *p = shm_proc(shm, shm_proc_slot(shm, SHM_WORKER, 0));
	unsigned believed = 0, seen = 0, at;
	pid_t pid;

	for (unsigned i = 0; i < 3; i++)
		shm_outbox_put(self, 0, &to[0], "x", 1);
	at = p->outbox_head;
	if ((pid = fork()) == 0) {
		alarm(60);
		for (;;)
			for (unsigned i = 1; i <= 2; i++) {
				struct mmsghdr *m = shm_sending_open(self);
				shm_sending_add(self, 0, i);
				m[0] = (struct mmsghdr){ .msg_hdr.msg_iovlen = 1 };
				shm_sending_close(self, 1);
				uatomic_set(&m[0].msg_len, i - 1);
			}
	}
	for (unsigned i = 0; i < LOOKS || (seen == 0 && i < 100 * LOOKS); i++) {
		believed += shm_outbox_left(p, at + 1, at + 2);
		seen += shm_outbox_left(p, at + 2, at + 3);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(seen > 0, "what was taken is seen: %u times", seen);
	is_u64(believed, 0, "F: nothing is believed of two batches mixed");
	shm_outbox_sent(self, 3);
}

int main(void)
{
	alarm(100);
	open_arena();
	open_sockets(false);
	test_each_place();
	test_random();
	test_old_notes();
	test_torn_reads();
	close_arena();
	return tap_done();
}
