/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arena: everything that outlives a process. One file on tmpfs, mapped shared before the fork, at the same
 * address in every process of one supervisor. It knows objects (a call is one), blocks, deadlines, datagrams; it knows
 * nothing of SIP. The guarantees A to H are stated with their proofs in shm/README.
 *
 * The life of a change (rules B to F):
 *
 *	err = shm_step_begin(&step, self, slot, generation);     take the object
 *	...read step.old, shm_step_alloc() what is new...
 *	shm_step_commit(&step, new_state);                        publish, arm, retire, queue the sends, release
 *	...at the end of the turn: send the outbox, shm_rcu_quiescent(self)
 *
 * A process killed at any instruction leaves the old state or the new one; shm_repair() finishes or undoes the rest.
 *
 * Who may call: every function here takes the caller's `struct shm_self`, except those said to need only the map.
 * Nothing here blocks, logs, or calls malloc after opening. Never hold two objects. */
#ifndef VELADOR_SHM_H
#define VELADOR_SHM_H

#include <sys/socket.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/counters.h"
#include "base/siphash.h"

/* ------------------------------------------------------------------------------------------ limits */
enum {
	SHM_PROCS_MAX = 80,          /* process slots */
	SHM_NAME = 64,               /* longest gateway name, bytes with NUL */
	SHM_GATEWAYS_MAX = 1024,
	SHM_GATEWAY_ADDRS = 4,       /* addresses kept of one gateway name */
	SHM_LISTEN_MAX = 16,         /* listening addresses */
	SHM_SENDS_MAX = 16,          /* datagrams that one state may want sent */
	SHM_REFS_MAX = 64,           /* blocks that one state may hold */
	SHM_STEP_ALLOCS = 48,        /* blocks that one step may allocate, the state itself included */
	SHM_JOURNAL_BATCH = 64,      /* datagrams received at once */
	SHM_DATAGRAM_MAX = 65535,    /* bytes */
	SHM_INTAKE_MS = 100,         /* longest that a process which does nothing keeps others from a socket */
	SHM_OUTBOX = 1024,           /* datagrams waiting for the kernel, each process */
	SHM_SENDING_MAX = 64,        /* of them handed to it in one go */
	SHM_DEFERRED = 64,           /* datagrams put off, each process */
	SHM_RING = 4096,             /* entries of a ring */
	SHM_BLOCK_MAX = 66 * 1024,   /* largest block, bytes of payload */
	SHM_DEATHS_MAX = 2,          /* an object on which so many timer processes died in a row is left alone by the next */
	SHM_SLOT_BYTES = 81,         /* slot, index and deadline of one object, beside its blocks; see layout.h */
};

#define SHM_NEVER UINT64_MAX         /* a deadline that never comes */

enum shm_kind { SHM_SUPERVISOR = 1, SHM_WORKER, SHM_TIMER, SHM_RECORDER, SHM_CONTROL };
enum shm_ring_name { SHM_RING_RECORD, SHM_RING_COUNT };

/* A handle to a block: generation in the upper half, index in the lower; 0 = none. Never an address. */
typedef uint64_t shm_ref;

struct shm;      /* a process's view of the map; made before the fork, inherited */
struct shm_self; /* who this process is in the arena: slot, incarnation */

/* ------------------------------------------------------------------------------------------ the arena */
struct shm_params {
	uint32_t slots;         /* objects: 64 to 16 Mi */
	uint64_t heap_bytes;    /* room for blocks; 0 = a default that fits `slots` */
	uint32_t endpoints;     /* remote addresses remembered; 0 = 4096 */
	uint32_t workers_max;   /* process slots with a journal: 1 to 64 */
};

/* Creates the file (replacing none: ERR_EXISTS), locks it (flock: held until the last process that inherits it has gone), allocates its pages, maps it. path NULL: an
 * anonymous arena for tests and the simulator. Returns 0, ERR_SYSTEM (errno set), ERR_RANGE, ERR_EXISTS. Owns: *shm until shm_close().
 * Context: supervisor, before any fork. */
int shm_create(struct shm **shm, const char *path, const struct shm_params *params);

/* Unmaps; with `unlink_file` removes the file too. */
void shm_close(struct shm *shm, bool unlink_file);

/* Enters the pages from offset *at on into this process's page table, `bytes` of them, and moves *at. Page tables of a shared map are not copied by a
 * fork, and one fault a page costs more than the call that causes it. Returns whether there is more. Context: any child, piece by piece. */
bool shm_prefault(const struct shm *shm, uint64_t *at, uint64_t bytes);

/* Values kept in the header. Random keys are drawn at creation. */
const struct siphash_key *shm_key_index(const struct shm *shm);
const struct siphash_key *shm_key_check(const struct shm *shm);
uint32_t shm_slots(const struct shm *shm);
/* Bytes of heap in use by live blocks and in all; for stats and tests. */
void shm_heap_usage(const struct shm *shm, uint64_t *used_bytes, uint64_t *all_bytes);
/* Looks whether what is left of the heap must be kept for the objects there are: each change of one takes a block before it gives one back, so in a full heap none
 * could even end. Returns whether it wants to be called every 50 ms: the heap is small, or half of that is reached. Else five times less often will do, for it walks
 * all hints of the heap. Context: timer process. */
bool shm_heap_watch(struct shm *shm);
/* What it found last: no object may begin. Context: any. */
bool shm_heap_tight(const struct shm *shm);
/* Objects not free, and those whose state bears SHM_STATE_LIVE: sums over the processes, exact between commits. */
uint32_t shm_objects_used(const struct shm *shm);
uint32_t shm_objects_live(const struct shm *shm);

/* ------------------------------------------------------------------------------------------ processes */
/* Claims process slot `index` of `kind` (workers 0..workers_max-1; the others have one each) for the calling process: first repairs
 * what the dead predecessor left (see shm_repair), then raises the incarnation and notes pid. The predecessor must have been
 * waited for. Journal, outbox and deferred messages of the predecessor remain, for the caller to finish; while its outbox is not empty, quiescent
 * states are not announced. The caller is online then. Returns 0, ERR_RANGE, ERR_SYSTEM (no memory). Owns: *self is malloc'ed, freed by shm_self_free (never by a crash). */
int shm_self_claim(struct shm_self **self, struct shm *shm, enum shm_kind kind, unsigned index);
void shm_self_free(struct shm_self *self);
/* Leaves in order: outbox and journal empty, no object held; the slot becomes idle. A slot whose process died and gets no successor
 * must be claimed and left once by a repair child, for until then the dead one counts as a reader. */
void shm_self_leave(struct shm_self *self);

struct shm_proc_info {
	enum shm_kind kind;     /* 0 = slot never used */
	unsigned index;
	pid_t pid;              /* 0 = nobody */
	uint32_t incarnation;   /* claims so far; restarts = incarnation - 1 */
	uint64_t heartbeat_ms;  /* CLOCK_BOOTTIME */
	bool busy;              /* a step is open */
	uint64_t progress;      /* pieces of work done in this slot so far; see shm_progress */
};
/* slot: 0 to SHM_PROCS_MAX - 1. Context: any process, only the map needed. */
void shm_proc_info(const struct shm *shm, unsigned slot, struct shm_proc_info *info);
/* The slot number of (kind, index). */
unsigned shm_proc_slot(const struct shm *shm, enum shm_kind kind, unsigned index);
void shm_heartbeat(struct shm_self *self, uint64_t now_ms);
/* Says that a piece of work is done for good: by this a process that is killed at work is told from one that cannot even begin. */
void shm_progress(struct shm_self *self);

/* Finishes or undoes what a dead process left open in its slot: intent, owner word, limbo list, counts. Idempotent; may itself be
 * killed and run again. The dead process must have been waited for. Its outbox and journal are left to the successor; marked is what the kernel had taken.
 * Context: successor, or a repair child. */
void shm_repair(struct shm *shm, unsigned slot);

/* Counters of this process, and the sum over all. CNT_timer_lag_max_ms is a maximum. */
void shm_count(struct shm_self *self, enum counter c);
void shm_count_add(struct shm_self *self, enum counter c, uint64_t n);
void shm_count_max(struct shm_self *self, enum counter c, uint64_t v);
uint64_t shm_counter(const struct shm *shm, enum counter c);

/* ------------------------------------------------------------------------------------------ A, E: RCU */
/* Readers hold what they found until they next announce a quiescent state. online/offline around sleeping; quiescent once a loop
 * turn, after the outbox is empty (while it is not, quiescent and offline announce nothing, since it reads blocks). Each is a full barrier.
 * quiescent also gives back retired blocks whose grace period is over. */
void shm_rcu_online(struct shm_self *self);
void shm_rcu_offline(struct shm_self *self);
void shm_rcu_quiescent(struct shm_self *self);

/* ------------------------------------------------------------------------------------------ blocks */
/* The payload of a block, or NULL where the handle's generation is old. Read section: online. Valid until quiescent. */
void *shm_block(const struct shm *shm, shm_ref ref);
/* The payload's usable size in bytes. */
uint32_t shm_block_bytes(const struct shm *shm, shm_ref ref);

/* ------------------------------------------------------------------------------------------ objects */
/* One datagram that a published state wants sent. */
struct shm_send {
	shm_ref bytes;      /* a block of the state's refs, or of this step's allocations */
	uint32_t offset;    /* within its payload */
	uint32_t length;
	struct addr to;
	uint16_t listen;    /* index of our listening address */
	uint16_t pad[3];
};

enum {
	SHM_STATE_LIVE = 1,   /* counts as a live call */
	SHM_STATE_RECORD = 2, /* has ended and wants its record written (unless shm_recorded) */
};

/* The head of every state block. After it lie sends[], refs[], then the owner's bytes. Immutable once published. */
struct shm_state {
	uint64_t jpos;        /* journal position of the datagram that led to this state; copied on by others; 0 = none */
	uint64_t deadline_ms; /* CLOCK_BOOTTIME; SHM_NEVER is not allowed for a live object: every state has a deadline */
	uint64_t key[2];      /* keys under which the index finds the object; 0 = none; set once, at the first state */
	uint32_t bytes;       /* all of it, with sends, refs and the owner's part */
	uint16_t flags;       /* SHM_STATE_* */
	uint16_t gateway;     /* counts against this gateway's calls; 0 = none, else index + 1 */
	uint8_t nsends, nrefs;
	uint16_t sender;      /* written by shm_step_commit: who sends, its process slot + 1, */
	uint32_t sent_at;     /* and where its outbox begins when it has */
};
_Static_assert(sizeof(struct shm_state) == 48, "layout");

static inline struct shm_send *shm_state_sends(const struct shm_state *s)
{
	return (struct shm_send *)(uintptr_t)(s + 1);
}
static inline shm_ref *shm_state_refs(const struct shm_state *s)
{
	return (shm_ref *)(void *)(shm_state_sends(s) + s->nsends);
}
/* The owner's part. */
static inline void *shm_state_body(const struct shm_state *s)
{
	return shm_state_refs(s) + s->nrefs;
}
/* Tell the processor to fetch what will be looked at soon: an object's slot; a little later its published state; a little later the blocks that the
 * state holds. Change nothing; slot: any number, also one that names no object. Read section: online. */
void shm_fetch_slot(const struct shm *shm, uint32_t slot);
void shm_fetch_state(const struct shm *shm, uint32_t slot);
void shm_fetch_blocks(const struct shm *shm, uint32_t slot);

/* Borrow the published state of a slot: NULL where it is free or (generation != 0) where the generation is another. *generation_out (may be
 * NULL) receives the slot's. Read section: online. */
const struct shm_state *shm_peek(const struct shm *shm, uint32_t slot, uint32_t generation, uint32_t *generation_out);

/* Walks the slots that the index names for a key; candidates only: compare what was meant. */
struct shm_index_iter {
	uint64_t key;
	uint32_t at;
};
void shm_index_start(struct shm_index_iter *it, uint64_t key);
/* Returns whether another candidate was found. Read section: online. */
bool shm_index_next(const struct shm *shm, struct shm_index_iter *it, uint32_t *slot);

/* How many timer processes have died in a row while they held the object, before a change of it was published. Context: any. */
uint32_t shm_deaths(const struct shm *shm, uint32_t slot);

/* A change under way. Lives on the holder's stack. */
struct shm_step {
	struct shm_self *self;
	uint32_t slot, generation;
	const struct shm_state *old; /* NULL: the object is new */
	/* private */
	uint64_t old_pub;
};

/* Takes an object. Tries a bounded number of times.
 * Returns 0; ERR_BUSY (another holds it, or our outbox or limbo has no room for a step: defer, or next tick); ERR_STALE (freed meanwhile, or another generation; 0 = any). */
int shm_step_begin(struct shm_step *step, struct shm_self *self, uint32_t slot, uint32_t generation);
/* Whether something that the old state wants sent may still wait in another process's outbox: what the new one sends would overtake it, so it sends that first. (The other
 * then sends it once more.) Waits for 100 to 250 microseconds, in which a living process sends it itself. */
bool shm_step_overtakes(const struct shm_step *step);
/* Takes a free slot for a new object. Returns 0 or ERR_FULL. */
int shm_step_begin_new(struct shm_step *step, struct shm_self *self);
/* Allocates a block for the new state; one that is neither the state nor in its refs lives until our next quiescent state
 * (room for bytes that are sent once and not kept). Returns 0, ERR_FULL (arena or the step's list), ERR_RANGE. The payload is not cleared. */
int shm_step_alloc(struct shm_step *step, size_t bytes, shm_ref *ref, void **payload);
/* Publishes new_state (a block of this step whose head is filled in; allocations of this step that are in its refs stay, the others are
 * given back; blocks of the old state's refs that the new one lacks are retired). Arms the deadline board, keeps index and counts,
 * appends the sends to the outbox, notices the recorder where SHM_STATE_RECORD is set, releases the object. */
void shm_step_commit(struct shm_step *step, shm_ref new_state);
/* Frees the object: its slot gets a new generation. A state that bears SHM_STATE_RECORD may be freed only when shm_recorded(). */
void shm_step_free(struct shm_step *step);
/* Undoes: gives back what the step allocated, releases the object unchanged. */
void shm_step_abort(struct shm_step *step);
/* Like abort, but queues the old state's sends again (a replayed datagram whose position the state already bears). */
void shm_step_resend(struct shm_step *step);

/* ------------------------------------------------------------------------------------------ deadlines */
typedef void shm_due_fn(void *arg, uint32_t slot, uint64_t deadline_ms);
/* Calls fn for every object whose deadline has come; fn takes the object by shm_step_begin, and a deadline still in the past afterwards is
 * found again at the next scan. Returns how many were due when their block was looked at. Context: timer process only; RCU online. */
unsigned shm_board_scan(struct shm_self *self, uint64_t now_ms, shm_due_fn *fn, void *arg);
/* Derives the whole board from published states; first act of a timer process. */
void shm_board_rebuild(struct shm_self *self);
/* The earliest summary: nothing is due before, but in a scan, or after a death in one until the board is rebuilt. SHM_NEVER where nothing waits. */
uint64_t shm_board_next(const struct shm *shm);
/* Says that the timer process will not scan before until_ms unless it is rung, and returns the earliest summary after that: where it is
 * earlier than until_ms, say that instead. Context: timer process only. */
uint64_t shm_board_sleep(struct shm *shm, uint64_t until_ms);
/* Whether this process has, since it was asked last, put something on the board that is due before the timer process would look: ring it. (Who dies
 * between the two rings nobody: the timer process must not sleep for longer than a death may cost.) */
bool shm_board_early(struct shm *shm);
uint64_t shm_board_deadline(const struct shm *shm, uint32_t slot);

/* ------------------------------------------------------------------------------------------ F: journal and outbox */
struct shm_datagram {
	const char *bytes;
	uint32_t length;
	uint16_t listen;      /* index of the listening address it came to */
	bool truncated;
	struct addr from;
	uint64_t jpos;        /* its journal position */
};

/* Prepares the journal's entries from `from` on for datagrams of listening address `listen` and gives the array for recvmmsg, SHM_JOURNAL_BATCH - from of them
 * (lengths zeroed). from = 0 begins a batch: all entries of the one before must be done. from > 0 goes on with it behind what other sockets gave.
 * Context: workers. The n entries that the kernel filled are read with shm_journal_entry() and each is marked done as soon as its effects are published. */
struct mmsghdr;
struct mmsghdr *shm_journal_open(struct shm_self *self, unsigned from, uint16_t listen);
/* Entry i of the open batch. Returns 0; ERR_NOTFOUND where it is empty or done already (after a death: go through all SHM_JOURNAL_BATCH). */
int shm_journal_entry(struct shm_self *self, unsigned i, struct shm_datagram *d);
void shm_journal_done(struct shm_self *self, unsigned i);
/* Notes the position of the datagram that is in work; 0 = none. After a death shm_in_work() tells the successor on which one it came. */
void shm_work_on(struct shm_self *self, uint64_t jpos);
uint64_t shm_in_work(const struct shm_self *self);
/* Puts a copy of entry i on the deferred list and marks it done. Returns 0 or ERR_FULL (then the entry is still not done). */
int shm_defer(struct shm_self *self, unsigned i);
/* Deferred datagrams in order of arrival: index 0..; ERR_NOTFOUND past the last. done removes it (later indices move down). */
int shm_deferred(struct shm_self *self, unsigned i, struct shm_datagram *d);
void shm_deferred_done(struct shm_self *self, unsigned i);

/* The intake of a worker, 0 to workers_max - 1: the right to receive from its sockets, so that what comes in one of them is handled in the order in which it came,
 * whoever handles it. take takes it, or keeps it where we hold it already: false where another process took it less than SHM_INTAKE_MS ago (one that is stopped or dead
 * keeps it no longer). release gives it back, when the effects are published and sent; harmless where it is not ours any more. Context: workers. */
bool shm_intake_take(struct shm_self *self, unsigned worker, uint64_t now_ms);
void shm_intake_release(struct shm_self *self, unsigned worker);
/* Holds on to it, as if it were taken now; false where it is not ours. */
bool shm_intake_keep(struct shm_self *self, unsigned worker, uint64_t now_ms);
/* Counts datagrams received from its socket of a listening address, 0 to SHM_LISTEN_MAX - 1. Context: who holds the intake. */
void shm_intake_add(struct shm_self *self, unsigned worker, unsigned listen, unsigned n);
uint64_t shm_intake_taken(const struct shm *shm, unsigned worker, unsigned listen);
/* Says which of our own sockets are looked at in turns, by any worker, rather than watched: bit i = listening address i; and every how many milliseconds we would have
 * them looked at. Both stay after a death. Context: workers. */
void shm_intake_share(struct shm_self *self, uint32_t sockets);
uint32_t shm_intake_shared(const struct shm *shm, unsigned worker);
void shm_intake_set_pace(struct shm_self *self, uint32_t ms);
uint32_t shm_intake_pace(const struct shm *shm, unsigned worker);

/* Queues a datagram that belongs to no object; bytes are copied. Returns 0 or ERR_FULL (send the outbox first). */
int shm_outbox_put(struct shm_self *self, uint16_t listen, const struct addr *to, const void *bytes, uint32_t length);
/* The i-th datagram from the first that waits; ERR_NOTFOUND past the last. The bytes stay valid until shm_outbox_sent + quiescent. */
enum { SHM_NO_OBJECT = UINT32_MAX };
struct shm_out {
	const void *bytes;
	uint32_t length;
	uint16_t listen;
	bool sent;          /* see shm_outbox_sent_early */
	uint32_t object;    /* the slot whose state wants it sent, or SHM_NO_OBJECT */
	struct addr to;
};
int shm_outbox_entry(struct shm_self *self, unsigned i, struct shm_out *out);
unsigned shm_outbox_count(const struct shm_self *self);
/* The first n entries were taken by the kernel (or refused for good). */
void shm_outbox_sent(struct shm_self *self, unsigned n);
/* The i-th was, while one in front of it still waits. It leaves with that one: until then it counts as waiting. */
void shm_outbox_sent_early(struct shm_self *self, unsigned i);
/* What goes to the kernel next. open gives the array for sendmmsg, SHM_SENDING_MAX messages; add says that its k-th datagram, counted over all messages, is the i-th of the
 * outbox; close, that it is whole: n messages, each with msg_len 0 and as many datagrams as its msg_iovlen. From then on the kernel itself notes what it takes, so that after
 * a death the successor does not send it again, and shm_step_overtakes() knows. */
struct mmsghdr *shm_sending_open(struct shm_self *self);
void shm_sending_add(struct shm_self *self, unsigned k, unsigned i);
void shm_sending_close(struct shm_self *self, unsigned n);

/* ------------------------------------------------------------------------------------------ records */
/* Rings from each process to the recorder carry notices (slot, generation); a lost notice is repeated by the object's deadline. */
bool shm_notice_next(struct shm_self *recorder, unsigned producer_slot, uint32_t *slot, uint32_t *generation);
/* Queues a notice again; false where the ring is full (counted). Context: the object's holder. */
bool shm_notice_put(struct shm_self *self, uint32_t slot, uint32_t generation);
bool shm_recorded(const struct shm *shm, uint32_t slot, uint32_t generation);
/* The recorder's file position. begin finishes a commit that a dead recorder left open. commit makes "the file now ends at `offset`, and
 * these n (at most 256) objects are recorded" true at once: a redo log. Context: recorder. */
struct shm_record_file {
	uint64_t offset, device, inode;
};
void shm_record_begin(struct shm_self *recorder, struct shm_record_file *file);
void shm_record_open(struct shm_self *recorder, const struct shm_record_file *file); /* another file, another offset */
void shm_record_commit(struct shm_self *recorder, uint64_t offset, const uint32_t *slots, const uint32_t *generations, unsigned n);

/* ------------------------------------------------------------------------------------------ endpoints (RFC 6298) */
struct shm_endpoint_info {
	struct addr addr;
	uint32_t t1_ms, srtt_ms, rttvar_ms, samples, backoff; /* backoff: doublings in force (Karn) */
};
/* The current T1 towards an address within [min, max] milliseconds; `initial` where nothing was measured. */
uint32_t shm_endpoint_t1_ms(const struct shm *shm, const struct addr *a, uint32_t initial_ms, uint32_t min_ms, uint32_t max_ms);
/* A measured response time: RFC 6298 2.2, 2.3; clears the backoff. */
void shm_endpoint_sample(struct shm *shm, const struct addr *a, uint32_t rtt_ms);
/* A message had to be resent: doubles T1 for the next message (5.5 to 5.7). */
void shm_endpoint_backoff(struct shm *shm, const struct addr *a);
/* Walks the table: i from 0 to shm_endpoints()-1; false where the entry is empty. */
uint32_t shm_endpoints(const struct shm *shm);
bool shm_endpoint_info(const struct shm *shm, uint32_t i, struct shm_endpoint_info *info);

/* ------------------------------------------------------------------------------------------ gateways */
struct shm_gateway {
	char name[SHM_NAME];                     /* written by the supervisor's children at start and reload */
	struct addr addrs[SHM_GATEWAY_ADDRS];    /* resolved; family 0 ends */
	uint32_t available;                      /* 1 = yes */
	uint32_t pad;
	uint64_t since_ms;
};
/* Entry i (0 to SHM_GATEWAYS_MAX - 1); shared memory, fields as said above. */
struct shm_gateway *shm_gateway(const struct shm *shm, unsigned i);
/* Objects whose state names gateway i: the sum over the processes, each of which counts its own commits. Exact between
 * commits, also after a death and its repair. */
uint32_t shm_gateway_calls(const struct shm *shm, unsigned i);

/* ------------------------------------------------------------------------------------------ check */
/* Walks the whole arena and reports every broken invariant (leaked or doubly held block, index or board entry missing, owner word of a dead process, wrong
 * count). With `quiet` the caller vouches that no other process works on it meanwhile; else only what cannot be a race is reported.
 * Returns the number of problems. Context: any process, tests. */
typedef void shm_problem_fn(void *arg, const char *text);
unsigned shm_check(struct shm *shm, bool quiet, shm_problem_fn *fn, void *arg);

#endif
