/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The endpoint table: T1 by RFC 6298. */
#include "t/tap.h"

#include "base/err.h"
#include "shm/shm.h"

static struct shm *shm;

static struct addr endpoint(unsigned i)
{
	return (struct addr){ .family = 4, .ip = { 192, 0, 2, (uint8_t)i }, .port = (uint16_t)(5000 + i / 256) };
}

static uint32_t t1_ms(const struct addr *a)
{
	return shm_endpoint_t1_ms(shm, a, 500, 100, 4000);
}

static bool find(const struct addr *a, struct shm_endpoint_info *info)
{
	for (uint32_t i = 0; i < shm_endpoints(shm); i++)
		if (shm_endpoint_info(shm, i, info) && addr_eq(&info->addr, a))
			return true;
	return false;
}

static void estimates(void)
{
	struct addr a = endpoint(1);
	struct shm_endpoint_info info;

	is_u64(t1_ms(&a), 500, "nothing measured: the initial value");
	ok(!find(&a, &info), "a question makes no entry");
	shm_endpoint_sample(shm, &a, 200);
	is_u64(t1_ms(&a), 200 + 4 * 100, "RFC6298-2.2: first sample R: SRTT = R, RTTVAR = R/2, T1 = SRTT + 4 RTTVAR");
	shm_endpoint_sample(shm, &a, 280);
	/* RTTVAR = 3/4 * 100 + 1/4 * 80 = 95; SRTT = 7/8 * 200 + 1/8 * 280 = 210 */
	ok(find(&a, &info) && info.srtt_ms == 210 && info.rttvar_ms == 95 && info.samples == 2, "RFC6298-2.3: the second moves both");
	is_u64(t1_ms(&a), 210 + 4 * 95, "and T1");
	for (unsigned i = 0; i < 200; i++)
		shm_endpoint_sample(shm, &a, 1200);
	ok(t1_ms(&a) >= 1190 && t1_ms(&a) <= 1220, "steady at 1200 ms it comes to %u ms", t1_ms(&a));
	shm_endpoint_backoff(shm, &a);
	ok(t1_ms(&a) >= 2380 && t1_ms(&a) <= 2440, "RFC6298-5.5: a resend doubles it");
	shm_endpoint_backoff(shm, &a);
	is_u64(t1_ms(&a), 4000, "up to the upper bound");
	shm_endpoint_sample(shm, &a, 1200);
	ok(t1_ms(&a) <= 1220, "RFC6298-5.7: the next sample ends the backoff");
	for (unsigned i = 0; i < 100; i++)
		shm_endpoint_backoff(shm, &a);
	is_u64(t1_ms(&a), 4000, "a hundred resends stay in bounds");
	for (unsigned i = 0; i < 200; i++)
		shm_endpoint_sample(shm, &a, 1);
	is_u64(t1_ms(&a), 100, "the lower bound holds");
	shm_endpoint_sample(shm, &a, UINT32_MAX);
	is_u64(t1_ms(&a), 4000, "absurd samples do no harm");
}

static void unmeasured_backoff(void)
{
	struct addr a = endpoint(2);

	shm_endpoint_backoff(shm, &a);
	is_u64(t1_ms(&a), 1000, "RFC6298-5.5: doubled without any sample: the initial value twice");
}

static void many(void)
{
	unsigned known = 0;

	for (unsigned i = 0; i < 1000; i++) {
		struct addr a = endpoint(i);

		shm_endpoint_sample(shm, &a, 1000);
	}
	for (unsigned i = 3; i < 1000; i++) {
		struct addr a = endpoint(i);
		uint32_t t1 = t1_ms(&a);

		if (t1 != 500 && t1 != 3000)
			known = 10000;
		known += t1 == 3000;
	}
	ok(known > 200 && known <= 256, "G: 1,000 addresses in a table for 256: %u are measured, none takes another's", known);
}

int main(void)
{
	struct shm_params params = { .slots = 64, .heap_bytes = 1 << 20, .endpoints = 256, .workers_max = 1 };

	if (shm_create(&shm, NULL, &params))
		tap_bail("no arena");
	is_u64(shm_endpoints(shm), 256, "the table has the size asked for");
	estimates();
	unmeasured_backoff();
	many();
	shm_close(shm, true);
	return tap_done();
}
