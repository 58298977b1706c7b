/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The deadline board: one deadline a slot, one summary (a minimum, or less) a block of 512. Never later than what is
 * published: an earlier deadline is armed before the publish, a later one set after it.
 *
 * Between its scans the timer process sleeps up to the earliest summary. It says until when, then reads the summaries again; who lowers one
 * does so first, then reads until when it sleeps: one of the two sees the other. */
#include "shm/internal.h"

static void summary_min(struct shm *shm, uint32_t slot, uint64_t deadline_ms)
{
	uint64_t *summary = &shm->summaries[slot / SHM_BOARD_BLOCK], is = uatomic_read(summary), was;

	for (; deadline_ms < is; is = was) {
		was = uatomic_cmpxchg(summary, is, deadline_ms);
		if (was == is) {
			cmm_smp_mb(); /* the exchange is one on x86, not with every compiler elsewhere */
			if (deadline_ms < uatomic_read(&shm->header->board_wake_ms))
				shm->board_early = true;
			return;
		}
	}
}

void shm_board_arm(struct shm *shm, uint32_t slot, uint64_t deadline_ms)
{
	if (deadline_ms >= uatomic_read(&shm->deadlines[slot]))
		return;
	uatomic_set(&shm->deadlines[slot], deadline_ms);
	cmm_smp_mb(); /* the scan exchanges the summary, then reads the entry: one of us sees the other */
	SHM_STEP("shm.board.armed");
	summary_min(shm, slot, deadline_ms);
}

void shm_board_set(struct shm *shm, uint32_t slot, uint64_t deadline_ms)
{
	uint64_t is = uatomic_read(&shm->deadlines[slot]);

	if (deadline_ms < is)
		shm_board_arm(shm, slot, deadline_ms);
	else if (deadline_ms > is)
		uatomic_set(&shm->deadlines[slot], deadline_ms);
}

/* A call that is due was left alone for seconds: what it keeps is fetched while those before it are acted upon. */
static void fetch_ahead(const struct shm *shm, const uint32_t *due, unsigned n)
{
	if (n > 3)
		shm_fetch_slot(shm, due[3]);
	if (n > 2)
		shm_fetch_state(shm, due[2]);
	if (n > 1)
		shm_fetch_blocks(shm, due[1]);
}

static unsigned scan_block(struct shm_self *self, uint32_t block, uint64_t now_ms, shm_due_fn *fn, void *arg)
{
	struct shm *shm = self->shm;
	uint32_t from = block * SHM_BOARD_BLOCK, to = from + SHM_BOARD_BLOCK, due[SHM_BOARD_BLOCK];
	uint64_t next = SHM_NEVER, deadline_ms;
	unsigned n = 0;

	uatomic_xchg(&shm->summaries[block], SHM_NEVER);
	SHM_STEP("shm.board.scan");
	for (uint32_t slot = from; slot < to && slot < shm->nslots; slot++) {
		deadline_ms = uatomic_read(&shm->deadlines[slot]);
		if (deadline_ms <= now_ms)
			due[n++] = slot;
		else if (deadline_ms < next)
			next = deadline_ms;
	}
	for (unsigned i = 0; i < n; i++) {
		fetch_ahead(shm, due + i, n - i);
		deadline_ms = uatomic_read(&shm->deadlines[due[i]]);
		if (deadline_ms <= now_ms) {
			fn(arg, due[i], deadline_ms);
			if (!shm_peek(shm, due[i], 0, NULL))
				shm_slot_settle(self, due[i]);
			deadline_ms = uatomic_read(&shm->deadlines[due[i]]);
		}
		next = deadline_ms < next ? deadline_ms : next;
	}
	SHM_STEP("shm.board.scanned");
	summary_min(shm, from, next);
	return n;
}

unsigned shm_board_scan(struct shm_self *self, uint64_t now_ms, shm_due_fn *fn, void *arg)
{
	struct shm *shm = self->shm;
	unsigned due = 0;

	for (uint32_t block = 0; block < shm->nsummaries; block++)
		if (uatomic_read(&shm->summaries[block]) <= now_ms)
			due += scan_block(self, block, now_ms, fn, arg);
	return due;
}

/* Brings a slot's deadline down to its published one; never up, since its holder may be at work. */
static void rebuild_slot(struct shm_self *self, uint32_t slot)
{
	struct shm *shm = self->shm;
	uint64_t pub = uatomic_read(&shm->slots[slot].pub), is;
	const struct shm_state *state = shm_payload(shm, shm_low(pub));
	uint64_t want = state ? state->deadline_ms : SHM_NEVER;

	if (state)
		SHM_STEP("shm.board.peeked");
	is = uatomic_read(&shm->deadlines[slot]);
	if (want < is)
		uatomic_cmpxchg(&shm->deadlines[slot], is, want);
	cmm_smp_mb();
	SHM_STEP("shm.board.rebuild");
	summary_min(shm, slot, want < is ? want : is);
	/* Published since: its holder may have set the board before us, and nobody would raise that of a free slot again. */
	if (want < is && uatomic_read(&shm->slots[slot].pub) != pub)
		shm_slot_settle(self, slot);
}

void shm_board_rebuild(struct shm_self *self)
{
	for (uint32_t slot = 0; slot < self->shm->nslots; slot++)
		rebuild_slot(self, slot);
}

uint64_t shm_board_next(const struct shm *shm)
{
	uint64_t next = SHM_NEVER;

	for (uint32_t block = 0; block < shm->nsummaries; block++) {
		uint64_t summary = uatomic_read(&shm->summaries[block]);

		next = summary < next ? summary : next;
	}
	return next;
}

uint64_t shm_board_sleep(struct shm *shm, uint64_t until_ms)
{
	uatomic_set(&shm->header->board_wake_ms, until_ms);
	cmm_smp_mb();
	SHM_STEP("shm.board.sleep");
	return shm_board_next(shm);
}

bool shm_board_early(struct shm *shm)
{
	bool early = shm->board_early;

	shm->board_early = false;
	return early;
}

uint64_t shm_board_deadline(const struct shm *shm, uint32_t slot)
{
	return uatomic_read(&shm->deadlines[slot]);
}
