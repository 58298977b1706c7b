/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all children do: shed privileges, die with the supervisor, claim a slot, run a loop that is online for readers only while awake.
 *
 *	child_start(&c, heritage, SHM_TIMER, 0);   (a failure ends the process: the supervisor forks again)
 *	...handles on &c.loop; each callback begins with child_wake(&c)...
 *	child_run(&c);                             (until SIGTERM, and c.may_leave says so)
 */
#ifndef VELADOR_PROC_CHILD_H
#define VELADOR_PROC_CHILD_H

#include <uv.h>

#include "net/udp.h"
#include "proc/heritage.h"

struct child {
	const struct heritage *h;
	struct shm_self *self;
	struct core core;
	struct udp_sender sender;          /* worker 0's sockets; a worker puts its own */
	uv_loop_t loop;
	bool running;                      /* in its loop; only then it shows a heartbeat */
	bool awake;                        /* online in RCU; the clock was read */
	bool leaving;                      /* SIGTERM came */
	void (*end_turn)(struct child *c); /* before sleeping, still online; NULL: the outbox is flushed */
	void (*hup)(struct child *c);      /* SIGHUP; may be NULL */
	bool (*may_leave)(struct child *c);/* asked at the end of each turn once leaving; NULL: at once */
	/* private */
	bool is_timer;                     /* it looks at the board before it sleeps: nobody rings it for what it has put there itself */
	bool said_unlisted;                /* the log has it */
	uv_prepare_t before_sleep;
	uv_timer_t pulse, prefault;
	uint64_t prefaulted_bytes;
	uv_poll_t signals;
	int signal_fd;
	uint64_t random[32];
	unsigned nrandom;
};

void child_start(struct child *c, const struct heritage *h, enum shm_kind kind, unsigned index);

/* Online, and core.now_ms and wall_ms are the present. First act of every callback; costs nothing when awake already. */
void child_wake(struct child *c);
/* Reads the clock again in a long turn. */
void child_clock(struct child *c);

/* Sends what waits, and rings the timer process before, where what is sent has a deadline that it would sleep past. True when the outbox is empty. Where a kernel
 * buffer is full the rest waits for a later turn, and *blocked (may be NULL) is the listening address of its socket. */
bool child_flush(struct child *c, unsigned *blocked);
/* Makes room in the outbox for one more step, waiting for the kernel a bounded time; what stands longest is dropped after. */
void child_make_room(struct child *c);

/* From now on enters the arena's pages into this process's page table, a piece at a time, other work between. */
void child_prefault(struct child *c);

/* A child that is not replaced at once: repairs what it left, sends what its outbox holds, gives the slot back, so that nobody waits for a dead process. Ends the process. */
_Noreturn void child_bury(const struct heritage *h, enum shm_kind kind, unsigned index);

/* Runs the loop until leaving, gives the slot back, ends the process. */
_Noreturn void child_run(struct child *c);

#endif
