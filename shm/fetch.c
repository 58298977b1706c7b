/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hints to the processor. What a call keeps was written long ago and has left every cache; a load from memory takes as long as some hundred
 * instructions, and each of these needs what the one before has brought. Nothing here changes anything or may fault. */
#include "shm/internal.h"

enum { STATE_LINES = 14, BLOCK_LINES = 16 }; /* no more than that of a state and of a block; most are smaller */

void shm_fetch_block(const struct shm *shm, uint32_t index, uint32_t units)
{
	const char *block = (const char *)shm_head(shm, index);

	for (uint32_t i = 0; i < units && i < BLOCK_LINES; i++)
		__builtin_prefetch(block + (size_t)i * SHM_UNIT, 1);
}

void shm_fetch_slot(const struct shm *shm, uint32_t slot)
{
	if (slot >= shm->nslots)
		return;
	__builtin_prefetch(&shm->slots[slot].pub, 1);
	__builtin_prefetch(&shm->deadlines[slot], 1);
}

void shm_fetch_state(const struct shm *shm, uint32_t slot)
{
	const char *state = (const char *)shm_peek(shm, slot, 0, NULL);

	for (unsigned i = 0; state && i < STATE_LINES; i++)
		__builtin_prefetch(state + (size_t)i * SHM_UNIT);
}

void shm_fetch_blocks(const struct shm *shm, uint32_t slot)
{
	const struct shm_state *state = shm_peek(shm, slot, 0, NULL);
	const shm_ref *refs = state ? shm_state_refs(state) : NULL;

	for (unsigned i = 0; state && i < state->nrefs; i++)
		__builtin_prefetch(shm_head(shm, shm_low(refs[i])));
}
