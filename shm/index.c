/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a key to slots. A key may lie in any of the 32 entries of a window of four buckets; a reader looks at all of
 * them, so an entry is added by one compare-and-swap and removed by one store, and nothing ever moves. What it finds are
 * candidates. Only the holder of a slot adds or removes that slot's entries. */
#include "shm/internal.h"

static uint64_t *window(const struct shm *shm, uint64_t key)
{
	uint32_t bucket = (uint32_t)(((key & UINT32_MAX) * shm->nbuckets) >> 32);

	return shm->index + (size_t)bucket * SHM_BUCKET;
}

void shm_index_add(struct shm *shm, uint64_t key, uint32_t slot)
{
	uint64_t *at = window(shm, key), entry = shm_pack(shm_high(key), slot + 1);

	if (!key)
		return;
	for (unsigned i = 0; i < SHM_WINDOW * SHM_BUCKET; i++)
		if (uatomic_read(&at[i]) == entry)
			return;
	for (unsigned i = 0; i < SHM_WINDOW * SHM_BUCKET; i++)
		if (uatomic_read(&at[i]) == 0 && uatomic_cmpxchg(&at[i], 0, entry) == 0)
			return;
	uatomic_inc(&shm->header->index_overflows);
}

void shm_index_remove(struct shm *shm, uint64_t key, uint32_t slot)
{
	uint64_t *at = window(shm, key), entry = shm_pack(shm_high(key), slot + 1);

	if (!key)
		return;
	for (unsigned i = 0; i < SHM_WINDOW * SHM_BUCKET; i++)
		if (uatomic_read(&at[i]) == entry)
			uatomic_set(&at[i], 0);
}

void shm_index_start(struct shm_index_iter *it, uint64_t key)
{
	*it = (struct shm_index_iter){ .key = key };
}

bool shm_index_next(const struct shm *shm, struct shm_index_iter *it, uint32_t *slot)
{
	const uint64_t *at = window(shm, it->key);

	if (!it->key)
		return false;
	while (it->at < SHM_WINDOW * SHM_BUCKET) {
		uint64_t entry = uatomic_read(&at[it->at++]);

		if (shm_low(entry) && shm_high(entry) == shm_high(it->key)) {
			*slot = shm_low(entry) - 1;
			return true;
		}
	}
	return false;
}
