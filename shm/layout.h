/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies where in the arena. Private to shm/.
 *
 *	byte 0                    struct shm_header        4 KiB pages hereafter, each section page-aligned
 *	header.procs_at           struct shm_proc          nprocs of them: workers 0..workers_max-1, then one of each other kind
 *	header.journals_at        struct shm_journal       workers_max of them
 *	header.slots_at           struct shm_slot          24 bytes an object
 *	header.slot_hints_at      uint64_t                 1 bit an object
 *	header.deadlines_at       uint64_t                 8 bytes an object
 *	header.summaries_at       uint64_t                 8 bytes each 512 objects
 *	header.index_at           uint64_t                 6 entries (48 bytes) an object
 *	header.endpoints_at       struct shm_endpoint      64 bytes each
 *	header.chunk_class_at     uint32_t                 4 bytes each chunk of 256 KiB
 *	header.chunk_hints_at     struct shm_chunk_hints   512 bytes each chunk
 *	header.heap_at            the heap                 chunks, cut into blocks of one class each
 *
 *	a block, 64-byte units:  0 .. 7 word: { generation:32 | process slot + 1: 8 | incarnation: 24 }, lower half 0 = free
 *	                         8 ..15 0     16.. payload
 *	a slot:                  0 .. 7 owner: { process slot + 1: 32 | incarnation: 32 }, 0 = nobody
 *	                         8 ..15 pub:   { generation: 32 | block index: 32 }, index 0 = free
 *	                        16 ..19 recorded: generation whose record is on disk     20..23 deaths
 *	an index entry:          { upper half of the key: 32 | slot + 1: 32 }, 0 = empty
 *
 * A fresh map of zero bytes, with the deadlines and summaries set to SHM_NEVER, is a valid empty arena.
 * "Dies": what a reader finds if the writer is killed before its next store; see README for who puts it right. */
#ifndef VELADOR_SHM_LAYOUT_H
#define VELADOR_SHM_LAYOUT_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "shm/shm.h"

#define SHM_MAGIC 0x31524f44414c4556ull /* "VELADOR1" */

enum {
	SHM_LAYOUT_VERSION = 6,
	SHM_PAGE = 4096,
	SHM_UNIT = 64,                          /* bytes */
	SHM_CHUNK_UNITS = 4096,
	SHM_CHUNK_BYTES = SHM_CHUNK_UNITS * SHM_UNIT,
	SHM_CHUNK_WORDS = SHM_CHUNK_UNITS / 64, /* words of hints for the smallest class */
	SHM_BLOCK_HEAD = 16,                    /* bytes */
	SHM_CLASSES = 65,
	SHM_CHUNK_FULL = 256,                   /* flag beside the class in chunk_class */
	SHM_BUCKET = 8,                         /* index entries in a cache line */
	SHM_WINDOW = 4,                         /* buckets in which a key may lie */
	SHM_INDEX_PER_SLOT = 6,                 /* two keys an object at a load of a third */
	SHM_BOARD_BLOCK = 512,                  /* deadlines under one summary */
	SHM_JOURNAL_STRIDE = SHM_DATAGRAM_MAX + 1 + 17 * 64, /* bytes; a power of two would put all datagrams of a batch into the same few sets of the cache */
	SHM_LIMBO = 16384,
	SHM_SCRATCH = 256 * 1024,               /* bytes */
	SHM_RECORD_BATCH = 256,
	SHM_ENDPOINT_WINDOW = 32,
	/* Room in limbo that a step needs at most; all deferred datagrams may come on top. */
	SHM_LIMBO_RESERVE = 1 + SHM_REFS_MAX + SHM_STEP_ALLOCS + SHM_DEFERRED,
};

/* ------------------------------------------------------------------------------------------ header */
/* The recorder's redo log. Writer: recorder. armed is stored last before and cleared last after the apply: dies with
 * armed = 1: shm_record_begin() applies it again; with armed = 0: the old position stands whole. */
struct shm_record_log {
	struct shm_record_file file;
	uint64_t armed;
	struct shm_record_file next;
	uint32_t n, pad;
	uint32_t slots[SHM_RECORD_BATCH];
	uint32_t generations[SHM_RECORD_BATCH];
};

/* Announced by each process: 0 = offline, else the epoch it saw last. A line of its own, and close together, since
 * whoever reclaims reads them all. Writer: its process. Dies: stays online until its successor is quiescent. */
struct shm_reader {
	_Alignas(64) uint64_t epoch;
};

struct shm_header {
	/* Written once by shm_create(), magic last. */
	uint64_t magic;
	uint64_t version;
	uint64_t layout_hash;
	char boot_id[40];
	uint64_t bytes;
	uint32_t slots, endpoints, workers_max, nprocs;
	uint32_t chunks, buckets;
	struct siphash_key key_index, key_check;
	uint64_t procs_at, journals_at, slots_at, slot_hints_at, deadlines_at, summaries_at, index_at, endpoints_at;
	uint64_t chunk_class_at, chunk_hints_at, heap_at;
	int64_t wall_offset_ms;             /* CLOCK_REALTIME - CLOCK_BOOTTIME at creation, for who adopts the arena */
	uint64_t reserved[15];

	/* RCU. Writers: any, compare-and-swap by one. */
	_Alignas(64) uint64_t epoch;
	/* Chunks that have a class, and those of them for large blocks. Writers: any. Dies: too low by one, until repair counts. */
	_Alignas(64) uint64_t chunks_assigned;
	uint64_t large_assigned;
	/* Keys that found their window full (the object is then reached by its handle only). Writers: any. */
	uint64_t index_overflows;
	/* 1 = nearly full, no object may begin. Writers: timer. Dies: as it was, until its successor looks. */
	uint64_t heap_tight;
	/* CLOCK_BOOTTIME at which the timer process looks at the board again, unless it is rung. Writers: timer. Dies: as it was; its successor looks first. */
	_Alignas(64) uint64_t board_wake_ms;
	struct shm_reader readers[SHM_PROCS_MAX];

	/* Writers: the supervisor's children at start and reload. */
	_Alignas(64) struct addr listen[SHM_LISTEN_MAX];
	struct shm_gateway gateways[SHM_GATEWAYS_MAX];
	_Alignas(64) struct shm_record_log record;
};

/* ------------------------------------------------------------------------------------------ objects, index, heap */
struct shm_slot {
	uint64_t owner;     /* compare-and-swap 0 -> me; store 0 by the holder, or by repair of the dead holder */
	uint64_t pub;       /* one store by the holder; each value is whole: the old state or the new one */
	uint32_t recorded;  /* recorder, from its redo log */
	uint32_t deaths;    /* timer processes that died on it: repair adds one while it still owns the word; who holds and lives clears */
};

/* Bit i: block i of the chunk is busy. Hints: 0 = look at the block's header. Writers: any, atomically. */
struct shm_chunk_hints {
	uint64_t busy[SHM_CHUNK_WORDS];
};

struct shm_block_head {
	uint64_t word;      /* compare-and-swap free -> mine and { g, anything } -> { g + 1, free } */
	uint64_t pad;       /* so that payloads are aligned to 16 */
};

struct shm_endpoint {
	_Alignas(64) uint64_t key;  /* compare-and-swap 0 -> hash of the address */
	uint64_t estimate;          /* compare-and-swap; see endpoint.c */
	struct addr addr;           /* by anyone who holds the same key, always the same bytes */
	uint32_t ready;             /* 1 after addr. Dies before: the next with the same key writes both again */
};

/* ------------------------------------------------------------------------------------------ processes */
enum shm_phase { SHM_IDLE, SHM_BUILDING, SHM_COMMITTING };

/* What a process is about to do. Writer: its process, or repair after its death. phase is stored last when it rises,
 * so the fields under it are whole whenever it says so:
 *	BUILDING    slot, nalloc and alloc[] (each candidate is written before its block is taken)
 *	COMMITTING  all */
struct shm_intent {
	uint32_t phase;
	uint32_t slot;
	uint64_t old_pub, new_pub;
	uint32_t limbo_tail;         /* where the lists ended before the commit: repair writes again from here */
	uint32_t outbox_tail;
	int64_t used, live;          /* this process's counts before the commit */
	int32_t gateway_old, gateway_new;   /* indexes, -1 = none */
	int32_t gateway_old_calls, gateway_new_calls;
	uint32_t nalloc;
	uint32_t pad;
	shm_ref alloc[SHM_STEP_ALLOCS];
};

/* A block that waits for its grace period. Leaves the list after its header and its hint are free. */
struct shm_limbo_entry {
	shm_ref ref;
	uint64_t epoch;
};

struct shm_outbox_entry {
	shm_ref ref;         /* 0: the bytes lie in scratch */
	uint32_t offset;
	uint32_t length;
	struct addr to;
	uint16_t listen;
	uint16_t sent;       /* the kernel has it, before one that stands in front of it */
	uint32_t object;
};

/* Messages on their way into the kernel, which notes in msg_len of each that it has taken it. Writer: its process. Dies while filling: round is odd, and none has
 * left; later: what has left is known. */
struct shm_sending {
	uint32_t round;                          /* odd: being filled */
	uint32_t n;                              /* messages */
	uint32_t position[SHM_SENDING_MAX];      /* in the outbox, of each datagram in the order of the messages; a message has msg_iovlen of them */
	struct mmsghdr message[SHM_SENDING_MAX]; /* its pointers are of the process that sends */
};

struct shm_deferred_entry {
	shm_ref ref;         /* bytes, in a block */
	uint64_t jpos;
	struct addr from;
	uint32_t length;
	uint16_t listen;
	uint8_t truncated;
	uint8_t live;        /* cleared when done */
};

/* Ring of notices. Writers: head and entries the producer, tail the recorder. Entry first, then head: dies: not there yet. */
struct shm_ring {
	_Alignas(64) uint32_t head;
	_Alignas(64) uint32_t tail;
	_Alignas(64) uint64_t entries[SHM_RING];
};

/* Who receives from a worker's sockets. */
struct shm_intake {
	_Alignas(64) uint64_t holder;   /* { CLOCK_BOOTTIME ms: 56 | process slot + 1: 8 }, 0 = nobody; compare-and-swap. Dies: lapses */
	uint32_t shared, pace_ms;       /* Writer: its worker */
	uint64_t taken[SHM_LISTEN_MAX]; /* datagrams. Writer: the holder */
};

/* One process slot. Writer of everything: its process; after its death the one who repairs it, then its successor. */
struct shm_proc {
	/* Dies between them: pid stays, so the slot is repaired. */
	uint32_t kind, index;
	int32_t pid;
	uint32_t incarnation;
	uint64_t heartbeat_ms;
	int64_t used, live;                 /* objects, this process's share (may be negative); sums are exact */
	uint64_t progress;                  /* pieces of work done, by all incarnations */
	uint64_t in_work;                   /* position of the datagram in work; 0 = none */
	_Alignas(64) struct shm_intent intent;
	/* Lists: entry first, then tail; head after the entry is finished with. */
	_Alignas(64) uint32_t limbo_head, limbo_tail;
	uint32_t outbox_head, outbox_tail;
	uint32_t scratch_used;
	uint32_t deferred_head, deferred_tail, pad;
	shm_ref deferred_candidate;         /* block being taken for the deferred list */
	struct shm_intake intake;           /* workers; has writers of its own */
	_Alignas(64) uint64_t counters[CNT_ROOM];
	int32_t gateway_calls[SHM_GATEWAYS_MAX];
	struct shm_ring rings[SHM_RING_COUNT];
	struct shm_deferred_entry deferred[SHM_DEFERRED];
	struct shm_limbo_entry limbo[SHM_LIMBO];
	struct shm_outbox_entry outbox[SHM_OUTBOX];
	struct shm_sending sending;
	char scratch[SHM_SCRATCH];
};

/* Writers: the kernel (lengths, names, bytes) and the worker. done[i] goes to 1 after the effects of entry i are published. Dies
 * while opening: lengths are zeroed before done[] is cleared, so no datagram is seen twice. */
struct shm_journal {
	struct mmsghdr msgs[SHM_JOURNAL_BATCH]; /* its pointers are of the process that opened it last */
	struct iovec iov[SHM_JOURNAL_BATCH];
	struct sockaddr_storage names[SHM_JOURNAL_BATCH];
	uint64_t base;                       /* count of entry 0; raised by a batch at each one's beginning */
	uint16_t listen[SHM_JOURNAL_BATCH];
	uint8_t done[SHM_JOURNAL_BATCH];
	_Alignas(64) char bytes[SHM_JOURNAL_BATCH][SHM_JOURNAL_STRIDE];
};

#define SHM_AT(type, field, at) _Static_assert(offsetof(struct type, field) == (at), "layout")
#define SHM_IS(type, size) _Static_assert(sizeof(struct type) == (size), "layout")
SHM_IS(shm_slot, 24);
SHM_AT(shm_slot, owner, 0);
SHM_AT(shm_slot, pub, 8);
SHM_AT(shm_slot, recorded, 16);
SHM_AT(shm_slot, deaths, 20);
SHM_IS(shm_block_head, SHM_BLOCK_HEAD);
SHM_AT(shm_block_head, word, 0);
SHM_IS(shm_chunk_hints, 512);
SHM_IS(shm_endpoint, 64);
SHM_AT(shm_endpoint, estimate, 8);
SHM_IS(shm_reader, 64);
SHM_IS(shm_send, 48);
SHM_IS(shm_outbox_entry, 48);
SHM_IS(shm_deferred_entry, 48);
SHM_IS(shm_limbo_entry, 16);
SHM_AT(shm_intent, old_pub, 8);
SHM_AT(shm_intent, nalloc, 64);
SHM_AT(shm_intent, alloc, 72);
SHM_AT(shm_proc, intent, 64);
SHM_AT(shm_header, magic, 0);
SHM_AT(shm_header, boot_id, 24);

/* A fingerprint of everything above; arenas of another one are refused. */
#define SHM_MIX(h, v) (((h) ^ (uint64_t)(v)) * 0x100000001b3ull)
#define SHM_LAYOUT_HASH                                                                                          \
	SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(                  \
		0xcbf29ce484222325ull + SHM_LAYOUT_VERSION,                                                      \
		sizeof(struct shm_header)), sizeof(struct shm_proc)), sizeof(struct shm_journal)),               \
		sizeof(struct shm_state)), sizeof(struct shm_send)), sizeof(struct shm_gateway)),                \
		offsetof(struct shm_header, record)), offsetof(struct shm_proc, outbox)),                        \
		offsetof(struct shm_proc, counters)), SHM_INDEX_PER_SLOT * SHM_CLASSES), CNT_COUNT)

#endif
