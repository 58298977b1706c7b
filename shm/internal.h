/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of shm/ share. Lower half of the folder: block.c, rcu.c, index.c, board.c, outbox.c work on (map, process
 * slot), so that repair can use them for the dead; step.c and the rest on a struct shm_self. */
#ifndef VELADOR_SHM_INTERNAL_H
#define VELADOR_SHM_INTERNAL_H

#include <stddef.h>
#include <urcu/arch.h>
#include <urcu/compiler.h>
#include <urcu/system.h>
#include <urcu/uatomic.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/inject.h"
#include "shm/layout.h"

struct shm {
	struct shm_header *header;
	char *procs, *journals;
	struct shm_slot *slots;
	uint64_t *slot_hints, *deadlines, *summaries, *index;
	struct shm_endpoint *endpoints;
	uint32_t *chunk_class;
	struct shm_chunk_hints *chunk_hints;
	char *heap;               /* address that block index 0 would have */
	uint32_t nslots, nsummaries, nchunks, nbuckets, nprocs;
	uint64_t bytes;
	char *path;
	int fd;                   /* of the file, locked; -1 = anonymous */
	bool board_early;         /* see shm_board_early */
};

/* Blocks that this process freed lately: still warm. Hints too: others may have taken them. */
enum { SHM_WARM = 32 };
struct shm_cursor {
	uint32_t chunk, word;     /* where the last search ended; chunk 0 = nowhere yet */
	uint32_t nwarm;
	uint32_t warm[SHM_WARM];  /* block indexes */
};

struct shm_self {
	struct shm *shm;
	struct shm_proc *proc;
	uint64_t owner;           /* our owner word */
	uint32_t slot, slot_word;
	bool journal_open;        /* its pointers are of this process */
	uint32_t nwarm, warm[SHM_WARM];
	struct shm_cursor cursors[SHM_CLASSES];
};

/* A store that must not move before the ones above it where the process may die between: the compiler keeps the order, and
 * a processor completes its stores before anyone sees the process dead. */
#define SHM_STEP(point)          \
	do {                     \
		cmm_barrier();   \
		INJECT(point);   \
	} while (0)

static inline uint64_t shm_pack(uint32_t high, uint32_t low)
{
	return (uint64_t)high << 32 | low;
}
static inline uint32_t shm_high(uint64_t v)
{
	return (uint32_t)(v >> 32);
}
static inline uint32_t shm_low(uint64_t v)
{
	return (uint32_t)v;
}
static inline uint32_t shm_next_generation(uint32_t g)
{
	return g + 1 ? g + 1 : 1;
}

static inline struct shm_proc *shm_proc(const struct shm *shm, unsigned slot)
{
	return (struct shm_proc *)(void *)(shm->procs + (size_t)slot * sizeof(struct shm_proc));
}
static inline unsigned shm_proc_number(const struct shm *shm, const struct shm_proc *p)
{
	return (unsigned)((size_t)((const char *)p - shm->procs) / sizeof(struct shm_proc));
}
static inline struct shm_journal *shm_journal(const struct shm *shm, unsigned slot)
{
	BUG_ON(slot >= shm->header->workers_max);
	return (struct shm_journal *)(void *)(shm->journals + (size_t)slot * sizeof(struct shm_journal));
}
static inline uint64_t shm_owner_word(const struct shm *shm, const struct shm_proc *p)
{
	return shm_pack(shm_proc_number(shm, p) + 1, p->incarnation);
}
/* The lower half of the header of a block that p took. */
static inline uint32_t shm_block_owner(const struct shm *shm, const struct shm_proc *p)
{
	return (shm_proc_number(shm, p) + 1) << 24 | (p->incarnation & 0xffffff);
}

/* block.c */
static inline struct shm_block_head *shm_head(const struct shm *shm, uint32_t index)
{
	return (struct shm_block_head *)(void *)(shm->heap + (size_t)index * SHM_UNIT);
}
/* The block of a published word or an index, whoever's generation; NULL for index 0. */
static inline void *shm_payload(const struct shm *shm, uint32_t index)
{
	return index ? (char *)shm_head(shm, index) + SHM_BLOCK_HEAD : NULL;
}
/* The handle of a block that cannot be freed under us. */
static inline shm_ref shm_ref_of(const struct shm *shm, uint32_t index)
{
	return shm_pack(shm_high(uatomic_read(&shm_head(shm, index)->word)), index);
}
uint32_t shm_class_units(unsigned class);
/* fetch.c: a block that is about to be taken, with the intent to write. */
void shm_fetch_block(const struct shm *shm, uint32_t index, uint32_t units);
/* Takes a block for `bytes` of payload; *note (in the process slot) names each candidate before it is tried. */
int shm_block_take(struct shm_self *self, size_t bytes, shm_ref *note, shm_ref *ref);
/* Frees a block that nobody can read any more. Twice is harmless. self may be NULL. */
void shm_block_free(struct shm *shm, struct shm_self *self, shm_ref ref);
/* After a death: frees the block if p had taken it, and puts its hint right. */
void shm_block_undo(struct shm *shm, const struct shm_proc *p, shm_ref candidate);
void shm_block_repair_hints(struct shm *shm);

/* rcu.c */
static inline uint32_t shm_limbo_room(const struct shm_proc *p)
{
	return SHM_LIMBO - (p->limbo_tail - p->limbo_head);
}
/* Puts a block, unpublished before a full barrier, where it waits for the readers. Room must have been reserved. */
void shm_retire(struct shm *shm, struct shm_proc *p, shm_ref ref);
void shm_rcu_reclaim(struct shm_self *self);

/* index.c, board.c */
void shm_index_add(struct shm *shm, uint64_t key, uint32_t slot);
void shm_index_remove(struct shm *shm, uint64_t key, uint32_t slot);
/* Makes the board no later than deadline_ms: before the publish. */
void shm_board_arm(struct shm *shm, uint32_t slot, uint64_t deadline_ms);
/* Makes it deadline_ms exactly: after the publish, or to undo. Context: the holder, or its repair. */
void shm_board_set(struct shm *shm, uint32_t slot, uint64_t deadline_ms);

/* outbox.c, record.c */
static inline uint32_t shm_outbox_room(const struct shm_proc *p)
{
	return SHM_OUTBOX - (p->outbox_tail - p->outbox_head);
}
/* Whether the kernel has the datagrams at positions from to to - 1, SHM_SENDS_MAX at most, of a process that may be sending them now. */
bool shm_outbox_left(const struct shm_proc *p, uint32_t from, uint32_t to);
/* Marks what the kernel took of a dead process's. */
void shm_outbox_repair(struct shm_proc *p);
void shm_outbox_append(struct shm *shm, struct shm_proc *p, uint32_t slot, const struct shm_state *state);
bool shm_notice(struct shm_proc *p, uint32_t slot, uint32_t generation);

/* object.c */
/* Whoever holds a slot has lived through it. */
static inline void shm_slot_survived(struct shm *shm, uint32_t slot)
{
	if (shm->slots[slot].deaths)
		uatomic_set(&shm->slots[slot].deaths, 0);
}
void shm_slot_release(struct shm *shm, uint32_t slot);
/* Puts the hint of a slot right that is free and nobody's. */
void shm_slot_hint(struct shm *shm, uint32_t slot);
/* Sets a slot's deadline to its published one under the owner word, or leaves that to whoever holds it. Context: no step open. */
void shm_slot_settle(struct shm_self *self, uint32_t slot);

/* step.c: what follows from a publish, by commit and again by repair; and what must come back where nothing was published. */
void shm_step_follow(struct shm *shm, struct shm_proc *p);
void shm_step_undo(struct shm *shm, struct shm_proc *p);

/* journal.c: after a death. */
void shm_deferred_repair(struct shm *shm, struct shm_proc *p);
void shm_journal_adopt(struct shm *shm, unsigned slot);

#endif
