/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker: receives into its journal, decides, sends at the end of the turn. It may be killed at any instruction; its successor first sends
 * what the outbox still holds, then goes through the journal again. */
#include "proc/worker.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/inject.h"
#include "proc/log.h"
#include "proc/worker_private.h"

enum {
	RETRY_MS = 2,          /* how soon a deferred datagram is tried again when nothing else wakes us */
	FULL_TRIES = 200,      /* with the deferred list full, this many milliseconds at most for one datagram */
	LEAVE_MS = 500,        /* longest wait for deferred datagrams when asked to leave */
	POISON_CRASHES = 2,    /* crashes in a row over the same journal */
};

/* Empty datagrams and line ends keep a NAT's binding open (RFC 5626 §3.5.1, RFC 6223). */
static bool is_keepalive(const struct shm_datagram *d)
{
	for (uint32_t i = 0; i < d->length; i++)
		if (d->bytes[i] != '\r' && d->bytes[i] != '\n' && d->bytes[i] != 0)
			return false;
	return true;
}

static int wrk_handle(struct worker *w, const struct shm_datagram *d)
{
	struct child *c = &w->child;
	int err;

	shm_work_on(c->self, d->jpos);
	err = core_receive(&c->core, d);
	shm_work_on(c->self, 0);
	return err;
}

/* Order within a call: behind a deferred datagram all later ones of its call wait too. */
static bool wrk_waits_behind(struct worker *w, const struct shm_datagram *d, unsigned before)
{
	struct shm_datagram earlier;

	for (unsigned i = 0; i < before && shm_deferred(w->child.self, i, &earlier) == 0; i++)
		if (core_same_call(&earlier, d))
			return true;
	return false;
}

void wrk_retry(struct worker *w)
{
	struct child *c = &w->child;
	struct shm_datagram d;

	for (unsigned i = 0; i < w->ndeferred;) {
		if (shm_deferred(c->self, i, &d)) {
			w->ndeferred = i;
			break;
		}
		child_make_room(c);
		if (wrk_waits_behind(w, &d, i) || wrk_handle(w, &d) == ERR_BUSY) {
			i++;
			continue;
		}
		shm_deferred_done(c->self, i);
		shm_progress(c->self);
		w->ndeferred--;
	}
}

/* Puts a datagram off. A full list is worked on for a while; after that the datagram is lost, and its sender sends it again. */
static void wrk_defer(struct worker *w, unsigned entry)
{
	struct child *c = &w->child;

	shm_count(c->self, CNT_deferred);
	for (int i = 0; shm_defer(c->self, entry); i++) {
		if (i == FULL_TRIES) {
			shm_journal_done(c->self, entry);
			return;
		}
		usleep(1000);
		child_clock(c);
		wrk_keep(w);
		child_flush(c, NULL);
		shm_rcu_quiescent(c->self); /* else what we have retired ourselves could never make room */
		wrk_retry(w);
	}
	w->ndeferred++;
	wrk_keep_source(w, entry);
}

static void wrk_entry(struct worker *w, unsigned entry, const struct shm_datagram *d)
{
	struct child *c = &w->child;

	if (d->truncated) {
		shm_count(c->self, CNT_truncated);
	} else if (is_keepalive(d)) {
		shm_count(c->self, CNT_keepalives);
	} else {
		child_make_room(c);
		if ((w->ndeferred && wrk_waits_behind(w, d, w->ndeferred)) || wrk_handle(w, d) == ERR_BUSY) {
			wrk_defer(w, entry);
			return;
		}
	}
	INJECT("wrk.received");
	shm_journal_done(c->self, entry);
	shm_progress(c->self);
}

/* An empty datagram leaves its entry empty. */
void wrk_batch(struct worker *w, unsigned n)
{
	struct child *c = &w->child;
	struct shm_datagram batch[SHM_JOURNAL_BATCH];
	unsigned entry[SHM_JOURNAL_BATCH], full = 0;
	struct core_ahead ahead = { 0 };

	for (unsigned i = 0; i < n; i++) {
		if (shm_journal_entry(c->self, i, &batch[full])) {
			shm_count(c->self, CNT_keepalives);
			continue;
		}
		core_ahead_see(&ahead, &c->core, &batch[full]);
		entry[full++] = i;
	}
	for (unsigned i = 0; i < full; i++) {
		core_ahead_step(&ahead, &c->core);
		wrk_entry(w, entry[i], &batch[i]);
	}
}

static void on_retry(uv_timer_t *handle)
{
	struct worker *w = handle->data;

	child_wake(&w->child);
	wrk_retry(w);
}

static void wrk_end_turn(struct child *c)
{
	struct worker *w = (struct worker *)c;
	unsigned blocked = 0;

	if (!child_flush(c, &blocked))
		wrk_await_room(w, blocked);
	INJECT("wrk.sent");
	wrk_release(w);
	if (w->ndeferred && !uv_is_active((uv_handle_t *)&w->retry))
		uv_timer_start(&w->retry, on_retry, RETRY_MS, RETRY_MS);
	else if (!w->ndeferred && uv_is_active((uv_handle_t *)&w->retry))
		uv_timer_stop(&w->retry);
}

/* What is still deferred is handled first, for a bounded time; the rest stays for the successor. */
static bool wrk_may_leave(struct child *c)
{
	struct worker *w = (struct worker *)c;

	wrk_close_sockets(w);
	if (!w->leave_by_ms)
		w->leave_by_ms = c->core.now_ms + LEAVE_MS;
	if (w->ndeferred || shm_outbox_count(c->self)) {
		uv_timer_start(&w->retry, on_retry, RETRY_MS, RETRY_MS);
		return c->core.now_ms >= w->leave_by_ms;
	}
	return true;
}

/* Drops the datagram that has killed several workers in a row. */
static void wrk_set_aside(struct worker *w)
{
	struct child *c = &w->child;
	uint64_t poison = shm_in_work(c->self);
	struct shm_datagram d;

	if (!poison || c->h->crashes < POISON_CRASHES)
		return;
	log_error("a message killed %u workers in a row and is dropped", c->h->crashes);
	shm_count(c->self, CNT_poison_messages);
	for (unsigned i = 0; i < SHM_JOURNAL_BATCH; i++)
		if (shm_journal_entry(c->self, i, &d) == 0 && d.jpos == poison)
			shm_journal_done(c->self, i);
	for (unsigned i = 0; shm_deferred(c->self, i, &d) == 0; i++)
		if (d.jpos == poison) {
			shm_deferred_done(c->self, i);
			break;
		}
	shm_work_on(c->self, 0);
}

/* A predecessor's work: its sends, then its deferred datagrams and its journal. */
static void wrk_inherit(struct worker *w)
{
	struct child *c = &w->child;
	struct shm_datagram d;

	child_flush(c, NULL);
	wrk_set_aside(w);
	while (shm_deferred(c->self, w->ndeferred, &d) == 0)
		w->ndeferred++;
	wrk_retry(w);
	for (unsigned i = 0; i < SHM_JOURNAL_BATCH; i++) {
		if (shm_journal_entry(c->self, i, &d))
			continue;
		shm_count(c->self, CNT_replayed);
		wrk_entry(w, i, &d);
	}
	child_flush(c, NULL);
	shm_rcu_quiescent(c->self);
}

_Noreturn void worker(const struct heritage *h, unsigned index)
{
	static struct worker w;

	child_start(&w.child, h, SHM_WORKER, index);
	w.index = index;
	w.child.end_turn = wrk_end_turn;
	w.child.may_leave = wrk_may_leave;
	uv_timer_init(&w.child.loop, &w.retry);
	w.retry.data = &w;
	wrk_open_sockets(&w);
	wrk_inherit(&w);
	child_prefault(&w.child);
	child_run(&w.child);
}
