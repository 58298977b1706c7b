/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker: receives into its journal, decides, sends at the end of the turn. It may be killed at any instruction; its successor first sends
 * what the outbox still holds, then goes through the journal again. */
#include "proc/worker.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/inject.h"
#include "proc/child.h"
#include "proc/log.h"

enum {
	RETRY_MS = 2,          /* how soon a deferred datagram is tried again when nothing else wakes us */
	FULL_TRIES = 200,      /* with the deferred list full, this many milliseconds at most for one datagram */
	LEAVE_MS = 500,        /* longest wait for deferred datagrams when asked to leave */
	POISON_CRASHES = 2,    /* crashes in a row over the same journal */
	PACE_MIN_MS = 2, PACE_MAX_MS = 16, /* between two looks at a busy socket: what pacing adds to a message's way at most, beside the look's own time */
	PACE_DATAGRAMS = SHM_JOURNAL_BATCH * 2, /* found in a look at most, where PACE_MIN_MS allows that */
	WINDOW_MS = 16,        /* how far back "busy" looks */
	BUSY_WAKES = 12,       /* wake-ups in a window from which on pacing takes fewer */
	QUIET_DATAGRAMS = 6,   /* datagrams in a window below which it takes more */
	PACE_ROUNDS = 8,       /* full batches taken in one look */
};

struct worker {
	struct child child;
	struct wrk_socket {
		struct worker *worker;
		uv_poll_t poll;
		int fd;
		uint16_t listen;
		bool writable;         /* waits for room in the kernel's buffer */
		bool paced;            /* looked at by the clock; else watched */
		unsigned seen;         /* in this window: wake-ups while watched, datagrams while paced */
		uint64_t window_ms;    /* when the window began */
	} socket[CONF_LISTEN_MAX];
	uv_timer_t pace;               /* runs while a socket is paced */
	unsigned index;
	uint64_t looked_ms;
	uint64_t rate_s;               /* datagrams a second on paced sockets: a running average */
	uv_timer_t retry;
	unsigned ndeferred;            /* as far as this process knows; exact */
	uint64_t leave_by_ms;
};

static void on_socket(uv_poll_t *handle, int status, int events);
static void on_pace(uv_timer_t *handle);

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

/* Tries the deferred datagrams again, in order. */
static void wrk_retry(struct worker *w)
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
		child_flush(c);
		shm_rcu_quiescent(c->self); /* else what we have retired ourselves could never make room */
		wrk_retry(w);
	}
	w->ndeferred++;
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

/* The batch that the kernel has filled. An empty datagram leaves its entry empty. */
static void wrk_batch(struct worker *w, unsigned n)
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

/* Returns how many datagrams came. The clock is read after they did: the timer process may have sent a moment ago what one of them answers, and no
 * answer is older than its request. */
static unsigned wrk_receive(struct worker *w, struct wrk_socket *s)
{
	unsigned n;

	if (udp_receive(&n, s->fd, w->child.self, s->listen))
		udp_errors(&w->child.sender, s->fd);
	INJECT("wrk.journal");
	if (n)
		child_clock(&w->child);
	wrk_batch(w, n);
	return n;
}

static void wrk_watch(struct wrk_socket *s)
{
	if (!s->paced)
		uv_poll_start(&s->poll, UV_READABLE | (s->writable ? UV_WRITABLE : 0), on_socket);
}

/* ---- pacing: going to sleep and being woken costs more than a message's own work, so a busy socket is looked at by the clock instead of being
 * watched: what comes meanwhile is taken, and answered, in one go. A quiet one is watched, and its messages wait for nothing. */

/* Of the paces that double from PACE_MIN_MS to PACE_MAX_MS the one that finds PACE_DATAGRAMS at most. */
static uint64_t wrk_pace_ms(const struct worker *w)
{
	uint64_t ms = PACE_MIN_MS;

	while (ms < PACE_MAX_MS && ms * 2 * w->rate_s <= PACE_DATAGRAMS * 1000)
		ms *= 2;
	return ms;
}

/* The workers take turns: were all to send at the same moment, a peer's receive buffer, for some 100 datagrams where nobody set it, might not hold it. The turns
 * of every second one are odd, so that it keeps off its neighbours' also where their pace is another. */
static uint64_t wrk_next_look_ms(struct worker *w)
{
	uint64_t pace_ms = wrk_pace_ms(w), turn_ms = (w->index * pace_ms / w->child.h->workers) | (w->index & 1);

	uv_update_time(&w->child.loop); /* it stands at the beginning of the look */
	return pace_ms - (uv_now(&w->child.loop) + pace_ms - turn_ms) % pace_ms;
}

static void wrk_measure(struct worker *w, unsigned n, uint64_t since_ms)
{
	uint64_t rate_s = n * 1000 / (since_ms ? since_ms : 1);

	w->rate_s = w->rate_s ? (w->rate_s * 7 + rate_s) / 8 : rate_s;
}

static void wrk_pace(struct worker *w, struct wrk_socket *s, bool paced)
{
	s->paced = paced;
	s->writable = false;    /* each look sends what still waits */
	s->seen = 0;
	s->window_ms = w->child.core.now_ms;
	if (!paced) {
		wrk_watch(s);
		return;
	}
	uv_poll_stop(&s->poll);
	if (uv_is_active((uv_handle_t *)&w->pace))
		return;
	w->looked_ms = w->child.core.now_ms;
	w->rate_s = 0;
	uv_timer_start(&w->pace, on_pace, PACE_MIN_MS, 0);
}

/* Woken for a watched socket once more. */
static void wrk_count_wake(struct worker *w, struct wrk_socket *s)
{
	if (w->child.core.now_ms - s->window_ms >= WINDOW_MS) {
		s->window_ms = w->child.core.now_ms;
		s->seen = 0;
	}
	if (++s->seen >= BUSY_WAKES)
		wrk_pace(w, s, true);
}

/* Returns how many datagrams came. */
static unsigned wrk_look(struct worker *w, struct wrk_socket *s)
{
	struct child *c = &w->child;
	unsigned n = wrk_receive(w, s), all = n;

	for (int i = 1; i < PACE_ROUNDS && n == SHM_JOURNAL_BATCH; i++) {
		child_flush(c);
		shm_rcu_quiescent(c->self);
		n = wrk_receive(w, s);
		all += n;
	}
	s->seen += all;
	if (c->core.now_ms - s->window_ms < WINDOW_MS)
		return all;
	if (s->seen < QUIET_DATAGRAMS)
		wrk_pace(w, s, false);
	s->seen = 0;
	s->window_ms = c->core.now_ms;
	return all;
}

static void on_pace(uv_timer_t *handle)
{
	struct worker *w = handle->data;
	bool any = false, more = false;
	uint64_t since_ms;
	unsigned n = 0;

	child_wake(&w->child);
	since_ms = w->child.core.now_ms - w->looked_ms;
	w->looked_ms = w->child.core.now_ms;
	if (w->ndeferred)
		wrk_retry(w);
	for (unsigned i = 0; i < w->child.h->nlisten; i++) {
		unsigned found = w->socket[i].paced ? wrk_look(w, &w->socket[i]) : 0;
		n += found;
		more = more || found == PACE_ROUNDS * SHM_JOURNAL_BATCH;
		any = any || w->socket[i].paced;
	}
	wrk_measure(w, n, since_ms);
	if (any)
		uv_timer_start(&w->pace, on_pace, more ? 1 : wrk_next_look_ms(w), 0);
}

/* libuv stops a handle on which the kernel reports an error; the error queue is read, an error without entry there cleared by receiving, and the
 * watch renewed. */
static void on_socket(uv_poll_t *handle, int status, int events)
{
	struct wrk_socket *s = handle->data;
	struct worker *w = s->worker;

	child_wake(&w->child);
	if (status < 0) {
		udp_errors(&w->child.sender, s->fd);
		wrk_receive(w, s);
		wrk_watch(s);
		return;
	}
	if (w->ndeferred)
		wrk_retry(w);
	if (events & UV_WRITABLE) {
		s->writable = false;
		wrk_watch(s);
	}
	if (events & UV_READABLE) {
		wrk_receive(w, s);
		wrk_count_wake(w, s);
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

	if (shm_outbox_count(c->self) && udp_flush(&c->sender, &blocked) && !w->socket[blocked].writable) {
		w->socket[blocked].writable = true;
		wrk_watch(&w->socket[blocked]);
	}
	INJECT("wrk.sent");
	if (w->ndeferred && !uv_is_active((uv_handle_t *)&w->retry))
		uv_timer_start(&w->retry, on_retry, RETRY_MS, RETRY_MS);
	else if (!w->ndeferred && uv_is_active((uv_handle_t *)&w->retry))
		uv_timer_stop(&w->retry);
}

/* What is still deferred is handled first, for a bounded time; the rest stays for the successor. */
static bool wrk_may_leave(struct child *c)
{
	struct worker *w = (struct worker *)c;

	for (unsigned i = 0; i < c->h->nlisten; i++)
		uv_poll_stop(&w->socket[i].poll);
	uv_timer_stop(&w->pace);
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

	child_flush(c);
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
	child_flush(c);
	shm_rcu_quiescent(c->self);
}

static void wrk_open(struct worker *w, unsigned index)
{
	const struct heritage *h = w->child.h;

	w->index = index;
	w->child.sender.fds = h->udp_fds + (size_t)index * h->nlisten;
	for (unsigned i = 0; i < h->nlisten; i++) {
		struct wrk_socket *s = &w->socket[i];
		*s = (struct wrk_socket){ .worker = w, .fd = w->child.sender.fds[i], .listen = (uint16_t)i };
		uv_poll_init(&w->child.loop, &s->poll, s->fd);
		s->poll.data = s;
		wrk_watch(s);
	}
	uv_timer_init(&w->child.loop, &w->retry);
	uv_timer_init(&w->child.loop, &w->pace);
	w->retry.data = w->pace.data = w;
}

_Noreturn void worker(const struct heritage *h, unsigned index)
{
	static struct worker w;

	child_start(&w.child, h, SHM_WORKER, index);
	w.child.end_turn = wrk_end_turn;
	w.child.may_leave = wrk_may_leave;
	wrk_open(&w, index);
	wrk_inherit(&w);
	child_prefault(&w.child);
	child_run(&w.child);
}
