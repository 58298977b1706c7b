/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls as veladorctl shows them. */
#include "base/err.h"
#include "base/json.h"
#include "call/field.h"
#include "call/view.h"

/* Without leading zeros. */
static void put_hex(struct out *o, uint32_t v)
{
	out_hex(o, v, (35 - (unsigned)__builtin_clz(v | 1)) / 4);
}

void view_id_print(struct out *o, uint32_t slot, uint32_t generation)
{
	put_hex(o, slot);
	out_lit(o, ".");
	put_hex(o, generation);
}

static int hex_u32(struct str s, uint32_t *v)
{
	uint32_t sum = 0;

	if (s.n < 1 || s.n > 8)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c >= '0' && c <= '9')
			sum = sum << 4 | (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			sum = sum << 4 | (uint32_t)((c | 32) - 'a' + 10);
		else
			return ERR_SYNTAX;
	}
	*v = sum;
	return 0;
}

int view_id_parse(struct str text, uint32_t *slot, uint32_t *generation)
{
	size_t dot = str_chr(text, '.');
	uint32_t s, g;

	if (dot == text.n || hex_u32(str_head(text, dot), &s) || hex_u32(str_from(text, dot + 1), &g) || g == 0)
		return ERR_SYNTAX;
	*slot = s;
	*generation = g;
	return 0;
}

static const char *state_name(const struct call *c)
{
	switch (c->phase) {
	case CALL_SETUP: return c->ringing_after_ms ? "ringing" : "setup";
	case CALL_ANSWERED: return "answered";
	case CALL_ESTABLISHED: return "established";
	case CALL_ENDING: return "ending";
	case CALL_ENDED: return "ended";
	default: return "relay";
	}
}

static void member_text(struct out *o, const char *key, struct str s)
{
	json_key(o, key);
	if (s.n)
		json_str(o, s);
	else
		json_null(o);
}

static void member_u64(struct out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	json_u64(o, v);
}

static void member_addr(struct out *o, const char *key, const struct addr *a)
{
	json_key(o, key);
	json_addr(o, a);
}

/* A moment of the call; 0 milliseconds after its start = did not happen. */
static void member_time(struct out *o, const char *key, const struct core *core, const struct call *c, uint32_t after_ms)
{
	json_key(o, key);
	json_time(o, after_ms ? c->setup_ms + after_ms + field_wall_offset_ms(core) : 0);
}

/* The members that `calls` and `call ID` share, in the contract's order. */
static void brief_members(struct out *o, const struct core *core, const struct call *c, uint32_t slot, uint32_t generation)
{
	char uri[FIELD_URI_MAX], text[24];
	struct out id = OUT(text, sizeof text);

	view_id_print(&id, slot, generation);
	member_text(o, "id", out_done(&id));
	member_text(o, "call_id", field_call_id(core->shm, c));
	member_text(o, "state", str_of(state_name(c)));
	member_text(o, "from", field_from(core->shm, c, uri, sizeof uri));
	member_text(o, "to", field_to(core->shm, c, uri, sizeof uri));
	member_text(o, "caller_gateway", field_gateway(core, c->leg[LEG_A].gateway));
	member_text(o, "callee_gateway", field_gateway(core, c->leg[LEG_B].gateway));
	json_key(o, "age_s");
	json_seconds(o, core->now_ms > c->setup_ms ? core->now_ms - c->setup_ms : 0);
}

int view_call_brief(struct out *o, const struct core *core, uint32_t slot)
{
	uint32_t generation;
	struct call c;
	int err;

	err = call_load(core->shm, slot, 0, &c, &generation);
	if (err)
		return err;
	if (!call_is_live(&c))
		return ERR_STALE;
	json_object_open(o);
	brief_members(o, core, &c, slot, generation);
	json_object_close(o);
	return o->overflow ? ERR_SPACE : 0;
}

static void transaction(struct out *o, const struct core *core, const struct txn *t)
{
	uint64_t next_ms = t->resend_ms < t->expire_ms ? t->resend_ms : t->expire_ms;

	json_object_open(o);
	member_text(o, "method", sip_method_name((enum sip_method)t->method));
	member_text(o, "role", txn_is_client(t) ? STR("client") : STR("server"));
	member_text(o, "state", str_of(txn_state_name((enum txn_state)t->state)));
	member_u64(o, "cseq", t->cseq);
	member_u64(o, "stage", t->stage);
	json_key(o, "next_in_ms");
	if (next_ms == SHM_NEVER)
		json_null(o);
	else
		json_u64(o, next_ms > core->now_ms ? next_ms - core->now_ms : 0);
	json_object_close(o);
}

/* What comes next on a leg: our refresh, the question to a leg without timer, or the end. NULL: nothing is planned. */
static const char *next_action(const struct core *core, const struct call *c, unsigned i)
{
	const struct session *s = &c->leg[i].session;
	bool asks = call_params(core, c, i)->no_timer_action == PARAMS_NO_TIMER_REINVITE;

	if (s->next_ms == SHM_NEVER && s->expire_ms == SHM_NEVER)
		return NULL;
	if (s->next_ms > s->expire_ms)
		return s->flags & SESSION_GRACE ? "hangup" : "expire";
	if (s->interval_ms)
		return "refresh";
	return asks ? "check" : "hangup";
}

static void session(struct out *o, const struct core *core, const struct call *c, unsigned i)
{
	const struct session *s = &c->leg[i].session;
	uint64_t next_ms = s->next_ms < s->expire_ms ? s->next_ms : s->expire_ms;
	bool runs = s->confirmed_ms && (c->phase == CALL_ANSWERED || c->phase == CALL_ESTABLISHED);
	bool timer = s->confirmed_ms && s->interval_ms;
	const char *action = runs ? next_action(core, c, i) : NULL;

	member_text(o, "timer", timer ? STR("session") : STR("none"));
	member_text(o, "refresher", !timer ? STR_NONE : s->refresher == SESSION_US ? STR("self") : STR("endpoint"));
	json_key(o, "interval_s");
	if (timer)
		json_u64(o, s->interval_ms / 1000);
	else
		json_null(o);
	member_text(o, "method", runs ? sip_method_name(refresh_method(&c->leg[i])) : STR_NONE);
	member_text(o, "next_action", action ? str_of(action) : STR_NONE);
	json_key(o, "next_in_s");
	if (action)
		json_seconds(o, next_ms > core->now_ms ? next_ms - core->now_ms : 0);
	else
		json_null(o);
	json_key(o, "confirmed_at");
	json_time(o, s->confirmed_ms ? s->confirmed_ms + field_wall_offset_ms(core) : 0);
}

/* 100rel of a leg: what it does, the RSeq that waits for a PRACK, how many responses wait behind it. */
static void reliable(struct out *o, const struct call *c, unsigned i)
{
	member_text(o, "100rel", field_100rel(c, i));
	if (i == LEG_B)
		return;
	json_key(o, "rseq");
	if (c->open.rseq && !c->open.late)
		json_u64(o, c->open.rseq);
	else
		json_null(o);
	member_u64(o, "queued", c->nqueued);
}

static void leg(struct out *o, const struct core *core, const struct call *c, unsigned i)
{
	const struct leg *l = &c->leg[i];

	json_object_open(o);
	member_text(o, "side", i == LEG_A ? STR("caller") : STR("callee"));
	member_text(o, "gateway", field_gateway(core, l->gateway));
	member_addr(o, "address", &l->source);
	member_addr(o, "next_hop", &l->remote);
	member_text(o, "call_id", strings_get(core->shm, l->dialog, DIALOG_CALL_ID));
	member_text(o, "target", strings_get(core->shm, l->dialog, DIALOG_TARGET));
	session(o, core, c, i);
	reliable(o, c, i);
	member_u64(o, "cseq", l->cseq_local);
	json_key(o, "transactions");
	json_array_open(o);
	for (unsigned t = 0; t < c->ntxns; t++)
		if (c->txn[t].leg == i)
			transaction(o, core, &c->txn[t]);
	json_array_close(o);
	json_object_close(o);
}

int view_call_full(struct out *o, const struct core *core, uint32_t slot, uint32_t generation)
{
	struct call c;
	int err;

	err = call_load(core->shm, slot, generation, &c, &generation);
	if (err)
		return err;
	if (c.phase == CALL_RELAY || c.phase == CALL_FREE)
		return ERR_STALE;
	json_object_open(o);
	brief_members(o, core, &c, slot, generation);
	member_text(o, "dialed", field_dialed(core->shm, &c));
	member_text(o, "sent", field_sent(core->shm, &c));
	json_key(o, "setup_at");
	json_time(o, c.setup_ms + field_wall_offset_ms(core));
	member_time(o, "ringing_at", core, &c, c.ringing_after_ms);
	member_time(o, "answered_at", core, &c, c.answered_after_ms);
	member_time(o, "ended_at", core, &c, c.ended_after_ms);
	member_u64(o, "refreshes", c.refreshes);
	member_u64(o, "resends", c.resends);
	json_key(o, "legs");
	json_array_open(o);
	leg(o, core, &c, LEG_A);
	leg(o, core, &c, LEG_B);
	json_array_close(o);
	json_object_close(o);
	return o->overflow ? ERR_SPACE : 0;
}
