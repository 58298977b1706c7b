/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Grace periods over processes, by quiescent states (guarantees A and E; the proof is in README). */
#include "shm/internal.h"

enum { FREED_AHEAD = 4 }; /* blocks whose heads are fetched while one is freed */

void shm_retire(struct shm *shm, struct shm_proc *p, shm_ref ref)
{
	struct shm_limbo_entry *e = &p->limbo[p->limbo_tail % SHM_LIMBO];

	BUG_ON(shm_limbo_room(p) == 0);
	e->ref = ref;
	e->epoch = uatomic_read(&shm->header->epoch);
	SHM_STEP("shm.limbo.entry");
	uatomic_set(&p->limbo_tail, p->limbo_tail + 1);
	SHM_STEP("shm.limbo.tail");
}

/* The oldest epoch that a process online may still read under. */
static uint64_t oldest_reader(const struct shm *shm)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned i = 0; i < shm->nprocs; i++) {
		uint64_t epoch = uatomic_read(&shm->header->readers[i].epoch);

		if (epoch && epoch < oldest)
			oldest = epoch;
	}
	return oldest;
}

void shm_rcu_reclaim(struct shm_self *self)
{
	struct shm_proc *p = self->proc;
	uint64_t oldest;

	if (p->limbo_head == p->limbo_tail)
		return;
	oldest = oldest_reader(self->shm);
	cmm_smp_mb();
	while (p->limbo_head != p->limbo_tail) {
		const struct shm_limbo_entry *e = &p->limbo[p->limbo_head % SHM_LIMBO];

		if (e->epoch >= oldest)
			break;
		shm_fetch_block(self->shm, shm_low(p->limbo[(p->limbo_head + FREED_AHEAD) % SHM_LIMBO].ref), 1);
		shm_block_free(self->shm, self, e->ref);
		SHM_STEP("shm.limbo.freed");
		uatomic_set(&p->limbo_head, p->limbo_head + 1);
	}
}

/* Ends the epoch under which we retired last, so that it can pass. */
static void advance_epoch(struct shm_self *self)
{
	struct shm_proc *p = self->proc;
	uint64_t epoch = uatomic_read(&self->shm->header->epoch);

	if (p->limbo_head != p->limbo_tail && p->limbo[(p->limbo_tail - 1) % SHM_LIMBO].epoch == epoch)
		uatomic_cmpxchg(&self->shm->header->epoch, epoch, epoch + 1);
}

static void announce(struct shm_self *self)
{
	uint64_t epoch = uatomic_read(&self->shm->header->epoch);

	uatomic_set(&self->shm->header->readers[self->slot].epoch, epoch);
	cmm_smp_mb();
}

void shm_rcu_online(struct shm_self *self)
{
	if (!uatomic_read(&self->shm->header->readers[self->slot].epoch))
		announce(self);
}

/* With datagrams waiting, the outbox still reads blocks: then neither quiescent nor offline announces anything. */
static bool outbox_reads(const struct shm_self *self)
{
	return self->proc->outbox_head != self->proc->outbox_tail;
}

void shm_rcu_offline(struct shm_self *self)
{
	BUG_ON(self->proc->intent.phase != SHM_IDLE);
	if (outbox_reads(self))
		return;
	cmm_smp_mb();
	advance_epoch(self);
	uatomic_set(&self->shm->header->readers[self->slot].epoch, 0);
	cmm_smp_mb();
	shm_rcu_reclaim(self);
}

void shm_rcu_quiescent(struct shm_self *self)
{
	BUG_ON(self->proc->intent.phase != SHM_IDLE);
	if (outbox_reads(self))
		return;
	cmm_smp_mb();
	advance_epoch(self);
	announce(self);
	shm_rcu_reclaim(self);
}
