/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Process slots: who is who, and each one's counters. */
#include "shm/internal.h"

#include <unistd.h>

/* The slot of (kind, index), or nprocs where there is none. */
static unsigned find_slot(const struct shm *shm, enum shm_kind kind, unsigned index)
{
	static const unsigned char place[] = {
		[SHM_SUPERVISOR] = 0,
		[SHM_TIMER] = 1,
		[SHM_RECORDER] = 2,
		[SHM_CONTROL] = 3,
	};
	unsigned workers = shm->header->workers_max;

	if (kind == SHM_WORKER)
		return index < workers ? index : shm->nprocs;
	if (kind < SHM_SUPERVISOR || kind > SHM_CONTROL || index)
		return shm->nprocs;
	return workers + place[kind];
}

unsigned shm_proc_slot(const struct shm *shm, enum shm_kind kind, unsigned index)
{
	unsigned slot = find_slot(shm, kind, index);

	BUG_ON(slot >= shm->nprocs);
	return slot;
}

int shm_self_claim(struct shm_self **self, struct shm *shm, enum shm_kind kind, unsigned index)
{
	unsigned slot = find_slot(shm, kind, index);
	struct shm_proc *p;
	struct shm_self *s;

	if (slot >= shm->nprocs)
		return ERR_RANGE;
	if (!(s = calloc(1, sizeof *s)))
		return ERR_SYSTEM;
	p = shm_proc(shm, slot);
	shm_repair(shm, slot);
	if (kind == SHM_WORKER)
		shm_journal_adopt(shm, slot);
	p->kind = kind;
	p->index = index;
	uatomic_set(&p->incarnation, p->incarnation + 1);
	SHM_STEP("shm.claim");
	uatomic_set(&p->pid, getpid());
	*s = (struct shm_self){
		.shm = shm,
		.proc = p,
		.owner = shm_owner_word(shm, p),
		.slot = slot,
		.slot_word = (uint32_t)((uint64_t)slot * ((shm->nslots + 63) / 64) / shm->nprocs),
	};
	shm_rcu_online(s);
	shm_rcu_quiescent(s); /* unless its predecessor's outbox still reads */
	*self = s;
	return 0;
}

void shm_self_free(struct shm_self *self)
{
	free(self);
}

void shm_self_leave(struct shm_self *self)
{
	struct shm_proc *p = self->proc;

	BUG_ON(p->intent.phase != SHM_IDLE);
	BUG_ON(p->outbox_head != p->outbox_tail);
	shm_rcu_offline(self);
	SHM_STEP("shm.leave");
	uatomic_set(&p->pid, 0);
}

void shm_proc_info(const struct shm *shm, unsigned slot, struct shm_proc_info *info)
{
	const struct shm_proc *p;

	*info = (struct shm_proc_info){ .pid = 0 };
	if (slot >= shm->nprocs)
		return;
	p = shm_proc(shm, slot);
	info->kind = p->kind;
	info->index = p->index;
	info->pid = uatomic_read(&p->pid);
	info->incarnation = uatomic_read(&p->incarnation);
	info->heartbeat_ms = uatomic_read(&p->heartbeat_ms);
	info->busy = uatomic_read(&p->intent.phase) != SHM_IDLE;
	info->progress = uatomic_read(&p->progress);
}

void shm_heartbeat(struct shm_self *self, uint64_t now_ms)
{
	uatomic_set(&self->proc->heartbeat_ms, now_ms);
}

void shm_progress(struct shm_self *self)
{
	uatomic_set(&self->proc->progress, self->proc->progress + 1);
}

void shm_count(struct shm_self *self, enum counter c)
{
	shm_count_add(self, c, 1);
}

void shm_count_add(struct shm_self *self, enum counter c, uint64_t n)
{
	uint64_t *counter = &self->proc->counters[c];

	uatomic_set(counter, *counter + n);
}

void shm_count_max(struct shm_self *self, enum counter c, uint64_t v)
{
	uint64_t *counter = &self->proc->counters[c];

	if (v > *counter)
		uatomic_set(counter, v);
}

uint64_t shm_counter(const struct shm *shm, enum counter c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < shm->nprocs; i++) {
		uint64_t v = uatomic_read(&shm_proc(shm, i)->counters[c]);

		if (c == CNT_timer_lag_max_ms)
			sum = v > sum ? v : sum;
		else
			sum += v;
	}
	return sum;
}
