/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What came from the kernel and is not done yet (guarantee F): the batch the kernel writes into, and the deferred. */
#include "shm/internal.h"

static uint64_t position(const struct shm_journal *j, unsigned slot, unsigned i)
{
	return (uint64_t)slot << 56 | (j->base + i);
}

static bool is_waiting(const struct shm_journal *j, unsigned i)
{
	return uatomic_read(&j->msgs[i].msg_len) && !uatomic_read(&j->done[i]);
}

/* The kernel fills a batch in order and sets the length of every sender's name: how many entries it has touched since they were opened. */
static unsigned touched(const struct shm_self *self, const struct shm_journal *j)
{
	unsigned n = 0;

	if (!self->journal_open)
		return SHM_JOURNAL_BATCH; /* a predecessor's pointers mean nothing here */
	while (n < SHM_JOURNAL_BATCH && (j->msgs[n].msg_len || j->msgs[n].msg_hdr.msg_namelen != sizeof j->names[n]))
		n++;
	return n;
}

static void open_batch(struct shm_self *self, struct shm_journal *j)
{
	unsigned n = touched(self, j);

	for (unsigned i = 0; i < n; i++) {
		BUG_ON(is_waiting(j, i));
		uatomic_set(&j->msgs[i].msg_len, 0);
	}
	SHM_STEP("shm.journal.zeroed");
	uatomic_set(&j->base, j->base ? j->base + SHM_JOURNAL_BATCH : 1);
	for (unsigned i = 0; i < n; i++) {
		j->iov[i] = (struct iovec){ .iov_base = j->bytes[i], .iov_len = SHM_DATAGRAM_MAX };
		j->msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &j->names[i],
			.msg_namelen = sizeof j->names[i],
			.msg_iov = &j->iov[i],
			.msg_iovlen = 1,
		};
		uatomic_set(&j->done[i], 0);
	}
	self->journal_open = true;
}

struct mmsghdr *shm_journal_open(struct shm_self *self, unsigned from, uint16_t listen)
{
	struct shm_journal *j = shm_journal(self->shm, self->slot);

	BUG_ON(from >= SHM_JOURNAL_BATCH || (from && !self->journal_open));
	if (from == 0)
		open_batch(self, j);
	for (unsigned i = from; i < SHM_JOURNAL_BATCH; i++)
		j->listen[i] = listen;
	SHM_STEP("shm.journal.open");
	return j->msgs + from;
}

int shm_journal_entry(struct shm_self *self, unsigned i, struct shm_datagram *d)
{
	struct shm_journal *j = shm_journal(self->shm, self->slot);

	if (i >= SHM_JOURNAL_BATCH || !is_waiting(j, i))
		return ERR_NOTFOUND;
	*d = (struct shm_datagram){
		.bytes = j->bytes[i],
		.length = j->msgs[i].msg_len < SHM_DATAGRAM_MAX ? j->msgs[i].msg_len : SHM_DATAGRAM_MAX,
		.listen = j->listen[i],
		.truncated = j->msgs[i].msg_hdr.msg_flags & MSG_TRUNC,
		.jpos = position(j, self->slot, i),
	};
	addr_from_sockaddr(&d->from, &j->names[i], ADDR_UDP);
	return 0;
}

void shm_journal_done(struct shm_self *self, unsigned i)
{
	struct shm_journal *j = shm_journal(self->shm, self->slot);

	BUG_ON(i >= SHM_JOURNAL_BATCH);
	SHM_STEP("shm.journal.done");
	uatomic_set(&j->done[i], 1);
}

void shm_work_on(struct shm_self *self, uint64_t jpos)
{
	uatomic_set(&self->proc->in_work, jpos);
	cmm_barrier();
}

uint64_t shm_in_work(const struct shm_self *self)
{
	return self->proc->in_work;
}

/* ------------------------------------------------------------------------------------------ deferred */
/* The n-th deferred entry whose bytes are still there, or NULL. */
static struct shm_deferred_entry *find_deferred(struct shm *shm, struct shm_proc *p, unsigned n)
{
	for (uint32_t at = p->deferred_head; at != p->deferred_tail; at++) {
		struct shm_deferred_entry *e = &p->deferred[at % SHM_DEFERRED];

		if (e->live && shm_block(shm, e->ref) && n-- == 0)
			return e;
	}
	return NULL;
}

static void drop_finished(const struct shm *shm, struct shm_proc *p)
{
	while (p->deferred_head != p->deferred_tail) {
		const struct shm_deferred_entry *e = &p->deferred[p->deferred_head % SHM_DEFERRED];

		if (e->live && shm_block(shm, e->ref))
			return;
		uatomic_set(&p->deferred_head, p->deferred_head + 1);
	}
}

int shm_defer(struct shm_self *self, unsigned i)
{
	struct shm_proc *p = self->proc;
	struct shm_datagram d;
	shm_ref ref;

	if (shm_journal_entry(self, i, &d))
		return ERR_NOTFOUND;
	drop_finished(self->shm, p);
	if (p->deferred_tail - p->deferred_head == SHM_DEFERRED)
		return ERR_FULL;
	if (shm_block_take(self, d.length, &p->deferred_candidate, &ref))
		return ERR_FULL;
	memcpy(shm_payload(self->shm, shm_low(ref)), d.bytes, d.length);
	p->deferred[p->deferred_tail % SHM_DEFERRED] = (struct shm_deferred_entry){
		.ref = ref,
		.jpos = d.jpos,
		.from = d.from,
		.length = d.length,
		.listen = d.listen,
		.truncated = d.truncated,
		.live = 1,
	};
	SHM_STEP("shm.defer.entry");
	uatomic_set(&p->deferred_tail, p->deferred_tail + 1);
	SHM_STEP("shm.defer.listed");
	uatomic_set(&p->deferred_candidate, 0);
	shm_journal_done(self, i);
	return 0;
}

int shm_deferred(struct shm_self *self, unsigned i, struct shm_datagram *d)
{
	const struct shm_deferred_entry *e = find_deferred(self->shm, self->proc, i);

	if (!e)
		return ERR_NOTFOUND;
	*d = (struct shm_datagram){
		.bytes = shm_block(self->shm, e->ref),
		.length = e->length,
		.listen = e->listen,
		.truncated = e->truncated,
		.from = e->from,
		.jpos = e->jpos,
	};
	return 0;
}

/* Retired before it leaves the list: a death between shows it once more, and its position tells that it was done. */
void shm_deferred_done(struct shm_self *self, unsigned i)
{
	struct shm_deferred_entry *e = find_deferred(self->shm, self->proc, i);

	BUG_ON(!e);
	shm_retire(self->shm, self->proc, e->ref);
	SHM_STEP("shm.deferred.done");
	uatomic_set(&e->live, 0);
	drop_finished(self->shm, self->proc);
}

void shm_deferred_repair(struct shm *shm, struct shm_proc *p)
{
	struct shm_deferred_entry *e;
	shm_ref candidate = p->deferred_candidate;

	for (unsigned n = 0; (e = find_deferred(shm, p, n)) != NULL; n++)
		if (e->ref == candidate)
			candidate = 0;
	shm_block_undo(shm, p, candidate);
	SHM_STEP("shm.repair.deferred");
	uatomic_set(&p->deferred_candidate, 0);
}

/* Marks done what its predecessor had put on the deferred list but not marked yet. */
void shm_journal_adopt(struct shm *shm, unsigned slot)
{
	struct shm_journal *j = shm_journal(shm, slot);
	struct shm_proc *p = shm_proc(shm, slot);
	const struct shm_deferred_entry *e;

	for (unsigned i = 0; i < SHM_JOURNAL_BATCH; i++)
		for (unsigned n = 0; is_waiting(j, i) && (e = find_deferred(shm, p, n)) != NULL; n++)
			if (e->jpos == position(j, slot, i))
				uatomic_set(&j->done[i], 1);
}
