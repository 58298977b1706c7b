/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The transaction machines by themselves: when a message nobody answers is sent again and when that ends, and what the table must hold. */
#include "t/tap.h"

#include "txn/txn.h"

enum { RESENDS_MAX = 80 };

static struct params params(void)
{
	return (struct params){ .t2_ms = 4000, .give_up_t1 = 64 };
}

static struct txn begun(enum txn_machine machine, uint32_t t1_ms, const struct params *p)
{
	struct txn t = { .machine = (uint8_t)machine, .t1_ms = (uint16_t)t1_ms };

	txn_start(&t, p, 0);
	return t;
}

/* Lets time pass until the transaction's last timer fires; compares the moments of the resends, and the end, with those given (0 ends them). */
static void runs(const char *title, struct txn *t, const struct params *p, uint64_t end_ms, const uint64_t *want)
{
	uint64_t now;
	bool same = true;
	unsigned n = 0;

	while (t->resend_ms < t->expire_ms && n < RESENDS_MAX) {
		now = t->resend_ms;
		same &= want[n] == now;
		if (want[n] != now)
			diag("%s: resend %u at %llu ms, not %llu", title, n + 1, (unsigned long long)now, (unsigned long long)want[n]);
		n += want[n] != 0;
		if (!same)
			break;
		txn_event(t, TXN_EV_RESEND, p, now);
	}
	ok(same && !want[n], "%s: %u resends", title, n);
	is_u64(t->expire_ms, end_ms, "%s: and its end", title);
}

#define RUNS(title, t, p, end_ms, ...) runs(title, t, p, end_ms, (const uint64_t[]){ __VA_ARGS__, 0 })

static void test_client_schedules(void)
{
	struct params p = params();
	struct txn t = begun(TXN_ICT, 500, &p);

	RUNS("RFC3261-17.1.1.2 INVITE", &t, &p, 32000, 500, 1500, 3500, 7500, 15500, 31500);
	t = begun(TXN_NICT, 500, &p);
	RUNS("RFC3261-17.1.2.2 others, capped at T2", &t, &p, 32000, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500);
	t = begun(TXN_ICT, 1200, &p);
	RUNS("INVITE, T1 of 1.2 s", &t, &p, 76800, 1200, 3600, 8400, 18000, 37200, 75600);
	p.give_up_ms = 3600000;
	t = begun(TXN_ICT, 500, &p);
	RUNS("ten stages up to 256 s, and one more wait", &t, &p, 767500, 500, 1500, 3500, 7500, 15500, 31500, 63500, 127500, 255500, 511500);
	p.give_up_ms = 600000;
	t = begun(TXN_ICT, 500, &p);
	RUNS("give_up before that wait is over", &t, &p, 600000, 500, 1500, 3500, 7500, 15500, 31500, 63500, 127500, 255500, 511500);
	p.give_up_ms = 2000;
	t = begun(TXN_NICT, 500, &p);
	RUNS("a short give_up", &t, &p, 2000, 500, 1500);
}

static void test_lists(void)
{
	struct params p = params();
	struct txn t;

	p.resend_count = 3;
	p.resend_stages_ms[0] = 100;
	p.resend_stages_ms[1] = 200;
	p.resend_stages_ms[2] = 300;
	t = begun(TXN_ICT, 500, &p);
	RUNS("a list: INVITE", &t, &p, 900, 100, 300, 600);
	t = begun(TXN_NICT, 500, &p);
	RUNS("a list: others", &t, &p, 900, 100, 300, 600);
	p.give_up_ms = 700;
	t = begun(TXN_ICT, 500, &p);
	RUNS("a list, and give_up first", &t, &p, 700, 100, 300, 600);
}

static void test_proceeding(void)
{
	struct params p = params();
	struct txn t = begun(TXN_NICT, 500, &p);

	is_u64(txn_event(&t, TXN_EV_P1XX, &p, 200), TXN_DO_PASS, "a provisional answer to another request than INVITE");
	RUNS("RFC3261-17.1.2.2 then every T2", &t, &p, 32000, 4200, 8200, 12200, 16200, 20200, 24200, 28200);
	t = begun(TXN_ICT, 500, &p);
	txn_event(&t, TXN_EV_P1XX, &p, 200);
	is_u64(t.resend_ms, SHM_NEVER, "RFC3261-17.1.1.2 an INVITE with one is not sent again");
}

static void test_server_schedules(void)
{
	struct params p = params();
	struct txn t = begun(TXN_IST, 500, &p);

	p.resend_count = 1; /* a list is for requests */
	p.resend_stages_ms[0] = 7;
	is_u64(txn_event(&t, TXN_EV_P3XX, &p, 0), TXN_DO_SEND, "a refusal");
	RUNS("RFC3261-17.2.1 Timer G, capped at T2, and H", &t, &p, 32000, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500);
	t = begun(TXN_IST, 500, &p);
	txn_event(&t, TXN_EV_P2XX, &p, 0);
	RUNS("RFC3261-13.3.1.4 a 2xx", &t, &p, 32000, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500);
}

/* Timers that absorb repeats, and waits for ACK, are never under 32 s, whatever T1. */
static void test_absorbing(void)
{
	static const struct { enum txn_machine machine; enum txn_event ev; const char *timer; } cases[] = {
		{ TXN_ICT, TXN_EV_P3XX, "RFC3261-17.1.1.2 Timer D" }, { TXN_ICT, TXN_EV_P2XX, "RFC6026-7.2 Timer M" }, { TXN_NICT, TXN_EV_P2XX, "RFC3261-17.1.2.2 Timer K" },
		{ TXN_IST, TXN_EV_P3XX, "RFC3261-17.2.1 Timer H" }, { TXN_IST, TXN_EV_P2XX, "RFC3261-13.3.1.4 the wait for ACK" }, { TXN_NIST, TXN_EV_P2XX, "RFC3261-17.2.2 Timer J" },
	};
	struct params p = params();

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
		for (unsigned t1_ms = 10; t1_ms <= 1000; t1_ms += 990) {
			struct txn t = begun(cases[i].machine, t1_ms, &p);

			txn_event(&t, cases[i].ev, &p, 1000);
			is_u64(t.expire_ms, t1_ms == 10 ? 33000 : 65000, "%s at T1 = %u ms", cases[i].timer, t1_ms);
		}
}

/* Every row names its RFC; every state but the last can end by time; what stands nowhere changes nothing. */
static void test_table(void)
{
	struct params p = params();
	unsigned rows = 0, unnamed = 0, endless = 0, moved = 0;

	for (unsigned m = TXN_ICT; m <= TXN_NIST; m++)
		for (unsigned s = TXN_CALLING; s < TXN_STATE_COUNT; s++) {
			unsigned here = 0;

			for (unsigned ev = 0; ev < TXN_EVENT_COUNT; ev++) {
				const char *section = txn_section((enum txn_machine)m, (enum txn_state)s, (enum txn_event)ev);
				struct txn t = { .machine = (uint8_t)m, .state = (uint8_t)s, .t1_ms = 500, .resend_ms = 1000, .expire_ms = 2000 };

				here += section != NULL;
				unnamed += section && strncmp(section, "RFC ", 4) != 0;
				moved += !section && (txn_event(&t, (enum txn_event)ev, &p, 1000) != TXN_DO_UNLISTED || t.state != s || t.resend_ms != 1000);
			}
			rows += here;
			endless += here && !txn_section((enum txn_machine)m, (enum txn_state)s, TXN_EV_EXPIRE);
		}
	ok(rows > 60, "%u rows", rows);
	is_u64(unnamed, 0, "each names its RFC");
	is_u64(endless, 0, "every state has an end by time");
	is_u64(moved, 0, "an event that is not listed changes nothing");
}

int main(void)
{
	test_client_schedules();
	test_lists();
	test_proceeding();
	test_server_schedules();
	test_absorbing();
	test_table();
	return tap_done();
}
