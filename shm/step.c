/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One change of one object: one store publishes it (guarantee C), and all the rest is derived from what was and what is published,
 * by the same function whether the process lives or its death is repaired (guarantee D). */
#include "shm/internal.h"

int shm_step_alloc(struct shm_step *step, size_t bytes, shm_ref *ref, void **payload)
{
	struct shm_intent *intent = &step->self->proc->intent;
	uint32_t n = intent->nalloc;
	int err;

	if (n == SHM_STEP_ALLOCS)
		return ERR_FULL;
	if ((err = shm_block_take(step->self, bytes, &intent->alloc[n], ref)))
		return err;
	SHM_STEP("shm.step.allocated");
	if (n + 1 < SHM_STEP_ALLOCS)
		uatomic_set(&intent->alloc[n + 1], 0); /* a handle of an earlier step may stand there */
	SHM_STEP("shm.step.alloc.next");
	uatomic_set(&intent->nalloc, n + 1);
	*payload = shm_payload(step->self->shm, shm_low(*ref));
	return 0;
}

enum {
	SENDING_TRIES = 4096,  /* 100 to 250 microseconds: a batch on its way into the kernel */
	LOOK_EVERY = 512,      /* at how far it has come; this one in it may be through already */
};

/* It is most often being sent at this very moment, and what we have in hand is its answer: who waits a little does not send it twice. Of an outbox no more
 * than SHM_OUTBOX entries wait, so a position further off has been passed. */
bool shm_step_overtakes(const struct shm_step *step)
{
	const struct shm_state *old = step->old;
	const struct shm_proc *p;

	if (!old || !old->nsends || !old->sender || old->sender == step->self->slot + 1)
		return false;
	p = shm_proc(step->self->shm, old->sender - 1u);
	for (unsigned i = 0; i < SENDING_TRIES; i++) {
		if (old->sent_at - uatomic_read(&p->outbox_head) - 1 >= SHM_OUTBOX)
			return false;
		if (i % LOOK_EVERY == 0 && shm_outbox_left(p, old->sent_at - old->nsends, old->sent_at))
			return false;
		caa_cpu_relax();
	}
	return true;
}

/* ------------------------------------------------------------------------------------------ what follows */
static bool keeps(const struct shm_state *state, shm_ref ref)
{
	const shm_ref *refs = state ? shm_state_refs(state) : NULL;

	for (unsigned i = 0; state && i < state->nrefs; i++)
		if (refs[i] == ref)
			return true;
	return false;
}

/* Blocks that the new state lacks: the old state, its refs, and what the step allocated for its sends alone or in vain. */
static void follow_blocks(struct shm *shm, struct shm_proc *p, const struct shm_state *old, const struct shm_state *new)
{
	const struct shm_intent *intent = &p->intent;

	if (old) {
		const shm_ref *refs = shm_state_refs(old);

		for (unsigned i = 0; i < old->nrefs; i++)
			if (refs[i] && !keeps(new, refs[i]))
				shm_retire(shm, p, refs[i]);
		shm_retire(shm, p, shm_ref_of(shm, shm_low(intent->old_pub)));
	}
	for (uint32_t i = 0; i < intent->nalloc; i++)
		if (shm_low(intent->alloc[i]) != shm_low(intent->new_pub) && !keeps(new, intent->alloc[i]))
			shm_retire(shm, p, intent->alloc[i]);
}

static bool is_live(const struct shm_state *s)
{
	return s && (s->flags & SHM_STATE_LIVE);
}

/* Absolute values from the intent, so that it may be done again. */
static void follow_counts(struct shm_proc *p, const struct shm_state *old, const struct shm_state *new)
{
	const struct shm_intent *intent = &p->intent;

	uatomic_set(&p->used, intent->used + (new != NULL) - (old != NULL));
	SHM_STEP("shm.step.counts");
	uatomic_set(&p->live, intent->live + is_live(new) - is_live(old));
	if (intent->gateway_old == intent->gateway_new)
		return;
	if (intent->gateway_old >= 0)
		uatomic_set(&p->gateway_calls[intent->gateway_old], intent->gateway_old_calls - 1);
	SHM_STEP("shm.step.gateways");
	if (intent->gateway_new >= 0)
		uatomic_set(&p->gateway_calls[intent->gateway_new], intent->gateway_new_calls + 1);
}

void shm_step_follow(struct shm *shm, struct shm_proc *p)
{
	const struct shm_intent *intent = &p->intent;
	const struct shm_state *old = shm_payload(shm, shm_low(intent->old_pub));
	const struct shm_state *new = shm_payload(shm, shm_low(intent->new_pub));
	uint32_t slot = intent->slot, generation = shm_high(intent->new_pub);

	uatomic_set(&p->limbo_tail, intent->limbo_tail);
	uatomic_set(&p->outbox_tail, intent->outbox_tail);
	if (!new) {
		shm_index_remove(shm, old->key[0], slot);
		SHM_STEP("shm.step.unindexed");
		shm_index_remove(shm, old->key[1], slot);
	}
	shm_board_set(shm, slot, new ? new->deadline_ms : SHM_NEVER);
	SHM_STEP("shm.step.board");
	follow_blocks(shm, p, old, new);
	SHM_STEP("shm.step.retired");
	follow_counts(p, old, new);
	SHM_STEP("shm.step.counted");
	if (new) {
		shm_outbox_append(shm, p, slot, new);
		if ((new->flags & SHM_STATE_RECORD) && !shm_recorded(shm, slot, generation))
			shm_notice(p, slot, generation);
	}
}

void shm_step_undo(struct shm *shm, struct shm_proc *p)
{
	struct shm_intent *intent = &p->intent;
	uint32_t slot = intent->slot;
	const struct shm_state *old = shm_payload(shm, shm_low(uatomic_read(&shm->slots[slot].pub)));

	if (intent->phase == SHM_COMMITTING && !old) {
		const struct shm_state *new = shm_payload(shm, shm_low(intent->new_pub));

		shm_index_remove(shm, new->key[0], slot);
		shm_index_remove(shm, new->key[1], slot);
		SHM_STEP("shm.undo.unindexed");
		uatomic_set(&intent->phase, SHM_BUILDING); /* its block may be another's before we are done */
	}
	shm_board_set(shm, slot, old ? old->deadline_ms : SHM_NEVER);
	SHM_STEP("shm.undo.board");
	for (uint32_t i = 0; i <= intent->nalloc && i < SHM_STEP_ALLOCS; i++)
		shm_block_undo(shm, p, intent->alloc[i]);
	SHM_STEP("shm.undo.freed");
}

/* ------------------------------------------------------------------------------------------ commit */
static void check_send(const struct shm *shm, const struct shm_send *send)
{
	BUG_ON(!shm_block(shm, send->bytes));
	BUG_ON((uint64_t)send->offset + send->length > shm_block_bytes(shm, send->bytes));
}

static void check_new(const struct shm_step *step, shm_ref ref, const struct shm_state *new)
{
	const struct shm_intent *intent = &step->self->proc->intent;
	const struct shm *shm = step->self->shm;
	uint32_t i = 0;

	while (i < intent->nalloc && intent->alloc[i] != ref)
		i++;
	BUG_ON(i == intent->nalloc);
	BUG_ON(new->nsends > SHM_SENDS_MAX || new->nrefs > SHM_REFS_MAX || new->gateway > SHM_GATEWAYS_MAX);
	BUG_ON(new->bytes > shm_block_bytes(shm, ref) || (const char *)shm_state_body(new) > (const char *)new + new->bytes);
	BUG_ON((new->flags & SHM_STATE_LIVE) && new->deadline_ms == SHM_NEVER);
	BUG_ON(step->old && (step->old->key[0] != new->key[0] || step->old->key[1] != new->key[1]));
	for (i = 0; i < new->nsends; i++)
		check_send(shm, shm_state_sends(new) + i);
}

static int32_t gateway_of(const struct shm_state *s)
{
	return s && s->gateway ? s->gateway - 1 : -1;
}

static void intend_commit(struct shm_step *step, uint64_t new_pub, const struct shm_state *new)
{
	struct shm_proc *p = step->self->proc;
	struct shm_intent *intent = &p->intent;

	intent->old_pub = step->old_pub;
	intent->new_pub = new_pub;
	intent->limbo_tail = p->limbo_tail;
	intent->outbox_tail = p->outbox_tail;
	intent->used = p->used;
	intent->live = p->live;
	intent->gateway_old = gateway_of(step->old);
	intent->gateway_new = gateway_of(new);
	intent->gateway_old_calls = intent->gateway_old < 0 ? 0 : p->gateway_calls[intent->gateway_old];
	intent->gateway_new_calls = intent->gateway_new < 0 ? 0 : p->gateway_calls[intent->gateway_new];
	SHM_STEP("shm.step.commit");
	uatomic_set(&intent->phase, SHM_COMMITTING);
	SHM_STEP("shm.step.committing");
}

/* The exchange is a full barrier: the epoch that a retired block is stamped with is read after it. */
static void publish(struct shm_step *step, uint64_t new_pub)
{
	struct shm_slot *s = &step->self->shm->slots[step->slot];

	SHM_STEP("shm.step.publish");
	uatomic_xchg(&s->pub, new_pub);
	SHM_STEP("shm.step.published");
	shm_step_follow(step->self->shm, step->self->proc);
	SHM_STEP("shm.step.followed");
}

static void end(struct shm_step *step)
{
	shm_slot_survived(step->self->shm, step->slot);
	shm_slot_release(step->self->shm, step->slot);
	SHM_STEP("shm.step.end");
	uatomic_set(&step->self->proc->intent.phase, SHM_IDLE);
	step->old = NULL;
}

void shm_step_commit(struct shm_step *step, shm_ref new_state)
{
	struct shm *shm = step->self->shm;
	struct shm_state *new = shm_payload(shm, shm_low(new_state));

	check_new(step, new_state, new);
	new->sender = (uint16_t)(step->self->slot + 1);
	new->sent_at = step->self->proc->outbox_tail + new->nsends;
	intend_commit(step, shm_pack(step->generation, shm_low(new_state)), new);
	if (!step->old) {
		shm_index_add(shm, new->key[0], step->slot);
		SHM_STEP("shm.step.indexed");
		shm_index_add(shm, new->key[1], step->slot);
	}
	shm_board_arm(shm, step->slot, new->deadline_ms);
	publish(step, shm_pack(step->generation, shm_low(new_state)));
	end(step);
}

void shm_step_free(struct shm_step *step)
{
	struct shm_self *self = step->self;
	uint64_t new_pub = shm_pack(shm_next_generation(step->generation), 0);

	BUG_ON(!step->old);
	BUG_ON((step->old->flags & SHM_STATE_RECORD) && !shm_recorded(self->shm, step->slot, step->generation));
	intend_commit(step, new_pub, NULL);
	publish(step, new_pub);
	end(step);
	if (self->nwarm < SHM_WARM)
		self->warm[self->nwarm++] = step->slot;
}

void shm_step_abort(struct shm_step *step)
{
	shm_step_undo(step->self->shm, step->self->proc);
	end(step);
}

void shm_step_resend(struct shm_step *step)
{
	BUG_ON(!step->old);
	shm_outbox_append(step->self->shm, step->self->proc, step->slot, step->old);
	shm_step_abort(step);
}
