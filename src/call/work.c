/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A change of one call: taken, copied out, packed, published. */
#include "base/bug.h"
#include "base/err.h"
#include "call/call.h"

/* A live call that waits for nothing else is looked at again this often: every object has a deadline. */
enum { REVIEW_MS = 3600 * 1000, RECORD_RETRY_MS = 1000, ABSORB_STEP_MS = 64 };

/* What a call under way has beside the rest; see struct call. */
enum { HEAD = offsetof(struct call, setup_limit_ms), UNDER_WAY = offsetof(struct call, fork) - HEAD };

static void settled(struct call *c)
{
	memset((char *)c + HEAD, 0, UNDER_WAY);
	c->setup_limit_ms = c->ring_limit_ms = c->provisional_limit_ms = c->held_limit_ms = SHM_NEVER;
}

static void unpack(struct call *c, const struct shm_state *s)
{
	const char *p = shm_state_body(s);
	size_t head = HEAD;

	memcpy(c, p, head);
	if (c->flags & CALL_SETTLED) {
		settled(c);
	} else {
		memcpy((char *)c + HEAD, p + HEAD, UNDER_WAY);
		head += UNDER_WAY;
	}
	BUG_ON(c->nforks > CALL_FORKS || c->nqueued > CALL_QUEUE || c->ntxns > CALL_TXNS);
	p += head;
	memcpy(c->fork, p, c->nforks * sizeof c->fork[0]);
	p += c->nforks * sizeof c->fork[0];
	memcpy(c->queued, p, c->nqueued * sizeof c->queued[0]);
	p += c->nqueued * sizeof c->queued[0];
	memcpy(c->txn, p, c->ntxns * sizeof c->txn[0]);
}

int call_load(const struct shm *shm, uint32_t slot, uint32_t generation, struct call *c, uint32_t *generation_out)
{
	const struct shm_state *s = shm_peek(shm, slot, generation, generation_out);

	if (!s)
		return ERR_STALE;
	unpack(c, s);
	return 0;
}

struct str strings_get(const struct shm *shm, shm_ref ref, unsigned i)
{
	const struct strings *s = ref ? shm_block(shm, ref) : NULL;
	size_t at = 0;

	if (!s)
		return STR_NONE;
	for (unsigned k = 0; k < i; k++)
		at += s->n[k];
	return str_make(s->bytes + at, s->n[i]);
}

static void start(struct work *w, struct core *core, const struct shm_datagram *d)
{
	w->core = core;
	w->datagram = d;
	w->full = false;
	w->nsends = 0;
	w->jpos = d ? d->jpos : 0;
}

/* What another process has published and not sent yet goes first, and from then on is this change's to send. */
static bool send_before(struct work *w)
{
	const struct shm_state *old = w->step.old;

	if (!shm_step_overtakes(&w->step))
		return true;
	if (old->nsends > SHM_SENDS_MAX / 2)
		return false;
	w->nsends = old->nsends;
	memcpy(w->send, shm_state_sends(old), w->nsends * sizeof w->send[0]);
	return true;
}

int work_begin(struct work *w, struct core *core, const struct shm_datagram *d, uint32_t slot, uint32_t generation)
{
	int err = shm_step_begin(&w->step, core->self, slot, generation);

	if (err)
		return err;
	shm_fetch_blocks(core->shm, slot);
	if (d && d->jpos && w->step.old->jpos == d->jpos) {
		shm_step_resend(&w->step);
		return ERR_EXISTS;
	}
	start(w, core, d);
	if (!d)
		w->jpos = w->step.old->jpos;
	if (!send_before(w)) {
		work_abort(w);
		return ERR_BUSY;
	}
	unpack(&w->call, w->step.old);
	return 0;
}

int work_begin_new(struct work *w, struct core *core, const struct shm_datagram *d, uint64_t key)
{
	int err = shm_step_begin_new(&w->step, core->self);

	if (err)
		return err;
	start(w, core, d);
	memset(&w->call, 0, HEAD);
	settled(&w->call);
	w->call.leg[LEG_A].gateway = w->call.leg[LEG_B].gateway = CALL_NO_GATEWAY;
	w->call.setup_ms = core->now_ms;
	w->call.duration_limit_ms = SHM_NEVER;
	w->call.next_id = 1;
	w->key[0] = key;
	w->key[1] = 0;
	return 0;
}

shm_ref work_keep(struct work *w, const void *bytes, size_t n)
{
	void *p;
	shm_ref ref;

	if (shm_step_alloc(&w->step, n ? n : 1, &ref, &p)) {
		w->full = true;
		return 0;
	}
	memcpy(p, bytes, n);
	return ref;
}

shm_ref work_strings(struct work *w, const struct str *s, unsigned count)
{
	struct strings *block;
	size_t bytes = 0;
	shm_ref ref;
	void *p;
	char *at;

	BUG_ON(count > STRINGS_MAX);
	for (unsigned i = 0; i < count; i++)
		bytes += s[i].n;
	if (bytes > UINT16_MAX || shm_step_alloc(&w->step, sizeof *block + bytes, &ref, &p)) {
		w->full = true;
		return 0;
	}
	block = p;
	at = block->bytes;
	memset(block->n, 0, sizeof block->n);
	for (unsigned i = 0; i < count; i++) {
		block->n[i] = (uint16_t)s[i].n;
		if (s[i].n)
			memcpy(at, s[i].p, s[i].n);
		at += s[i].n;
	}
	return ref;
}

void work_send(struct work *w, shm_ref bytes, uint32_t length, uint16_t listen, const struct addr *to)
{
	if (!bytes || !to->family)
		return;
	if (w->nsends == SHM_SENDS_MAX) {
		w->full = true;
		return;
	}
	w->send[w->nsends++] = (struct shm_send){ .bytes = bytes, .length = length, .listen = listen, .to = *to };
}

/* ---- packing */

struct refs {
	unsigned n;
	bool full;
	shm_ref ref[SHM_REFS_MAX];
};

static void hold(struct refs *r, shm_ref ref)
{
	if (!ref)
		return;
	for (unsigned i = 0; i < r->n; i++)
		if (r->ref[i] == ref)
			return;
	if (r->n == SHM_REFS_MAX)
		r->full = true;
	else
		r->ref[r->n++] = ref;
}

static void collect(struct refs *r, const struct work *w)
{
	const struct call *c = &w->call;

	r->n = 0;
	r->full = false;
	hold(r, c->invite);
	hold(r, c->held);
	hold(r, c->why);
	for (unsigned i = 0; i < 2; i++) {
		hold(r, c->leg[i].dialog);
		hold(r, c->leg[i].sdp);
	}
	for (unsigned i = 0; i < c->nforks; i++) {
		hold(r, c->fork[i].dialog);
		hold(r, c->fork[i].sdp);
		hold(r, c->fork[i].answer);
	}
	for (unsigned i = 0; i < c->nqueued; i++)
		hold(r, c->queued[i].message);
	for (unsigned i = 0; i < c->ntxns; i++) {
		hold(r, c->txn[i].request);
		hold(r, c->txn[i].response);
		hold(r, c->txn[i].target);
	}
	for (unsigned i = 0; i < w->nsends; i++)
		hold(r, w->send[i].bytes);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What only absorbs repeats may end a little late: one action for all of it, and one awakening for many calls. */
static uint64_t deadline(const struct work *w)
{
	const struct call *c = &w->call;
	uint64_t due = SHM_NEVER, absorb = 0;

	for (unsigned i = 0; i < c->ntxns; i++) {
		const struct txn *t = &c->txn[i];
		if (txn_active(t))
			due = earlier(due, earlier(t->resend_ms, t->expire_ms));
		else if (t->expire_ms != SHM_NEVER && t->expire_ms > absorb)
			absorb = t->expire_ms;
	}
	if (absorb)
		due = earlier(due, (absorb + ABSORB_STEP_MS - 1) / ABSORB_STEP_MS * ABSORB_STEP_MS);
	if (call_is_live(c) && c->phase != CALL_ENDING) {
		due = earlier(due, earlier(c->setup_limit_ms, c->ring_limit_ms));
		due = earlier(due, earlier(c->provisional_limit_ms, c->duration_limit_ms));
	}
	due = earlier(due, session_deadline(c));
	if (c->phase == CALL_ENDED && c->ntxns == 0)
		due = earlier(due, w->core->now_ms + RECORD_RETRY_MS);
	return earlier(due, w->core->now_ms + REVIEW_MS);
}

static void fill_head(struct shm_state *s, const struct work *w, const struct refs *r, size_t bytes)
{
	const struct call *c = &w->call;

	*s = (struct shm_state){
		.jpos = w->jpos,
		.deadline_ms = deadline(w),
		.bytes = (uint32_t)bytes,
		.nsends = w->nsends,
		.nrefs = (uint8_t)r->n,
	};
	s->key[0] = w->step.old ? w->step.old->key[0] : w->key[0];
	s->key[1] = w->step.old ? w->step.old->key[1] : w->key[1];
	if (call_is_live(c))
		s->flags |= SHM_STATE_LIVE;
	if (c->phase == CALL_ENDED)
		s->flags |= SHM_STATE_RECORD;
	if (call_is_live(c) && c->phase != CALL_ENDING && c->leg[LEG_B].gateway != CALL_NO_GATEWAY)
		s->gateway = (uint16_t)(c->leg[LEG_B].gateway + 1);
}

/* A call that was answered or has ended leaves out what it needed until then. */
static size_t head_bytes(struct call *c)
{
	bool under_way = c->phase == CALL_SETUP || c->invite || c->held || c->why || c->open.rseq;

	c->flags = (uint16_t)(under_way ? c->flags & ~CALL_SETTLED : c->flags | CALL_SETTLED);
	return under_way ? HEAD + UNDER_WAY : HEAD;
}

static int pack(struct work *w)
{
	struct call *c = &w->call;
	size_t head = head_bytes(c), bytes;
	struct refs r;
	shm_ref ref;
	void *block;
	char *p;

	collect(&r, w);
	bytes = sizeof(struct shm_state) + w->nsends * sizeof(struct shm_send) + r.n * sizeof(shm_ref) + head +
		c->nforks * sizeof c->fork[0] + c->nqueued * sizeof c->queued[0] + c->ntxns * sizeof c->txn[0];
	if (r.full || shm_step_alloc(&w->step, bytes, &ref, &block))
		return ERR_FULL;
	fill_head(block, w, &r, bytes);
	memcpy(shm_state_sends(block), w->send, w->nsends * sizeof w->send[0]);
	memcpy(shm_state_refs(block), r.ref, r.n * sizeof r.ref[0]);
	p = shm_state_body(block);
	memcpy(p, c, head);
	p += head;
	memcpy(p, c->fork, c->nforks * sizeof c->fork[0]);
	p += c->nforks * sizeof c->fork[0];
	memcpy(p, c->queued, c->nqueued * sizeof c->queued[0]);
	p += c->nqueued * sizeof c->queued[0];
	memcpy(p, c->txn, c->ntxns * sizeof c->txn[0]);
	shm_step_commit(&w->step, ref);
	return 0;
}

/* Both legs have ended when nothing waits any more; what is left only absorbs repeats, for half a minute: much of a busy proxy's memory is such calls. */
static void settle(struct work *w)
{
	struct call *c = &w->call;

	call_txns_sweep(c, w->core->now_ms);
	if (c->phase != CALL_ENDING || c->flags & CALL_BYE_WAITS)
		return;
	for (unsigned i = 0; i < c->ntxns; i++)
		if (txn_active(&c->txn[i]) && !(c->txn[i].flags & TXN_CANCEL_WANTED) && c->txn[i].purpose != TXN_FOR_PRACK)
			return;
	c->phase = CALL_ENDED;
	c->leg[LEG_A].sdp = c->leg[LEG_B].sdp = 0;
	shm_count(w->core->self, CNT_calls_ended);
}

static bool finished(const struct work *w)
{
	const struct call *c = &w->call;

	if (c->ntxns || w->nsends || !w->step.old)
		return false;
	if (c->phase == CALL_RELAY)
		return true;
	return c->phase == CALL_ENDED && shm_recorded(w->core->shm, w->step.slot, w->step.generation);
}

int work_commit(struct work *w)
{
	settle(w);
	if (!w->full && finished(w)) {
		shm_step_free(&w->step);
		return 0;
	}
	if (!w->full && pack(w) == 0)
		return 0;
	shm_step_abort(&w->step);
	shm_count(w->core->self, CNT_arena_full);
	return ERR_FULL;
}

void work_abort(struct work *w)
{
	shm_step_abort(&w->step);
}
