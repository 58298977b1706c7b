/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way into the call logic: a datagram, a due deadline, an operator's wish. It owns neither clock nor socket: `now_ms` is a value,
 * what is to be sent lies in the arena's outbox afterwards, what is to be recorded in the recorder's ring. The same code runs in
 * workers, in the timer process, in control (hangup) and in the simulator. Nothing here blocks, logs, or calls malloc. */
#ifndef VELADOR_CALL_CORE_H
#define VELADOR_CALL_CORE_H

#include "ini/params.h"
#include "route/route.h"
#include "shm/shm.h"

/* One of our listening addresses: what we bind, and what we write into Via and Contact (the same unless advertised otherwise). Its text lies ready: it goes into
 * each message. */
struct core_listen {
	struct addr bound;
	struct addr advertised;
	char text[ADDR_TEXT]; /* of advertised; see core_listen_set() */
	uint32_t text_bytes;
};
void core_listen_set(struct core_listen *l, const struct addr *bound, const struct addr *advertised);

/* CANCELs whose INVITE is not there yet: the network may bring them in the wrong order. Each waits a moment before its 481. */
enum { CORE_EARLY_CANCELS = 16, CORE_EARLY_MS = 50 };
struct core_early {
	uint64_t key;                /* of its transaction; 0 = unused */
	uint64_t until_ms;
};

/* The first event that a machine's table did not list (machine 0 = none): for the process to log, once. */
struct core_unlisted {
	uint8_t machine, state, event; /* enum txn_machine, txn_state, txn_event */
};

struct core {
	struct shm *shm;
	struct shm_self *self;
	const struct route *route;
	const struct params *params; /* the global ones */
	const struct core_listen *listen;
	unsigned nlisten;
	uint32_t max_calls;          /* live calls at once; above: 503 */
	bool drop_unknown;           /* security.unknown = drop */
	uint64_t now_ms;             /* CLOCK_BOOTTIME; set before each call below */
	uint64_t wall_ms;            /* milliseconds since 1970 at the same moment */
	uint64_t resumed_ms;         /* when the timer process came back after an absence of over 5 s; 0 = it was never away */
	uint64_t (*random)(void *arg);
	void *random_arg;
	struct core_unlisted unlisted;
	struct core_early early[CORE_EARLY_CANCELS]; /* private to the process; lost with it, and then they wait once more */
};

/* What waits in a batch is foreseen: while one datagram is handled, what the next ones will look at is fetched from memory (shm/fetch.c). Guesses from their
 * first bytes; a wrong one costs a few loads. The caller owns it, for one batch; .n = .at = 0 at the start. */
struct core_ahead {
	unsigned n, at;
	uint32_t slot[SHM_JOURNAL_BATCH]; /* UINT32_MAX: none can be told */
};
/* First all datagrams of the batch, in order, SHM_JOURNAL_BATCH at most; then, before each is handled, one step. Context: worker; RCU online. */
void core_ahead_see(struct core_ahead *ahead, const struct core *core, const struct shm_datagram *datagram);
void core_ahead_step(struct core_ahead *ahead, const struct core *core);

/* Handles one datagram. Its effects are published and its sends queued in the outbox when this returns 0.
 * Returns 0 (also for everything that was refused or dropped: counted); ERR_BUSY where the call is held by another process, and for a CANCEL
 * that waits for its INVITE: defer the datagram and every later one of the same call.
 * Context: worker, simulator; RCU online. Needs room for 2 * SHM_SENDS_MAX entries in the outbox. */
int core_receive(struct core *core, const struct shm_datagram *datagram);

/* Acts on a due object. Returns 0, ERR_BUSY (next tick again) or ERR_STALE (gone). Context: timer process, simulator; RCU online. */
int core_timer(struct core *core, uint32_t slot);

/* A datagram of ours could not be delivered: refused at once, or reported by the network (then bytes may be cut, to some 500). An INVITE to a
 * gateway goes to the next one (RFC 3261 §16.9, §18.4). Its sends are queued in the outbox. Context: any process that sends; RCU online. */
void core_transport_error(struct core *core, const struct addr *to, const void *bytes, uint32_t length);

/* Ends a call from our side (reason admin). Returns 0, ERR_BUSY, ERR_STALE or ERR_NOTFOUND (no live call). Context: control; RCU online. */
int core_hangup(struct core *core, uint32_t slot, uint32_t generation);

/* Whether two datagrams could belong to one call, as far as can be told cheaply (same Call-ID); used to keep order behind a deferred one. */
bool core_same_call(const struct shm_datagram *a, const struct shm_datagram *b);

#endif
