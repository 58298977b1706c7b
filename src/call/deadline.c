/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is due: resends, transactions that got no answer, limits of the call. Run by the timer process. */
#include "base/err.h"
#include "base/inject.h"
#include "call/call.h"

/* The most that one action sends (a refusal, and CANCEL to each attempt). What finds less room stays due and comes with the next tick. */
enum { ACTION_SENDS = 10 };

static void failed(struct work *w, struct txn *t, enum txn_state before)
{
	if (txn_is_client(t))
		shm_count(w->core->self, CNT_timeouts);
	if (w->call.phase == CALL_RELAY)
		relay_failed(w, t);
	else if (t->machine == TXN_ICT)
		invite_failed(w, t, 408);
	else if (t->machine == TXN_NICT)
		indialog_failed(w, t);
	else if (t->machine == TXN_IST && before == TXN_PROCEEDING)
		reliable_timeout(w, t);
	else if (t->machine == TXN_IST && before == TXN_ACCEPTED)
		invite_no_ack(w, t);
}

static void resend(struct work *w, struct txn *t, enum txn_action a)
{
	bool first = t->stage == 1 && txn_is_client(t);

	if (a == TXN_DO_RESEND_REQUEST)
		work_send(w, t->request, t->request_bytes, t->listen, &t->remote);
	else if (a == TXN_DO_RESEND_RESPONSE)
		work_send(w, t->response, t->response_bytes, t->listen, &t->remote);
	else
		return;
	w->call.resends++;
	shm_count(w->core->self, CNT_resends);
	if (t->purpose == TXN_FOR_PRACK)
		shm_count(w->core->self, CNT_pracks_resent);
	if (t->flags & TXN_RELIABLE)
		shm_count(w->core->self, CNT_reliable_resent);
	if (first && !leg_params(w, t->leg)->t1_ms)
		shm_endpoint_backoff(w->core->shm, &t->remote);
}

static void due(struct work *w, struct txn *t)
{
	const struct params *p = leg_params(w, t->leg);
	uint64_t now = w->core->now_ms;
	enum txn_state before = t->state;

	if (t->expire_ms <= now && client_timer_c(w, t))
		return;
	if (t->expire_ms <= now) {
		enum txn_action a = txn_event(t, TXN_EV_EXPIRE, p, now);
		if (a == TXN_DO_UNLISTED) {
			call_unlisted(w->core, t, TXN_EV_EXPIRE);
			t->expire_ms = SHM_NEVER;
		} else if (a == TXN_DO_FAIL) {
			failed(w, t, before);
		}
		return;
	}
	if (t->resend_ms > now)
		return;
	if (t->machine == TXN_NIST) { /* a BYE whose other side is silent */
		t->resend_ms = SHM_NEVER;
		server_answer(w, t, 200, STR_NONE, STR_NONE);
		return;
	}
	resend(w, t, txn_event(t, TXN_EV_RESEND, p, now));
}

/* The attempt under way has not even a provisional answer: the next gateway. */
static void no_provisional(struct work *w)
{
	struct call *c = &w->call;

	c->provisional_limit_ms = SHM_NEVER;
	for (unsigned i = 0; i < c->ntxns; i++) {
		struct txn *t = &c->txn[i];
		if (t->machine == TXN_ICT && t->flags & TXN_INITIAL && t->state == TXN_CALLING && t->peer) {
			shm_count(w->core->self, CNT_timeouts);
			invite_failed(w, t, 408);
			return;
		}
	}
}

static void limits(struct work *w)
{
	struct call *c = &w->call;
	uint64_t now = w->core->now_ms;

	if (!call_is_live(c) || c->phase == CALL_ENDING)
		return;
	if (c->setup_limit_ms <= now) {
		shm_count(w->core->self, CNT_setup_timeouts);
		call_hangup(w, CALL_END_SETUP_TIMEOUT);
	} else if (c->ring_limit_ms <= now) {
		shm_count(w->core->self, CNT_ring_timeouts);
		call_hangup(w, CALL_END_NO_ANSWER);
	} else if (c->duration_limit_ms <= now) {
		shm_count(w->core->self, CNT_max_durations);
		call_hangup(w, CALL_END_MAX_DURATION);
	} else if (c->provisional_limit_ms <= now) {
		no_provisional(w);
	}
}

int core_timer(struct core *core, uint32_t slot)
{
	uint16_t id[CALL_TXNS];
	unsigned n;
	struct work w;
	int err = work_begin(&w, core, NULL, slot, 0);

	if (err)
		return err;
	INJECT("call.due");
	if (w.step.old->deadline_ms > core->now_ms) {
		work_abort(&w);
		return 0;
	}
	n = w.call.ntxns;
	for (unsigned i = 0; i < n; i++)
		id[i] = w.call.txn[i].id;
	for (unsigned i = 0; i < n && w.nsends <= SHM_SENDS_MAX - ACTION_SENDS; i++) {
		struct txn *t = call_txn_by_id(&w.call, id[i]);
		if (t)
			due(&w, t);
	}
	if (w.nsends <= SHM_SENDS_MAX - ACTION_SENDS)
		limits(&w);
	if (w.nsends <= SHM_SENDS_MAX - ACTION_SENDS)
		session_due(&w);
	if (work_commit(&w) == ERR_FULL)
		return ERR_BUSY;
	shm_count(core->self, CNT_timer_actions);
	return 0;
}

int core_hangup(struct core *core, uint32_t slot, uint32_t generation)
{
	struct work w;
	int err = work_begin(&w, core, NULL, slot, generation);

	if (err)
		return err;
	if (!call_is_live(&w.call) || w.call.phase == CALL_ENDING) {
		work_abort(&w);
		return ERR_NOTFOUND;
	}
	call_hangup(&w, CALL_END_ADMIN);
	return work_commit(&w) == ERR_FULL ? ERR_BUSY : 0;
}

void core_transport_error(struct core *core, const struct addr *to, const void *bytes, uint32_t length)
{
	struct sip_fault why;
	struct sip_via via;
	struct sip_msg m;
	struct handle h;
	struct work w;
	struct str top;
	struct sip_values v;

	/* The network gives back the head at least; what is cut off makes the parse fail, but the top Via was read. */
	if (sip_parse(&m, bytes, length, &why) == ERR_NOTFOUND || m.status || m.method != SIP_INVITE)
		return;
	v = sip_values(&m, SIP_H_VIA);
	if (!sip_values_next(&v, &top) || sip_via_parse(&via, top) || handle_of_branch(&h, core, via.branch))
		return;
	if (work_begin(&w, core, NULL, h.slot, h.generation))
		return; /* its resends will be refused, too */
	for (unsigned i = 0; i < w.call.ntxns; i++) {
		struct txn *t = &w.call.txn[i];
		if (t->branch != h.number || t->machine != TXN_ICT || t->state != TXN_CALLING || !addr_eq(&t->remote, to))
			continue;
		if (w.call.phase == CALL_SETUP && t->peer) {
			invite_failed(&w, t, 503);
			txn_terminate(call_txn_by_id(&w.call, (uint16_t)h.number));
			work_commit(&w);
			return;
		}
	}
	work_abort(&w);
}
