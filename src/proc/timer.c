/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The timer process: acts on what is due: resends, hangups. It sleeps up to the next deadline on the board, or until somebody rings it since
 * an earlier one came. A new one derives the board from published states first, so a death loses no deadline. */
#include "proc/timer.h"

#include <unistd.h>

#include "base/err.h"
#include "base/inject.h"
#include "proc/child.h"

enum {
	TICK_MS = 10,           /* between two scans at least, so a deadline is late by that at most (and the clocks' rounding, 1 to 2 ms), */
	SLEEP_MS = 100,         /* and at most: who should have rung may have died */
	TURN_ACTIONS = 512,     /* between two quiescent states; the rest of a burst follows at once */
	TURNS = 16,             /* at most, in one tick */
	WATCH_MS = 50,          /* between two looks at the heap, */
	WATCH_EMPTY_MS = 250,   /* and where there is plenty of room */
	CLOCK_EVERY = 32,       /* actions between two looks at the clock */
	LATE_MS = 20,
	AWAY_MS = 5000,         /* nobody looked at the board for longer: overdue refreshes are spread, and sessions get one more chance */
};

struct timer {
	struct child child;
	uv_timer_t tick;
	uv_poll_t bell;
	unsigned acted;         /* in this turn */
	uint64_t watch_ms;      /* when the heap is looked at next */
	uint64_t seen_ms;       /* when the board was last looked at, by this process or its predecessor; 0 = never */
};

static void tmr_count_lag(struct child *c, uint64_t deadline_ms)
{
	uint64_t lag_ms = c->core.now_ms > deadline_ms ? c->core.now_ms - deadline_ms : 0;

	shm_count_add(c->self, CNT_timer_lag_sum_ms, lag_ms);
	shm_count_max(c->self, CNT_timer_lag_max_ms, lag_ms);
	if (lag_ms > LATE_MS)
		shm_count(c->self, CNT_timer_lag_over_20ms);
}

/* Beyond the turn's share nothing is done: what is due stays due, and the next scan finds it. */
static void tmr_due(void *arg, uint32_t slot, uint64_t deadline_ms)
{
	struct timer *t = arg;
	struct child *c = &t->child;

	if (t->acted >= TURN_ACTIONS) {
		t->acted = TURN_ACTIONS + 1;
		return;
	}
	if (shm_deaths(c->h->shm, slot) >= SHM_DEATHS_MAX)
		return;
	if (++t->acted % CLOCK_EVERY == 0)
		child_clock(c);
	child_make_room(c);
	switch (core_timer(&c->core, slot)) {
	case 0:
		shm_progress(c->self);
		tmr_count_lag(c, deadline_ms);
		break;
	case ERR_BUSY:
		shm_count(c->self, CNT_timer_busy);
		break;
	default:
		break;
	}
	INJECT("tmr.acted");
}

/* A stopped process, a suspended machine, a long restart. */
static void tmr_note_absence(struct timer *t)
{
	struct core *core = &t->child.core;

	if (t->seen_ms && core->now_ms > t->seen_ms + AWAY_MS)
		core->resumed_ms = core->now_ms;
	t->seen_ms = core->now_ms;
}

static uint64_t tmr_predecessor_ms(const struct heritage *h)
{
	struct shm_proc_info info;

	shm_proc_info(h->shm, shm_proc_slot(h->shm, SHM_TIMER, 0), &info);
	return info.heartbeat_ms;
}

static void on_tick(uv_timer_t *handle)
{
	struct timer *t = handle->data;
	struct child *c = &t->child;

	child_wake(c);
	tmr_note_absence(t);
	if (t->watch_ms <= c->core.now_ms)
		t->watch_ms = c->core.now_ms + (shm_heap_watch(c->h->shm) ? WATCH_MS : WATCH_EMPTY_MS);
	for (int i = 0; i < TURNS; i++) {
		t->acted = 0;
		shm_board_scan(c->self, c->core.now_ms, tmr_due, t);
		if (t->acted <= TURN_ACTIONS)
			break;
		child_flush(c, NULL);
		shm_rcu_quiescent(c->self);
		child_clock(c);
	}
}

static void on_bell(uv_poll_t *handle, int status, int events)
{
	struct timer *t = handle->data;
	uint64_t rings;

	(void)status;
	(void)events;
	child_wake(&t->child);
	(void)!read(t->child.h->bell_fd, &rings, sizeof rings);
}

/* When to look next, if the earliest deadline is this one. What is still due, or waits in the outbox, is tried again soon. */
static uint64_t tmr_look_ms(const struct timer *t, uint64_t next_ms)
{
	uint64_t soonest_ms = t->seen_ms + TICK_MS, latest_ms = t->seen_ms + SLEEP_MS;

	if (shm_outbox_count(t->child.self) || next_ms < soonest_ms)
		return soonest_ms;
	if (t->watch_ms < latest_ms)
		latest_ms = t->watch_ms > soonest_ms ? t->watch_ms : soonest_ms;
	return next_ms < latest_ms ? next_ms : latest_ms;
}

static void tmr_end_turn(struct child *c)
{
	struct timer *t = (struct timer *)c;
	uint64_t look_ms, earlier_ms;

	child_flush(c, NULL);
	child_clock(c);
	for (look_ms = tmr_look_ms(t, shm_board_next(c->h->shm));; look_ms = earlier_ms) {
		earlier_ms = tmr_look_ms(t, shm_board_sleep(c->h->shm, look_ms));
		if (earlier_ms >= look_ms)
			break;
	}
	uv_update_time(&c->loop);
	/* The loop counts from a whole millisecond that has passed: one more, lest it wakes us before the time. */
	uv_timer_start(&t->tick, on_tick, look_ms > c->core.now_ms ? look_ms - c->core.now_ms + 1 : 0, 0);
}

_Noreturn void timer(const struct heritage *h)
{
	static struct timer t;

	t.seen_ms = tmr_predecessor_ms(h);
	child_start(&t.child, h, SHM_TIMER, 0);
	child_flush(&t.child, NULL);
	shm_rcu_quiescent(t.child.self);
	shm_board_rebuild(t.child.self);
	uv_timer_init(&t.child.loop, &t.tick);
	uv_poll_init(&t.child.loop, &t.bell, h->bell_fd);
	t.tick.data = t.bell.data = &t;
	uv_poll_start(&t.bell, UV_READABLE, on_bell);
	uv_timer_start(&t.tick, on_tick, 0, 0);
	t.child.end_turn = tmr_end_turn;
	child_prefault(&t.child);
	child_run(&t.child);
}
