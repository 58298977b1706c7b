/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzing of the call logic: a script of datagrams from a caller, two gateways and a stranger, with time passing between them, over a real arena. Whatever
 * they send, nothing crashes, every message that leaves can be read, every call ends by itself and leaves one record, and no object and no byte stays.
 *
 * A script is frames; each begins with "%%" and a letter:
 *	%%P %%G %%H %%S  a datagram from the phone, gateway one, gateway two, a stranger: the bytes from the next line on, where $v $n $f $t stand for the Via,
 *	                 the CSeq number, From and To of the last request that came to that side, $u for the URI of our last Contact there, $T and $r for
 *	                 To and RSeq of the last response there, $i for the Via of the last INVITE
 *	%%W N            N milliseconds pass, and the timer process acts
 *	%%E              what was last sent to gateway one was undeliverable
 *	%%K              an operator ends every call
 *	%%C N            (first) which configuration
 * With -DFUZZ_STANDALONE there is a main() that runs the files it is given, or all of t/corpus/call: what fuzzing found stays there. */
#include "base/bug.h"
#include "base/err.h"
#include "call/call.h"
#include "call/view.h"
#include "ini/conf.h"

enum { PHONE, GATEWAY, GATEWAY2, STRANGER, SIDES, ROOM = 1 << 17, START_MS = 1000 * 1000, STEPS_MAX = 100000, CONFIGURATIONS = 4 };

/* What a side of the script last got from us. */
struct side {
	struct addr addr;
	char request[ROOM], last[ROOM];
	size_t request_bytes, last_bytes;
	char via[512]; /* of its last INVITE */
	char contact[512], to[512], rseq[16];
};

struct world {
	struct conf *conf;
	struct shm *shm;
	struct route *route;
	struct core worker, timer;
	struct shm_self *recorder;
	struct core_listen listen;
	uint64_t now_ms, seed, jpos, records, offset;
	bool readable; /* the datagram in work was a message: so must everything be that follows from it */
};

static struct world w;
static struct side sides[SIDES];

static uint64_t next_random(void *arg)
{
	(void)arg;
	w.seed += 0x9e3779b97f4a7c15u;
	return (w.seed ^ w.seed >> 29) * 0xbf58476d1ce4e5b9u;
}

/* ---- a world of its own for each script, the same each time */

static void read_conf(unsigned which)
{
	static const char *const common[] = {
		"listen.udp=10.0.0.1:5060", "session.max_call_duration=1h", "session.setup_early_hangup=60s", "gateway phones.source=10.1.0.0/24", "gateway phones.role=caller",
		"gateway one.address=10.2.0.1", "gateway one.role=callee", "gateway two.address=10.2.0.2", "gateway two.role=callee", "gateway two.priority=99" };
	static const char *const own[CONFIGURATIONS][4] = {
		{ NULL },
		{ "reliable.100rel=supported", NULL },
		{ "reliable.100rel=passthrough", "gateway one.call_id=own", NULL },
		{ "gateway one.100rel=required", "gateway one.strip=1", "gateway one.add=+49", NULL } };
	static struct conf_report report;
	const char *list[24];
	unsigned n = 0;

	for (; n < sizeof common / sizeof *common; n++)
		list[n] = common[n];
	for (unsigned i = 0; own[which][i]; i++)
		list[n++] = own[which][i];
	list[n] = NULL;
	memset(&report, 0, sizeof report);
	if (conf_read(&w.conf, NULL, list, &report) || route_resolve(w.conf, w.shm, NULL, &report)) {
		conf_report_print(&report, stderr);
		BUG("the configuration of the test");
	}
	BUG_ON(route_new(&w.route, w.conf, w.shm));
}

static struct core core_of(enum shm_kind kind)
{
	struct core c = { .shm = w.shm, .route = w.route, .params = &w.conf->params, .listen = &w.listen, .nlisten = 1, .max_calls = 32, .random = next_random };

	BUG_ON(shm_self_claim(&c.self, w.shm, kind, 0));
	return c;
}

static void world_open(unsigned which)
{
	static const char *const addrs[SIDES] = { "10.1.0.1:5060", "10.2.0.1:5060", "10.2.0.2:5060", "10.9.0.1:5060" };
	struct shm_params params = { .slots = 64, .heap_bytes = 8 << 20, .endpoints = 16, .workers_max = 1 };
	struct addr us;

	memset(&w, 0, sizeof w);
	w.now_ms = START_MS;
	BUG_ON(shm_create(&w.shm, NULL, &params));
	*(struct siphash_key *)(uintptr_t)shm_key_index(w.shm) = (struct siphash_key){ { 1, 2 } };
	*(struct siphash_key *)(uintptr_t)shm_key_check(w.shm) = (struct siphash_key){ { 3, 4 } };
	addr_parse(&us, STR("10.0.0.1:5060"), 5060);
	core_listen_set(&w.listen, &us, &us);
	for (unsigned i = 0; i < SIDES; i++) {
		addr_parse(&sides[i].addr, str_of(addrs[i]), 5060);
		sides[i].request_bytes = sides[i].last_bytes = 0;
		sides[i].contact[0] = sides[i].to[0] = sides[i].via[0] = sides[i].rseq[0] = 0;
	}
	read_conf(which);
	w.worker = core_of(SHM_WORKER);
	w.timer = core_of(SHM_TIMER);
	BUG_ON(shm_self_claim(&w.recorder, w.shm, SHM_RECORDER, 0));
}

static void world_close(void)
{
	shm_self_free(w.worker.self);
	shm_self_free(w.timer.self);
	shm_self_free(w.recorder);
	route_free(w.route);
	conf_free(w.conf);
	shm_close(w.shm, true);
}

/* ---- what we send */

static void store(char *to, size_t room, struct str text)
{
	size_t n = text.n < room - 1 ? text.n : room - 1;

	if (n)
		memcpy(to, text.p, n);
	to[n] = 0;
}

static void learn(struct side *s, const struct shm_out *out, const struct sip_msg *m)
{
	struct sip_nameaddr na;

	s->last_bytes = out->length;
	memcpy(s->last, out->bytes, out->length);
	if (!sip_nameaddr_parse(&na, sip_value(m, SIP_H_CONTACT)))
		store(s->contact, sizeof s->contact, na.uri);
	if (sip_first(m, SIP_H_RSEQ))
		store(s->rseq, sizeof s->rseq, sip_value(m, SIP_H_RSEQ));
	if (m->status)
		store(s->to, sizeof s->to, sip_value(m, SIP_H_TO));
	else if (m->method == SIP_INVITE)
		store(s->via, sizeof s->via, sip_value(m, SIP_H_VIA));
	if (!m->status && m->method != SIP_ACK && m->method != SIP_CANCEL)
		memcpy(s->request, out->bytes, s->request_bytes = out->length);
}

static void sent(const struct shm_out *out)
{
	static struct sip_msg m;
	struct sip_fault why;
	int err = sip_parse(&m, out->bytes, out->length, &why);

	BUG_ON(err && (w.readable || !m.status));
	/* a second Route, which nobody looked at, may have become the first */
	if (!err && w.readable && sip_check(&m, &why))
		BUG_ON(!str_eq(str_of(why.reason), STR("Bad Route")));
	for (unsigned i = 0; i < SIDES && !err; i++)
		if (addr_same_ip(&sides[i].addr, &out->to))
			learn(&sides[i], out, &m);
}

static void flush(struct core *core)
{
	struct shm_out out;
	unsigned n = 0;

	for (; shm_outbox_entry(core->self, n, &out) == 0; n++)
		sent(&out);
	shm_outbox_sent(core->self, n);
	shm_rcu_quiescent(core->self);
}

static void set_clock(struct core *core)
{
	core->now_ms = w.now_ms;
	core->wall_ms = w.now_ms + 1700000000000u;
}

/* ---- the other processes */

static void look(void)
{
	static char text[ROOM];
	uint32_t generation;

	for (uint32_t i = 0; i < shm_slots(w.shm); i++) {
		struct out o = OUT(text, sizeof text), p = OUT(text, sizeof text);
		if (shm_peek(w.shm, i, 0, &generation)) {
			(void)view_call_brief(&o, &w.worker, i);
			(void)view_call_full(&p, &w.worker, i, generation);
		}
	}
}

static void record_one(uint32_t slot, uint32_t generation)
{
	static char text[ROOM];
	struct out o = OUT(text, sizeof text), csv = OUT(text, sizeof text);

	if (shm_recorded(w.shm, slot, generation) || record_print(&o, &w.worker, slot, generation, RECORD_JSON))
		return;
	BUG_ON(!o.n || memchr(o.p, '\n', o.n) != o.p + o.n - 1);
	BUG_ON(record_print(&csv, &w.worker, slot, generation, RECORD_CSV));
	w.offset += o.n;
	w.records++;
	shm_record_commit(w.recorder, w.offset, &slot, &generation, 1);
}

static void recorder_turn(void)
{
	struct shm_record_file file;
	struct shm_proc_info info;
	uint32_t slot, generation;

	shm_record_begin(w.recorder, &file);
	for (unsigned i = 0; i < SHM_PROCS_MAX; i++) {
		shm_proc_info(w.shm, i, &info);
		while (info.kind && shm_notice_next(w.recorder, i, &slot, &generation))
			record_one(slot, generation);
	}
	shm_rcu_quiescent(w.recorder);
}

static void timer_due(void *arg, uint32_t slot, uint64_t deadline_ms)
{
	(void)arg;
	(void)deadline_ms;
	if (shm_outbox_count(w.timer.self) + 4 * SHM_SENDS_MAX > SHM_OUTBOX)
		flush(&w.timer);
	BUG_ON(core_timer(&w.timer, slot) == ERR_BUSY);
}

static void timer_turn(void)
{
	w.readable = true;
	set_clock(&w.timer);
	shm_board_scan(w.timer.self, w.now_ms, timer_due, NULL);
	flush(&w.timer);
	shm_rcu_quiescent(w.worker.self);
	recorder_turn();
	shm_rcu_quiescent(w.timer.self);
}

/* Time passes, deadline by deadline. */
static void until(uint64_t end_ms)
{
	for (unsigned n = 0; shm_board_next(w.shm) <= end_ms; n++) {
		uint64_t at_ms = shm_board_next(w.shm);
		BUG_ON(n > STEPS_MAX);
		w.now_ms = at_ms > w.now_ms ? at_ms : w.now_ms + 10;
		timer_turn();
	}
	if (w.now_ms < end_ms && end_ms != SHM_NEVER - 1)
		w.now_ms = end_ms;
}

/* ---- the script */

static struct str request_part(const struct side *s, char what)
{
	static struct sip_msg m;
	struct sip_fault why;

	if (what == 'u')
		return str_of(s->contact);
	if (what == 'T')
		return str_of(s->to);
	if (what == 'i')
		return str_of(s->via);
	if (what == 'r')
		return str_of(s->rseq);
	if (!s->request_bytes || sip_parse(&m, s->request, s->request_bytes, &why))
		return STR_NONE;
	switch (what) {
	case 'v':
		return sip_value(&m, SIP_H_VIA);
	case 'n':
		return str_head(sip_value(&m, SIP_H_CSEQ), str_chr(sip_value(&m, SIP_H_CSEQ), ' '));
	case 'f':
		return sip_value(&m, SIP_H_FROM);
	default:
		return sip_value(&m, SIP_H_TO);
	}
}

static size_t expand(char *buf, struct str text, const struct side *s)
{
	struct out o = OUT(buf, SHM_DATAGRAM_MAX);

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '$' && i + 1 < text.n && memchr("vnftuTri", text.p[i + 1], 8))
			out_str(&o, request_part(s, text.p[++i]));
		else
			out_str(&o, str_make(text.p + i, 1));
	}
	return o.overflow ? 0 : o.n;
}

static void datagram(struct side *s, struct str text)
{
	static struct sip_msg m;
	struct sip_fault why;
	char *exact, *buf = malloc(SHM_DATAGRAM_MAX);
	size_t n = buf ? expand(buf, text, s) : 0;
	struct shm_datagram d = { .length = (uint32_t)n, .from = s->addr, .jpos = ++w.jpos };
	int err;

	d.bytes = exact = malloc(n ? n : 1); /* of its own size, so that a read beyond the end is seen */
	BUG_ON(!exact || !buf);
	memcpy(exact, buf, n);
	w.readable = sip_parse(&m, exact, n, &why) == 0 && sip_check(&m, &why) == 0;
	set_clock(&w.worker);
	err = core_receive(&w.worker, &d);
	for (unsigned i = 0; i < 3 && err == ERR_BUSY; i++) { /* a CANCEL waits for its INVITE */
		until(w.now_ms + CORE_EARLY_MS);
		w.readable = true;
		set_clock(&w.worker);
		err = core_receive(&w.worker, &d);
	}
	BUG_ON(err);
	flush(&w.worker);
	free(exact);
	free(buf);
}

static void undeliverable(void)
{
	const struct side *s = &sides[GATEWAY];

	w.readable = true;
	set_clock(&w.worker);
	core_transport_error(&w.worker, &s->addr, s->last, (uint32_t)s->last_bytes);
	flush(&w.worker);
}

static void end_all(void)
{
	uint32_t generation;

	w.readable = true;
	set_clock(&w.worker);
	for (uint32_t i = 0; i < shm_slots(w.shm); i++) {
		if (shm_peek(w.shm, i, 0, &generation))
			(void)core_hangup(&w.worker, i, generation);
		flush(&w.worker);
	}
}

static void frame(struct str f)
{
	struct str line = str_head(f, str_chr(f, '\n')), rest = str_from(f, line.n + 1);
	static const char letters[] = "PGHS";
	const char *side = f.n ? memchr(letters, f.p[0], SIDES) : NULL;
	uint64_t wait_ms;

	if (side)
		datagram(&sides[side - letters], rest);
	else if (f.n && f.p[0] == 'W' && !str_u64(str_trim(str_from(line, 1)), 100000000, &wait_ms))
		until(w.now_ms + wait_ms);
	else if (f.n && f.p[0] == 'E')
		undeliverable();
	else if (f.n && f.p[0] == 'K')
		end_all();
	look();
	recorder_turn();
}

static size_t next_frame(struct str s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.p[i] == '%' && s.p[i + 1] == '%')
			return i;
	return s.n;
}

static void problem(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

/* Nobody says anything any more: all ends by itself, and nothing is left. */
static void end(uint64_t idle_bytes)
{
	uint64_t used, all;

	until(SHM_NEVER - 1);
	for (unsigned i = 0; i < 4; i++)
		timer_turn();
	BUG_ON(shm_objects_used(w.shm));
	BUG_ON(w.records != shm_counter(w.shm, CNT_calls_started));
	BUG_ON(shm_counter(w.shm, CNT_unlisted_event));
	shm_heap_usage(w.shm, &used, &all);
	BUG_ON(used != idle_bytes);
	BUG_ON(shm_check(w.shm, true, problem, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_make((const char *)data, size);
	uint64_t idle, all, which = 0;

	if (size > ROOM)
		return 0;
	if (size > 4 && memcmp(data, "%%C ", 4) == 0)
		which = data[4] % CONFIGURATIONS;
	world_open((unsigned)which);
	shm_heap_usage(w.shm, &idle, &all);
	rest = str_from(rest, next_frame(rest));
	for (unsigned n = 0; rest.n && n < 64; n++) {
		struct str f = str_from(rest, 2);
		size_t bytes = next_frame(f);
		frame(str_head(f, bytes));
		rest = str_from(f, bytes);
	}
	end(idle);
	world_close();
	return 0;
}

#ifdef FUZZ_STANDALONE
#include "t/fuzz-files.h"
int main(int argc, char **argv)
{
	return fuzz_files(argc, argv, "t/corpus/call/*");
}
#endif
