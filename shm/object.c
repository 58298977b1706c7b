/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects: to look at one, to take one, to let it go (guarantees A and B). */
#include "shm/internal.h"

enum {
	TAKE_TRIES = 64,   /* a few microseconds */
	WORDS_BEFORE_SUM = 64, /* words of hints looked at before the counts are added up */
};

const struct shm_state *shm_peek(const struct shm *shm, uint32_t slot, uint32_t generation, uint32_t *generation_out)
{
	uint64_t pub;

	if (slot >= shm->nslots)
		return NULL;
	pub = uatomic_read(&shm->slots[slot].pub);
	cmm_smp_read_barrier_depends();
	if (!shm_low(pub) || (generation && shm_high(pub) != generation))
		return NULL;
	if (generation_out)
		*generation_out = shm_high(pub);
	return shm_payload(shm, shm_low(pub));
}

uint32_t shm_deaths(const struct shm *shm, uint32_t slot)
{
	BUG_ON(slot >= shm->nslots);
	return uatomic_read(&shm->slots[slot].deaths);
}

static uint32_t sum(const struct shm *shm, size_t field)
{
	int64_t n = 0;

	for (unsigned i = 0; i < shm->nprocs; i++)
		n += uatomic_read((int64_t *)(void *)((char *)shm_proc(shm, i) + field));
	return n > 0 ? (uint32_t)n : 0;
}

uint32_t shm_objects_used(const struct shm *shm)
{
	return sum(shm, offsetof(struct shm_proc, used));
}

uint32_t shm_objects_live(const struct shm *shm)
{
	return sum(shm, offsetof(struct shm_proc, live));
}

uint32_t shm_gateway_calls(const struct shm *shm, unsigned i)
{
	int64_t n = 0;

	BUG_ON(i >= SHM_GATEWAYS_MAX);
	for (unsigned slot = 0; slot < shm->nprocs; slot++)
		n += uatomic_read(&shm_proc(shm, slot)->gateway_calls[i]);
	return n > 0 ? (uint32_t)n : 0;
}

/* ------------------------------------------------------------------------------------------ owner words */
static void intend(struct shm_intent *intent, uint32_t slot)
{
	BUG_ON(intent->phase != SHM_IDLE);
	uatomic_set(&intent->slot, slot);
	uatomic_set(&intent->nalloc, 0);
	uatomic_set(&intent->alloc[0], 0);
	SHM_STEP("shm.step.intend");
	uatomic_set(&intent->phase, SHM_BUILDING);
	SHM_STEP("shm.step.intent");
}

/* The intent names the slot before the owner word does: repair need only look there. */
static bool take(struct shm_self *self, uint32_t slot, unsigned tries)
{
	struct shm_intent *intent = &self->proc->intent;
	uint64_t *owner = &self->shm->slots[slot].owner;

	intend(intent, slot);
	while (tries--) {
		if (uatomic_read(owner) == 0 && uatomic_cmpxchg(owner, 0, self->owner) == 0) {
			SHM_STEP("shm.step.owned");
			return true;
		}
		caa_cpu_relax();
	}
	uatomic_set(&intent->phase, SHM_IDLE);
	return false;
}

void shm_slot_hint(struct shm *shm, uint32_t slot)
{
	if (shm_low(uatomic_read(&shm->slots[slot].pub)) == 0 && uatomic_read(&shm->slots[slot].owner) == 0)
		uatomic_and(&shm->slot_hints[slot / 64], ~(1ull << slot % 64));
}

/* A slot's hint is cleared only after its owner word: who finds the word taken sets the hint again. */
void shm_slot_release(struct shm *shm, uint32_t slot)
{
	SHM_STEP("shm.step.release");
	__atomic_store_n(&shm->slots[slot].owner, 0, __ATOMIC_RELEASE);
	SHM_STEP("shm.step.released");
	if (shm_low(uatomic_read(&shm->slots[slot].pub)) == 0) {
		cmm_smp_mb();
		shm_slot_hint(shm, slot);
	}
}

void shm_slot_settle(struct shm_self *self, uint32_t slot)
{
	struct shm *shm = self->shm;
	const struct shm_state *state;

	if (!take(self, slot, TAKE_TRIES))
		return;
	state = shm_payload(shm, shm_low(uatomic_read(&shm->slots[slot].pub)));
	shm_board_set(shm, slot, state ? state->deadline_ms : SHM_NEVER);
	SHM_STEP("shm.board.settled");
	shm_slot_survived(shm, slot);
	shm_slot_release(shm, slot);
	uatomic_set(&self->proc->intent.phase, SHM_IDLE);
}

static bool has_room(const struct shm_proc *p)
{
	return shm_limbo_room(p) >= SHM_LIMBO_RESERVE && shm_outbox_room(p) >= SHM_SENDS_MAX;
}

static void begin(struct shm_step *step, struct shm_self *self, uint32_t slot, uint64_t pub)
{
	*step = (struct shm_step){
		.self = self,
		.slot = slot,
		.generation = shm_high(pub) ? shm_high(pub) : 1,
		.old = shm_payload(self->shm, shm_low(pub)),
		.old_pub = pub,
	};
}

int shm_step_begin(struct shm_step *step, struct shm_self *self, uint32_t slot, uint32_t generation)
{
	struct shm *shm = self->shm;
	uint64_t pub;

	BUG_ON(!uatomic_read(&shm->header->readers[self->slot].epoch));
	if (!shm_peek(shm, slot, generation, NULL))
		return ERR_STALE;
	if (!has_room(self->proc) || !take(self, slot, TAKE_TRIES))
		return ERR_BUSY;
	pub = uatomic_read(&shm->slots[slot].pub);
	if (!shm_low(pub) || (generation && shm_high(pub) != generation)) {
		shm_slot_release(shm, slot);
		uatomic_set(&self->proc->intent.phase, SHM_IDLE);
		return ERR_STALE;
	}
	begin(step, self, slot, pub);
	return 0;
}

/* ------------------------------------------------------------------------------------------ new objects */
static bool try_new(struct shm_step *step, struct shm_self *self, uint32_t slot)
{
	struct shm *shm = self->shm;
	struct shm_slot *s = &shm->slots[slot];
	uint64_t *hints = &shm->slot_hints[slot / 64], bit = 1ull << slot % 64;

	uatomic_set(&self->proc->intent.slot, slot);
	SHM_STEP("shm.slot.candidate");
	if (shm_low(uatomic_read(&s->pub)) == 0 && uatomic_read(&s->owner) == 0 && take(self, slot, 1)) {
		uint64_t pub = uatomic_read(&s->pub);

		uatomic_or(hints, bit);
		SHM_STEP("shm.slot.taken");
		if (shm_low(pub) == 0) {
			begin(step, self, slot, pub);
			return true;
		}
		shm_slot_release(shm, slot);
		uatomic_set(&self->proc->intent.phase, SHM_IDLE);
		return false;
	}
	uatomic_or(hints, bit); /* the hint was stale */
	cmm_smp_mb__after_uatomic_or();
	SHM_STEP("shm.slot.stale");
	shm_slot_hint(shm, slot);
	return false;
}

static bool new_in_word(struct shm_step *step, struct shm_self *self, uint32_t word)
{
	uint32_t left = self->shm->nslots - word * 64;
	uint64_t mask = left >= 64 ? ~0ull : (1ull << left) - 1;
	uint64_t maybe = ~uatomic_read(&self->shm->slot_hints[word]) & mask;

	for (; maybe; maybe &= maybe - 1)
		if (try_new(step, self, word * 64 + (uint32_t)__builtin_ctzll(maybe)))
			return true;
	return false;
}

int shm_step_begin_new(struct shm_step *step, struct shm_self *self)
{
	struct shm *shm = self->shm;
	uint32_t words = (shm->nslots + 63) / 64;

	BUG_ON(!uatomic_read(&shm->header->readers[self->slot].epoch));
	if (!has_room(self->proc))
		return ERR_FULL;
	while (self->nwarm)
		if (try_new(step, self, self->warm[--self->nwarm]))
			return 0;
	for (uint32_t i = 0; i < words; i++, self->slot_word = (self->slot_word + 1) % words) {
		if (new_in_word(step, self, self->slot_word))
			return 0;
		if (i == WORDS_BEFORE_SUM && shm_objects_used(shm) >= shm->nslots)
			break;
	}
	return ERR_FULL;
}
