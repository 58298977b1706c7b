/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The right to receive from a worker's sockets. It keeps the order within a call, no more: nothing breaks if a process that was stopped for longer than SHM_INTAKE_MS goes
 * on with what it has received, beside the one that took its place. */
#include "shm/internal.h"

enum { SLOT_BITS = 8 };

_Static_assert(SHM_PROCS_MAX < 1 << SLOT_BITS, "a process slot + 1 fits the word");

static uint64_t holder_of(uint64_t word)
{
	return word & ((1u << SLOT_BITS) - 1);
}

static struct shm_intake *intake_of(const struct shm *shm, unsigned worker)
{
	BUG_ON(worker >= shm->header->workers_max);
	return &shm_proc(shm, worker)->intake;
}

bool shm_intake_take(struct shm_self *self, unsigned worker, uint64_t now_ms)
{
	struct shm_intake *intake = intake_of(self->shm, worker);
	uint64_t is = uatomic_read(&intake->holder), mine = self->slot + 1;

	if (is && holder_of(is) != mine && now_ms < (is >> SLOT_BITS) + SHM_INTAKE_MS)
		return false;
	return uatomic_cmpxchg(&intake->holder, is, now_ms << SLOT_BITS | mine) == is;
}

bool shm_intake_keep(struct shm_self *self, unsigned worker, uint64_t now_ms)
{
	struct shm_intake *intake = intake_of(self->shm, worker);
	uint64_t is = uatomic_read(&intake->holder), mine = self->slot + 1;

	return holder_of(is) == mine && uatomic_cmpxchg(&intake->holder, is, now_ms << SLOT_BITS | mine) == is;
}

void shm_intake_release(struct shm_self *self, unsigned worker)
{
	struct shm_intake *intake = intake_of(self->shm, worker);
	uint64_t is = uatomic_read(&intake->holder);

	if (holder_of(is) == self->slot + 1)
		uatomic_cmpxchg(&intake->holder, is, 0);
}

void shm_intake_add(struct shm_self *self, unsigned worker, unsigned listen, unsigned n)
{
	struct shm_intake *intake = intake_of(self->shm, worker);

	BUG_ON(listen >= SHM_LISTEN_MAX);
	uatomic_set(&intake->taken[listen], intake->taken[listen] + n);
}

uint64_t shm_intake_taken(const struct shm *shm, unsigned worker, unsigned listen)
{
	BUG_ON(listen >= SHM_LISTEN_MAX);
	return uatomic_read(&intake_of(shm, worker)->taken[listen]);
}

void shm_intake_share(struct shm_self *self, uint32_t sockets)
{
	uatomic_set(&intake_of(self->shm, self->slot)->shared, sockets);
}

uint32_t shm_intake_shared(const struct shm *shm, unsigned worker)
{
	return uatomic_read(&intake_of(shm, worker)->shared);
}

void shm_intake_set_pace(struct shm_self *self, uint32_t ms)
{
	uatomic_set(&intake_of(self->shm, self->slot)->pace_ms, ms);
}

uint32_t shm_intake_pace(const struct shm *shm, unsigned worker)
{
	return uatomic_read(&intake_of(shm, worker)->pace_ms);
}
