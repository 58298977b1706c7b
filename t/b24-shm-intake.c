/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The intake: one process at a time receives from a worker's sockets, and one that does nothing keeps nobody from them for long. */
#include "t/tap.h"

#include "shm/shm.h"

enum { MS = 1000000 };  /* some moment */

static struct shm *shm;
static struct shm_self *self[3];

static void exclusion(void)
{
	ok(shm_intake_take(self[0], 1, MS), "a worker takes another's intake");
	ok(shm_intake_take(self[0], 1, MS + 1), "it keeps it");
	ok(!shm_intake_take(self[1], 1, MS + 1), "the other does not get its own meanwhile");
	ok(!shm_intake_take(self[2], 1, MS - 50), "nor does a third, whose clock is behind");
	ok(shm_intake_take(self[1], 0, MS), "each worker has its own");
	shm_intake_release(self[2], 1);
	ok(!shm_intake_take(self[1], 1, MS + 2), "who does not hold it cannot give it back");
	ok(shm_intake_keep(self[0], 1, MS + 2) && !shm_intake_keep(self[1], 1, MS + 2), "nor hold on to it, which the holder can");
	shm_intake_release(self[0], 1);
	ok(!shm_intake_keep(self[0], 1, MS + 2), "what was given back cannot be held on to");
	ok(shm_intake_take(self[1], 1, MS + 2), "but is free for who takes it");
	shm_intake_release(self[1], 1);
	shm_intake_release(self[1], 0);
}

static void lapse(void)
{
	shm_intake_take(self[0], 2, MS);
	ok(!shm_intake_take(self[1], 2, MS + SHM_INTAKE_MS - 1), "held for less than %d ms it is not taken away", SHM_INTAKE_MS);
	shm_intake_take(self[0], 2, MS + 50);
	ok(!shm_intake_take(self[1], 2, MS + SHM_INTAKE_MS + 49), "the time counts from when it was last taken");
	ok(shm_intake_take(self[1], 2, MS + SHM_INTAKE_MS + 50), "then it is");
	ok(!shm_intake_take(self[0], 2, MS + SHM_INTAKE_MS + 51), "and is no longer the first one's");
	shm_intake_release(self[0], 2);
	ok(!shm_intake_take(self[2], 2, MS + SHM_INTAKE_MS + 52), "whose giving back changes nothing");
	shm_intake_release(self[1], 2);
	ok(shm_intake_take(self[2], 2, MS + SHM_INTAKE_MS + 52), "the second one's does");
}

/* What a dead worker has left: its successor has the same slot. */
static void succession(void)
{
	shm_intake_share(self[0], 5);
	shm_intake_set_pace(self[0], 12);
	shm_intake_take(self[0], 0, MS);
	shm_intake_take(self[0], 1, MS);
	shm_intake_add(self[0], 1, 3, 40);
	shm_intake_add(self[0], 1, 3, 2);
	shm_self_free(self[0]);
	shm_repair(shm, 0);
	is_u64(shm_intake_shared(shm, 0), 5, "a dead worker's sockets are shared on");
	is_u64(shm_intake_pace(shm, 0), 12, "at its pace");
	is_u64(shm_intake_taken(shm, 1, 3), 42, "datagrams are counted at the socket");
	is_u64(shm_intake_taken(shm, 1, 2), 0, "each for itself");
	ok(!shm_intake_take(self[1], 0, MS + 1), "what the dead one held is held on, for its journal may not be done");
	if (shm_self_claim(&self[0], shm, SHM_WORKER, 0))
		tap_bail("no slot");
	shm_intake_release(self[0], 0);
	shm_intake_release(self[0], 1);
	ok(shm_intake_take(self[1], 0, MS + 1) && shm_intake_take(self[1], 1, MS + 1), "until its successor gives it back");
	shm_intake_share(self[0], 0);
	is_u64(shm_intake_shared(shm, 0), 0, "and watches its sockets");
}

int main(void)
{
	struct shm_params params = { .slots = 64, .workers_max = 3 };

	if (shm_create(&shm, NULL, &params))
		tap_bail("no arena");
	for (unsigned i = 0; i < 3; i++)
		if (shm_self_claim(&self[i], shm, SHM_WORKER, i))
			tap_bail("no slot");
	exclusion();
	lapse();
	succession();
	for (unsigned i = 0; i < 3; i++)
		shm_self_free(self[i]);
	shm_close(shm, false);
	return tap_done();
}
