/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The recorder, and what its file must say at the end. The file is memory that survives the recorder. */
#include "base/inject.h"
#include "call/view.h"
#include "sim.h"

enum { LINE_MAX_BYTES = 16384, BATCH = 256 };

struct batch {
	uint32_t slots[BATCH], generations[BATCH];
	unsigned n;
	uint64_t offset;
};

void recorder_start(struct sim *s, struct proc *p)
{
	struct shm_record_file file;

	shm_record_begin(p->self, &file);
	(void)s;
}

/* pwrite() at the arena's offset: what a dead recorder wrote beyond it is written over. */
static void write_at(struct sim *s, uint64_t offset, const char *bytes, size_t n)
{
	if (offset + n > s->records_cap) {
		s->records_cap = (size_t)(offset + n) * 2;
		s->records = realloc(s->records, s->records_cap);
		if (!s->records)
			abort();
	}
	memcpy(s->records + offset, bytes, n);
	if (s->records_bytes < offset + n)
		s->records_bytes = (size_t)(offset + n);
}

static bool in_batch(const struct batch *b, uint32_t slot, uint32_t generation)
{
	for (unsigned i = 0; i < b->n; i++)
		if (b->slots[i] == slot && b->generations[i] == generation)
			return true;
	return false;
}

static void commit(struct proc *p, struct batch *b)
{
	INJECT("rec.written");
	if (b->n)
		shm_record_commit(p->self, b->offset, b->slots, b->generations, b->n);
	b->n = 0;
}

static void record_one(struct sim *s, struct proc *p, struct batch *b, uint32_t slot, uint32_t generation)
{
	char line[LINE_MAX_BYTES];
	struct out o = OUT(line, sizeof line);

	if (in_batch(b, slot, generation) || shm_recorded(s->shm, slot, generation))
		return;
	if (record_print(&o, &p->core, slot, generation, RECORD_JSON))
		return;
	write_at(s, b->offset, o.p, o.n);
	b->offset += o.n;
	b->slots[b->n] = slot;
	b->generations[b->n++] = generation;
	if (b->n == BATCH)
		commit(p, b);
}

void recorder_turn(struct sim *s, struct proc *p)
{
	struct shm_record_file file;
	struct batch b = { .n = 0 };
	uint32_t slot, generation;

	shm_rcu_online(p->self);
	shm_record_begin(p->self, &file);
	b.offset = file.offset;
	for (unsigned i = 0; i < SHM_PROCS_MAX; i++) {
		struct shm_proc_info info;
		shm_proc_info(s->shm, i, &info);
		while (info.kind && shm_notice_next(p->self, i, &slot, &generation))
			record_one(s, p, &b, slot, generation);
	}
	commit(p, &b);
	shm_rcu_quiescent(p->self);
	shm_rcu_offline(p->self);
}

/* ---- the file at the end */

static struct str member(struct str line, const char *key)
{
	struct str k = str_of(key);

	for (size_t i = 0; i + k.n < line.n; i++)
		if (memcmp(line.p + i, k.p, k.n) == 0) {
			struct str v = str_from(line, i + k.n);
			return str_head(v, str_chr(v, '"'));
		}
	return STR_NONE;
}

/* Every call that got a slot has one line, no other call has any, and no line is torn. */
void record_check(struct sim *s)
{
	struct str rest = str_make(s->records, s->records_bytes);

	while (rest.n && !s->failed) {
		struct str line = str_head(rest, str_chr(rest, '\n'));
		struct sim_call *c = call_by_id(s, member(line, "\"call_id\":\""));
		rest = str_from(rest, line.n + 1);
		if (line.n < 2 || line.p[0] != '{' || line.p[line.n - 1] != '}')
			sim_fail(s, "a torn record: %.*s", STR_FMT(line));
		else if (!c)
			sim_fail(s, "a record of no call: %.*s", STR_FMT(line));
		else if (c->records++)
			sim_fail(s, "call %u has two records", c->number);
		s->stats->records++;
	}
	for (unsigned i = 0; i < s->ncalls && !s->failed; i++)
		if (s->calls[i] && s->calls[i]->got_slot && !s->calls[i]->records)
			sim_fail(s, "call %u has no record", s->calls[i]->number);
}
