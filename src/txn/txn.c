/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/inject.h"
#include "txn/txn.h"

enum { ABSORB_MIN_MS = 32000, STAGES_AUTO = 10, RESPONSE_STAGES = 64, LAG_MAX_MS = 250 };

struct row {
	uint8_t action, next;
	const char *section;
};

static const struct row table[TXN_NIST + 1][TXN_STATE_COUNT][TXN_EVENT_COUNT] = {
#define ROW(m, s, e, a, n, where) [TXN_##m][TXN_##s][TXN_EV_##e] = { TXN_DO_##a, TXN_##n, where },
#include "txn/machine.def"
#undef ROW
};

const char *txn_section(enum txn_machine m, enum txn_state s, enum txn_event ev)
{
	return table[m][s][ev].section;
}

const char *txn_machine_name(enum txn_machine m)
{
	static const char *const name[TXN_NIST + 1] = {
		[TXN_ICT] = "INVITE client", [TXN_NICT] = "non-INVITE client", [TXN_IST] = "INVITE server", [TXN_NIST] = "non-INVITE server",
	};
	return name[m];
}

const char *txn_event_name(enum txn_event ev)
{
	static const char *const name[TXN_EVENT_COUNT] = { "resend", "expiry", "1xx", "2xx", "3xx to 6xx", "request", "ACK" };

	return name[ev];
}

const char *txn_state_name(enum txn_state s)
{
	static const char *const name[TXN_STATE_COUNT] = {
		"terminated", "calling", "trying", "proceeding", "completed", "confirmed", "accepted", "acked", "abandoned",
	};
	return name[s];
}

uint64_t txn_absorb_ms(uint32_t t1_ms)
{
	return 64 * (uint64_t)t1_ms > ABSORB_MIN_MS ? 64 * (uint64_t)t1_ms : ABSORB_MIN_MS;
}

uint64_t txn_give_up_ms(const struct params *p, uint32_t t1_ms)
{
	return p->give_up_ms ? p->give_up_ms : (uint64_t)p->give_up_t1 * t1_ms;
}

static uint64_t doubled(uint64_t t1_ms, unsigned stage, uint64_t cap_ms)
{
	uint64_t wait = t1_ms << (stage < 20 ? stage : 20);

	return wait < cap_ms ? wait : cap_ms;
}

uint64_t txn_wait_ms(const struct params *p, const struct txn *t, unsigned stage)
{
	if (!txn_is_client(t)) /* RFC 3262 §3 knows no cap for a provisional one */
		return stage < RESPONSE_STAGES ? doubled(t->t1_ms, stage, t->state == TXN_PROCEEDING ? UINT64_MAX : p->t2_ms) : 0;
	if (p->resend_count)
		return stage < p->resend_count ? p->resend_stages_ms[stage] : 0;
	if (stage >= STAGES_AUTO)
		return 0;
	return doubled(t->t1_ms, stage, t->machine == TXN_ICT ? UINT64_MAX : p->t2_ms);
}

/* Sets the next resend; past the schedule's end the last wait bounds the whole ("one more last wait after the last resend"). */
static void next_resend(struct txn *t, const struct params *p, uint64_t now_ms)
{
	uint64_t wait = txn_wait_ms(p, t, t->stage);

	if (wait) {
		t->resend_ms = now_ms + wait;
		return;
	}
	t->resend_ms = SHM_NEVER;
	if (txn_is_client(t) && t->stage) {
		uint64_t last = now_ms + txn_wait_ms(p, t, t->stage - 1u);
		if (last < t->expire_ms)
			t->expire_ms = last;
	}
}

static void enter(struct txn *t, const struct params *p, uint64_t now_ms)
{
	t->resend_ms = t->expire_ms = SHM_NEVER;
	switch (t->state) {
	case TXN_CALLING:
	case TXN_TRYING:
		if (txn_is_client(t)) {
			t->expire_ms = now_ms + txn_give_up_ms(p, t->t1_ms);
			next_resend(t, p, now_ms);
		} else {
			t->expire_ms = now_ms + 2 * txn_absorb_ms(t->t1_ms);
		}
		break;
	case TXN_PROCEEDING:
		if (t->machine == TXN_NIST)
			t->expire_ms = now_ms + 2 * txn_absorb_ms(t->t1_ms);
		break;
	case TXN_COMPLETED:
	case TXN_ACCEPTED:
		t->expire_ms = now_ms + txn_absorb_ms(t->t1_ms);
		if (t->machine == TXN_IST) {
			t->stage = 0;
			next_resend(t, p, now_ms);
		}
		break;
	case TXN_CONFIRMED:
	case TXN_ACKED:
	case TXN_ABANDONED:
		t->expire_ms = now_ms + txn_absorb_ms(t->t1_ms);
		break;
	default:
		break;
	}
}

void txn_start(struct txn *t, const struct params *p, uint64_t now_ms)
{
	static const uint8_t first[] = {
		[TXN_ICT] = TXN_CALLING, [TXN_NICT] = TXN_TRYING, [TXN_IST] = TXN_PROCEEDING, [TXN_NIST] = TXN_TRYING,
	};
	t->state = first[t->machine];
	t->sent_ms = now_ms;
	t->stage = 0;
	enter(t, p, now_ms);
}

/* RFC 3261 §17.1.2.2: in Proceeding Timer E runs at T2, Timer F goes on. */
static void proceeding(struct txn *t, const struct params *p, uint64_t now_ms)
{
	uint64_t expire = t->expire_ms;

	t->resend_ms = p->resend_count ? t->resend_ms : now_ms + p->t2_ms;
	t->expire_ms = expire;
}

static void resent(struct txn *t, const struct params *p, uint64_t now_ms)
{
	/* From the deadline, not from now, lest the timer's small lags add up; after a long absence from now, lest resends come in a burst. */
	uint64_t due_ms = now_ms - t->resend_ms < LAG_MAX_MS ? t->resend_ms : now_ms;

	t->flags |= TXN_RESENT;
	t->stage++;
	if (t->machine == TXN_NICT && t->state == TXN_PROCEEDING && !p->resend_count)
		t->resend_ms = due_ms + p->t2_ms;
	else
		next_resend(t, p, due_ms);
}

enum txn_action txn_event(struct txn *t, enum txn_event ev, const struct params *p, uint64_t now_ms)
{
	const struct row *row = &table[t->machine][t->state][ev];

	if (row->action == TXN_DO_UNLISTED || INJECT_FAULT("txn.unlisted"))
		return TXN_DO_UNLISTED;
	if (row->next != t->state) {
		t->state = row->next;
		if (t->machine == TXN_NICT && t->state == TXN_PROCEEDING)
			proceeding(t, p, now_ms);
		else
			enter(t, p, now_ms);
	} else if (ev == TXN_EV_RESEND) {
		resent(t, p, now_ms);
	}
	return row->action;
}

void txn_terminate(struct txn *t)
{
	t->state = TXN_TERMINATED;
	t->resend_ms = t->expire_ms = SHM_NEVER;
}

bool txn_active(const struct txn *t)
{
	switch (t->state) {
	case TXN_CALLING:
	case TXN_TRYING:
	case TXN_PROCEEDING:
		return true;
	case TXN_COMPLETED:
		return t->machine == TXN_IST;
	case TXN_ACCEPTED:
		return t->machine == TXN_IST;
	default:
		return false;
	}
}
