/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files of a worker share: worker.c handles datagrams, look.c comes by them. */
#ifndef VELADOR_PROC_WORKER_PRIVATE_H
#define VELADOR_PROC_WORKER_PRIVATE_H

#include "proc/child.h"

struct worker {
	struct child child;
	unsigned index;
	unsigned ndeferred;            /* as far as this process knows; exact */
	uv_timer_t retry;
	uint64_t leave_by_ms;
	/* look.c */
	struct wrk_socket {
		struct worker *worker;
		uv_poll_t poll;
		int fd;
		uint16_t listen;
		bool writable;         /* waits for room in the kernel's buffer */
		bool paced;            /* looked at by the clock; else watched */
		unsigned wakes;        /* in this window, while watched */
		uint64_t taken;        /* datagrams that had come when the window began */
		uint64_t window_ms;    /* when the window began */
	} socket[CONF_LISTEN_MAX];
	uint64_t held;                 /* bit i: we hold worker i's intake, */
	uint64_t kept;                 /* and keep it beyond the turn, since something from its sockets is deferred */
	unsigned char source[SHM_JOURNAL_BATCH]; /* whose socket an entry of the batch came from */
	unsigned first_listen;         /* where the next round begins, so that no address waits for another */
	uv_timer_t pace;               /* runs while a socket is paced */
	uint64_t looked_ms, taken;     /* at the last look: when, and all workers' datagrams so far */
	uint64_t rate_s;               /* datagrams a second, all workers': a running average */
};

/* Handles the first n entries of the journal, in order. What cannot be handled yet is deferred. */
void wrk_batch(struct worker *w, unsigned n);
/* Tries the deferred datagrams again, in order. */
void wrk_retry(struct worker *w);

/* Watches this worker's sockets from now on. */
void wrk_open_sockets(struct worker *w);
void wrk_close_sockets(struct worker *w);
/* The kernel's buffer of listening address `listen` is full: its room ends the wait. */
void wrk_await_room(struct worker *w, unsigned listen);
/* Entry i of the batch is deferred: what comes in the same socket waits for it. */
void wrk_keep_source(struct worker *w, unsigned i);
/* The turn goes on for long, or some of it is still deferred: others are to wait a little more. */
void wrk_keep(struct worker *w);
/* The turn has ended: lets others receive again from the sockets whose datagrams are handled and sent. */
void wrk_release(struct worker *w);

#endif
