/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a worker comes by its datagrams. It watches its own sockets, and messages wait for nothing. But going to sleep and being woken costs far more than a message's own
 * work, so a busy socket is looked at by the clock instead: what comes meanwhile is taken, and answered, in one go. Such a socket is looked at by all workers in turn: who
 * is awake takes what lies there for the others as well, so that there are fewer awakenings, and nobody's messages wait for long for one that is late, stopped or dead. A
 * worker whose batch is full of its own has no room for others', so under load each keeps to its own and all work at once.
 *
 * The order within a call, whose datagrams all come in one socket, is kept by the intake: it is held from receiving until what came is handled and sent. */
#include "proc/worker_private.h"

#include "base/inject.h"

enum {
	WINDOW_MS = 16,        /* how far back "busy" looks */
	BUSY_WAKES = 12,       /* wake-ups in a window from which on pacing takes fewer, */
	JOIN_DATAGRAMS = 8,    /* and datagrams, where others are awake by the clock in any case */
	QUIET_DATAGRAMS = 6,   /* datagrams in a window below which it takes more */
	LOOK_DATAGRAMS = 80,   /* in a look at most, where the shortest pace allows that: a peer's receive buffer holds some 50 to 100 of ours, if nobody set it */
	TURN_MAX_MS = 64,      /* between two looks of one worker at most, however many take turns */
	ROUNDS = 8,            /* full batches taken in one look */
};

/* Between two looks, whoever's: what pacing adds to a message's way at most, beside the look's own time. */
static const unsigned char paces_ms[] = { 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16 };

static void on_socket(uv_poll_t *handle, int status, int events);
static void on_pace(uv_timer_t *handle);

static void watch(struct wrk_socket *s)
{
	if (!s->paced)
		uv_poll_start(&s->poll, UV_READABLE | (s->writable ? UV_WRITABLE : 0), on_socket);
}

void wrk_await_room(struct worker *w, unsigned listen)
{
	struct wrk_socket *s = &w->socket[listen];

	if (s->writable)
		return;
	s->writable = true;
	watch(s);
}

/* ---- the intake */
static bool take(struct worker *w, unsigned worker)
{
	uint64_t bit = 1ull << worker;
	bool taken = shm_intake_take(w->child.self, worker, w->child.core.now_ms);

	w->held = taken ? w->held | bit : w->held & ~bit;
	return taken;
}

void wrk_keep_source(struct worker *w, unsigned i)
{
	w->kept |= 1ull << w->source[i];
}

void wrk_keep(struct worker *w)
{
	for (uint64_t held = w->held; held; held &= held - 1) {
		unsigned worker = (unsigned)__builtin_ctzll(held);
		if (!shm_intake_keep(w->child.self, worker, w->child.core.now_ms))
			w->held &= ~(1ull << worker);
	}
}

void wrk_release(struct worker *w)
{
	if (!w->ndeferred)
		w->kept = 0;
	for (uint64_t done = w->held & ~w->kept; done; done &= done - 1)
		shm_intake_release(w->child.self, (unsigned)__builtin_ctzll(done));
	w->held &= w->kept;
	wrk_keep(w);
}

/* ---- receiving */
/* Receives from worker's socket of address `listen`, whose intake we hold, behind the n datagrams that the journal has. Returns how many it has then. */
static unsigned receive(struct worker *w, unsigned worker, unsigned listen, unsigned n)
{
	struct child *c = &w->child;
	int fd = c->h->udp_fds[worker * c->h->nlisten + listen];
	unsigned more;

	if (udp_receive(&more, fd, c->self, n, (uint16_t)listen)) {
		udp_errors(&c->sender, fd);
		udp_receive(&more, fd, c->self, n, (uint16_t)listen); /* the error came instead of what waits behind it */
	}
	INJECT("wrk.journal");
	memset(w->source + n, (int)worker, more);
	shm_intake_add(c->self, worker, listen, more);
	if (worker != w->index)
		shm_count_add(c->self, CNT_datagrams_shared, more);
	return n + more;
}

/* The clock is read after they came: the timer process may have sent a moment ago what one of them answers, and no answer is older than its request. */
static void handle(struct worker *w, unsigned n)
{
	if (!n)
		return;
	child_clock(&w->child);
	wrk_batch(w, n);
}

/* ---- pacing */
static uint64_t all_taken(const struct heritage *h)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < h->workers; i++)
		for (unsigned k = 0; k < h->nlisten; k++)
			sum += shm_intake_taken(h->shm, i, k);
	return sum;
}

static void measure(struct worker *w)
{
	uint64_t now_ms = w->child.core.now_ms, all = all_taken(w->child.h);
	uint64_t since_ms = now_ms > w->looked_ms ? now_ms - w->looked_ms : 1, rate_s = all > w->taken ? (all - w->taken) * 1000 / since_ms : 0;

	w->rate_s = w->rate_s ? (w->rate_s * 7 + rate_s) / 8 : rate_s;
	w->looked_ms = now_ms;
	w->taken = all;
}

/* The longest pace that finds LOOK_DATAGRAMS at most; a longer one than now must do so with something to spare, or it would change with every look. */
static void choose_pace(struct worker *w)
{
	uint32_t now_ms = shm_intake_pace(w->child.h->shm, w->index);
	unsigned i = 0;

	while (i + 1 < sizeof paces_ms && paces_ms[i + 1] * w->rate_s <= LOOK_DATAGRAMS * (paces_ms[i + 1] > now_ms ? 900 : 1000))
		i++;
	shm_intake_set_pace(w->child.self, paces_ms[i]);
}

/* Those whose sockets are paced take turns on one clock, at the pace of the first of them; this is when our next one comes. */
static uint64_t next_turn_ms(struct worker *w)
{
	const struct heritage *h = w->child.h;
	uint64_t pace = 0, round_ms, turn_ms;
	unsigned looking = 0, before = 0;

	choose_pace(w);
	for (unsigned i = 0; i < h->workers; i++)
		if (i == w->index || shm_intake_shared(h->shm, i)) {
			pace = pace ? pace : shm_intake_pace(h->shm, i); /* 0: has not chosen yet */
			before += i < w->index;
			looking++;
		}
	round_ms = looking * pace < TURN_MAX_MS ? looking * pace : TURN_MAX_MS;
	turn_ms = before * round_ms / looking;
	uv_update_time(&w->child.loop); /* it stands at the beginning of the look */
	return round_ms - (uv_now(&w->child.loop) + round_ms - turn_ms) % round_ms;
}

static void set_paced(struct worker *w, struct wrk_socket *s, bool paced)
{
	const struct heritage *h = w->child.h;
	uint32_t shared = shm_intake_shared(h->shm, w->index), bit = 1u << s->listen;

	s->paced = paced;
	s->writable = false;    /* each look sends what still waits */
	s->wakes = 0;
	s->taken = shm_intake_taken(h->shm, w->index, s->listen);
	s->window_ms = w->child.core.now_ms;
	shm_intake_share(w->child.self, paced ? shared | bit : shared & ~bit);
	if (!paced) {
		watch(s);
		return;
	}
	uv_poll_stop(&s->poll);
	if (uv_is_active((uv_handle_t *)&w->pace))
		return;
	w->looked_ms = w->child.core.now_ms;
	w->taken = all_taken(h);
	w->rate_s = 0;
	uv_timer_start(&w->pace, on_pace, paces_ms[0], 0);
}

static bool any_paced(const struct heritage *h)
{
	for (unsigned i = 0; i < h->workers; i++)
		if (shm_intake_shared(h->shm, i))
			return true;
	return false;
}

/* Woken for a watched socket once more. */
static void count_wake(struct worker *w, struct wrk_socket *s)
{
	uint64_t taken = shm_intake_taken(w->child.h->shm, w->index, s->listen);

	if (w->child.core.now_ms - s->window_ms >= WINDOW_MS) {
		s->window_ms = w->child.core.now_ms;
		s->wakes = 0;
		s->taken = taken;
	}
	if (++s->wakes >= BUSY_WAKES || (taken - s->taken >= JOIN_DATAGRAMS && any_paced(w->child.h)))
		set_paced(w, s, true);
}

/* Whether so little came in a paced socket, whoever took it, that watching it is cheaper. */
static void count_quiet(struct worker *w, struct wrk_socket *s)
{
	uint64_t now_ms = w->child.core.now_ms, since_ms = now_ms - s->window_ms;
	uint64_t taken = shm_intake_taken(w->child.h->shm, w->index, s->listen);

	if (since_ms < WINDOW_MS)
		return;
	if ((taken - s->taken) * WINDOW_MS < QUIET_DATAGRAMS * since_ms) {
		set_paced(w, s, false);
		return;
	}
	s->taken = taken;
	s->window_ms = now_ms;
}

/* One batch: of our own sockets first, then, while there is room, of the others' that nobody else is at. */
static unsigned look_round(struct worker *w)
{
	const struct heritage *h = w->child.h;
	unsigned n = 0, first = w->first_listen++;

	for (unsigned k = 0; k < h->workers && n < SHM_JOURNAL_BATCH; k++) {
		unsigned worker = (w->index + k) % h->workers;
		uint32_t shared = shm_intake_shared(h->shm, worker);

		if (!shared || !take(w, worker))
			continue;
		for (unsigned i = 0; i < h->nlisten && n < SHM_JOURNAL_BATCH; i++) {
			unsigned listen = (first + i) % h->nlisten;
			if (shared >> listen & 1)
				n = receive(w, worker, listen, n);
		}
	}
	handle(w, n);
	return n;
}

static void on_pace(uv_timer_t *timer)
{
	struct worker *w = timer->data;
	struct child *c = &w->child;
	bool paced = false, more;

	child_wake(c);
	if (w->ndeferred)
		wrk_retry(w);
	more = look_round(w) == SHM_JOURNAL_BATCH;
	for (int i = 1; more && i < ROUNDS; i++) {
		child_flush(c, NULL);
		shm_rcu_quiescent(c->self);
		more = look_round(w) == SHM_JOURNAL_BATCH;
	}
	measure(w);
	for (unsigned i = 0; i < c->h->nlisten; i++) {
		if (w->socket[i].paced)
			count_quiet(w, &w->socket[i]);
		paced = paced || w->socket[i].paced;
	}
	if (paced || w->kept & ~(1ull << w->index)) /* nobody else may look at what we keep */
		uv_timer_start(&w->pace, on_pace, more ? 1 : next_turn_ms(w), 0);
}

/* ---- watching */
/* One that another worker still is at, since it was paced a moment ago, is paced again rather than asked for until that one has done. */
static void receive_own(struct worker *w, struct wrk_socket *s)
{
	if (!take(w, w->index)) {
		set_paced(w, s, true);
		return;
	}
	handle(w, receive(w, w->index, s->listen, 0));
}

/* libuv stops a handle on which the kernel reports an error; the error queue is read, an error without entry there cleared by receiving, and the
 * watch renewed. */
static void on_socket(uv_poll_t *poll, int status, int events)
{
	struct wrk_socket *s = poll->data;
	struct worker *w = s->worker;

	child_wake(&w->child);
	if (status < 0) {
		udp_errors(&w->child.sender, s->fd);
		receive_own(w, s);
		watch(s);
		return;
	}
	if (w->ndeferred)
		wrk_retry(w);
	if (events & UV_WRITABLE) {
		s->writable = false;
		watch(s);
	}
	if (events & UV_READABLE) {
		receive_own(w, s);
		if (!s->paced)
			count_wake(w, s);
	}
}

void wrk_open_sockets(struct worker *w)
{
	const struct heritage *h = w->child.h;

	w->child.sender.fds = h->udp_fds + (size_t)w->index * h->nlisten;
	uv_timer_init(&w->child.loop, &w->pace);
	w->pace.data = w;
	shm_intake_share(w->child.self, 0);
	for (unsigned i = 0; i < h->nlisten; i++) {
		struct wrk_socket *s = &w->socket[i];
		*s = (struct wrk_socket){ .worker = w, .fd = w->child.sender.fds[i], .listen = (uint16_t)i };
		uv_poll_init(&w->child.loop, &s->poll, s->fd);
		s->poll.data = s;
		watch(s);
	}
	w->held = UINT64_MAX >> (64 - h->workers); /* whatever a predecessor held: it is given back when that one's journal is done */
	w->kept = 1ull << w->index;                /* if it has deferred something, or left it in the journal, then most likely of its own sockets */
	memset(w->source, (int)w->index, sizeof w->source);
}

/* Paced sockets stay so: until a successor watches them the other workers look at them. */
void wrk_close_sockets(struct worker *w)
{
	for (unsigned i = 0; i < w->child.h->nlisten; i++)
		uv_poll_stop(&w->socket[i].poll);
	uv_timer_stop(&w->pace);
	w->kept &= 1ull << w->index;
}
