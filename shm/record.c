/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notices to the recorder, one ring a producer; and the recorder's redo log. */
#include "shm/internal.h"

bool shm_notice(struct shm_proc *p, uint32_t slot, uint32_t generation)
{
	struct shm_ring *ring = &p->rings[SHM_RING_RECORD];
	uint32_t head = ring->head;

	if (head - uatomic_read(&ring->tail) >= SHM_RING) {
		p->counters[CNT_record_ring_full]++;
		return false;
	}
	uatomic_set(&ring->entries[head % SHM_RING], shm_pack(generation, slot));
	cmm_smp_wmb();
	SHM_STEP("shm.notice.entry");
	uatomic_set(&ring->head, head + 1);
	return true;
}

bool shm_notice_put(struct shm_self *self, uint32_t slot, uint32_t generation)
{
	return shm_notice(self->proc, slot, generation);
}

bool shm_notice_next(struct shm_self *recorder, unsigned producer_slot, uint32_t *slot, uint32_t *generation)
{
	struct shm_ring *ring;
	uint32_t tail;
	uint64_t entry;

	if (producer_slot >= recorder->shm->nprocs)
		return false;
	ring = &shm_proc(recorder->shm, producer_slot)->rings[SHM_RING_RECORD];
	tail = ring->tail;
	if (uatomic_read(&ring->head) == tail)
		return false;
	cmm_smp_rmb();
	entry = uatomic_read(&ring->entries[tail % SHM_RING]);
	cmm_smp_mb();
	uatomic_set(&ring->tail, tail + 1);
	*slot = shm_low(entry);
	*generation = shm_high(entry);
	return true;
}

bool shm_recorded(const struct shm *shm, uint32_t slot, uint32_t generation)
{
	BUG_ON(slot >= shm->nslots);
	return uatomic_read(&shm->slots[slot].recorded) == generation;
}

/* Every store here may be done twice. */
static void apply(struct shm *shm)
{
	struct shm_record_log *log = &shm->header->record;

	log->file = log->next;
	for (uint32_t i = 0; i < log->n; i++) {
		SHM_STEP("shm.record.apply");
		uatomic_set(&shm->slots[log->slots[i]].recorded, log->generations[i]);
	}
	SHM_STEP("shm.record.applied");
	uatomic_set(&log->armed, 0);
}

static void arm_and_apply(struct shm *shm)
{
	SHM_STEP("shm.record.written");
	cmm_smp_wmb();
	uatomic_set(&shm->header->record.armed, 1);
	SHM_STEP("shm.record.armed");
	apply(shm);
}

void shm_record_begin(struct shm_self *recorder, struct shm_record_file *file)
{
	struct shm_record_log *log = &recorder->shm->header->record;

	if (uatomic_read(&log->armed))
		apply(recorder->shm);
	*file = log->file;
}

void shm_record_open(struct shm_self *recorder, const struct shm_record_file *file)
{
	struct shm_record_log *log = &recorder->shm->header->record;

	log->next = *file;
	log->n = 0;
	arm_and_apply(recorder->shm);
}

void shm_record_commit(struct shm_self *recorder, uint64_t offset, const uint32_t *slots, const uint32_t *generations, unsigned n)
{
	struct shm_record_log *log = &recorder->shm->header->record;

	BUG_ON(n > SHM_RECORD_BATCH);
	log->next = log->file;
	log->next.offset = offset;
	log->n = n;
	for (unsigned i = 0; i < n; i++) {
		BUG_ON(slots[i] >= recorder->shm->nslots);
		log->slots[i] = slots[i];
		log->generations[i] = generations[i];
	}
	arm_and_apply(recorder->shm);
}
