/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a call costs a worker apart from the kernel's part: a caller and a gateway of the benchmark's scenario (t/sipp/uac-bench.xml, uas-bench.xml) as
 * functions, and the call logic over a real arena between them. Virtual time: so many calls a second, each answered at once and hung up after a second, so
 * that as many ended calls lie in the arena as on a real proxy. Only what a worker does with its datagrams is timed.
 * A worker sleeps between its looks, and what it needs leaves the caches meanwhile: so may this one, for so many microseconds before each turn.
 * usage: call-bench [CALLS [DATAGRAMS A TURN [RATE [SLEEP]]]]; prints nanoseconds a call, the best of ten parts. Not part of make check. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "call/call.h"
#include "call/view.h"
#include "ini/conf.h"

enum { SLOTS = 100000, HOLD_MS = 1000, START_MS = 1000 * 1000, ROOM = 2048, QUEUE = 1 << 16, PARTS = 10 };

struct datagram {
	uint64_t due_ms;
	bool from_gateway;
	uint32_t length;
	char bytes[ROOM];
};

struct queue {
	unsigned head, tail;
	struct datagram *at;
};

static struct {
	struct conf *conf;
	struct shm *shm;
	struct route *route;
	struct core worker, timer;
	struct shm_self *recorder;
	struct core_listen listen;
	struct addr caller, gateway;
	uint64_t now_ms, jpos, offset;
	unsigned ended, sleep_us;
} w;

static const char description[] =
	"v=0\r\no=- 53655765 2353687637 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8 0 18 9 101\r\na=rtpmap:8 PCMA/8000\r\n"
	"a=rtpmap:0 PCMU/8000\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
	"a=ptime:20\r\na=sendrecv\r\n";

static struct queue soon, later; /* what is to be received next; the BYEs, in the order of their times */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t next_random(void *arg)
{
	static uint64_t seed = 1;

	(void)arg;
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed ^ seed >> 33;
}

/* ---- the world */

static struct core core_of(enum shm_kind kind)
{
	struct core c = { .shm = w.shm, .route = w.route, .params = &w.conf->params, .listen = &w.listen, .nlisten = 1, .max_calls = SLOTS, .random = next_random };

	BUG_ON(shm_self_claim(&c.self, w.shm, kind, 0));
	return c;
}

static void world_open(void)
{
	static const char *const list[] = { "listen.udp=10.0.0.1:5060", "gateway phones.source=10.1.0.1", "gateway phones.role=caller",
		"gateway one.address=10.2.0.1:5060", "gateway one.role=callee", NULL };
	static struct conf_report report;
	struct shm_params params = { .slots = SLOTS, .workers_max = 2 };
	struct addr us;
	char path[64];

	snprintf(path, sizeof path, "/dev/shm/velador-call-bench-%d", (int)getpid());
	BUG_ON(shm_create(&w.shm, path, &params));
	unlink(path);
	addr_parse(&us, STR("10.0.0.1:5060"), 5060);
	core_listen_set(&w.listen, &us, &us);
	addr_parse(&w.caller, STR("10.1.0.1:5060"), 5060);
	addr_parse(&w.gateway, STR("10.2.0.1:5060"), 5060);
	if (conf_read(&w.conf, NULL, list, &report) || route_resolve(w.conf, w.shm, NULL, &report)) {
		conf_report_print(&report, stderr);
		exit(1);
	}
	BUG_ON(route_new(&w.route, w.conf, w.shm));
	w.now_ms = START_MS;
	w.worker = core_of(SHM_WORKER);
	w.timer = core_of(SHM_TIMER);
	BUG_ON(shm_self_claim(&w.recorder, w.shm, SHM_RECORDER, 0));
	soon.at = calloc(QUEUE, sizeof *soon.at);
	later.at = calloc(QUEUE, sizeof *later.at);
	BUG_ON(!soon.at || !later.at);
}

/* ---- the peers */

static struct out put(struct queue *q, bool from_gateway, struct datagram **d)
{
	BUG_ON(q->tail - q->head == QUEUE);
	*d = &q->at[q->tail++ % QUEUE];
	**d = (struct datagram){ .due_ms = w.now_ms + (q == &later ? HOLD_MS : 0), .from_gateway = from_gateway };
	return (struct out)OUT((*d)->bytes, ROOM);
}

static void put_done(struct datagram *d, const struct out *o)
{
	BUG_ON(o->overflow);
	d->length = (uint32_t)o->n;
}

static void body(struct out *o, const char *text)
{
	out_fmt(o, "%sContent-Length: %zu\r\n\r\n%s", *text ? "Content-Type: application/sdp\r\n" : "", strlen(text), text);
}

static void invite(unsigned i)
{
	struct datagram *d;
	struct out o = put(&soon, false, &d);

	out_fmt(&o, "INVITE sip:100@10.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.1:5060;branch=z9hG4bK-%u-1-0\r\nFrom: <sip:caller@10.1.0.1:5060>;tag=77a%u\r\n"
		"To: <sip:100@10.0.0.1:5060>\r\nCall-ID: %u-77@10.1.0.1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:caller@10.1.0.1:5060>\r\n", i, i, i);
	body(&o, description);
	put_done(d, &o);
}

static void response(const struct sip_msg *m, const char *line, const char *contact, const char *text)
{
	struct datagram *d;
	struct out o = put(&soon, true, &d);

	out_fmt(&o, "SIP/2.0 %s\r\n", line);
	for (const struct sip_header *h = sip_first(m, SIP_H_VIA); h; h = sip_next(m, h))
		out_str(&o, h->line);
	out_str(&o, sip_first(m, SIP_H_FROM)->line);
	out_fmt(&o, "To: %.*s", STR_FMT(sip_value(m, SIP_H_TO)));
	if (m->method == SIP_INVITE)
		out_fmt(&o, ";tag=88b%.*s", STR_FMT(m->from_tag));
	out_lit(&o, "\r\n");
	out_str(&o, sip_first(m, SIP_H_CALL_ID)->line);
	out_str(&o, sip_first(m, SIP_H_CSEQ)->line);
	out_fmt(&o, "%s", contact);
	body(&o, text);
	put_done(d, &o);
}

/* The caller's ACK and BYE to a 2xx. */
static void request(const struct sip_msg *m, const char *name, unsigned cseq, struct queue *q)
{
	struct sip_nameaddr contact;
	struct datagram *d;
	struct out o = put(q, false, &d);

	BUG_ON(sip_nameaddr_parse(&contact, sip_value(m, SIP_H_CONTACT)));
	out_fmt(&o, "%s %.*s SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.1:5060;branch=z9hG4bK-%s-%.*s\r\nFrom: %.*s\r\nTo: %.*s\r\nCall-ID: %.*s\r\nCSeq: %u %s\r\nMax-Forwards: 70\r\n",
		name, STR_FMT(contact.uri), name, STR_FMT(m->from_tag), STR_FMT(sip_value(m, SIP_H_FROM)), STR_FMT(sip_value(m, SIP_H_TO)),
		STR_FMT(m->call_id), cseq, name);
	body(&o, "");
	put_done(d, &o);
}

static void arrived(const struct shm_out *out)
{
	static struct sip_msg m;
	struct sip_fault why;

	BUG_ON(sip_parse(&m, out->bytes, out->length, &why) || sip_check(&m, &why));
	if (m.status >= 300) {
		fprintf(stderr, "%.*s\n", (int)out->length, (const char *)out->bytes);
		exit(1);
	}
	if (m.status == 200 && m.method == SIP_INVITE) {
		request(&m, "ACK", 1, &soon);
		request(&m, "BYE", 2, &later);
	} else if (m.status == 200) {
		w.ended++;
	} else if (!m.status && m.method == SIP_INVITE) {
		response(&m, "180 Ringing", "Contact: <sip:callee@10.2.0.1:5060>\r\n", "");
		response(&m, "200 OK", "Contact: <sip:callee@10.2.0.1:5060>\r\n", description);
	} else if (!m.status && m.method == SIP_BYE) {
		response(&m, "200 OK", "", "");
	}
}

/* ---- the processes */

static void set_clock(struct core *core)
{
	core->now_ms = w.now_ms;
	core->wall_ms = w.now_ms + 1700000000000u;
}

static void flush(struct core *core)
{
	struct shm_out out;
	unsigned n = 0;

	for (; shm_outbox_entry(core->self, n, &out) == 0; n++)
		arrived(&out);
	shm_outbox_sent(core->self, n);
}

/* One turn of the worker, of that many datagrams. Returns the nanoseconds that it took. */
static uint64_t turn(unsigned most)
{
	struct shm_datagram d[SHM_JOURNAL_BATCH];
	struct core_ahead ahead = { 0 };
	uint64_t from_ns, ns;

	if (w.sleep_us)
		usleep(w.sleep_us);
	from_ns = now_ns();
	set_clock(&w.worker);
	for (unsigned i = 0; i < most; i++) {
		const struct datagram *m = &soon.at[soon.head++ % QUEUE];
		d[i] = (struct shm_datagram){ .bytes = m->bytes, .length = m->length, .from = m->from_gateway ? w.gateway : w.caller, .jpos = ++w.jpos };
		core_ahead_see(&ahead, &w.worker, &d[i]);
	}
	for (unsigned i = 0; i < most; i++) {
		core_ahead_step(&ahead, &w.worker);
		BUG_ON(core_receive(&w.worker, &d[i]));
	}
	ns = now_ns() - from_ns;
	flush(&w.worker);
	from_ns = now_ns();
	shm_rcu_quiescent(w.worker.self);
	return ns + now_ns() - from_ns;
}

static void timer_due(void *arg, uint32_t slot, uint64_t deadline_ms)
{
	(void)arg;
	(void)deadline_ms;
	core_timer(&w.timer, slot);
}

static void others(void)
{
	static char text[1 << 16];
	struct shm_record_file file;
	uint32_t slot, generation;

	set_clock(&w.timer);
	shm_board_scan(w.timer.self, w.now_ms, timer_due, NULL);
	flush(&w.timer);
	shm_rcu_quiescent(w.timer.self);
	shm_record_begin(w.recorder, &file);
	for (unsigned i = 0; i < SHM_PROCS_MAX; i++) {
		struct shm_proc_info info;
		shm_proc_info(w.shm, i, &info);
		while (info.kind && shm_notice_next(w.recorder, i, &slot, &generation)) {
			struct out o = OUT(text, sizeof text);
			if (shm_recorded(w.shm, slot, generation) || record_print(&o, &w.worker, slot, generation, RECORD_JSON))
				continue;
			shm_record_commit(w.recorder, w.offset += o.n, &slot, &generation, 1);
		}
	}
	shm_rcu_quiescent(w.recorder);
}

/* The BYEs whose time has come are received with what came meanwhile. */
static void hang_up(void)
{
	for (; later.head != later.tail && later.at[later.head % QUEUE].due_ms <= w.now_ms; later.head++) {
		BUG_ON(soon.tail - soon.head == QUEUE);
		soon.at[soon.tail++ % QUEUE] = later.at[later.head % QUEUE];
	}
}

static unsigned argument(int argc, char **argv, int i, unsigned usual)
{
	return argc > i ? (unsigned)strtoul(argv[i], NULL, 10) : usual;
}

int main(int argc, char **argv)
{
	unsigned calls = argument(argc, argv, 1, 100000) / PARTS * PARTS, most = argument(argc, argv, 2, 15), rate = argument(argc, argv, 3, 1000);
	uint64_t ns[PARTS] = { 0 }, sum = 0, best = UINT64_MAX;

	w.sleep_us = argument(argc, argv, 4, 0);
	if (most < 1 || most > SHM_JOURNAL_BATCH) {
		fprintf(stderr, "call-bench: 1 to %d datagrams a turn\n", SHM_JOURNAL_BATCH);
		return 2;
	}
	world_open();
	for (unsigned i = 0; i < calls; i++) {
		w.now_ms = START_MS + (uint64_t)i * 1000 / rate;
		invite(i);
		hang_up();
		while (soon.tail - soon.head >= most)
			ns[i / (calls / PARTS)] += turn(most);
		if (i % 10 == 0)
			others();
	}
	for (unsigned i = 0; i < PARTS; i++) {
		best = ns[i] < best ? ns[i] : best;
		sum += ns[i];
	}
	printf("a worker's own work for a call: %.0f ns at best, %.0f on average; %u of %u calls have ended\n", (double)best * PARTS / calls, (double)sum / calls, w.ended, calls);
	shm_close(w.shm, true);
	return 0;
}
