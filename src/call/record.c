/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line that each call leaves behind. */
#include "base/bug.h"
#include "base/err.h"
#include "base/json.h"
#include "call/field.h"
#include "call/view.h"

enum field {
#define FIELD(name) FIELD_##name,
#include "call/record.def"
#undef FIELD
	FIELD_COUNT
};

/* Each field's name as JSON has it, behind the comma that the first one does not need. */
static const struct str json_names[] = {
#define FIELD(name) { ",\"" #name "\":", sizeof #name + 3 },
#include "call/record.def"
#undef FIELD
};

static const struct str sides[] = { { "caller", 6 }, { "callee", 6 }, { "server", 6 } };
static const struct str reasons[] = {
#define REASON(name, word) [CALL_END_##name] = { word, sizeof word - 1 },
#include "call/reason.def"
#undef REASON
};

/* A line being written: fields come in the order of record.def, or the columns of CSV would lie. */
struct line {
	struct out *o;
	enum record_format format;
	unsigned next;
};

struct str record_csv_head(void)
{
#define FIELD(name) "," #name
	static const char head[] =
#include "call/record.def"
		"\n";
#undef FIELD
	return str_make(head + 1, sizeof head - 2);
}

static void field_open(struct line *l, enum field f)
{
	BUG_ON(l->next != f);
	l->next++;
	if (l->format == RECORD_JSON)
		out_str(l->o, str_from(json_names[f], f == 0));
	else if (f)
		out_lit(l->o, ",");
}

/* RFC 4180 §2: quoted where it must be, quotes doubled. */
static void csv_text(struct out *o, struct str s)
{
	bool plain = true;

	for (size_t i = 0; i < s.n; i++)
		plain = plain && s.p[i] != '"' && s.p[i] != ',' && s.p[i] != '\r' && s.p[i] != '\n';
	if (plain) {
		out_str(o, s);
		return;
	}
	out_lit(o, "\"");
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			out_lit(o, "\"");
		out_mem(o, s.p + i, 1);
	}
	out_lit(o, "\"");
}

/* What did not happen: null, or an empty column. */
static void put_nothing(struct line *l)
{
	if (l->format == RECORD_JSON)
		out_lit(l->o, "null");
}

/* What others wrote; the empty text stands for what did not happen. */
static void field_text(struct line *l, enum field f, struct str s)
{
	field_open(l, f);
	if (!s.n)
		put_nothing(l);
	else if (l->format == RECORD_JSON)
		json_str(l->o, s);
	else
		csv_text(l->o, s);
}

/* Around a text of ours, which holds nothing that must be escaped. */
static void quote(struct line *l)
{
	if (l->format == RECORD_JSON)
		out_lit(l->o, "\"");
}

static void field_word(struct line *l, enum field f, struct str word)
{
	field_open(l, f);
	quote(l);
	out_str(l->o, word);
	quote(l);
}

static void field_number(struct line *l, enum field f, bool there, uint64_t v)
{
	field_open(l, f);
	if (there)
		out_u64(l->o, v);
	else
		put_nothing(l);
}

static void field_addr(struct line *l, enum field f, const struct addr *a)
{
	field_open(l, f);
	if (!a->family) {
		put_nothing(l);
		return;
	}
	quote(l);
	addr_print(l->o, a);
	quote(l);
}

static void field_time(struct line *l, enum field f, bool there, uint64_t wall_ms)
{
	field_open(l, f);
	if (!there || wall_ms > OUT_TIME_MAX_MS) {
		put_nothing(l);
		return;
	}
	quote(l);
	out_time(l->o, wall_ms);
	quote(l);
}

static void field_tried(struct line *l, const struct core *core, const struct call *c)
{
	unsigned n = c->ntried < CALL_TRIED ? c->ntried : CALL_TRIED;

	field_open(l, FIELD_tried);
	if (l->format == RECORD_JSON)
		json_array_open(l->o);
	for (unsigned i = 0; i < n; i++) {
		struct str name = field_gateway(core, c->tried[i]);
		if (l->format == RECORD_JSON) {
			json_str(l->o, name);
		} else {
			if (i)
				out_lit(l->o, " ");
			out_str(l->o, name);
		}
	}
	if (l->format == RECORD_JSON)
		json_array_close(l->o);
}

static void print_parties(struct line *l, const struct core *core, const struct call *c)
{
	const struct leg *a = &c->leg[LEG_A], *b = &c->leg[LEG_B];
	char uri[FIELD_URI_MAX];

	field_text(l, FIELD_call_id, field_call_id(core->shm, c));
	field_text(l, FIELD_from, field_from(core->shm, c, uri, sizeof uri));
	field_text(l, FIELD_to, field_to(core->shm, c, uri, sizeof uri));
	field_text(l, FIELD_dialed, field_dialed(core->shm, c));
	field_text(l, FIELD_sent, field_sent(core->shm, c));
	field_text(l, FIELD_caller_gateway, field_gateway(core, a->gateway));
	field_addr(l, FIELD_caller_addr, &a->source);
	field_text(l, FIELD_callee_gateway, field_gateway(core, b->gateway));
	field_addr(l, FIELD_callee_addr, b->source.family ? &b->source : &b->remote);
	field_tried(l, core, c);
}

static void print_times(struct line *l, uint64_t wall_offset_ms, const struct call *c)
{
	uint64_t setup = c->setup_ms + wall_offset_ms;
	bool answered = c->answered_after_ms != 0;

	field_time(l, FIELD_setup_at, true, setup);
	field_time(l, FIELD_ringing_at, c->ringing_after_ms, setup + c->ringing_after_ms);
	field_time(l, FIELD_answered_at, answered, setup + c->answered_after_ms);
	field_time(l, FIELD_ended_at, true, setup + c->ended_after_ms);
	field_number(l, FIELD_duration_ms, answered,
		     c->ended_after_ms > c->answered_after_ms ? c->ended_after_ms - c->answered_after_ms : 0);
	field_number(l, FIELD_setup_ms, answered, c->answered_after_ms);
	field_number(l, FIELD_pdd_ms, c->ringing_after_ms, c->ringing_after_ms);
}

/* Who kept the leg's session alive. */
static struct str timer_of(const struct session *s)
{
	if (!s->confirmed_ms || !s->interval_ms)
		return STR("none");
	return s->refresher == SESSION_US ? STR("self") : STR("endpoint");
}

static void print_end(struct line *l, const struct call *c)
{
	BUG_ON(c->ended_by >= sizeof sides / sizeof *sides || c->reason >= CALL_END_COUNT);
	field_word(l, FIELD_ended_by, sides[c->ended_by]);
	field_word(l, FIELD_reason, reasons[c->reason]);
	field_number(l, FIELD_sip_status, c->sip_status, c->sip_status);
	field_number(l, FIELD_q850, c->q850, c->q850);
	field_word(l, FIELD_caller_timer, timer_of(&c->leg[LEG_A].session));
	field_word(l, FIELD_callee_timer, timer_of(&c->leg[LEG_B].session));
	field_number(l, FIELD_refreshes, true, c->refreshes);
	field_number(l, FIELD_resends, true, c->resends);
	field_word(l, FIELD_caller_100rel, field_100rel(c, LEG_A));
	field_word(l, FIELD_callee_100rel, field_100rel(c, LEG_B));
}

static void print_id(struct line *l, uint32_t slot, uint32_t generation)
{
	field_open(l, FIELD_id);
	quote(l);
	view_id_print(l->o, slot, generation);
	quote(l);
}

int record_print(struct out *o, const struct core *core, uint32_t slot, uint32_t generation, enum record_format format)
{
	struct line l = { o, format, 0 };
	struct call c;
	int err;

	err = call_load(core->shm, slot, generation, &c, &generation);
	if (err)
		return err;
	if (c.phase != CALL_ENDED)
		return ERR_STALE;
	if (format == RECORD_JSON)
		out_lit(o, "{");
	print_id(&l, slot, generation);
	print_parties(&l, core, &c);
	print_times(&l, field_wall_offset_ms(core), &c);
	print_end(&l, &c);
	BUG_ON(l.next != FIELD_COUNT);
	if (format == RECORD_JSON)
		out_lit(o, "}");
	out_lit(o, "\n");
	return o->overflow ? ERR_SPACE : 0;
}
