/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Velador's processes: each a struct shm_self with its turns, as src/proc has them, without the sockets and the loop. */
#include <sys/socket.h>

#include "base/inject.h"
#include "ini/conf.h"
#include "sim.h"

enum {
	TICK_MS = 10,            /* of the timer process */
	RETRY_MS = 2,            /* of deferred datagrams */
	RECORD_MS = 50,
	RESTART_MS = 100,        /* longest absence of a dead process */
	ROOM = 4 * SHM_SENDS_MAX,
};

static uint64_t proc_random(void *arg)
{
	return rng_next(arg);
}

static void set_clock(struct sim *s, struct proc *p)
{
	p->core.now_ms = s->now_ms;
	p->core.wall_ms = s->now_ms + 1700000000000ull;
}

/* ---- sending */

static void flush(struct sim *s, struct proc *p)
{
	struct shm_out out;
	unsigned n = 0;

	for (; shm_outbox_entry(p->self, n, &out) == 0; n++) {
		wire_sent(s, &out.to, out.bytes, out.length);
		network_send(s, &s->listen.bound, &out.to, out.bytes, out.length);
		if (n % 4 == 3)
			INJECT("sim.sending");
	}
	INJECT("sim.sent");
	shm_outbox_sent(p->self, n);
}

static void make_room(struct sim *s, struct proc *p)
{
	if (shm_outbox_count(p->self) + ROOM > SHM_OUTBOX)
		flush(s, p);
}

/* ---- a worker */

static bool waits_behind(struct proc *p, const struct shm_datagram *d, unsigned before)
{
	struct shm_datagram earlier;

	for (unsigned i = 0; i < before && shm_deferred(p->self, i, &earlier) == 0; i++)
		if (core_same_call(&earlier, d))
			return true;
	return false;
}

static unsigned deferred_count(struct proc *p)
{
	struct shm_datagram d;
	unsigned n = 0;

	while (n < SHM_DEFERRED && shm_deferred(p->self, n, &d) == 0)
		n++;
	return n;
}

static void retry_deferred(struct sim *s, struct proc *p)
{
	struct shm_datagram d;

	for (unsigned i = 0; shm_deferred(p->self, i, &d) == 0;) {
		make_room(s, p);
		if (waits_behind(p, &d, i) || core_receive(&p->core, &d) == ERR_BUSY)
			i++;
		else
			shm_deferred_done(p->self, i);
	}
}

/* A batch whose entries could not all be done or deferred is taken up again at the next turn. */
static void work_batch(struct sim *s, struct proc *p)
{
	struct shm_datagram d;

	p->unfinished = false;
	for (unsigned i = 0; i < SHM_JOURNAL_BATCH; i++) {
		if (shm_journal_entry(p->self, i, &d))
			continue;
		make_room(s, p);
		if (waits_behind(p, &d, SHM_DEFERRED) || core_receive(&p->core, &d) == ERR_BUSY) {
			s->stats->deferred++;
			if (shm_defer(p->self, i) == 0)
				continue;
			p->unfinished = true;
			return;
		}
		INJECT("wrk.received");
		shm_journal_done(p->self, i);
	}
}

/* What recvmmsg() does: names and bytes first, then the lengths. */
static unsigned kernel_receives(struct proc *p)
{
	struct mmsghdr *m = shm_journal_open(p->self, 0, 0);
	unsigned n = 0;

	for (; n < SHM_JOURNAL_BATCH && p->head; n++) {
		struct packet *k = p->head;
		struct msghdr *h = &m[n].msg_hdr;
		struct sockaddr_storage ss;
		socklen_t len = addr_to_sockaddr(&k->from, &ss);

		memcpy(h->msg_name, &ss, len);
		h->msg_namelen = len;
		h->msg_flags = k->length > h->msg_iov[0].iov_len ? MSG_TRUNC : 0;
		memcpy(h->msg_iov[0].iov_base, k->bytes, k->length < h->msg_iov[0].iov_len ? k->length : h->msg_iov[0].iov_len);
		m[n].msg_len = k->length < h->msg_iov[0].iov_len ? k->length : (unsigned)h->msg_iov[0].iov_len;
		p->head = k->next;
		if (!p->head)
			p->tail = &p->head;
		free(k);
	}
	return n;
}

static void worker_turn(struct sim *s, struct proc *p)
{
	shm_rcu_online(p->self);
	retry_deferred(s, p);
	if (p->unfinished)
		work_batch(s, p);
	while (p->head && !p->unfinished) {
		kernel_receives(p);
		INJECT("wrk.journal");
		work_batch(s, p);
	}
	flush(s, p);
	shm_rcu_quiescent(p->self);
	if (deferred_count(p) || p->unfinished)
		proc_plan(s, p, s->now_ms + RETRY_MS);
	shm_rcu_offline(p->self);
}

/* ---- the timer */

struct due {
	struct sim *s;
	struct proc *p;
};

static void timer_due(void *arg, uint32_t slot, uint64_t deadline_ms)
{
	struct due *due = arg;
	int err;

	make_room(due->s, due->p);
	err = core_timer(&due->p->core, slot);
	if (err == 0 && due->s->verbose)
		sim_say(due->s, "timer acted on %u, %llu ms late", slot, (unsigned long long)(due->s->now_ms - deadline_ms));
	INJECT("tmr.acted");
}

static void timer_turn(struct sim *s, struct proc *p)
{
	struct due due = { s, p };

	s->timer_last_ms = s->now_ms;
	shm_rcu_online(p->self);
	shm_board_scan(p->self, s->now_ms, timer_due, &due);
	flush(s, p);
	shm_rcu_quiescent(p->self);
	shm_rcu_offline(p->self);
}

uint64_t proc_timer_next(struct sim *s)
{
	const struct proc *p = &s->procs[s->plan.workers];
	uint64_t at_ms = shm_board_next(s->shm);

	if (!p->alive || at_ms == SHM_NEVER)
		return SHM_NEVER;
	if (at_ms < s->timer_last_ms + TICK_MS)
		at_ms = s->timer_last_ms + TICK_MS;
	at_ms = (at_ms + TICK_MS - 1) / TICK_MS * TICK_MS;
	return at_ms > s->now_ms ? at_ms : s->now_ms;
}

/* ---- control */

static void control_turn(struct sim *s, struct proc *p)
{
	uint32_t slots = shm_slots(s->shm), first = rng_below(&s->rng, slots), generation;
	struct sim_call *c = NULL;
	struct call call;

	shm_rcu_online(p->self);
	for (uint32_t i = 0; i < slots; i++) {
		uint32_t slot = (first + i) % slots;
		if (call_load(s->shm, slot, 0, &call, &generation) || !call_is_live(&call))
			continue;
		c = call_by_id(s, strings_get(s->shm, call.leg[LEG_A].dialog, DIALOG_CALL_ID));
		if (c)
			c->excuse |= EXCUSE_ADMIN;
		core_hangup(&p->core, slot, generation);
		break;
	}
	flush(s, p);
	shm_rcu_quiescent(p->self);
	shm_rcu_offline(p->self);
}

void proc_hangup(struct sim *s)
{
	struct proc *p = &s->procs[s->plan.workers + 2];

	if (p->alive && !p->inside)
		proc_turn(s, p);
}

/* ---- life and death */

static void start(struct sim *s, struct proc *p)
{
	struct shm_self *self;

	if (shm_self_claim(&self, s->shm, p->kind, p->index)) {
		sim_fail(s, "process %d.%u cannot claim its slot", (int)p->kind, p->index);
		return;
	}
	p->self = p->core.self = self;
	p->alive = true;
	if (p->kind != SHM_TIMER)
		kill_mortal(p);
	if (p->kind == SHM_RECORDER)
		recorder_start(s, p);
	flush(s, p);
	if (p->kind == SHM_WORKER) {
		retry_deferred(s, p);
		work_batch(s, p);
		flush(s, p);
		if (deferred_count(p) || p->unfinished)
			proc_plan(s, p, s->now_ms + RETRY_MS);
	}
	shm_rcu_quiescent(p->self);
	if (p->kind == SHM_TIMER)
		shm_board_rebuild(p->self);
	shm_rcu_offline(p->self);
}

static void died(struct sim *s, struct proc *p)
{
	if (p->self)
		shm_self_free(p->self);
	p->self = p->core.self = NULL;
	p->alive = false;
	sim_at(s, s->now_ms + rng_below(&s->kill_rng, RESTART_MS), EVENT_RESTART, p);
}

void proc_restart(struct sim *s, struct proc *p)
{
	set_clock(s, p);
	if (!kill_guard(s, p, start))
		died(s, p);
	else if (p->kind == SHM_WORKER && p->head)
		proc_plan(s, p, s->now_ms);
}

void proc_turn(struct sim *s, struct proc *p)
{
	static void (*const turns[])(struct sim *, struct proc *) = {
		[SHM_WORKER] = worker_turn, [SHM_TIMER] = timer_turn, [SHM_RECORDER] = recorder_turn, [SHM_CONTROL] = control_turn,
	};

	if (!p->alive || p->inside)
		return;
	set_clock(s, p);
	if (!kill_guard(s, p, turns[p->kind]))
		died(s, p);
	if (p->kind != SHM_RECORDER)
		proc_plan(s, &s->procs[s->plan.workers + 1], s->now_ms + RECORD_MS);
}

void proc_plan(struct sim *s, struct proc *p, uint64_t at_ms)
{
	if (p->planned)
		return;
	p->planned = true;
	sim_at(s, at_ms, EVENT_TURN, p);
}

/* The kernel steers by what looks like a Call-ID: all datagrams of a call to one worker. Where it finds none, by other bytes: the
 * messages of a call then come to any, but the same bytes always to the same. */
static struct str steering(const struct sim *s, const struct packet *k)
{
	struct str all = str_make(k->bytes, k->length);

	for (size_t i = 0; i + 5 < all.n && !s->plan.steer_wrong; i++)
		if (memcmp(all.p + i, "\nCal", 4) == 0)
			return str_head(str_from(all, i), 26);
	return all;
}

void proc_deliver(struct sim *s, struct packet *packet)
{
	struct proc *p = &s->procs[text_hash(steering(s, packet)) % s->plan.workers];

	packet->next = NULL;
	*p->tail = packet;
	p->tail = &packet->next;
	proc_plan(s, p, s->now_ms);
}

static void proc_init(struct sim *s, enum shm_kind kind, unsigned index)
{
	struct proc *p = &s->procs[s->nprocs++];

	p->kind = kind;
	p->index = index;
	p->tail = &p->head;
	p->rng.s = rng_next(&s->rng);
	p->core = (struct core){
		.shm = s->shm, .route = s->route, .params = &s->conf->params, .listen = &s->listen, .nlisten = 1,
		.max_calls = s->plan.slots, .random = proc_random, .random_arg = &p->rng,
	};
}

bool proc_open(struct sim *s)
{
	for (unsigned i = 0; i < s->plan.workers; i++)
		proc_init(s, SHM_WORKER, i);
	proc_init(s, SHM_TIMER, 0);
	proc_init(s, SHM_RECORDER, 0);
	proc_init(s, SHM_CONTROL, 0);
	for (unsigned i = 0; i < s->nprocs; i++)
		proc_restart(s, &s->procs[i]);
	return !s->failed;
}

bool proc_all_idle(const struct sim *s)
{
	for (unsigned i = 0; i < s->nprocs; i++)
		if (!s->procs[i].alive || s->procs[i].inside)
			return false;
	return true;
}

void proc_close(struct sim *s)
{
	for (unsigned i = 0; i < s->nprocs; i++) {
		struct proc *p = &s->procs[i];
		while (p->head) {
			struct packet *k = p->head;
			p->head = k->next;
			free(k);
		}
		if (p->self)
			shm_self_free(p->self);
	}
}
