/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process has yet to hand to the kernel (guarantee F). An entry is whole before the tail counts it. */
#include "shm/internal.h"

static struct shm_outbox_entry *next_entry(struct shm_proc *p)
{
	BUG_ON(shm_outbox_room(p) == 0);
	return &p->outbox[p->outbox_tail % SHM_OUTBOX];
}

void shm_outbox_append(struct shm *shm, struct shm_proc *p, uint32_t slot, const struct shm_state *state)
{
	const struct shm_send *send = shm_state_sends(state);

	for (unsigned i = 0; i < state->nsends; i++, send++) {
		struct shm_outbox_entry *e;

		if (!shm_block(shm, send->bytes))
			continue; /* sent once, and not kept by the state */
		e = next_entry(p);
		*e = (struct shm_outbox_entry){
			.ref = send->bytes,
			.offset = send->offset,
			.length = send->length,
			.to = send->to,
			.listen = send->listen,
			.object = slot,
		};
		SHM_STEP("shm.outbox.entry");
		uatomic_set(&p->outbox_tail, p->outbox_tail + 1);
		SHM_STEP("shm.outbox.tail");
	}
}

int shm_outbox_put(struct shm_self *self, uint16_t listen, const struct addr *to, const void *bytes, uint32_t length)
{
	struct shm_proc *p = self->proc;
	struct shm_outbox_entry *e;

	if (p->outbox_head == p->outbox_tail)
		uatomic_set(&p->scratch_used, 0);
	/* Room for one commit's sends stays free for the step that may be open. */
	if (shm_outbox_room(p) <= SHM_SENDS_MAX || length > SHM_SCRATCH - p->scratch_used)
		return ERR_FULL;
	e = next_entry(p);
	*e = (struct shm_outbox_entry){ .offset = p->scratch_used, .length = length, .to = *to, .listen = listen, .object = SHM_NO_OBJECT };
	memcpy(p->scratch + p->scratch_used, bytes, length);
	SHM_STEP("shm.outbox.copied");
	uatomic_set(&p->scratch_used, p->scratch_used + length);
	uatomic_set(&p->outbox_tail, p->outbox_tail + 1);
	SHM_STEP("shm.outbox.put");
	return 0;
}

int shm_outbox_entry(struct shm_self *self, unsigned i, struct shm_out *out)
{
	struct shm_proc *p = self->proc;
	const struct shm_outbox_entry *e = &p->outbox[(p->outbox_head + i) % SHM_OUTBOX];
	const char *bytes = p->scratch;

	if (i >= shm_outbox_count(self))
		return ERR_NOTFOUND;
	if (e->ref) {
		bytes = shm_block(self->shm, e->ref);
		BUG_ON(!bytes); /* we have been online since it was queued */
	}
	*out = (struct shm_out){ .bytes = bytes + e->offset, .length = e->length, .listen = e->listen, .sent = e->sent, .object = e->object, .to = e->to };
	return 0;
}

unsigned shm_outbox_count(const struct shm_self *self)
{
	return self->proc->outbox_tail - self->proc->outbox_head;
}

void shm_outbox_sent(struct shm_self *self, unsigned n)
{
	BUG_ON(n > shm_outbox_count(self));
	SHM_STEP("shm.outbox.sent");
	uatomic_set(&self->proc->outbox_head, self->proc->outbox_head + n);
}

void shm_outbox_sent_early(struct shm_self *self, unsigned i)
{
	struct shm_proc *p = self->proc;

	BUG_ON(i >= shm_outbox_count(self));
	SHM_STEP("shm.outbox.early");
	uatomic_set(&p->outbox[(p->outbox_head + i) % SHM_OUTBOX].sent, 1);
}

/* ------------------------------------------------------------------------------------------ on the way */
struct mmsghdr *shm_sending_open(struct shm_self *self)
{
	struct shm_sending *s = &self->proc->sending;

	uatomic_set(&s->round, s->round | 1);
	cmm_smp_wmb();
	SHM_STEP("shm.sending.open");
	return s->message;
}

void shm_sending_add(struct shm_self *self, unsigned k, unsigned i)
{
	BUG_ON(k >= SHM_SENDING_MAX);
	self->proc->sending.position[k] = self->proc->outbox_head + i;
	SHM_STEP("shm.sending.add");
}

void shm_sending_close(struct shm_self *self, unsigned n)
{
	struct shm_sending *s = &self->proc->sending;

	BUG_ON(n > SHM_SENDING_MAX);
	s->n = n;
	cmm_smp_wmb();
	SHM_STEP("shm.sending.whole");
	uatomic_set(&s->round, (s->round | 1) + 1);
	cmm_barrier();
}

struct taken {
	unsigned message, in_it, datagram;
};

/* The next datagram that the kernel has taken. A process that lives may fill the array anew meanwhile: numbers are checked, and who asks must see that the round stays. */
static bool next_taken(const struct shm_sending *s, struct taken *it, uint32_t *position)
{
	while (it->message < s->n && it->message < SHM_SENDING_MAX && it->datagram < SHM_SENDING_MAX) {
		const struct mmsghdr *m = &s->message[it->message];

		if (it->in_it >= m->msg_hdr.msg_iovlen) {
			it->message++;
			it->in_it = 0;
			continue;
		}
		it->in_it++;
		*position = s->position[it->datagram++];
		if (uatomic_read(&m->msg_len))
			return true;
	}
	return false;
}

bool shm_outbox_left(const struct shm_proc *p, uint32_t from, uint32_t to)
{
	const struct shm_sending *s = &p->sending;
	uint32_t head = uatomic_read(&p->outbox_head), round = uatomic_read(&s->round), position, waiting = 0;
	struct taken it = { 0 };

	for (uint32_t at = from; at != to; at++)
		if (at - head < SHM_OUTBOX && !uatomic_read(&p->outbox[at % SHM_OUTBOX].sent))
			waiting |= 1u << (at - from);
	if (!waiting)
		return true;
	cmm_smp_rmb();
	while (next_taken(s, &it, &position))
		if (position - from < to - from)
			waiting &= ~(1u << (position - from));
	cmm_smp_rmb();
	return !waiting && !(round & 1) && uatomic_read(&s->round) == round;
}

void shm_outbox_repair(struct shm_proc *p)
{
	struct taken it = { 0 };
	uint32_t position;

	while (!(p->sending.round & 1) && next_taken(&p->sending, &it, &position))
		if (position - p->outbox_head < p->outbox_tail - p->outbox_head) {
			SHM_STEP("shm.repair.taken");
			uatomic_set(&p->outbox[position % SHM_OUTBOX].sent, 1);
		}
}
