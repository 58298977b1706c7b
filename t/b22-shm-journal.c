/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Journal, deferred list, outbox, process slots and counters (shm/README F). The datagrams come from the kernel, over loopback. */
#include "t/tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "shm/shm.h"

static struct shm *shm;
static struct shm_self *self;
static int from_fd, to_fd;

static int bound_socket(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t length = sizeof *at;

	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (void *)at, sizeof *at) || getsockname(fd, (void *)at, &length))
		tap_bail("no socket");
	return fd;
}

/* Sends n datagrams "m0".."m9" padded to length_bytes and receives them into the journal. */
static int receive(unsigned n, size_t length_bytes)
{
	static char text[65000];
	struct mmsghdr *m;

	memset(text, '.', sizeof text);
	for (unsigned i = 0; i < n; i++) {
		text[0] = 'm';
		text[1] = (char)('0' + i % 10);
		if (send(from_fd, text, length_bytes, 0) != (ssize_t)length_bytes)
			tap_bail("send");
	}
	m = shm_journal_open(self, 0, 5);
	return recvmmsg(to_fd, m, SHM_JOURNAL_BATCH, MSG_WAITFORONE, NULL);
}

static void batches(uint16_t port)
{
	struct shm_datagram d;
	uint64_t last;

	is_u64(receive(3, 100), 3, "three datagrams come in one batch");
	is_u64(shm_journal_entry(self, 0, &d), 0, "F: the first waits in the journal");
	ok(d.length == 100 && d.bytes[1] == '0' && d.listen == 5 && !d.truncated, "with its bytes, its length, its socket");
	ok(d.from.family == 4 && d.from.port == port && d.from.ip[0] == 127, "and where it came from");
	last = d.jpos;
	is_u64(shm_journal_entry(self, 2, &d), 0, "so does the third");
	ok(d.jpos > last && d.bytes[1] == '2', "at a later position");
	is_u64(shm_journal_entry(self, 3, &d), ERR_NOTFOUND, "there is no fourth");
	for (unsigned i = 0; i < 3; i++)
		shm_journal_done(self, i);
	is_u64(shm_journal_entry(self, 0, &d), ERR_NOTFOUND, "what is done is no longer there");
	last = d.jpos;
	is_u64(receive(1, 65000), 1, "a large one");
	ok(!shm_journal_entry(self, 0, &d) && d.length == 65000 && d.bytes[64999] == '.', "comes whole");
	ok(d.jpos > last, "positions never repeat");
	shm_journal_done(self, 0);
}

/* One batch of two sockets' datagrams: the second's lie behind the first's. */
static void two_sockets(void)
{
	struct shm_datagram d;
	struct mmsghdr *m;

	is_u64(receive(3, 100), 3, "three come in one socket");
	m = shm_journal_open(self, 3, 7);
	if (send(from_fd, "other", 5, 0) != 5)
		tap_bail("send");
	is_u64(recvmmsg(to_fd, m, SHM_JOURNAL_BATCH - 3, MSG_WAITFORONE, NULL), 1, "the batch goes on with another's");
	ok(!shm_journal_entry(self, 2, &d) && d.listen == 5 && d.bytes[1] == '2', "the third is still of the first socket");
	ok(!shm_journal_entry(self, 3, &d) && d.listen == 7 && d.length == 5, "the fourth is of the second");
	for (unsigned i = 0; i < 4; i++)
		shm_journal_done(self, i);
	is_u64(receive(1, 40), 1, "the next batch begins at the front");
	ok(!shm_journal_entry(self, 0, &d) && d.listen == 5 && d.length == 40, "with its own socket");
	is_u64(shm_journal_entry(self, 3, &d), ERR_NOTFOUND, "and nothing is left of the one before");
	shm_journal_done(self, 0);
}

static void deferral(void)
{
	struct shm_datagram d;
	uint64_t jpos;
	unsigned n = 0, i;

	is_u64(receive(4, 2000), 4, "four more");
	ok(!shm_journal_entry(self, 1, &d), "the second");
	jpos = d.jpos;
	for (i = 0; i < 4; i++)
		is_u64(shm_defer(self, i), 0, "%u is put off", i);
	is_u64(shm_journal_entry(self, 1, &d), ERR_NOTFOUND, "which ends it in the journal");
	ok(!shm_deferred(self, 1, &d) && d.jpos == jpos && d.bytes[1] == '1' && d.length == 2000 && d.listen == 5, "the copy is as it was");
	shm_deferred_done(self, 1);
	ok(!shm_deferred(self, 0, &d) && d.bytes[1] == '0' && !shm_deferred(self, 1, &d) && d.bytes[1] == '2', "later ones move down, in order");
	while (!shm_deferred(self, 0, &d))
		shm_deferred_done(self, 0);
	is_u64(shm_deferred(self, 0, &d), ERR_NOTFOUND, "none is left");
	shm_rcu_quiescent(self);
	do {
		receive(30, 50);
		for (i = 0; i < SHM_JOURNAL_BATCH && !shm_journal_entry(self, i, &d); i++) {
			n += shm_defer(self, i) == 0;
			shm_journal_done(self, i);
		}
	} while (n < SHM_DEFERRED);
	is_u64(n, SHM_DEFERRED, "G: the list ends at %d", SHM_DEFERRED);
	while (!shm_deferred(self, 0, &d))
		shm_deferred_done(self, 0);
	shm_rcu_quiescent(self);
}

/* The process dies; whoever claims its slot finds what it had not finished. */
static void succession(void)
{
	struct shm_proc_info info;
	struct addr to = { .family = 4, .ip = { 127, 0, 0, 1 }, .port = 9 };
	struct shm_datagram d;
	struct shm_out out;
	uint32_t incarnation;

	shm_proc_info(shm, 0, &info);
	incarnation = info.incarnation;
	ok(info.kind == SHM_WORKER && info.index == 0 && info.pid == getpid() && !info.busy, "the slot tells who has it");
	receive(3, 80);
	shm_journal_done(self, 1);
	is_u64(shm_outbox_put(self, 2, &to, "goodbye", 7), 0, "a datagram is queued");
	shm_self_free(self);
	shm_repair(shm, 0);
	shm_proc_info(shm, 0, &info);
	is_u64(info.pid, 0, "after the repair nobody has the slot");
	if (shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no slot");
	shm_proc_info(shm, 0, &info);
	is_u64(info.incarnation, incarnation + 1, "then the successor has, one incarnation on");
	ok(!shm_journal_entry(self, 0, &d) && !shm_journal_entry(self, 2, &d) && d.bytes[1] == '2', "F: it finds what was not done");
	is_u64(shm_journal_entry(self, 1, &d), ERR_NOTFOUND, "and not what was");
	ok(!shm_outbox_entry(self, 0, &out) && out.length == 7 && out.listen == 2 && addr_eq(&out.to, &to) &&
	   !memcmp(out.bytes, "goodbye", 7), "F: and what was not sent");
	shm_journal_done(self, 0);
	shm_journal_done(self, 2);
	shm_outbox_sent(self, 1);
}

static void outbox(void)
{
	static char text[65000];
	struct addr to = { .family = 4 };
	struct shm_out out;
	unsigned n = 0;

	while (shm_outbox_put(self, 0, &to, &n, sizeof n) == 0)
		n++;
	ok(n >= SHM_OUTBOX - SHM_SENDS_MAX - 1, "G: the outbox takes %u datagrams, then it is full", n);
	shm_outbox_sent(self, 10);
	ok(!shm_outbox_entry(self, 0, &out) && *(const unsigned *)out.bytes == 10, "sent ones leave at the front");
	shm_outbox_sent_early(self, 2);
	ok(!shm_outbox_entry(self, 2, &out) && out.sent && out.object == SHM_NO_OBJECT, "F: one sent early bears a mark");
	ok(!shm_outbox_entry(self, 1, &out) && !out.sent && !shm_outbox_entry(self, 3, &out) && !out.sent, "F: its neighbours do not");
	shm_outbox_sent(self, shm_outbox_count(self));
	for (n = 0; shm_outbox_put(self, 0, &to, text, sizeof text) == 0; n++)
		continue;
	is_u64(n, 4, "G: or four of the largest");
	shm_outbox_sent(self, n);
	is_u64(shm_outbox_put(self, 0, &to, text, sizeof text), 0, "and again when they are sent");
	shm_outbox_sent(self, 1);
	shm_rcu_quiescent(self);
}

static void counters(void)
{
	struct shm_self *timer;

	if (shm_self_claim(&timer, shm, SHM_TIMER, 0))
		tap_bail("no slot");
	shm_count(self, CNT_requests_in);
	shm_count_add(timer, CNT_requests_in, 4);
	is_u64(shm_counter(shm, CNT_requests_in), 5, "counters add up over processes");
	shm_count_max(self, CNT_timer_lag_max_ms, 9);
	shm_count_max(timer, CNT_timer_lag_max_ms, 7);
	is_u64(shm_counter(shm, CNT_timer_lag_max_ms), 9, "a maximum is one over all");
	shm_heartbeat(timer, 1234);
	shm_self_leave(timer);
	shm_self_free(timer);
	ok(shm_proc_slot(shm, SHM_TIMER, 0) != shm_proc_slot(shm, SHM_CONTROL, 0), "each kind has its slot");
}

int main(void)
{
	struct shm_params params = { .slots = 64, .heap_bytes = 8 << 20, .workers_max = 1 };
	struct sockaddr_in from, to;

	if (shm_create(&shm, NULL, &params) || shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no arena");
	from_fd = bound_socket(&from);
	to_fd = bound_socket(&to);
	if (connect(from_fd, (void *)&to, sizeof to))
		tap_bail("connect");
	batches(ntohs(from.sin_port));
	two_sockets();
	deferral();
	succession();
	outbox();
	counters();
	is_u64(shm_check(shm, true, NULL, NULL), 0, "the arena is sound");
	shm_self_leave(self);
	shm_self_free(self);
	shm_close(shm, true);
	return tap_done();
}
