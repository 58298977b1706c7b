/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a death (guarantee D). Whatever this does may be done again from the start, for it may be killed as well. */
#include "shm/internal.h"

static void repair_step(struct shm *shm, struct shm_proc *p)
{
	struct shm_intent *intent = &p->intent;
	struct shm_slot *s = &shm->slots[intent->slot];

	/* The word is not ours: the step had not begun, or was over. */
	if (uatomic_read(&s->owner) != shm_owner_word(shm, p))
		return;
	if (intent->phase == SHM_COMMITTING && uatomic_read(&s->pub) == intent->new_pub) {
		uatomic_set(&s->deaths, 0);
		shm_step_follow(shm, p);
		p->counters[CNT_repairs_finished]++;
	} else {
		if (p->kind == SHM_TIMER) {
			uatomic_set(&s->deaths, s->deaths + 1);
			p->counters[CNT_objects_set_aside] += s->deaths == SHM_DEATHS_MAX;
		}
		SHM_STEP("shm.repair.step");
		shm_step_undo(shm, p);
		p->counters[CNT_repairs_undone]++;
	}
	SHM_STEP("shm.repair.stepped");
	shm_slot_release(shm, intent->slot);
}

void shm_repair(struct shm *shm, unsigned slot)
{
	struct shm_proc *p;

	BUG_ON(slot >= shm->nprocs);
	p = shm_proc(shm, slot);
	if (!p->pid)
		return;
	if (p->intent.phase != SHM_IDLE)
		repair_step(shm, p);
	SHM_STEP("shm.repair.idle");
	uatomic_set(&p->intent.phase, SHM_IDLE);
	shm_slot_hint(shm, p->intent.slot);
	SHM_STEP("shm.repair.hint");
	shm_deferred_repair(shm, p);
	shm_outbox_repair(p);
	shm_block_repair_hints(shm);
	p->counters[CNT_repairs]++;
	SHM_STEP("shm.repair.done");
	uatomic_set(&p->pid, 0);
}
