/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A death in the middle of sending (shm/README F): the kernel has noted what it took. */
#include "t/udp-groups.h"

/* The process dies in sendmmsg, at each place of two batches: its successor sends what the kernel had not taken, and nothing twice. */
static unsigned deaths, wrong; /* setjmp leaves them alone */

static void test_deaths(void)
{
	unsigned proc = shm_proc_slot(shm, SHM_WORKER, 0);

	for (volatile unsigned taken = 0; taken < 40; taken++) {
		struct udp_sender sender;
		struct seen seen;

		for (unsigned i = 0; i < 3 * OBJECTS; i++)
			queue(i % OBJECTS, &to[i % 5 == 0], i % 3 ? 500 : 100 + i, 0);
		dies_after = taken + 1;
		if (setjmp(grave) == 0) {
			sender = new_sender();
			udp_flush(&sender, NULL);
			dies_after = 0;
			tap_bail("it should have died");
		}
		dies_after = 0;
		deaths++;
		seen = collect();
		shm_repair(shm, proc);
		shm_self_free(self);
		if (shm_self_claim(&self, shm, SHM_WORKER, 0))
			tap_bail("no successor");
		shm_rcu_online(self);
		sender = new_sender();
		wrong += udp_flush(&sender, NULL) != 0;
		collect_more(&seen);
		wrong += seen.n != 3 * OBJECTS || seen.overtaken || seen.wrong;
		shm_rcu_quiescent(self);
	}
	is_u64(wrong, 0, "F: %u deaths in the middle of a batch: each message comes once, in order", deaths);
}

int main(void)
{
	alarm(60);
	open_arena();
	open_sockets(false);
	test_deaths();
	close_arena();
	return tap_done();
}
