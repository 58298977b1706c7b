/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Response times of remote addresses (RFC 6298), in an open table: a keyed hash of the address is claimed by one
 * compare-and-swap, and all that was learned lies in one word. Entries are never removed; a full window means that the
 * address is not measured. */
#include "shm/internal.h"

/* { backoff: 4 | samples: 20 | 4 * RTTVAR: 20 | 8 * SRTT: 20 }, times in milliseconds */
struct estimate {
	uint32_t srtt8, rttvar4, samples, backoff;
};

enum { FIELD = (1 << 20) - 1, RTT_MAX_MS = 60000, BACKOFF_MAX = 15 };

static struct estimate unpack(uint64_t word)
{
	return (struct estimate){
		.srtt8 = word & FIELD,
		.rttvar4 = (word >> 20) & FIELD,
		.samples = (word >> 40) & FIELD,
		.backoff = (uint32_t)(word >> 60),
	};
}

static uint64_t pack(struct estimate e)
{
	return e.srtt8 | (uint64_t)e.rttvar4 << 20 | (uint64_t)e.samples << 40 | (uint64_t)e.backoff << 60;
}

/* The entry of an address; with `add` it is made where there is room. */
static struct shm_endpoint *find(const struct shm *shm, const struct addr *a, bool add)
{
	uint32_t n = shm->header->endpoints;
	uint64_t key = siphash(&shm->header->key_index, a, sizeof *a) | 1;

	for (uint32_t i = 0; i < SHM_ENDPOINT_WINDOW && i < n; i++) {
		struct shm_endpoint *e = &shm->endpoints[((key >> 32) + i) % n];
		uint64_t is = uatomic_read(&e->key);

		if (is == 0 && !add)
			return NULL;
		if (is == 0) {
			is = uatomic_cmpxchg(&e->key, 0, key);
			is = is ? is : key;
			SHM_STEP("shm.endpoint.key");
		}
		if (is != key)
			continue;
		if (add && !uatomic_read(&e->ready)) {
			e->addr = *a;
			cmm_smp_wmb();
			SHM_STEP("shm.endpoint.addr");
			uatomic_set(&e->ready, 1);
		}
		return e;
	}
	return NULL;
}

static uint32_t clamp(uint64_t v, uint32_t min, uint32_t max)
{
	return v > max ? max : v < min ? min : (uint32_t)v;
}

uint32_t shm_endpoint_t1_ms(const struct shm *shm, const struct addr *a, uint32_t initial_ms, uint32_t min_ms, uint32_t max_ms)
{
	const struct shm_endpoint *entry = find(shm, a, false);
	struct estimate e = unpack(entry ? uatomic_read(&entry->estimate) : 0);
	uint64_t t1_ms = e.samples ? (e.srtt8 + 7) / 8 + e.rttvar4 : initial_ms;

	return clamp((uint64_t)clamp(t1_ms, min_ms, max_ms) << e.backoff, min_ms, max_ms);
}

static struct estimate measured(struct estimate e, uint32_t rtt_ms)
{
	uint32_t srtt_ms = e.srtt8 / 8, error_ms = rtt_ms > srtt_ms ? rtt_ms - srtt_ms : srtt_ms - rtt_ms;

	if (e.samples == 0) {
		e.srtt8 = rtt_ms * 8;
		e.rttvar4 = rtt_ms * 2;
	} else {
		e.rttvar4 = e.rttvar4 - e.rttvar4 / 4 + error_ms;
		e.srtt8 = e.srtt8 - e.srtt8 / 8 + rtt_ms;
	}
	e.samples += e.samples < FIELD;
	e.backoff = 0;
	return e;
}

void shm_endpoint_sample(struct shm *shm, const struct addr *a, uint32_t rtt_ms)
{
	struct shm_endpoint *entry = find(shm, a, true);
	uint64_t is, was;

	if (!entry)
		return;
	rtt_ms = rtt_ms < RTT_MAX_MS ? rtt_ms : RTT_MAX_MS;
	for (is = uatomic_read(&entry->estimate);; is = was) {
		was = uatomic_cmpxchg(&entry->estimate, is, pack(measured(unpack(is), rtt_ms)));
		if (was == is)
			return;
	}
}

void shm_endpoint_backoff(struct shm *shm, const struct addr *a)
{
	struct shm_endpoint *entry = find(shm, a, true);
	uint64_t is, was;

	if (!entry)
		return;
	for (is = uatomic_read(&entry->estimate);; is = was) {
		struct estimate e = unpack(is);

		if (e.backoff == BACKOFF_MAX)
			return;
		e.backoff++;
		was = uatomic_cmpxchg(&entry->estimate, is, pack(e));
		if (was == is)
			return;
	}
}

uint32_t shm_endpoints(const struct shm *shm)
{
	return shm->header->endpoints;
}

bool shm_endpoint_info(const struct shm *shm, uint32_t i, struct shm_endpoint_info *info)
{
	const struct shm_endpoint *entry = &shm->endpoints[i];
	struct estimate e;

	if (i >= shm->header->endpoints || !uatomic_read(&entry->ready))
		return false;
	cmm_smp_rmb();
	e = unpack(uatomic_read(&entry->estimate));
	*info = (struct shm_endpoint_info){
		.addr = entry->addr,
		.t1_ms = e.samples ? (e.srtt8 + 7) / 8 + e.rttvar4 : 0,
		.srtt_ms = e.srtt8 / 8,
		.rttvar_ms = e.rttvar4 / 4,
		.samples = e.samples,
		.backoff = e.backoff,
	};
	return true;
}
